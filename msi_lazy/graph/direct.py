"""Fused tasks of an unedited tree, straight from its plan.

:func:`msi_lazy.graph.fuse.fuse_blocks` returns the same graph, but first needs every task of the
unfused one: eight times as many, which at a terabyte takes half a minute and more than a GiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.graph.buffers import BlockBuffers
from msi_lazy.graph.computed_source import CutBlocks, gather_source, spill_source
from msi_lazy.graph.emit import EmittedStage, StageEmitter
from msi_lazy.graph.fuse import FusedGraph
from msi_lazy.graph.remaining import remaining_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dask.task_spec import DataNode, GraphNode
    from dask.typing import Key

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.graph.computed_source import Spill
    from msi_lazy.graph.level_graph import LevelGraph, StageLayer
    from msi_lazy.graph.marks import BlockMarks
    from msi_lazy.graph.remaining import RemainingBlocks
    from msi_lazy.graph.stream import LevelStore
    from msi_lazy.plan.stages import StagePlan

__all__ = ["BlockGeometry", "block_geometry", "emit_blocks"]


@dataclass(frozen=True)
class BlockGeometry:
    """Blocks that are marked one by one when levels are stored: those of a stage, or of a level."""

    counts: tuple[int, ...]
    """Blocks along each dimension."""
    levels: tuple[int, ...]
    """Levels that a block stores samples of."""
    lengths: tuple[tuple[int, ...], ...]
    """Lengths of the blocks along each dimension, on the first of these levels."""
    stage: StagePlan | None = None
    """Stage that they are blocks of, if they are."""

    def samples(self, level: int, index: tuple[int, ...]) -> int:
        """Count the samples of ``level`` that the block at ``index`` stores."""
        if self.stage is not None:
            return prod(interval.length for interval in self.stage.owned(level, index))
        return prod(lengths[position] for lengths, position in zip(self.lengths, index, strict=True))


def block_geometry(levels: LevelGraph) -> list[BlockGeometry]:
    """List the blocks that are marked when levels are stored: those of each stage, or of each array."""
    if not levels.is_whole:
        return [BlockGeometry(array.numblocks, (level,), array.chunks) for level, array in enumerate(levels.arrays)]
    stages = [layer.task_stage for layer in levels.stages]
    return [BlockGeometry(stage.counts, stage.written, stage.block_chunks(stage.first), stage) for stage in stages]


def emit_blocks(
    levels: LevelGraph,
    stores: Sequence[LevelStore],
    opened: Mapping[Key, DataNode],
    token: str,
    read_back: Sequence[bool] = (),
    marks: BlockMarks | None = None,
    in_order: bool = False,
    buffers: BlockBuffers | None = None,
    spill: Spill | None = None,
) -> FusedGraph | None:
    """Build the tasks that store every level of an unedited tree; ``None`` if it is edited, or rechunked by Dask.

    Parameters
    ----------
    levels, stores
        The levels, and how each of them is stored.
    opened
        Tasks that hold the arrays to store in, and the listeners.
    token
        Part of every key.
    read_back
        Per stage, whether it reads what the stage before stored instead of waiting for its carries.
    marks
        How blocks are marked, and which are stored already, if they are marked.
    in_order
        Whether the chunks of a computed source are computed row by row of blocks.
    buffers
        Buffers that blocks are computed in.
    spill
        Array that the chunks of a computed source are stored in first, if they are.
    """
    if not levels.is_whole:
        return None
    # 1. Decide which stages return their carries, which are read back from the store, and which cut from the source
    layers = levels.stages
    reads_back = [*read_back, *(False for _ in range(len(layers) + 1 - len(read_back)))]
    returning = [not back for back in reads_back[1 : len(layers) + 1]]
    cut = _count_cut(layers, returning)
    if cut > 1:
        returning[0] = False
    recipes, stages = [layer.recipe for layer in layers], [layer.task_stage for layer in layers]
    # 2. Find the blocks that are stored already, and so those of each stage that remain to be computed
    remaining = _remaining(recipes, stages, returning, marks)
    waited_for = [bool(after.computed) for after in remaining[1:]]
    returning = [returns and waited for returns, waited in zip(returning, [*waited_for, False], strict=True)]
    # 3. Emit the tasks of the chunks of a computed source, and of each stage, fed by them, or by the stage before
    held = {key: node.value for key, node in opened.items()}
    if not cut:
        held[layers[0].below] = layers[0].source
    emitter = StageEmitter(f"pyramid-context-{token}", held, buffers or BlockBuffers())
    sources: list[Any] = [None if cut else layers[0].below]
    tasks: dict[Key, GraphNode] = {}
    if cut:
        terms = zip(layers[:cut], remaining, strict=False)
        cuts = [CutBlocks(layer.name, layer.recipe, left.computed) for layer, left in terms]
        if spill is not None:
            source, tasks = spill_source(layers[0], levels.arrays[0], token, cuts, spill, emitter)
            sources = [source] * cut
        else:
            sources, tasks = gather_source(layers[0], levels.arrays[0], token, cuts, in_order)
    below: EmittedStage | None = None
    grids = marks.grids if marks is not None else (None,) * len(layers)
    fed_by = [*sources, *(None for _ in layers[len(sources) :])]
    for layer, fed, stage, returns, grid, left in zip(layers, fed_by, stages, returning, grids, remaining, strict=True):
        written = tuple(stores[level] for level in stage.written)
        listeners = marks.listeners if marks is not None else None
        name = f"{layer.name}-{token}"
        emitted = EmittedStage(name, layer.recipe, fed, stage, returns, written, left, listeners, grid)
        tasks |= emitter.emit(emitted, below)
        below = emitted
    # 4. Run what nothing waits for
    awaited = {key for task in tasks.values() for key in task.dependencies}
    sinks = tuple(key for key in tasks if key not in awaited)
    return FusedGraph(tasks | {emitter.context: emitter.context_task()}, sinks)


def _count_cut(layers: Sequence[StageLayer], returning: Sequence[bool]) -> int:
    """Count the stages that are cut from the chunks of a computed source.

    Where the first one only stores the image, the next is cut as well, unless it reads the image back: carries would
    be copies of chunks.
    """
    if layers[0].chunks is None:
        return 0
    return 2 if len(layers) > 1 and returning[0] and layers[0].recipe.stage.carries_input else 1


def _remaining(
    recipes: Sequence[StageRecipe], stages: Sequence[StagePlan], returning: Sequence[bool], marks: BlockMarks | None
) -> list[RemainingBlocks]:
    """Find the blocks of each stage that have a task now."""
    if marks is None:
        none = [np.zeros(stage.counts, bool) for stage in stages]
        return remaining_blocks(recipes, stages, none, returning, lossless=True)
    done = [grid.part_of(marks.done) for grid in marks.grids]
    slab = None if marks.slab is None else [grid.part_of(marks.slab) for grid in marks.grids]
    return remaining_blocks(recipes, stages, done, returning, marks.lossless, slab)
