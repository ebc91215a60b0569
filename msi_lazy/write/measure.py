"""Measuring one block of level 0, as a write computes it, to project the time of the whole write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.system import CPU_COUNT
from zarr.storage import LocalStore

from msi_lazy.graph.block_tasks import reduce_block
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.write_graph import align_blocks, store_block
from msi_lazy.plan.measured import MeasuredBlock
from msi_lazy.run.scheduler import active_client, all_threads
from msi_lazy.storage.arrays import open_array, runs_in_rust
from msi_lazy.storage.place import Place
from msi_lazy.write.layout import resolve_layouts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import dask.array as da
    import zarr

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.write.layout import LevelLayout

__all__ = ["measure_block"]

Array = np.ndarray[Any, Any]
Index = tuple[int, ...]
_METADATA_SECONDS = 0.05
"""Time of each level besides its samples: groups, coordinates, attributes (measured on local files)."""


@dataclass(frozen=True)
class _Sample:
    """Block of level 0 in memory, and the computation of its levels."""

    index: Index
    """Index of the block."""
    compute: Callable[[], Sequence[Array]]
    """Computation of the block of each level that is stored with it."""
    seconds: float
    """Wall time of reading it."""
    cpu_seconds: float
    """Processor time of reading it: some codecs decode on several."""
    windows: float
    """Number of such windows that are read in all."""


@dataclass(frozen=True)
class _Stored:
    """Times and sizes of one block, computed and stored by one thread."""

    reduce: float
    encode: float
    encoded_bytes: int
    stored_bytes: int


def measure_block(arrays: Sequence[da.Array], plan: PyramidPlan) -> MeasuredBlock:
    """Read the block in the middle of level 0, compute and store its levels, and project the whole write.

    It is stored in a temporary directory, as most stores are local files, and those have a codec pipeline of their own.
    As many threads as a write would use compute and store the same block at the same time, so that their competition
    for processors, memory and Python's lock is measured too.  That is done twice, and the second time counts: the first
    one compiles kernels and loads codecs.  Reading is done once.
    """
    layouts = resolve_layouts(plan, 3)
    levels = align_blocks(LevelGraph.of(arrays), [layout.write_unit for layout in layouts])
    arrays = levels.arrays
    sample = (
        _read_window(levels, plan)
        if levels.is_whole and levels.stages[0].chunks is None
        else _compute_block(arrays, plan)
    )
    threads = all_threads()
    blocks = _tasks(plan)
    together = max(min(threads, CPU_COUNT, round(blocks)), 1)
    for _ in range(2):
        with ThreadPoolExecutor(together) as pool:
            stored = list(pool.map(lambda _: _compute_and_store(sample, arrays, layouts), range(together)))
    reduce, encode = (sum(getattr(one, step) for one in stored) / together for step in ("reduce", "encode"))
    read = max(sample.seconds, sample.cpu_seconds * together / CPU_COUNT)
    block_bytes = _length(arrays[0], sample.index) * plan.dtype.itemsize
    one = stored[0]
    work = read * sample.windows + (reduce + encode) * plan.bytes_written / one.encoded_bytes
    return MeasuredBlock(
        threads=threads,
        block_bytes=block_bytes,
        read_seconds=sample.seconds,
        reduce_seconds=reduce,
        encode_seconds=encode,
        encoded_bytes=one.encoded_bytes,
        stored_bytes=one.stored_bytes,
        seconds=work / min(threads, max(blocks, 1)) + _METADATA_SECONDS * len(plan.levels),
        projected_bytes=round(plan.bytes_written * one.stored_bytes / one.encoded_bytes),
    )


def _tasks(plan: PyramidPlan) -> float:
    """Most tasks of the first stage that can run together, counted in whole blocks: the last may be a sliver."""
    level = plan.levels[0]
    whole = [n / block for n, block in zip(level.shape, level.blocks, strict=True)]
    return min(prod(whole), plan.blocks)


def _read_window(levels: LevelGraph, plan: PyramidPlan) -> _Sample:
    """Read the samples that the block in the middle needs, as a task of the first stage does."""
    source, recipe = levels.stages[0].source, levels.stages[0].recipe
    index = _middle(recipe.stage.counts)
    window = recipe.stage.needed(index)[0]
    start, cpu = perf_counter(), process_time()
    samples = source.read(window)
    seconds, cpu = perf_counter() - start, process_time() - cpu
    windows = plan.reading.samples / samples.size
    return _Sample(index, partial(_written, samples, index, recipe), seconds, cpu, windows)


def _written(samples: Array, index: Index, recipe: StageRecipe) -> Sequence[Array]:
    """Compute the levels of a block that are stored, without the carry to the next stage."""
    return reduce_block(samples, index, recipe=recipe)[: len(recipe.stage.written)]


def _compute_block(arrays: Sequence[da.Array], plan: PyramidPlan) -> _Sample:
    """Compute a block of level 0 with Dask, on one thread: of an edited tree, or one that is rechunked first.

    Without planned stages, each level is assumed to cost as much for its size.
    """
    array = arrays[0]
    index = _middle(array.numblocks)
    block = array.blocks[index]
    start, cpu = perf_counter(), process_time()
    client = active_client()
    here = client is None or client.asynchronous
    samples = np.asarray(block.compute(**({"scheduler": "sync"} if here else {})))
    seconds, cpu = perf_counter() - start, process_time() - cpu
    total = plan.levels[0].nbytes if plan.stages else plan.bytes_written
    return _Sample(index, lambda: [samples], seconds, cpu, total / samples.nbytes)


def _compute_and_store(sample: _Sample, arrays: Sequence[da.Array], layouts: Sequence[LevelLayout]) -> _Stored:
    """Compute the levels of a block, and store them in a directory that is removed again."""
    with TemporaryDirectory(prefix="msi-lazy-measure-") as directory:
        pairs = zip(layouts, arrays, strict=True)
        targets = [_create_level(LocalStore(directory), layout, array) for layout, array in pairs]
        start = perf_counter()
        levels = sample.compute()
        computed = perf_counter()
        for block, target, array in zip(levels, targets, arrays, strict=False):
            starts = tuple(tuple(accumulate(lengths[:-1], initial=0)) for lengths in array.chunks)
            store_block(block, target, sample.index, starts=starts, probe=not runs_in_rust(target))
        stored = perf_counter()
        files = [path for path in Path(directory).rglob("*") if path.is_file() and path.name != "zarr.json"]
        size = sum(path.stat().st_size for path in files)
    return _Stored(computed - start, stored - computed, sum(level.nbytes for level in levels), size)


def _create_level(store: LocalStore, layout: LevelLayout, array: da.Array) -> zarr.Array[Any]:
    """Create the empty array of a level, as a write does."""
    Place(store).create_array(layout.path, shape=array.shape, dtype=array.dtype, **layout.encoding)
    return open_array(store, layout.path)


def _middle(counts: Index) -> Index:
    """Index of the block in the middle, never the last of several, which may be a sliver."""
    return tuple((count - 1) // 2 for count in counts)


def _length(array: da.Array, index: Index) -> int:
    return prod(lengths[position] for lengths, position in zip(array.chunks, index, strict=True))
