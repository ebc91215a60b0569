"""Computed sources as the tasks of a write use them: blocks are cut from their chunks, or read what was stored of them.

::

    chunk ──> block: cut out, reduce, store
    chunk ──> spill: store its tiles ──> block: read the window, reduce, store
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.task_spec import TaskRef

from msi_lazy.graph.declared import check_block
from msi_lazy.graph.fused_task import Held, OfBlock, make_template
from msi_lazy.graph.marks import BlockGrid, check_writer, mark_block
from msi_lazy.graph.source_order import order_rows, source_tasks, touched_chunks
from msi_lazy.plan.spill import SpillLayout
from msi_lazy.storage.spill_folder import check_shared
from msi_lazy.storage.stored_units import stored_units
from msi_lazy.storage.write_units import write_window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

    import dask.array as da
    import zarr
    from dask.task_spec import GraphNode
    from dask.typing import Key

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.graph.emit import StageEmitter
    from msi_lazy.graph.level_graph import StageLayer
    from msi_lazy.graph.marks import BlockListeners
    from msi_lazy.plan.source_rows import SourceChunks

__all__ = [
    "CutBlocks",
    "GatheredSource",
    "Spill",
    "chunk_grid",
    "gather_source",
    "spill_chunk",
    "spill_source",
]

Index = tuple[int, ...]


@dataclass(frozen=True)
class GatheredSource:
    """A computed source as one stage uses it: its blocks are cut from the chunks, or read what is stored of these."""

    name: Key
    """Name of the tasks of its chunks."""
    chunks: SourceChunks
    """Lengths of the chunks."""
    waits: Mapping[Index, Key]
    """What blocks wait for besides."""
    spilled: Key | None = None
    """Name under which the context holds the array that the chunks are stored in, if they are."""
    layout: SpillLayout | None = None
    """Layout of that array."""
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


@dataclass(frozen=True)
class CutBlocks:
    """Blocks of a stage that are cut from the source: of the first one, or of the next if it starts at level 0 too."""

    name: str
    """Name of the stage's layer."""
    recipe: StageRecipe
    """Stage."""
    blocks: Set[Index]
    """Those of its blocks that are computed."""

    def touched(self, name: Key, chunks: SourceChunks) -> Iterator[Key]:
        """Yield the tasks, called ``name``, of the chunks that they are cut from, in order, and perhaps repeatedly."""
        for index in sorted(self.blocks):
            yield from touched_chunks(name, chunks, self.recipe, index)


def gather_source(
    source: StageLayer, array: da.Array, token: str, cuts: Sequence[CutBlocks], in_order: bool
) -> tuple[list[GatheredSource], dict[Key, GraphNode]]:
    """Build the tasks of the chunks that ``cuts`` need, perhaps ``in_order`` of rows; return the source of each."""
    name, chunks = str(source.below), source.chunks
    assert chunks is not None
    tasks = source_tasks(array, name, dict.fromkeys(key for cut in cuts for key in cut.touched(name, chunks)))
    sources = []
    for cut in cuts:
        rows = order_rows(f"{cut.name}-loaded-{token}", name, chunks, cut.recipe, cut.blocks) if in_order else ({}, {})
        sources.append(GatheredSource(name, chunks, rows[0]))
        tasks |= rows[1]
    return sources, tasks


def spill_source(
    source: StageLayer, array: da.Array, token: str, cuts: Sequence[CutBlocks], spill: Spill, emitter: StageEmitter
) -> tuple[GatheredSource, dict[Key, GraphNode]]:
    """Build the tasks that compute the chunks that ``cuts`` need, and store them."""
    below, chunks = str(source.below), source.chunks
    assert chunks is not None
    name, grid, layout = f"{source.name}-spilled-{token}", chunk_grid(chunks), SpillLayout.of(chunks)
    touched: Any = dict.fromkeys(key for cut in cuts for key in cut.touched(below, chunks))
    left = [key for key in touched if grid.number(key[1:]) not in spill.done]
    stored = frozenset((name, *key[1:]) for key in touched if grid.number(key[1:]) in spill.done)
    options = (("layout", layout), ("dtype", source.recipe.dtype), ("grid", grid))
    given = (OfBlock.INPUTS, OfBlock.INDEX, Held(spill.target), Held(spill.listeners))
    tasks = source_tasks(array, below, left)
    template = make_template([(spill_chunk, given, options)], ())
    tasks |= emitter.emit_tasks(template, (((name, *key[1:]), key[1:], [TaskRef(key)]) for key in left))
    return GatheredSource(name, chunks, {}, spill.target, layout, stored), tasks


def chunk_grid(chunks: SourceChunks) -> BlockGrid:
    """Grid of the chunks of a source, by whose numbers they are marked."""
    return BlockGrid(0, tuple(map(len, chunks.lengths)))


def spill_chunk(
    parts: Sequence[np.ndarray[Any, Any]],
    index: Index,
    target: zarr.Array[Any],
    listeners: BlockListeners,
    *,
    layout: SpillLayout,
    dtype: np.dtype[Any],
    grid: BlockGrid,
) -> None:
    """Store the chunk ``index`` of a computed source, and mark it."""
    (part,) = parts
    samples = check_block(part, index, chunks=layout.chunks, dtype=dtype)
    ((_, window),) = layout.parts(layout.chunks.owned(index))
    check_writer(listeners)
    check_shared(target)
    window = layout.turned(window)
    write_window(target, window, np.ascontiguousarray(samples.transpose(layout.order)))
    mark_block(listeners, index, [stored_units(target, window)], grid=grid)
