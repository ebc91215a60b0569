"""Computation of a run of blocks in one task, so that the chunks that two of them read are decoded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.graph.block_tasks import reduce_block
from msi_lazy.graph.marks import check_writer, mark_block
from msi_lazy.methods.lending import fresh
from msi_lazy.methods.samples import as_samples, check_shape
from msi_lazy.plan.block_names import naming_block
from msi_lazy.plan.runs import new_reads, run_axis, run_positions, run_stage
from msi_lazy.plan.windows import relative_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dask.typing import Key

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.graph.marks import BlockGrid, BlockListeners
    from msi_lazy.methods.lending import Lend
    from msi_lazy.source.sources import WindowSource
    from msi_lazy.storage.stored_units import StoredUnits

__all__ = ["LevelStore", "StreamedStage", "skip_block", "stream_run"]

Array = np.ndarray[Any, Any]
Index = tuple[int, ...]


@dataclass(frozen=True)
class LevelStore:
    """Storage of the blocks of one level: ``store(block, target, index, **options)``."""

    store: Callable[..., StoredUnits | None]
    """Function that stores one block."""
    target: Key
    """Task that holds the target."""
    options: Mapping[str, Any]
    """Keyword arguments, the same for all blocks."""
    lends: bool = False
    """Whether nothing of a block is kept once it is stored, so that it may be lent."""


@dataclass(frozen=True)
class StreamedStage:
    """A stage computed in runs, the same object for all its tasks."""

    recipe: StageRecipe
    """Stage, block by block."""
    run: int
    """Blocks in a run."""
    stores: tuple[LevelStore, ...]
    """Storage of each of its levels."""
    returns_carry: bool
    """Whether the task returns its carry."""
    grid: BlockGrid | None = None
    """Its runs as they are marked once they are stored; ``None`` if they are not marked."""


def skip_block(block: Array, target: Any, index: Index, **_options: Any) -> None:
    """Leave a block as it is in the store."""


def stream_run(
    streamed: StreamedStage,
    index: Index,
    source: WindowSource,
    listeners: BlockListeners | None,
    *targets: Any,
    lend: Lend = fresh,
) -> Array | None:
    """Read, compute, store and mark the blocks of run ``index``; return their carries, joined."""
    axis = run_axis(streamed.recipe.stage) or 0
    carry: Array | None = None
    stored: list[StoredUnits | None] = []
    runs = run_stage(streamed.recipe.stage, streamed.run)
    for block, window in _windows(streamed, index, source, axis, lend):
        levels = reduce_block(window, block, recipe=streamed.recipe, lend=lend)
        del window
        if listeners is not None:
            check_writer(listeners)
        for level, store, target in zip(levels, streamed.stores, targets, strict=False):
            stored.append(store.store(level, target, block, lend=lend, **store.options))
        if streamed.returns_carry and streamed.recipe.stage.carry is not None:
            whole = runs.owned(streamed.recipe.stage.carry, index)
            if carry is None:
                carry = np.empty(tuple(interval.length for interval in whole), levels[-1].dtype)
            carry[relative_slices(streamed.recipe.stage.owned(streamed.recipe.stage.carry, block), whole)] = levels[-1]
        del levels
    if listeners is not None and streamed.grid is not None:
        mark_block(listeners, index, stored, grid=streamed.grid)
    return carry


def _windows(
    streamed: StreamedStage, index: Index, source: WindowSource, axis: int, lend: Lend
) -> Iterator[tuple[Index, Array]]:
    stage = streamed.recipe.stage
    positions = run_positions(stage, streamed.run, index[axis])
    blocks = [(*index[:axis], position, *index[axis + 1 :]) for position in positions]
    needed = [stage.needed(block)[0] for block in blocks]
    along = [window[axis] for window in needed]
    lengths = source.chunks[axis] if source.chunks is not None else (stage.extents[0][axis],)
    reads = list(new_reads(along, lengths))
    room = max(read.stop - interval.start for read, interval in zip(reads, along, strict=True))
    shape = [interval.length for interval in needed[0]]
    held = lend("run", (*shape[:axis], room, *shape[axis + 1 :]), streamed.recipe.dtype)
    kept = 0
    for number, (block, window, read) in enumerate(zip(blocks, needed, reads, strict=True)):
        if read.length:
            place = _cut(held, axis, kept, kept + read.length)
            with naming_block(stage, block):
                found = source.read((*window[:axis], read, *window[axis + 1 :]), _lend_window(place, lend))
                found = as_samples(found, streamed.recipe.dtype)
                if not np.may_share_memory(found, place):
                    check_shape(found, place.shape)
                    place[...] = found
            del found
        yield block, _cut(held, axis, 0, window[axis].length)
        if number + 1 < len(blocks):
            start = along[number + 1].start - window[axis].start
            kept = max(read.stop - along[number + 1].start, 0)
            held = _moved(held, axis, start, kept, lend)


def _lend_window(place: Array, lend: Lend) -> Lend:
    """Lend ``place`` for a window of its shape and dtype."""

    def lend_place(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return place if (name, shape, dtype) == ("window", place.shape, place.dtype) else lend(name, shape, dtype)

    return lend_place


def _moved(held: Array, axis: int, start: int, count: int, lend: Lend) -> Array:
    """Move ``count`` samples from ``start`` on along ``axis`` to the front; of another array where none is lent."""
    if lend is fresh:  # what was not lent may be kept by a store
        moved = np.empty_like(held)
        _cut(moved, axis, 0, count)[...] = _cut(held, axis, start, start + count)
        return moved
    if axis > 0 and start:
        for plane in held:  # NumPy copies what may overlap twice: a plane at a time, so that this is little
            _cut(plane, axis - 1, 0, count)[...] = _cut(plane, axis - 1, start, start + count)
        return held
    for begin in range(0, count if start else 0, start or 1):  # planes that do not overlap
        stop = min(begin + start, count)
        held[begin:stop] = held[start + begin : start + stop]
    return held


def _cut(array: Array, axis: int, start: int, stop: int) -> Array:
    return array[(slice(None),) * axis + (slice(start, stop),)]
