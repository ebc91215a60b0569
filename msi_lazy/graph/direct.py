"""The fused tasks of an unedited tree, straight from its plan.

:func:`msi_lazy.graph.fuse.fuse_blocks` gives the same graph, but first needs every task of the
unfused one: eight times as many, which at a terabyte takes half a minute and more than a GiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.blockwise import Blockwise
from dask.task_spec import GraphNode, Task, TaskRef

from msi_lazy.graph.blocks import StageWork, merge_block, pick_level, read_back_block, read_block
from msi_lazy.graph.fuse import FusedGraph
from msi_lazy.graph.fused_task import BlockPosition, External, Listed, Slot, Template, make_template, run_fused
from msi_lazy.graph.merge import MergeLayer, touched_blocks
from msi_lazy.graph.stream import LevelStore, StreamedStage, stream_run
from msi_lazy.plan.memory import finer_window
from msi_lazy.plan.runs import run_stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import dask.array as da
    from dask.typing import Key

    from msi_lazy.plan.stages import StagePlan

__all__ = ["can_emit", "emit_blocks"]


@dataclass(frozen=True)
class _StageLayer:
    """A stage as it stands in a graph."""

    name: str
    work: StageWork
    source: str
    """Task that holds what the first stage reads; empty for later ones."""


def can_emit(arrays: Sequence[da.Array]) -> bool:
    """Whether :func:`emit_blocks` knows how to make ``arrays``."""
    return _find_stages(arrays) is not None


def emit_blocks(
    arrays: Sequence[da.Array], stores: Sequence[LevelStore], token: str, read_back: Sequence[bool] = ()
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
    """
    layers = _find_stages(arrays)
    if layers is None:
        return None
    source = layers[0].source
    tasks: dict[Key, GraphNode] = {source: arrays[0].dask.layers[source][source]}
    again = [*read_back, *(False for _ in range(len(layers) + 1 - len(read_back)))]
    below: _Below | None = None
    for number, layer in enumerate(layers):
        name = f"{layer.name}-{token}"
        made, hand_on = layer.work.stage, not again[number + 1]
        if below is None and layer.work.reading.run > 1:
            made = run_stage(made, layer.work.reading.run)
            tasks |= _run_tasks(name, layer, made, stores, hand_on=hand_on)
        else:
            tasks |= _stage_tasks(name, layer, below, stores, hand_on=hand_on)
        below = _Below(name, made, not hand_on)
    sinks = tuple((name, *index) for index in np.ndindex(*made.counts))
    return FusedGraph(tasks, sinks)


def _run_tasks(
    name: str, layer: _StageLayer, runs: StagePlan, stores: Sequence[LevelStore], *, hand_on: bool
) -> dict[Key, GraphNode]:
    """One task per run of blocks of the first stage."""
    work = layer.work
    written = tuple(stores[level] for level in work.stage.written)
    streamed = StreamedStage(work, work.reading.run, written, hand_on)
    inputs = [TaskRef(layer.source), *(TaskRef(store.target) for store in written)]
    keys = ((name, *index) for index in np.ndindex(*runs.counts))
    return {key: Task(key, stream_run, streamed, key[1:], *inputs) for key in keys}


@dataclass(frozen=True)
class _Below:
    """The stage before one."""

    name: str
    """Of its tasks."""
    stage: StagePlan
    """What its tasks own."""
    read_back: bool
    """Whether what it stored is read back, in place of its shares."""


def _stage_tasks(
    name: str, layer: _StageLayer, below: _Below | None, stores: Sequence[LevelStore], *, hand_on: bool
) -> dict[Key, GraphNode]:
    """One task per block of a stage; blocks that wait for as many others have one template.

    ``hand_on`` says whether the tasks give their share; else what they stored is read back.
    """
    stage = layer.work.stage
    targets = [TaskRef(stores[level].target) for level in stage.written]
    templates: dict[int, Template] = {}
    tasks: dict[Key, GraphNode] = {}
    inputs = [TaskRef(layer.source)]
    for index in np.ndindex(*stage.counts):
        if below is not None:
            stored = [TaskRef(stores[below.stage.written[-1]].target)] if below.read_back else []
            waited = (TaskRef((below.name, *at)) for at in _waited_for(layer.work, below, index))
            inputs = [*stored, *waited]
        if len(inputs) not in templates:
            templates[len(inputs)] = _template(layer.work, below, len(inputs), stores, hand_on)
        key = (name, *index)
        tasks[key] = Task(key, run_fused, templates[len(inputs)], index, *inputs, *targets)
    return tasks


def _waited_for(work: StageWork, below: _Below, index: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    """Blocks of the stage before whose share, or whose stored samples, block ``index`` is made from."""
    if not below.read_back:
        return touched_blocks(work, below.stage, index)
    finer = finer_window(below.stage, work.stage.first, work.stage.needed(index)[0])
    return product(*below.stage.touching(below.stage.written[-1], finer))


def _template(
    work: StageWork, below: _Below | None, inputs: int, stores: Sequence[LevelStore], hand_on: bool
) -> Template:
    """Steps of one block: read or merge, then pick and store each level, then pick the share."""
    calls: list[tuple[Any, tuple[Any, ...], tuple[tuple[str, Any], ...]]]
    if below is None:
        calls = [(read_block, (External(0), BlockPosition.INDEX), (("work", work),))]
    else:
        options = (("work", work), ("before", below.stage))
        externals = tuple(map(External, range(inputs)))
        if below.read_back:
            given = (externals[0], Listed(externals[1:]), BlockPosition.INDEX)
            calls = [(read_back_block, given, options)]
        else:
            calls = [(merge_block, (Listed(externals), BlockPosition.INDEX), options)]
    for position, level in enumerate(work.stage.written):
        store = stores[level]
        calls.append((pick_level, (Slot(0),), (("position", position),)))
        stored = (Slot(len(calls) - 1), External(inputs + position), BlockPosition.INDEX)
        calls.append((store.store, stored, tuple(store.options.items())))
    if work.stage.share is None or not hand_on:
        return make_template(calls, ())
    calls.append((pick_level, (Slot(0),), (("position", len(work.stage.written)),)))
    return make_template(calls, (len(calls) - 1,))


def _find_stages(arrays: Sequence[da.Array]) -> list[_StageLayer] | None:
    """The stages that ``arrays`` are plain picks of, each fed by the one before; else ``None``."""
    found: list[_StageLayer] = []
    for level, array in enumerate(arrays):
        layers = array.dask.layers
        pick = layers.get(array.name)
        name = _picked_stage(pick)
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


def _picked_stage(layer: Any) -> str:
    """Name of the stage that a layer picks a level of; empty if that is not what it does."""
    if isinstance(layer, Blockwise) and layer.task.func is pick_level:
        return str(layer.indices[0][0])
    return ""


def _read_stage(name: str, layer: Any, layers: Mapping[str, Any], before: Sequence[_StageLayer]) -> _StageLayer | None:
    """The stage of ``layer``, if it reads windows, or merges the shares of the stage before it."""
    if isinstance(layer, Blockwise) and layer.task.func is read_block and not before:
        source = layer.indices[0][0]
        return _StageLayer(name, layer.task.kwargs["work"], str(getattr(source, "key", source)))
    if isinstance(layer, MergeLayer) and before and _picked_stage(layers.get(layer.shares)) == before[-1].name:
        return _StageLayer(name, layer.work, "")
    return None
