"""Recognition of pyramids in Dask's graphs: the one place that knows what :func:`build_levels` left there.

::

    array ──> pick of level k ──> stage ──┬──> source                                    (its first stage)
                                          └──> pick of the carry ──> stage before ──> …  (any later one)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from msi_lazy.compat.dask_graphs import block_calls, held_value, layers_of
from msi_lazy.graph.block_tasks import merge_block, pick_level, read_block, reduce_block, reduce_overlapped
from msi_lazy.graph.merge import MergeLayer
from msi_lazy.plan.runs import run_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import dask.array as da
    from dask.task_spec import GraphNode
    from dask.typing import Key

    from msi_lazy.compat.dask_graphs import Layers
    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.plan.stages import StagePlan

__all__ = ["LevelGraph", "LevelPick", "StageLayer", "find_stage", "is_stage_task"]

_STAGE_FUNCTIONS = (read_block, merge_block, reduce_block, reduce_overlapped)
"""What makes one block of a stage."""


@dataclass(frozen=True)
class StageLayer:
    """A stage as it stands in a graph."""

    name: str
    """Of its layer."""
    function: Callable[..., Any]
    """What makes one of its blocks."""
    recipe: StageRecipe
    """Its geometry, and how its levels are computed."""
    below: Key
    """What it is made from: the task that holds the source, the layer of a Dask source, or the stage before."""
    source: Any = None
    """What its blocks read their windows from, if that is what they do."""

    @property
    def is_first(self) -> bool:
        """Whether it is made from the source, and not from another stage."""
        return self.function is not merge_block

    @property
    def made(self) -> StagePlan:
        """The stage in the blocks that its tasks make: in runs, where it is read so."""
        run = self.recipe.reading.run if self.function is read_block else 1
        return run_stage(self.recipe.stage, run) if run > 1 else self.recipe.stage


@dataclass(frozen=True)
class LevelPick:
    """A level as a stage gives it, to which nothing was done."""

    stage: StageLayer
    """The stage."""
    level: int
    """Which level it is."""


@dataclass(frozen=True, eq=False)
class LevelGraph:
    """The levels of an image, and what their graphs show of how they are made."""

    arrays: tuple[da.Array, ...]
    """The levels."""
    picks: tuple[LevelPick | None, ...]
    """What each of them is a plain level of a stage of; ``None`` for an array that was edited, or never was one."""

    @classmethod
    def of(cls, arrays: Sequence[da.Array]) -> LevelGraph:
        """Recognise ``arrays``; nothing is computed."""
        return cls(tuple(arrays), tuple(_find_pick(layers_of(array), array.name) for array in arrays))

    @property
    def are_picks(self) -> bool:
        """Whether each is a level as :func:`build_levels` made it, be it of one pyramid or of several."""
        return None not in self.picks

    @cached_property
    def stages(self) -> tuple[StageLayer, ...]:
        """Stages that any of the arrays is a level of, in the order of their levels."""
        found = {pick.stage.name: pick.stage for pick in self.picks if pick is not None}
        return tuple(sorted(found.values(), key=lambda stage: stage.recipe.stage.first))

    @property
    def recipes(self) -> tuple[StageRecipe, ...]:
        """Those stages' geometry, and how their levels are computed."""
        return tuple(stage.recipe for stage in self.stages)

    @cached_property
    def first_stages(self) -> tuple[StageLayer, ...]:
        """All stages that are made from a source, below edits too."""
        found: dict[str, StageLayer] = {}
        for layers in map(layers_of, self.arrays):
            found |= {name: stage for name in layers if (stage := find_stage(layers, name)) and stage.is_first}
        return tuple(found.values())

    @cached_property
    def is_whole(self) -> bool:
        """Whether these are all levels of one pyramid, unedited, whose blocks read windows of their source.

        Its tasks can be written down from its plan.
        """
        stages = self.stages
        if not (stages and self.are_picks and stages[0].function is read_block):
            return False
        chained = all(stage.below == before.name for before, stage in pairwise(stages))
        written = [level for stage in stages for level in stage.recipe.stage.written]
        levels = [pick.level for pick in self.picks if pick is not None]
        ended = stages[-1].recipe.stage.carry is None
        return chained and ended and written == levels == list(range(len(self.arrays)))


def find_stage(layers: Layers, name: Key) -> StageLayer | None:
    """Stage that the layer ``name`` computes, if it is the layer of one."""
    layer = layers.get(str(name))
    if isinstance(layer, MergeLayer):
        carried = block_calls(layers.get(layer.carries))
        before = carried.first if carried is not None and carried.function is pick_level else ""
        return StageLayer(layer.name, merge_block, layer.recipe, before)
    calls = block_calls(layer)
    if calls is None or calls.function not in _STAGE_FUNCTIONS:
        return None
    source = held_value(calls.first, layers) if calls.function is read_block else None
    return StageLayer(str(name), calls.function, calls.options["recipe"], calls.first, source)


def _find_pick(layers: Layers, name: str) -> LevelPick | None:
    """Level that the layer ``name`` picks from a stage, if that is what it does."""
    calls = block_calls(layers.get(name))
    if calls is None or calls.function is not pick_level:
        return None
    stage, position = find_stage(layers, calls.first), calls.options["position"]
    if stage is None or position >= len(stage.recipe.stage.written):  # what it hands on is no level of a tree
        return None
    return LevelPick(stage, stage.recipe.stage.written[position])


def is_stage_task(node: GraphNode) -> bool:
    """Whether a task makes one block of a stage."""
    return getattr(node, "func", None) in _STAGE_FUNCTIONS
