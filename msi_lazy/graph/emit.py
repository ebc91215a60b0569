"""Fused tasks of one stage, emitted from its plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from dask.task_spec import DataNode, Task, TaskRef

from msi_lazy.graph.block_tasks import (
    StageRecipe,
    gather_block,
    merge_block,
    pick_level,
    read_block,
)
from msi_lazy.graph.computed_source import GatheredSource
from msi_lazy.graph.fused_task import BlockContext, Held, Listed, OfBlock, Slot, Template, make_template, run_fused
from msi_lazy.graph.marks import BlockGrid, check_writer, mark_block
from msi_lazy.graph.merge import touched_blocks
from msi_lazy.graph.stored_blocks import read_back_block, read_spilled, restore_carry
from msi_lazy.graph.stream import LevelStore, StreamedStage, skip_block, stream_run
from msi_lazy.methods.kernel import LibraryKernel
from msi_lazy.plan.block_names import describe_block
from msi_lazy.plan.memory import finer_window
from msi_lazy.plan.runs import run_stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

    from dask.task_spec import GraphNode
    from dask.typing import Key

    from msi_lazy.graph.buffers import BlockBuffers
    from msi_lazy.graph.remaining import RemainingBlocks
    from msi_lazy.plan.stages import StagePlan

__all__ = ["EmittedStage", "StageEmitter", "describe_task"]

Index = tuple[int, ...]


@dataclass(frozen=True)
class EmittedStage:
    """A stage as its tasks compute it."""

    name: str
    """Name of its tasks."""
    recipe: StageRecipe
    """Stage, block by block."""
    source: Key | GatheredSource | None
    """Source that it reads: the name under which the context holds it, or one that is computed; ``None`` if it is fed
    by the stage before."""
    stage: StagePlan
    """Stage in the blocks, or runs of blocks, that its tasks own."""
    returns_carry: bool
    """Whether its tasks return their carry; else the next stage reads back what they stored."""
    stores: tuple[LevelStore, ...]
    """Storage of each level that it writes."""
    remaining: RemainingBlocks
    """Its blocks that have a task."""
    listeners: Key | None = None
    """Name under which the context holds the listeners to stored blocks, if there are any."""
    grid: BlockGrid | None = None
    """Its blocks as they are marked."""

    @property
    def in_runs(self) -> bool:
        """True if a task computes several blocks, one after another."""
        return self.stage is not self.recipe.stage

    @property
    def lent(self) -> tuple[tuple[str, OfBlock], ...]:
        """Argument of the steps that compute in lent arrays; none where users, or stores, might keep what they get."""
        lends = isinstance(self.recipe.method.kernel, LibraryKernel) and all(store.lends for store in self.stores)
        return (("lend", OfBlock.LEND),) if lends else ()

    def key(self, index: Index) -> Key:
        """Return the key of a block's task."""
        key: Key = (self.name, *index)
        return key

    def without_storing(self) -> EmittedStage:
        """Copy the stage so that its tasks store and mark nothing."""
        skipped = tuple(replace(store, store=skip_block) for store in self.stores)
        return replace(self, stores=skipped, listeners=None, grid=None)


class StageEmitter:
    """Emits the tasks of stages, all with one context.

    Parameters
    ----------
    context
        Key of the task that holds the context.
    held
        What it holds, by name: the source, the target of each level, the listeners.
    buffers
        Buffers that blocks are computed in.
    """

    def __init__(self, context: Key, held: Mapping[Key, Any], buffers: BlockBuffers) -> None:
        self.context, self.held, self.buffers = context, held, buffers
        self._templates: list[Template] = []

    def context_task(self) -> DataNode:
        """Return the task that holds the context of all tasks emitted so far."""
        return DataNode(self.context, BlockContext(tuple(self._templates), self.held, self.buffers))

    def emit(self, emitted: EmittedStage, below: EmittedStage | None) -> dict[Key, GraphNode]:
        """Emit one task for each block, or run of blocks, that remains; ``below`` is the stage before."""
        remaining = emitted.remaining
        tasks = self._computing_tasks(emitted, below, remaining.stored)
        tasks |= self._computing_tasks(emitted.without_storing(), below, remaining.recomputed)
        if remaining.restored:
            restored = ((emitted.key(index), index, ()) for index in sorted(remaining.restored))
            tasks |= self.emit_tasks(_restoring_template(emitted), restored)
        return tasks

    def _computing_tasks(
        self, emitted: EmittedStage, below: EmittedStage | None, indices: Set[Index]
    ) -> dict[Key, GraphNode]:
        if not indices:
            return {}
        template = _run_template(emitted) if emitted.in_runs else _block_template(emitted, below)
        keyed = ((emitted.key(index), index) for index in sorted(indices))
        inputs = partial(_inputs, emitted, below)
        return self.emit_tasks(template, ((key, index, inputs(index)) for key, index in keyed))

    def emit_tasks(
        self, template: Template, blocks: Iterable[tuple[Key, Index, Iterable[TaskRef]]]
    ) -> dict[Key, GraphNode]:
        """Emit the task of each block: its key, its index, and what it waits for."""
        context, number = TaskRef(self.context), len(self._templates)
        self._templates.append(template)
        return {key: Task(key, run_fused, context, number, index, *inputs) for key, index, inputs in blocks}


def _inputs(emitted: EmittedStage, below: EmittedStage | None, index: Index) -> list[TaskRef]:
    """List what block ``index`` waits for: chunks of the source, carries, or tasks that store what it reads back."""
    recipe = emitted.recipe
    if emitted.source is not None or below is None:
        return emitted.source.inputs(recipe, index) if isinstance(emitted.source, GatheredSource) else []
    if below.returns_carry:
        return [TaskRef(below.key(at)) for at in touched_blocks(recipe, below.stage, index)]
    level = below.stage.written[-1]
    finer = finer_window(below.stage, recipe.stage.first, recipe.stage.needed(index)[0])
    touched = product(*below.stage.touching(level, finer))
    return [TaskRef(below.key(at)) for at in touched if at in below.remaining.computed]


def _run_template(emitted: EmittedStage) -> Template:
    """Build the template of a run of blocks."""
    recipe = emitted.recipe
    assert emitted.source is not None
    assert not isinstance(emitted.source, GatheredSource)
    streamed = StreamedStage(recipe, recipe.reading.run, emitted.stores, emitted.returns_carry, emitted.grid)
    listeners = None if emitted.listeners is None else Held(emitted.listeners)
    targets = (Held(store.target) for store in emitted.stores)
    given = (streamed, OfBlock.INDEX, Held(emitted.source), listeners, *targets)
    return make_template([(stream_run, given, emitted.lent)], (0,))


def _restoring_template(emitted: EmittedStage) -> Template:
    """Build the template of a block whose carry is restored."""
    options = (("recipe", emitted.recipe), ("stage", emitted.stage))
    return make_template([(restore_carry, (Held(emitted.stores[-1].target), OfBlock.INDEX), options)], (0,))


def _block_template(emitted: EmittedStage, below: EmittedStage | None) -> Template:
    """Build the template of one block: compute, store each level, mark the block, return the carry."""
    calls: list[tuple[Any, tuple[Any, ...], tuple[tuple[str, Any], ...]]]
    stage = emitted.recipe.stage
    # 1. Compute the levels: from the source, from carries, or from what the stage before stored
    if isinstance(emitted.source, GatheredSource) and emitted.source.spilled is not None:
        spilled = (Held(emitted.source.spilled), OfBlock.INPUTS, OfBlock.INDEX)
        calls = [
            (read_spilled, spilled, (("recipe", emitted.recipe), ("layout", emitted.source.layout), *emitted.lent))
        ]
    elif isinstance(emitted.source, GatheredSource):
        options = (("recipe", emitted.recipe), ("chunks", emitted.source.chunks), *emitted.lent)
        calls = [(gather_block, (OfBlock.INPUTS, OfBlock.INDEX), options)]
    elif emitted.source is not None:
        calls = [(read_block, (Held(emitted.source), OfBlock.INDEX), (("recipe", emitted.recipe), *emitted.lent))]
    else:
        assert below is not None
        between = (("recipe", emitted.recipe), ("before", below.stage), *emitted.lent)
        if below.returns_carry:
            calls = [(merge_block, (OfBlock.INPUTS, OfBlock.INDEX), between)]
        else:
            stored = Held(below.stores[-1].target)
            calls = [(read_back_block, (stored, OfBlock.INPUTS, OfBlock.INDEX), between)]
    # 2. Store each level, if the write is still its target's
    listeners = None if emitted.listeners is None else Held(emitted.listeners)
    if emitted.grid is not None:
        calls.append((check_writer, (listeners,), ()))
    kept: list[Slot] = []
    for position, store in enumerate(emitted.stores):
        calls.append((pick_level, (Slot(0),), (("position", position),)))
        given = (Slot(len(calls) - 1), Held(store.target), OfBlock.INDEX)
        calls.append((store.store, given, (*store.options.items(), *emitted.lent)))
        kept.append(Slot(len(calls) - 1))
    # 3. Mark the block
    if emitted.grid is not None:
        marked = (listeners, OfBlock.INDEX, Listed(tuple(kept)))
        calls.append((mark_block, marked, (("grid", emitted.grid),)))
    # 4. Return the carry, if the next stage needs it
    if stage.carry is None or not emitted.returns_carry:
        return make_template(calls, ())
    calls.append((pick_level, (Slot(0),), (("position", len(stage.written)),)))
    return make_template(calls, (len(calls) - 1,))


def describe_task(graph: Mapping[Key, Any], key: Key) -> str:
    """Describe the block that a task computes; return the task's key if it computes none."""
    task: Any = graph.get(key)
    if getattr(task, "func", None) is not run_fused:
        return str(key)
    context, number, index, *_ = task.args
    template = graph[context.key].value.templates[number]
    for step in template.steps:
        if step.func is stream_run:
            streamed = step.args[0]
            return describe_block(run_stage(streamed.recipe.stage, streamed.run), index)
        recipe = dict(step.kwargs).get("recipe")
        if recipe is not None:
            return describe_block(recipe.stage, index)
    return str(key)
