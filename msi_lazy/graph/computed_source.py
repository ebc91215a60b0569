"""Computed sources as the tasks of a write use them: blocks are cut from their chunks, or read what was stored of them.

::

    chunk ──> block: cut out, reduce, store
    chunk ──> spill: store its tiles ──> block: read the window, reduce, store
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask.task_spec import TaskRef

from msi_lazy.graph.block_tasks import reduce_block
from msi_lazy.graph.declared import check_block
from msi_lazy.graph.fused_task import Held, OfBlock, make_template
from msi_lazy.graph.marks import BlockGrid, check_writer, mark_block
from msi_lazy.graph.source_order import order_rows, source_tasks, touched_chunks
from msi_lazy.methods.lending import fresh
from msi_lazy.plan.block_names import naming_block
from msi_lazy.storage.checked_read import read_window
from msi_lazy.storage.stored_units import stored_units
from msi_lazy.storage.write_units import write_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    import numpy as np
    import zarr
    from dask.task_spec import GraphNode
    from dask.typing import Key

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.graph.emit import StageEmitter
    from msi_lazy.graph.level_graph import LevelGraph
    from msi_lazy.graph.marks import BlockListeners
    from msi_lazy.methods.lending import Lend
    from msi_lazy.plan.source_rows import SourceChunks

__all__ = ["GatheredSource", "Spill", "gather_source", "read_spilled", "spill_source"]

Index = tuple[int, ...]


@dataclass(frozen=True)
class GatheredSource:
    """A computed source, whose chunks the blocks of the first stage are cut from, or that is spilled before."""

    name: Key
    """Name of the tasks of its chunks."""
    chunks: SourceChunks
    """Lengths of the chunks."""
    waits: Mapping[Index, Key]
    """What blocks wait for besides."""
    spilled: Key | None = None
    """Name under which the context holds the array that the chunks are stored in, if they are."""
    stored: Set[Key] = frozenset()
    """Tasks of chunks that there are none of, as those were stored before."""

    def inputs(self, recipe: StageRecipe, index: Index) -> list[TaskRef]:
        """List what block ``index`` waits for."""
        waited = [self.waits[index]] if index in self.waits else []
        chunks = (key for key in touched_chunks(self.name, self.chunks, recipe, index) if key not in self.stored)
        return list(map(TaskRef, [*chunks, *waited]))


@dataclass(frozen=True)
class Spill:
    """Temporary array that the chunks of a computed source are stored in, as tasks find it."""

    target: Key
    """Name under which the context holds the array."""
    listeners: Key
    """Name under which it holds who is asked before a chunk is stored, and told after it."""
    done: frozenset[int] = frozenset()
    """Numbers of the chunks that are stored."""


def gather_source(
    levels: LevelGraph, token: str, blocks: Set[Index], in_order: bool
) -> tuple[GatheredSource, dict[Key, GraphNode]]:
    """Build the tasks of the chunks that ``blocks`` of the first stage are cut from, perhaps ``in_order`` of rows."""
    first = levels.stages[0]
    assert first.chunks is not None
    terms = (first.below, first.chunks, first.recipe)
    needed = dict.fromkeys(key for index in sorted(blocks) for key in touched_chunks(*terms, index))
    tasks = source_tasks(levels.arrays[0], str(first.below), needed)
    waits: dict[Index, Key] = {}
    if in_order:
        waits, loaded = order_rows(f"{first.name}-loaded-{token}", *terms, blocks)
        tasks |= loaded
    return GatheredSource(first.below, first.chunks, waits), tasks


def spill_source(
    levels: LevelGraph, token: str, blocks: Set[Index], spill: Spill, emitter: StageEmitter
) -> tuple[GatheredSource, dict[Key, GraphNode]]:
    """Build the tasks that compute the chunks that ``blocks`` of the first stage need, and store them."""
    first = levels.stages[0]
    assert first.chunks is not None
    name = f"{first.name}-spilled-{token}"
    grid = BlockGrid(0, tuple(map(len, first.chunks.lengths)))
    terms = (first.below, first.chunks, first.recipe)
    touched: Any = dict.fromkeys(key for index in sorted(blocks) for key in touched_chunks(*terms, index))
    left = [key for key in touched if grid.number(key[1:]) not in spill.done]
    stored = frozenset((name, *key[1:]) for key in touched if grid.number(key[1:]) in spill.done)
    options = (("chunks", first.chunks), ("dtype", first.recipe.dtype), ("grid", grid))
    given = (OfBlock.INPUTS, OfBlock.INDEX, Held(spill.target), Held(spill.listeners))
    tasks = source_tasks(levels.arrays[0], str(first.below), left)
    template = make_template([(spill_chunk, given, options)], ())
    tasks |= emitter.emit_tasks(template, (((name, *key[1:]), key[1:], [TaskRef(key)]) for key in left))
    return GatheredSource(name, first.chunks, {}, spill.target, stored), tasks


def spill_chunk(
    parts: Sequence[np.ndarray[Any, Any]],
    index: Index,
    target: zarr.Array[Any],
    listeners: BlockListeners,
    *,
    chunks: SourceChunks,
    dtype: np.dtype[Any],
    grid: BlockGrid,
) -> None:
    """Store the chunk ``index`` of a computed source, and mark it."""
    (part,) = parts
    samples, window = check_block(part, index, chunks=chunks, dtype=dtype), chunks.owned(index)
    check_writer(listeners)
    write_window(target, window, samples)
    mark_block(listeners, index, [stored_units(target, window)], grid=grid)


def read_spilled(
    stored: zarr.Array[Any], _done: Sequence[None], index: Index, *, recipe: StageRecipe, lend: Lend = fresh
) -> tuple[np.ndarray[Any, Any], ...]:
    """Read the window of block ``index`` of what was stored of the source, and compute the stage's levels."""
    with naming_block(recipe.stage, index):
        window = read_window(stored, recipe.stage.needed(index)[0], lend)
    return reduce_block(window, index, recipe=recipe, lend=lend)
