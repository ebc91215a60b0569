"""Checks that the blocks of a Dask array are what it declares, before Dask joins several to one.

Dask joins blocks in the dtype of the first of them, and casts the others without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from dask.highlevelgraph import HighLevelGraph

from msi_lazy.compat.dask_arrays import make_array
from msi_lazy.compat.dask_graphs import build_calls
from msi_lazy.methods.samples import as_plain, as_samples, check_shape
from msi_lazy.plan.block_names import naming_samples
from msi_lazy.plan.source_rows import SourceChunks
from msi_lazy.plan.windows import slices

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["check_block", "check_blocks"]

Chunks = tuple[tuple[int, ...], ...]


def check_blocks(array: da.Array) -> da.Array:
    """Add a check of each block to ``array``."""
    name = f"pyramid-checked-{array.name}"
    chunks: Chunks = array.chunks
    options = {"chunks": SourceChunks(chunks), "dtype": array.dtype}
    layer = build_calls(check_block, name, array.numblocks, array.name, index=True, **options)
    graph = HighLevelGraph({**array.dask.layers, name: layer}, {**array.dask.dependencies, name: {array.name}})
    return make_array(graph, name, chunks, np.empty((0,) * array.ndim, array.dtype))


def check_block(
    block: Any, index: tuple[int, ...], *, chunks: SourceChunks, dtype: np.dtype[Any], part: tuple[slice, ...] = ()
) -> np.ndarray[Any, Any]:
    """Return the block ``index`` of an array, or ``part`` of it, as a plain array of ``dtype`` in native byte order.

    Raises
    ------
    TypeError, ValueError
        It is not what the array declares.
    """
    window = chunks.owned(index)
    with naming_samples("reading the source", slices(window)):
        samples = as_plain(block)
        check_shape(samples, tuple(interval.length for interval in window))
        return as_samples(samples[part], dtype)
