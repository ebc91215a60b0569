"""Recognition of pyramids in Dask's graphs: the one place that knows what :func:`build_levels` builds.

::

    array ──> pick of level k ──> stage ──┬──> source                                    (its first stage)
                                          └──> pick of the carry ──> stage before ──> …  (any later one)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dask.highlevelgraph import HighLevelGraph

from msi_lazy.compat.dask_arrays import make_array, meta_of
from msi_lazy.compat.dask_graphs import block_calls, held_value, layers_of
from msi_lazy.graph.block_tasks import (
    gather_block,
    merge_block,
    pick_level,
    read_block,
    reduce_block,
    reduce_overlapped,
)
from msi_lazy.graph.merge import GatherLayer, MergeLayer
from msi_lazy.graph.stored_blocks import read_spilled
from msi_lazy.plan.runs import run_stage
from msi_lazy.plan.source_rows import SourceChunks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dask.array as da
    from dask.task_spec import GraphNode
    from dask.typing import Key

    from msi_lazy.compat.dask_graphs import Layers
    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.plan.stages import StagePlan

__all__ = ["LevelGraph", "LevelPick", "StageLayer", "find_stage", "is_stage_task"]

_STAGE_FUNCTIONS = (read_block, gather_block, merge_block, reduce_block, reduce_overlapped)
"""Functions that compute one block of a stage."""
_RECHUNKED = (reduce_block, reduce_overlapped)
"""Those of a first stage whose source Dask rechunks."""


@dataclass(frozen=True)
class StageLayer:
    """A stage as it stands in a graph."""

    name: str
    """Name of its layer."""
    function: Callable[..., Any]
    """Function that computes one of its blocks."""
    recipe: StageRecipe
    """Its geometry, and how its levels are computed."""
    below: Key
    """Its input: the task that holds the source, the layer of a Dask source, or the stage before."""
    source: Any = None
    """Source that its blocks read windows of, if they do."""
    chunks: SourceChunks | None = None
    """Chunks of the Dask source that its blocks are cut from, if they are."""

    @property
    def is_first(self) -> bool:
        """True if its input is the source, not another stage."""
        return self.function is not merge_block

    @property
    def task_stage(self) -> StagePlan:
        """Stage in the blocks that its tasks compute: in runs, where it is read so."""
        run = self.recipe.reading.run if self.function is read_block else 1
        return run_stage(self.recipe.stage, run) if run > 1 else self.recipe.stage


@dataclass(frozen=True)
class LevelPick:
    """A level as a stage returns it, unedited."""

    stage: StageLayer
    """Stage that computes it."""
    level: int
    """Number of the level."""


@dataclass(frozen=True, eq=False)
class LevelGraph:
    """Levels of an image, and the stages that their graphs show."""

    arrays: tuple[da.Array, ...]
    """Levels."""
    picks: tuple[LevelPick | None, ...]
    """Level of a stage that each of them is; ``None`` for an array that was edited, or never was one."""

    @classmethod
    def of(cls, arrays: Sequence[da.Array]) -> LevelGraph:
        """Recognise ``arrays``; nothing is computed."""
        return cls(tuple(arrays), tuple(_find_pick(layers_of(array), array.name) for array in arrays))

    @property
    def are_picks(self) -> bool:
        """True if each is a level as :func:`build_levels` built it, of one pyramid or of several."""
        return None not in self.picks

    @cached_property
    def stages(self) -> tuple[StageLayer, ...]:
        """Stages that any of the arrays is a level of, in the order of their levels."""
        found = {pick.stage.name: pick.stage for pick in self.picks if pick is not None}
        return tuple(sorted(found.values(), key=lambda stage: stage.recipe.stage.first))

    @property
    def recipes(self) -> tuple[StageRecipe, ...]:
        """Recipes of these stages."""
        return tuple(stage.recipe for stage in self.stages)

    @cached_property
    def first_stages(self) -> tuple[StageLayer, ...]:
        """All stages whose input is a source, below edits too."""
        found: dict[str, StageLayer] = {}
        for layers in map(layers_of, self.arrays):
            found |= {name: stage for name in layers if (stage := find_stage(layers, name)) and stage.is_first}
        return tuple(found.values())

    @cached_property
    def gathered(self) -> StageLayer | None:
        """First stage whose blocks are cut from a computed source's chunks; ``None`` without one, or with several."""
        found = {stage.below: stage for stage in self.first_stages if stage.function is gather_block}
        return next(iter(found.values())) if len(found) == 1 else None

    @cached_property
    def gathered_stages(self) -> tuple[StagePlan, ...]:
        """Stages that are cut from such chunks, below edits too: also those after one that only stores the image."""
        found: dict[str, StagePlan] = {}
        for name, layer in (item for array in self.arrays for item in layers_of(array).items()):
            if isinstance(layer, GatherLayer) or (isinstance(layer, MergeLayer) and layer.before.carries_input):
                found[name] = layer.recipe.stage
        return tuple(found.values())

    def cut_from_source(self) -> LevelGraph:
        """Cut blocks from the chunks of a computed source also where Dask rechunks it, as it does on a cluster."""
        rechunked = {stage.name: stage for stage in self.first_stages if stage.function in _RECHUNKED}
        return LevelGraph.of([_cut_from_source(array, rechunked) for array in self.arrays]) if rechunked else self

    @cached_property
    def is_whole(self) -> bool:
        """True if these are all levels of one pyramid, unedited, whose blocks are read or cut from their source.

        Its tasks can be emitted from its plan.
        """
        stages = self.stages
        if not (stages and self.are_picks and stages[0].function is not reduce_overlapped):
            return False
        chained = all(stage.below == before.name for before, stage in pairwise(stages))
        written = [level for stage in stages for level in stage.recipe.stage.written]
        levels = [pick.level for pick in self.picks if pick is not None]
        ended = stages[-1].recipe.stage.carry is None
        return chained and ended and written == levels == list(range(len(self.arrays)))


def find_stage(layers: Layers, name: Key) -> StageLayer | None:
    """Find the stage that the layer ``name`` computes, if it computes one."""
    layer = layers.get(str(name))
    if isinstance(layer, MergeLayer):
        carried = block_calls(layers.get(layer.below))
        before = carried.first if carried is not None and carried.function is pick_level else ""
        return StageLayer(layer.name, merge_block, layer.recipe, before)
    if isinstance(layer, GatherLayer):
        return StageLayer(layer.name, gather_block, layer.recipe, layer.below, chunks=layer.chunks)
    calls = block_calls(layer)
    if calls is None or calls.function not in _STAGE_FUNCTIONS:
        return None
    recipe = calls.options["recipe"]
    source = held_value(calls.first, layers) if calls.function is read_block else None
    chunks = SourceChunks(recipe.stage.block_chunks(recipe.stage.first)) if calls.function is reduce_block else None
    return StageLayer(str(name), calls.function, recipe, calls.first, source, chunks)


def _cut_from_source(array: da.Array, rechunked: Mapping[str, StageLayer]) -> da.Array:
    """Cut the blocks of stages from the source that the graph of ``array`` has below Dask's rechunking of it."""
    layers, below, waiting = dict[str, Any](), dict[str, set[str]](), [array.name]
    while waiting:
        name = waiting.pop()
        if name in layers:
            continue
        layers[name], below[name] = array.dask.layers[name], set(array.dask.dependencies[name])
        if name in rechunked:
            recipe = rechunked[name].recipe
            source, lengths = str(recipe.source), recipe.reading.lengths
            if source in array.dask.layers and lengths is not None:
                layers[name], below[name] = GatherLayer(name, source, recipe, SourceChunks(lengths)), {source}
        waiting.extend(below[name])
    return make_array(HighLevelGraph(layers, below), array.name, array.chunks, meta_of(array))


def _find_pick(layers: Layers, name: str) -> LevelPick | None:
    calls = block_calls(layers.get(name))
    if calls is None or calls.function is not pick_level:
        return None
    stage, position = find_stage(layers, calls.first), calls.options["position"]
    if stage is None or position >= len(stage.recipe.stage.written):  # a carry is no level of a tree
        return None
    return LevelPick(stage, stage.recipe.stage.written[position])


def is_stage_task(node: GraphNode) -> bool:
    """Tell whether a task computes one block of a stage."""
    return getattr(node, "func", None) in (*_STAGE_FUNCTIONS, read_spilled)
