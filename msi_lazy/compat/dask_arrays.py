"""Dask arrays of the one kind whose graph shows its layers.

Dask has another kind, array expressions: those of ``dask.array`` under
``dask.config.set({"array.query-planning": True})``, and those of the package ``dask_array``.  Their graph is a plain
``dict``, built from the expression.  Here they are converted; what their graph does not show (windows of a source) is
then left to Dask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask.array import core
from dask.array.utils import meta_from_array
from dask.base import is_dask_collection
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph
from dask.tokenize import TokenizationError

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["classic_array", "from_array", "make_array", "meta_of"]

Chunks = tuple[tuple[int, ...], ...]


def classic_array(array: Any) -> da.Array:
    """Convert any kind of Dask array to one with layers; nothing is computed.

    Assumes that an array expression's graph and keys belong together, and that the keys are in C order.

    Raises
    ------
    TypeError
        The array is chunked, but not by Dask.
    """
    if isinstance(array, core.Array):
        return array
    if not is_dask_collection(array):
        kind = f"{type(array).__module__}.{type(array).__qualname__}"
        raise TypeError(f"the image holds a chunked array of type {kind}; give a Dask, Zarr or NumPy array")
    keys: Any = list(flatten(array.__dask_keys__()))
    name, graph = keys[0][0], array.__dask_graph__()
    return make_array(HighLevelGraph.from_collections(name, dict(graph)), name, array.chunks, meta_from_array(array))


def meta_of(array: Any) -> Any:
    """Return an empty array of the kind that the blocks of a Dask array are; any other array as it is."""
    return meta_from_array(array) if is_dask_collection(array) else array


def make_array(graph: HighLevelGraph, name: str, chunks: Chunks, meta: Any) -> da.Array:
    """Build the array whose blocks the layer ``name`` of ``graph`` computes.

    Assumes that ``dask.array.core.Array`` has layers even where ``dask.array.Array`` has none.
    """
    return core.Array(graph, name, chunks, meta=meta)


def from_array(array: Any, chunks: Any, **options: Any) -> da.Array:
    """Build an array that reads an array-like block by block, as ``dask.array.from_array``, but never an expression.

    One that cannot be hashed gets a random name, also where Dask is configured to raise an error.
    """
    array_of_blocks: da.Array
    try:
        array_of_blocks = core.from_array(array, chunks, **options)
    except TokenizationError:
        array_of_blocks = core.from_array(array, chunks, name=False, **options)
    return array_of_blocks
