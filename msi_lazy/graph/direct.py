"""The fused tasks of an unedited tree, straight from its plan.

:func:`msi_lazy.graph.fuse.fuse_blocks` gives the same graph, but first needs every task of the
unfused one: eight times as many, which at a terabyte takes half a minute and more than a GiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.blockwise import Blockwise
from dask.task_spec import GraphNode, Task, TaskRef

from msi_lazy.graph.blocks import StageWork, merge_block, pick_level, read_block
from msi_lazy.graph.fuse import FusedGraph
from msi_lazy.graph.fused_task import BlockPosition, External, Listed, Slot, Template, make_template, run_fused
from msi_lazy.graph.merge import MergeLayer, touched_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dask.array as da
    from dask.typing import Key

__all__ = ["LevelStore", "emit_blocks"]


@dataclass(frozen=True)
class LevelStore:
    """How the blocks of one level are stored: ``store(block, target, index, **options)``."""

    store: Callable[..., None]
    """Stores one block."""
    target: Key
    """Task that holds the target."""
    options: Mapping[str, Any]
    """Keyword arguments, the same for all blocks."""


@dataclass(frozen=True)
class _StageLayer:
    """A stage as it stands in a graph."""

    name: str
    work: StageWork
    source: str
    """Task that holds what the first stage reads; empty for later ones."""


def emit_blocks(arrays: Sequence[da.Array], stores: Sequence[LevelStore], token: str) -> FusedGraph | None:
    """Tasks that store every level of an unedited tree; ``None`` if the tree is not, or is read otherwise.

    Parameters
    ----------
    arrays
        The levels.
    stores
        How each of them is stored.
    token
        Made part of every key.
    """
    layers = _find_stages(arrays)
    if layers is None:
        return None
    source = layers[0].source
    tasks: dict[Key, GraphNode] = {source: arrays[0].dask.layers[source][source]}
    shares = ""
    for number, layer in enumerate(layers):
        name = f"{layer.name}-{token}"
        before = layers[number - 1] if number else None
        tasks |= _stage_tasks(name, layer, before, shares, stores)
        shares = name
    last = layers[-1]
    sinks = tuple((shares, *index) for index in np.ndindex(*last.work.stage.counts))
    return FusedGraph(tasks, sinks)


def _stage_tasks(
    name: str, layer: _StageLayer, before: _StageLayer | None, shares: str, stores: Sequence[LevelStore]
) -> dict[Key, GraphNode]:
    """One task per block of a stage; blocks that merge as many shares have one template."""
    stage = layer.work.stage
    targets = [TaskRef(stores[level].target) for level in stage.written]
    templates: dict[int, Template] = {}
    tasks: dict[Key, GraphNode] = {}
    inputs = [TaskRef(layer.source)]
    for index in np.ndindex(*stage.counts):
        if before is not None:
            inputs = [TaskRef((shares, *at)) for at in touched_blocks(layer.work, before.work.stage, index)]
        if len(inputs) not in templates:
            templates[len(inputs)] = _template(layer.work, before, len(inputs), stores)
        key = (name, *index)
        tasks[key] = Task(key, run_fused, templates[len(inputs)], index, *inputs, *targets)
    return tasks


def _template(work: StageWork, before: _StageLayer | None, inputs: int, stores: Sequence[LevelStore]) -> Template:
    """Steps of one block: read or merge, then pick and store each level, then pick the share."""
    calls: list[tuple[Any, tuple[Any, ...], tuple[tuple[str, Any], ...]]]
    if before is None:
        calls = [(read_block, (External(0), BlockPosition.INDEX), (("work", work),))]
    else:
        shares = Listed(tuple(map(External, range(inputs))))
        calls = [(merge_block, (shares, BlockPosition.INDEX), (("work", work), ("before", before.work.stage)))]
    for position, level in enumerate(work.stage.written):
        store = stores[level]
        calls.append((pick_level, (Slot(0),), (("position", position),)))
        stored = (Slot(len(calls) - 1), External(inputs + position), BlockPosition.INDEX)
        calls.append((store.store, stored, tuple(store.options.items())))
    if work.stage.share is None:
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
