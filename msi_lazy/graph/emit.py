"""Fused tasks of one stage, emitted from its plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from dask.task_spec import GraphNode, Task, TaskRef

from msi_lazy.graph.block_tasks import StageRecipe, merge_block, pick_level, read_back_block, read_block, restore_carry
from msi_lazy.graph.fused_task import BlockPosition, External, Listed, Slot, Template, make_template, run_fused
from msi_lazy.graph.marks import BlockGrid, check_writer, mark_block
from msi_lazy.graph.merge import touched_blocks
from msi_lazy.graph.stream import LevelStore, StreamedStage, skip_block, stream_run
from msi_lazy.plan.block_names import describe_block
from msi_lazy.plan.memory import finer_window
from msi_lazy.plan.runs import run_stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    from dask.typing import Key

    from msi_lazy.graph.remaining import RemainingBlocks
    from msi_lazy.plan.stages import StagePlan

__all__ = ["EmittedStage", "describe_task", "emit_stage"]

Index = tuple[int, ...]


@dataclass(frozen=True)
class EmittedStage:
    """A stage as its tasks compute it."""

    name: str
    """Name of its tasks."""
    recipe: StageRecipe
    """Stage, block by block."""
    source: Key
    """Task that holds the source, which the first stage reads."""
    stage: StagePlan
    """Stage in the blocks, or runs of blocks, that its tasks own."""
    returns_carry: bool
    """Whether its tasks return their carry; else the next stage reads back what they stored."""
    stores: tuple[LevelStore, ...]
    """Storage of each level that it writes."""
    remaining: RemainingBlocks
    """Its blocks that have a task."""
    listeners: Key | None = None
    """Task that holds the listeners to stored blocks, if there are any."""
    grid: BlockGrid | None = None
    """Its blocks as they are marked."""

    @property
    def in_runs(self) -> bool:
        """True if a task computes several blocks, one after another."""
        return self.stage is not self.recipe.stage

    def key(self, index: Index) -> Key:
        """Return the key of a block's task."""
        key: Key = (self.name, *index)
        return key

    def without_storing(self) -> EmittedStage:
        """Copy the stage so that its tasks store and mark nothing."""
        skipped = tuple(replace(store, store=skip_block) for store in self.stores)
        return replace(self, stores=skipped, listeners=None, grid=None)


def emit_stage(emitted: EmittedStage, below: EmittedStage | None) -> dict[Key, GraphNode]:
    """Emit one task for each block, or run of blocks, that remains to be computed; ``below`` is the stage before."""
    remaining = emitted.remaining
    build = _run_tasks if emitted.in_runs else _block_tasks
    tasks = build(emitted, below, sorted(remaining.stored))
    tasks |= build(emitted.without_storing(), below, sorted(remaining.recomputed))
    if remaining.restored:
        tasks |= _restoring_tasks(emitted, remaining.restored)
    return tasks


def _run_tasks(emitted: EmittedStage, _below: EmittedStage | None, indices: Iterable[Index]) -> dict[Key, GraphNode]:
    recipe = emitted.recipe
    streamed = StreamedStage(recipe, recipe.reading.run, emitted.stores, emitted.returns_carry, emitted.grid)
    listeners = None if emitted.listeners is None else TaskRef(emitted.listeners)
    inputs = [TaskRef(emitted.source), listeners, *(TaskRef(store.target) for store in emitted.stores)]
    keyed = ((emitted.key(index), index) for index in indices)
    return {key: Task(key, stream_run, streamed, index, *inputs) for key, index in keyed}


def _block_tasks(emitted: EmittedStage, below: EmittedStage | None, indices: Iterable[Index]) -> dict[Key, GraphNode]:
    """Emit one task per block; blocks that wait for as many others have one template."""
    targets = [TaskRef(store.target) for store in emitted.stores]
    if emitted.listeners is not None:
        targets.append(TaskRef(emitted.listeners))
    templates: dict[int, Template] = {}
    tasks: dict[Key, GraphNode] = {}
    for index in indices:
        inputs = [TaskRef(emitted.source)] if below is None else _inputs(emitted.recipe, below, index)
        if len(inputs) not in templates:
            templates[len(inputs)] = _template(emitted, below, len(inputs))
        key = emitted.key(index)
        tasks[key] = Task(key, run_fused, templates[len(inputs)], index, *inputs, *targets)
    return tasks


def _restoring_tasks(emitted: EmittedStage, indices: Set[Index]) -> dict[Key, GraphNode]:
    options = (("recipe", emitted.recipe), ("stage", emitted.stage))
    template = make_template([(restore_carry, (External(0), BlockPosition.INDEX), options)], (0,))
    stored = TaskRef(emitted.stores[-1].target)
    keyed = ((emitted.key(index), index) for index in sorted(indices))
    return {key: Task(key, run_fused, template, index, stored) for key, index in keyed}


def _inputs(recipe: StageRecipe, below: EmittedStage, index: Index) -> list[TaskRef]:
    """List what block ``index`` of a later stage waits for: carries, or a stored array and the tasks that store it."""
    if below.returns_carry:
        return [TaskRef(below.key(at)) for at in touched_blocks(recipe, below.stage, index)]
    level = below.stage.written[-1]
    finer = finer_window(below.stage, recipe.stage.first, recipe.stage.needed(index)[0])
    touched = product(*below.stage.touching(level, finer))
    waited = (TaskRef(below.key(at)) for at in touched if at in below.remaining.computed)
    return [TaskRef(below.stores[-1].target), *waited]


def _template(emitted: EmittedStage, below: EmittedStage | None, inputs: int) -> Template:
    """Build the template of one block: compute, store each level, mark the block, return the carry."""
    calls: list[tuple[Any, tuple[Any, ...], tuple[tuple[str, Any], ...]]]
    stage = emitted.recipe.stage
    # 1. Compute the levels: from the source, from carries, or from what the stage before stored
    if below is None:
        calls = [(read_block, (External(0), BlockPosition.INDEX), (("recipe", emitted.recipe),))]
    else:
        options = (("recipe", emitted.recipe), ("before", below.stage))
        externals = tuple(map(External, range(inputs)))
        if below.returns_carry:
            calls = [(merge_block, (Listed(externals), BlockPosition.INDEX), options)]
        else:
            calls = [(read_back_block, (externals[0], Listed(externals[1:]), BlockPosition.INDEX), options)]
    # 2. Store each level, if the write is still its target's
    listeners = External(inputs + len(emitted.stores))
    if emitted.grid is not None:
        calls.append((check_writer, (listeners,), ()))
    kept: list[Slot] = []
    for position, store in enumerate(emitted.stores):
        calls.append((pick_level, (Slot(0),), (("position", position),)))
        stored = (Slot(len(calls) - 1), External(inputs + position), BlockPosition.INDEX)
        calls.append((store.store, stored, tuple(store.options.items())))
        kept.append(Slot(len(calls) - 1))
    # 3. Mark the block
    if emitted.grid is not None:
        marked = (listeners, BlockPosition.INDEX, Listed(tuple(kept)))
        calls.append((mark_block, marked, (("grid", emitted.grid),)))
    # 4. Return the carry, if the next stage needs it
    if stage.carry is None or not emitted.returns_carry:
        return make_template(calls, ())
    calls.append((pick_level, (Slot(0),), (("position", len(stage.written)),)))
    return make_template(calls, (len(calls) - 1,))


def describe_task(task: Any) -> str:
    """Describe the block that a task computes; return the task's key if it computes none."""
    first, *rest = getattr(task, "args", ()) or (None,)
    if isinstance(first, StreamedStage):
        stage = run_stage(first.recipe.stage, first.run)
        return describe_block(stage, rest[0])
    if isinstance(first, Template):
        found = (value for step in first.steps for name, value in step.kwargs if name == "recipe")
        recipe = next(found, None)
        if recipe is not None:
            return describe_block(recipe.stage, rest[0])
    return str(getattr(task, "key", task))
