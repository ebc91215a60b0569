"""The fused tasks of an unedited tree, straight from its plan.

:func:`msi_lazy.graph.fuse.fuse_blocks` gives the same graph, but first needs every task of the
unfused one: eight times as many, which at a terabyte takes half a minute and more than a GiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from dask.blockwise import Blockwise

from msi_lazy.graph.block_tasks import StageWork, pick_level, read_block
from msi_lazy.graph.emit import EmittedStage, emit_stage
from msi_lazy.graph.fuse import FusedGraph
from msi_lazy.graph.merge import MergeLayer
from msi_lazy.graph.remaining import remaining_blocks
from msi_lazy.plan.runs import run_stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dask.array as da
    from dask.task_spec import GraphNode
    from dask.typing import Key

    from msi_lazy.graph.marks import BlockMarks
    from msi_lazy.graph.stream import LevelStore
    from msi_lazy.plan.stages import StagePlan

__all__ = ["BlockGeometry", "block_geometry", "can_emit", "emit_blocks", "picked_stage"]


@dataclass(frozen=True)
class _StageLayer:
    """A stage as it stands in a graph."""

    name: str
    work: StageWork
    source: str
    """Task that holds what the first stage reads; empty for later ones."""

    @property
    def made(self) -> StagePlan:
        """The stage in the blocks that its tasks make: in runs, where it is read so."""
        run = self.work.reading.run if self.source else 1
        return run_stage(self.work.stage, run) if run > 1 else self.work.stage


def can_emit(arrays: Sequence[da.Array]) -> bool:
    """Whether :func:`emit_blocks` knows how to make ``arrays``."""
    return _find_stages(arrays) is not None


@dataclass(frozen=True)
class BlockGeometry:
    """Blocks that are marked one by one when levels are stored: those of a stage, or of a level."""

    counts: tuple[int, ...]
    """Blocks along each dimension."""
    levels: tuple[int, ...]
    """Levels that a block stores its part of."""
    lengths: tuple[tuple[int, ...], ...]
    """Of the blocks along each dimension, on the first of these."""
    stage: StagePlan | None = None
    """The stage that they are blocks of, if they are."""

    def samples(self, level: int, index: tuple[int, ...]) -> int:
        """How many samples of ``level`` the block at ``index`` stores."""
        if self.stage is not None:
            return prod(interval.length for interval in self.stage.owned(level, index))
        return prod(lengths[position] for lengths, position in zip(self.lengths, index, strict=True))


def block_geometry(arrays: Sequence[da.Array]) -> list[BlockGeometry]:
    """What is marked when ``arrays`` are stored: the blocks of each stage, or of each array."""
    layers = _find_stages(arrays)
    if layers is None:
        return [BlockGeometry(array.numblocks, (level,), array.chunks) for level, array in enumerate(arrays)]
    stages = [layer.made for layer in layers]
    return [BlockGeometry(stage.counts, stage.written, stage.block_chunks(stage.first), stage) for stage in stages]


def emit_blocks(
    arrays: Sequence[da.Array],
    stores: Sequence[LevelStore],
    token: str,
    read_back: Sequence[bool] = (),
    marks: BlockMarks | None = None,
) -> FusedGraph | None:
    """Tasks that store every level of an unedited tree; ``None`` if the tree is not, or is read otherwise.

    Parameters
    ----------
    arrays
        The levels.
    stores
        How each of them is stored.
    token
        Made part of every key.
    read_back
        Per stage, whether it reads what the stage before stored in place of waiting for its shares.
    marks
        How blocks are marked, and which are stored already, if they are marked.
    """
    layers = _find_stages(arrays)
    if layers is None:
        return None
    again = [*read_back, *(False for _ in range(len(layers) + 1 - len(read_back)))]
    handed_on = [not back for back in again[1 : len(layers) + 1]]
    works, stages = [layer.work for layer in layers], [layer.made for layer in layers]
    grids = marks.grids if marks is not None else (None,) * len(layers)
    done = [grid.among(marks.done) if marks is not None and grid is not None else frozenset() for grid in grids]
    remaining = remaining_blocks(works, stages, done, handed_on, marks is None or marks.lossless)
    source = layers[0].source
    tasks: dict[Key, GraphNode] = {source: arrays[0].dask.layers[source][source]}
    below: EmittedStage | None = None
    for layer, stage, hand_on, grid, left in zip(layers, stages, handed_on, grids, remaining, strict=True):
        written = tuple(stores[level] for level in stage.written)
        ledger = marks.ledger if marks is not None else None
        name = f"{layer.name}-{token}"
        emitted = EmittedStage(name, layer.work, layer.source, stage, hand_on, written, left, ledger, grid)
        tasks |= emit_stage(emitted, below)
        below = emitted
    awaited = {key for task in tasks.values() for key in task.dependencies}
    return FusedGraph(tasks, tuple(key for key in tasks if key not in awaited and key != source))


def _find_stages(arrays: Sequence[da.Array]) -> list[_StageLayer] | None:
    """The stages that ``arrays`` are plain picks of, each fed by the one before; else ``None``."""
    found: list[_StageLayer] = []
    for level, array in enumerate(arrays):
        layers = array.dask.layers
        pick = layers.get(array.name)
        name = picked_stage(pick)
        stage_layer = layers.get(name)
        if stage_layer is None or not isinstance(pick, Blockwise):
            return None
        if not found or found[-1].name != name:
            stage = _read_stage(name, stage_layer, layers, found)
            if stage is None:
                return None
            found.append(stage)
        outputs = found[-1].work.stage.outputs
        if outputs[pick.task.kwargs["position"]] != level or level not in found[-1].work.stage.written:
            return None
    made = [level for stage in found for level in stage.work.stage.written]
    complete = made == list(range(len(arrays))) and found[-1].work.stage.share is None
    return found if complete else None


def picked_stage(layer: Any) -> str:
    """Name of the stage that a layer picks a level of; empty if that is not what it does."""
    if isinstance(layer, Blockwise) and layer.task.func is pick_level:
        return str(layer.indices[0][0])
    return ""


def _read_stage(name: str, layer: Any, layers: Mapping[str, Any], before: Sequence[_StageLayer]) -> _StageLayer | None:
    """The stage of ``layer``, if it reads windows, or merges the shares of the stage before it."""
    if isinstance(layer, Blockwise) and layer.task.func is read_block and not before:
        source = layer.indices[0][0]
        return _StageLayer(name, layer.task.kwargs["work"], str(getattr(source, "key", source)))
    if isinstance(layer, MergeLayer) and before and picked_stage(layers.get(layer.shares)) == before[-1].name:
        return _StageLayer(name, layer.work, "")
    return None
