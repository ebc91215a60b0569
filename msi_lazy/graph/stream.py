"""Computation of a run of blocks in one task, so that the chunks that two of them read are decoded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.graph.block_tasks import reduce_block
from msi_lazy.graph.marks import check_writer, mark_block
from msi_lazy.methods.lending import fresh
from msi_lazy.methods.samples import as_samples
from msi_lazy.plan.block_names import naming_block
from msi_lazy.plan.runs import new_reads, run_axis, run_positions, run_stage
from msi_lazy.plan.windows import relative_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
    kept: Array | None = None
    for number, (block, window, read) in enumerate(zip(blocks, needed, new_reads(along, lengths), strict=True)):
        parts = [] if kept is None else [kept]
        if read.length:
            with naming_block(stage, block):
                found = source.read((*window[:axis], read, *window[axis + 1 :]), lend)
                parts.append(as_samples(found, streamed.recipe.dtype))
                del found
        held = parts[0] if len(parts) == 1 else _join(parts, axis, lend)
        parts, kept = [], None
        yield block, _cut(held, axis, 0, window[axis].length)
        if number + 1 < len(blocks):
            rest = _cut(held, axis, along[number + 1].start - window[axis].start, None)
            kept = lend("kept", rest.shape, rest.dtype)
            kept[...] = rest
        del held


def _join(parts: Sequence[Array], axis: int, lend: Lend) -> Array:
    lengths = list(parts[0].shape)
    lengths[axis] = sum(part.shape[axis] for part in parts)
    return np.concatenate(parts, axis=axis, out=lend("joined", tuple(lengths), parts[0].dtype))


def _cut(array: Array, axis: int, start: int, stop: int | None) -> Array:
    return array[(slice(None),) * axis + (slice(start, stop),)]
