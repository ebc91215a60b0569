"""Write graph: one graph that stores every level and ends with the metadata."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dask.task_spec import DataNode, GraphNode

from msi_lazy.compat.zarr_arrays import run_in_python
from msi_lazy.graph.buffers import BlockBuffers
from msi_lazy.graph.computed_source import Spill
from msi_lazy.graph.declared import check_blocks
from msi_lazy.graph.direct import block_geometry, emit_blocks
from msi_lazy.graph.fuse_levels import fuse_levels
from msi_lazy.graph.gather import as_delayed, gather, wait
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.marks import BlockListeners, BlockMarks, number_blocks
from msi_lazy.graph.stream import LevelStore, skip_block
from msi_lazy.methods.lending import fresh
from msi_lazy.methods.samples import as_samples
from msi_lazy.plan.block_names import naming_samples
from msi_lazy.plan.block_size import aligned_blocks
from msi_lazy.plan.memory import codec_bytes
from msi_lazy.plan.windows import Interval, slices
from msi_lazy.storage.arrays import runs_in_rust
from msi_lazy.storage.stored_units import stored_units
from msi_lazy.storage.thread_codecs import thread_codecs
from msi_lazy.storage.write_units import write_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import dask.array as da
    import numpy as np
    import zarr
    from dask.delayed import Delayed
    from dask.typing import Key

    from msi_lazy.graph.marks import BlockGrid
    from msi_lazy.methods.lending import Lend
    from msi_lazy.plan.slabs import BlockFlags
    from msi_lazy.storage.spill_array import SpillArray
    from msi_lazy.storage.stored_units import StoredUnits

__all__ = ["LevelArrays", "align_blocks", "number_images", "store_block", "write_graph"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class LevelArrays:
    """Levels of one image as the tasks of a write store them."""

    levels: LevelGraph
    """Levels, in blocks of whole write units."""
    targets: Sequence[zarr.Array[Any]] = ()
    """Stored array of each level, once it has been created."""
    read_back: Sequence[bool] = ()
    """Whether each stage reads what the one before stored, instead of its carries."""
    lossless: bool = True
    """Whether the codecs are known to return what they are given."""
    kept: int = 0
    """Levels from the finest that are in the store already and are not written again."""
    path: str = ""
    """Path of the image's group below that of the write."""
    in_order: bool = False
    """Whether the chunks of a computed source are computed row by row of blocks; they must not leave their process."""
    first: int = 0
    """Number of the first of these levels in the image."""
    spills: bool = False
    """Whether the chunks of a computed source are stored before blocks read them, as memory cannot hold them."""
    spill: SpillArray | None = None
    """Array that they are stored in, once it has been created."""
    counted_as: str | None = None
    """Name under which its progress is counted, together with that of others; by default its path."""


def store_block(
    block: np.ndarray[Any, Any],
    target: zarr.Array[Any],
    index: tuple[int, ...],
    *,
    starts: tuple[tuple[int, ...], ...],
    probe: bool = False,
    lend: Lend = fresh,
) -> StoredUnits:
    """Write one block, and return which chunks or shards it stored.

    Parameters
    ----------
    block, target, index
        The samples, the array, and the index of the block in it.
    starts
        Starts of the blocks along each dimension.
    probe
        Whether to look first if any chunk can be empty: zarr-python compares every sample of every chunk
        with the fill value, on the one thread that all writes go through.
    lend
        Function that lends an array to encode from.
    """
    corner = (begins[position] for begins, position in zip(starts, index, strict=True))
    window = tuple(Interval(start, start + n) for start, n in zip(corner, block.shape, strict=True))
    with naming_samples(f"storing block {index} of {target.path!r}", slices(window)):
        block = as_samples(block, target.dtype)
        if probe and _none_is_empty(block, target):
            target = run_in_python(target, write_empty_chunks=True)
        write_window(target, window, block, lend)
        return stored_units(target, window)


def _none_is_empty(block: np.ndarray[Any, Any], target: zarr.Array[Any]) -> bool:
    """Tell whether each chunk of ``block`` begins with a sample that is not the fill value."""
    corners = block[tuple(slice(None, None, chunk) for chunk in target.chunks)]
    fill: Any = target.fill_value
    return bool(((corners != fill) & (corners == corners)).all())


def align_blocks(levels: LevelGraph, units: Sequence[tuple[int, ...]]) -> LevelGraph:
    """Rechunk levels to blocks of whole write units, so that no two tasks write one chunk or shard."""
    blocks = [aligned_blocks(array.chunks, unit) for array, unit in zip(levels.arrays, units, strict=True)]
    if blocks == [array.chunks for array in levels.arrays]:
        return levels
    _LOGGER.debug("levels are rechunked to the chunks or shards that store them, %s", units)
    terms = zip(levels.arrays, levels.picks, blocks, strict=True)
    return LevelGraph.of([_rechunked(array, chunks, edited=pick is None) for array, pick, chunks in terms])


def _rechunked(array: da.Array, chunks: tuple[tuple[int, ...], ...], *, edited: bool) -> da.Array:
    if array.chunks == chunks:
        return array
    rechunked: da.Array = (check_blocks(array) if edited else array).rechunk(chunks)  # our own blocks need no check
    return rechunked


def number_images(images: Sequence[LevelArrays]) -> Iterator[tuple[LevelArrays, tuple[BlockGrid, ...]]]:
    """Yield each image with its blocks as they are numbered, one image after another."""
    first = 0
    for image in images:
        grids = number_blocks([grid.counts for grid in block_geometry(image.levels)], first)
        first = grids[-1].first + prod(grids[-1].counts)
        yield image, grids


def write_graph(
    images: Sequence[LevelArrays],
    completions: Sequence[Callable[[], None]],
    listeners: BlockListeners,
    done: BlockFlags,
    slab: BlockFlags | None = None,
) -> Delayed:
    """Build the graph that stores the levels of ``images``, and then runs ``completions`` in order.

    Keys carry a fresh token, as the same key under a held future would run nothing.

    Parameters
    ----------
    images
        Images to store.  Blocks of each level are whole write units: see :func:`align_blocks`.
    completions
        Functions that end the write.
    listeners
        Asked before each block is stored, and told after it.
    done
        Which blocks, by number, are stored already.
    slab
        Which are to be stored, if not all others; what they need of others is read back.
    """
    name = f"pyramid-write-{uuid4().hex}"
    buffers = BlockBuffers(_reserve_bytes(images))
    graph: dict[Key, GraphNode] = {}
    sinks: list[Key] = []
    for image, grids in number_images(images):
        marks = BlockMarks(f"pyramid-listeners-{uuid4().hex}", grids, done, image.lossless, slab)
        if slab is None or marks.any_left:
            tasks, ends = _store_levels(image, listeners, marks, buffers)
            graph |= tasks
            sinks.extend(ends)
    graph |= gather(name, sinks, wait, _complete, (buffers.release, *completions))
    return as_delayed(graph, name)


def _store_levels(
    image: LevelArrays, listeners: BlockListeners, marks: BlockMarks, buffers: BlockBuffers
) -> tuple[dict[Key, GraphNode], Sequence[Key]]:
    """Build the tasks that store one image; return them, and those of them that nothing waits for."""
    token = uuid4().hex
    opened = {marks.listeners: DataNode(marks.listeners, listeners)}
    stores = []
    for number, (array, stored) in enumerate(zip(image.levels.arrays, image.targets, strict=True)):
        key = f"pyramid-target{number}-{token}"
        opened[key] = DataNode(key, stored)
        starts = tuple(tuple(accumulate(lengths[:-1], initial=0)) for lengths in array.chunks)
        probe = stored.shards is None and not runs_in_rust(stored)
        store = skip_block if number < image.kept else store_block
        lends = number < image.kept or thread_codecs(stored, writes=True) is not None
        stores.append(LevelStore(store, key, {"starts": starts, "probe": probe}, lends))
    spill = None
    if image.spill is not None:
        spill = Spill(f"pyramid-spill-{token}", f"pyramid-spill-listeners-{token}", image.spill.stored_chunks())
        told = BlockListeners(
            () if listeners is None else listeners.guards, (image.spill.marker, *image.spill.listeners)
        )
        opened |= {spill.target: DataNode(spill.target, image.spill.array)}
        opened |= {spill.listeners: DataNode(spill.listeners, told)}
    fused = emit_blocks(image.levels, stores, opened, token, image.read_back, marks, image.in_order, buffers, spill)
    origin = "Dask's graph of the levels" if fused is None else "the plan"
    _LOGGER.debug("tasks that store %s come from %s", image.path or "the image", origin)
    if fused is None:
        fused = fuse_levels(image.levels, stores, opened, token, marks, image.in_order, buffers, spill)
    return fused.tasks, fused.sinks


def _reserve_bytes(images: Sequence[LevelArrays]) -> int:
    """Bytes of its heap that each thread reserves for the codecs of the largest chunks that it reads and writes."""
    written = (prod(target.chunks) * target.dtype.itemsize for image in images for target in image.targets)
    stages = (image.levels.stages[0].recipe for image in images if image.levels.is_whole)
    read = (recipe.reading.chunk_samples * recipe.dtype.itemsize for recipe in stages if recipe.reading.by_window)
    return codec_bytes(max(written, default=0), max(read, default=0))


def _complete(_done: list[Any], completions: Sequence[Callable[[], None]]) -> None:
    for complete in completions:
        complete()
