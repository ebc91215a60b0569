"""Dask arrays of the one kind whose graph shows its layers.

Dask has another kind, array expressions, which ``dask.config.set({"array.query-planning": True})`` makes of
``dask.array``, and the package ``dask_array`` of xarray's chunks.  Their graph is a plain ``dict``, made anew from the
expression.  Here they are converted; what their graph does not show (windows of a source) is then left to Dask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask.array import core
from dask.array.utils import meta_from_array
from dask.base import is_dask_collection
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["classic_array", "from_array", "make_array"]

Chunks = tuple[tuple[int, ...], ...]


def classic_array(array: Any) -> da.Array:
    """Convert an array of whatever kind Dask has to one with layers; nothing is computed.

    Assumes that an array expression gives its graph and its keys together, in C order of the blocks.

    Raises
    ------
    TypeError
        It is chunked, but not by Dask.
    """
    if isinstance(array, core.Array):
        return array
    if not is_dask_collection(array):
        kind = f"{type(array).__module__}.{type(array).__qualname__}"
        raise TypeError(f"the image holds a chunked array of type {kind}; give a Dask, Zarr or NumPy array")
    keys: Any = list(flatten(array.__dask_keys__()))
    name, graph = keys[0][0], array.__dask_graph__()
    return make_array(HighLevelGraph.from_collections(name, dict(graph)), name, array.chunks, meta_from_array(array))


def make_array(graph: HighLevelGraph, name: str, chunks: Chunks, meta: Any) -> da.Array:
    """Array whose blocks the layer ``name`` of ``graph`` gives.

    Assumes that ``dask.array.core.Array`` is such an array whatever ``dask.array.Array`` is.
    """
    return core.Array(graph, name, chunks, meta=meta)


def from_array(array: Any, chunks: Any, **options: Any) -> da.Array:
    """Array that reads an array-like block by block; see ``dask.array.from_array``, which may give an expression."""
    made: da.Array = core.from_array(array, chunks, **options)
    return made
