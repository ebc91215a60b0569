"""Fused tasks that store any arrays as the levels of a pyramid, from their whole graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import List, Task, TaskRef

from msi_lazy.compat.dask_graphs import build_calls
from msi_lazy.graph.block_tasks import read_block
from msi_lazy.graph.computed_source import chunk_grid, spill_chunk
from msi_lazy.graph.fuse import FusedGraph, fuse_blocks
from msi_lazy.graph.level_graph import find_stage, is_stage_task
from msi_lazy.graph.marks import store_marked
from msi_lazy.graph.materialize import materialize
from msi_lazy.graph.merge import GatherLayer, MergeLayer
from msi_lazy.graph.owners import topological_order
from msi_lazy.graph.remaining import is_restorable
from msi_lazy.graph.source_order import order_rows, touched_chunks
from msi_lazy.graph.stored_blocks import read_spilled, restore_carry
from msi_lazy.plan.spill import SpillLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dask.task_spec import DataNode, GraphNode
    from dask.typing import Key

    from msi_lazy.graph.buffers import BlockBuffers
    from msi_lazy.graph.computed_source import Spill
    from msi_lazy.graph.level_graph import LevelGraph
    from msi_lazy.graph.marks import BlockMarks
    from msi_lazy.graph.stream import LevelStore
    from msi_lazy.storage.stored_units import StoredUnits

__all__ = ["fuse_levels"]

Index = tuple[int, ...]


def fuse_levels(
    levels: LevelGraph,
    stores: Sequence[LevelStore],
    opened: Mapping[Key, DataNode],
    token: str,
    marks: BlockMarks | None = None,
    in_order: bool = False,
    buffers: BlockBuffers | None = None,
    spill: Spill | None = None,
) -> FusedGraph:
    """Build the tasks that store ``levels``, in blocks of whole write units.

    Parameters are those of :func:`msi_lazy.graph.direct.emit_blocks`.
    """
    layers: dict[str, Any] = {"pyramid-targets": MaterializedLayer(dict(opened))}
    dependencies: dict[str, set[str]] = {"pyramid-targets": set()}
    wanted: list[Key] = []
    for number, (array, store) in enumerate(zip(levels.arrays, stores, strict=True)):
        name = f"pyramid-store{number}-{token}"
        given = [TaskRef(store.target)]
        options = dict(store.options)
        function: Callable[..., StoredUnits | None] = store.store
        if marks is not None:
            function, given = store_marked, [*given, TaskRef(marks.listeners)]
            options |= {"store": store.store, "grid": marks.grids[number], "lends": store.lends}
        layer = build_calls(function, name, array.numblocks, array.name, *given, index=True, **options)
        layers |= {**array.dask.layers, name: layer}
        dependencies |= {**array.dask.dependencies, name: {array.name, "pyramid-targets"}}
        done = marks.grids[number].part_of(marks.done) if marks is not None else None
        wanted.extend(key for key in layer.get_output_keys() if done is None or not done[key[1:]])
    for name, layer in layers.items():
        if isinstance(layer, MergeLayer):
            layers[name] = _cut_from_source(layer, layers)
            dependencies[name] = {layers[name].below}
    graph = materialize(HighLevelGraph(layers, dependencies))
    if marks is not None and marks.done.any() and marks.lossless:
        graph |= _restoring_tasks(levels, stores, marks, layers)
    for layer in layers.values():
        if isinstance(layer, GatherLayer) and spill is not None:
            graph |= _spilled_blocks(graph, wanted, layer, spill, token)
        elif isinstance(layer, GatherLayer) and in_order:
            graph |= _ordered_rows(graph, wanted, layer, token)
    reads = (task for task in graph.values() if getattr(task, "func", None) is read_block)
    sources = dict.fromkeys(source for task in reads for source in task.dependencies)
    return fuse_blocks(graph, wanted, is_stage_task, token, held=[*opened, *sources], buffers=buffers)


def _cut_from_source(layer: MergeLayer, layers: Mapping[str, Any]) -> MergeLayer | GatherLayer:
    """Cut the blocks of a second stage from a computed source, if the first only stores it: carries would be copies."""
    stage = find_stage(layers, layer.name) if layer.before.carries_input else None
    first = layers.get(str(stage.below)) if stage is not None else None
    return GatherLayer(layer.name, first.below, layer.recipe, first.chunks) if isinstance(first, GatherLayer) else layer


def _gathered_blocks(graph: Mapping[Key, GraphNode], wanted: Sequence[Key], layer: GatherLayer) -> list[Index]:
    """List the blocks of a layer that ``wanted`` tasks need."""
    keys: Any = (key for key in topological_order(graph, wanted) if isinstance(key, tuple) and key[0] == layer.name)
    return [key[1:] for key in keys]


def _spilled_blocks(
    graph: Mapping[Key, GraphNode], wanted: Sequence[Key], layer: GatherLayer, spill: Spill, token: str
) -> dict[Key, GraphNode]:
    """Let blocks that are gathered read what is stored of the chunks, once these are."""
    tasks: dict[Key, GraphNode] = {}
    name, grid, layout = f"{layer.below}-spilled-{token}", chunk_grid(layer.chunks), SpillLayout.of(layer.chunks)
    options: dict[str, Any] = {"layout": layout, "dtype": layer.recipe.dtype, "grid": grid}
    held = TaskRef(spill.target), TaskRef(spill.listeners)
    for index in _gathered_blocks(graph, wanted, layer):
        stored: list[TaskRef] = []
        chunk: Any
        for chunk in touched_chunks(layer.below, layer.chunks, layer.recipe, index):
            position = chunk[1:]
            if grid.number(position) not in spill.done:
                key: Key = (name, *position)
                tasks[key] = Task(key, spill_chunk, List(TaskRef(chunk)), position, *held, **options)
                stored.append(TaskRef(key))
        block: Key = (layer.name, *index)
        tasks[block] = Task(block, read_spilled, held[0], List(*stored), index, recipe=layer.recipe, layout=layout)
    return tasks


def _ordered_rows(
    graph: Mapping[Key, GraphNode], wanted: Sequence[Key], layer: GatherLayer, token: str
) -> dict[Key, GraphNode]:
    """Let blocks that are gathered wait for the chunks of the row before."""
    blocks = _gathered_blocks(graph, wanted, layer)
    waits, tasks = order_rows(f"{layer.name}-loaded-{token}", layer.below, layer.chunks, layer.recipe, blocks)
    return tasks | {(layer.name, *index): _waiting(graph[layer.name, *index], key) for index, key in waits.items()}


def _waiting(task: GraphNode, before: Key) -> GraphNode:
    """Copy the task of a block that is gathered, which waits for ``before`` too."""
    assert isinstance(task, Task)
    parts, *rest = task.args
    return Task(task.key, task.func, List(*parts.args, TaskRef(before)), *rest, **task.kwargs)


def _restoring_tasks(
    levels: LevelGraph, stores: Sequence[LevelStore], marks: BlockMarks, layers: Mapping[str, Any]
) -> dict[Key, GraphNode]:
    tasks: dict[Key, GraphNode] = {}
    for layer, level in _restorable_merges(levels, layers):
        done = marks.grids[level].part_of(marks.done)
        for index in map(tuple, np.argwhere(done).tolist()):
            if is_restorable(layer.before, index, done):
                key: Key = (layer.below, *index)
                stored = TaskRef(stores[level].target)
                tasks[key] = Task(key, restore_carry, stored, index, recipe=layer.recipe, stage=layer.before)
    return tasks


def _restorable_merges(levels: LevelGraph, layers: Mapping[str, Any]) -> Iterator[tuple[MergeLayer, int]]:
    """Yield the merges of carries whose stage's last level is stored unedited, each with that level."""
    for name, layer in layers.items():
        if isinstance(layer, MergeLayer):
            stage, level = find_stage(layers, name), layer.before.written[-1]
            pick = levels.picks[level] if level < len(levels.picks) else None
            if stage is not None and pick is not None and (pick.stage.name, pick.level) == (stage.below, level):
                yield layer, level
