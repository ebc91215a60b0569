"""The write graph: one graph that stores every level and ends with the metadata."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dask.blockwise import BlockIndex, blockwise
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import DataNode, GraphNode, List, Task, TaskRef

from msi_lazy.graph.direct import emit_blocks
from msi_lazy.graph.fuse import FusedGraph, fuse_blocks
from msi_lazy.graph.materialize import materialize
from msi_lazy.graph.pipeline import runs_in_rust
from msi_lazy.graph.stages import is_stage_task
from msi_lazy.graph.stream import LevelStore
from msi_lazy.plan.blocks import aligned_blocks
from msi_lazy.plan.pyramid import FINISH_FAN_IN
from msi_lazy.store.target import Target, write_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dask.array as da
    import numpy as np
    import zarr
    from dask.typing import Key

__all__ = ["store_block", "write_graph"]


def store_block(
    block: np.ndarray[Any, Any],
    target: zarr.Array[Any],
    index: tuple[int, ...],
    *,
    starts: tuple[tuple[int, ...], ...],
    probe: bool = False,
) -> None:
    """Write one block.

    Parameters
    ----------
    block, target, index
        The samples, the array, and which of its blocks they are.
    starts
        Where the blocks begin along each dimension.
    probe
        Whether to look first if any chunk can be empty: zarr-python compares every sample of every chunk
        with the fill value, on the one thread that all writes go through.
    """
    if probe and _none_is_empty(block, target):
        target = target.with_config({"write_empty_chunks": True})
    corner = (begins[position] for begins, position in zip(starts, index, strict=True))
    target[tuple(slice(start, start + n) for start, n in zip(corner, block.shape, strict=True))] = block


def _none_is_empty(block: np.ndarray[Any, Any], target: zarr.Array[Any]) -> bool:
    """Whether each chunk of ``block`` begins with a sample that is not the fill value."""
    corners = block[tuple(slice(None, None, chunk) for chunk in target.chunks)]
    fill: Any = target.fill_value
    return bool(((corners != fill) & (corners == corners)).all())


def write_graph(
    arrays: Sequence[da.Array],
    targets: Sequence[zarr.Array[Any]],
    target: Target,
    attributes: Mapping[str, Any],
    read_back: Sequence[bool] = (),
) -> Delayed:
    """Build the graph that stores ``arrays`` into ``targets`` and then writes ``attributes``.

    ``read_back`` says which stages read what the one before stored, in place of its shares.  Keys carry a
    fresh token, as the same key under a held future would run nothing.
    """
    token = uuid4().hex
    arrays = [_aligned(array, stored) for array, stored in zip(arrays, targets, strict=True)]
    opened: dict[Key, GraphNode] = {}
    stores = []
    for number, (array, stored) in enumerate(zip(arrays, targets, strict=True)):
        key = f"pyramid-target{number}-{token}"
        opened[key] = DataNode(key, stored)
        starts = tuple(tuple(accumulate(lengths[:-1], initial=0)) for lengths in array.chunks)
        stores.append(
            LevelStore(
                store_block, key, {"starts": starts, "probe": stored.shards is None and not runs_in_rust(stored)}
            )
        )
    fused = emit_blocks(arrays, stores, token, read_back) or _fuse(arrays, stores, opened, token)
    name = f"pyramid-write-{token}"
    graph = opened | fused.tasks | _finish(name, fused.sinks, target, attributes)
    return Delayed(name, HighLevelGraph.from_collections(name, graph))


def _fuse(
    arrays: Sequence[da.Array], stores: Sequence[LevelStore], opened: Mapping[Key, GraphNode], token: str
) -> FusedGraph:
    """Fused tasks of any arrays, from their whole graph."""
    layers: dict[str, Any] = {"pyramid-targets": MaterializedLayer(dict(opened))}
    dependencies: dict[str, set[str]] = {"pyramid-targets": set()}
    wanted: list[Key] = []
    for number, (array, store) in enumerate(zip(arrays, stores, strict=True)):
        name, dims = f"pyramid-store{number}-{token}", tuple(range(array.ndim))
        pairs = (array.name, dims, TaskRef(store.target), None, BlockIndex(array.numblocks), dims)
        numblocks = {array.name: array.numblocks}
        layer = blockwise(store.store, name, dims, *pairs, numblocks=numblocks, **store.options)
        layers |= {**array.dask.layers, name: layer}
        dependencies |= {**array.dask.dependencies, name: {array.name, "pyramid-targets"}}
        wanted.extend(layer.get_output_keys())
    return fuse_blocks(materialize(HighLevelGraph(layers, dependencies)), wanted, is_stage_task, token)


def _aligned(array: da.Array, stored: zarr.Array[Any]) -> da.Array:
    """``array`` in blocks of whole write units of ``stored``, so that no two tasks write one chunk."""
    blocks = aligned_blocks(array.chunks, stored.shards or stored.chunks)
    if blocks == array.chunks:
        return array
    rechunked: da.Array = array.rechunk(blocks)
    return rechunked


def _finish(key: str, sinks: Sequence[Key], target: Target, attributes: Mapping[str, Any]) -> dict[Key, GraphNode]:
    """A small tree of tasks that waits for all of ``sinks``, then writes the attributes."""
    tasks: dict[Key, GraphNode] = {}
    waiting = list(sinks)
    while len(waiting) > FINISH_FAN_IN:
        groups = [waiting[i : i + FINISH_FAN_IN] for i in range(0, len(waiting), FINISH_FAN_IN)]
        waiting = []
        for group in groups:
            name = (f"pyramid-wait-{key}", len(tasks))
            tasks[name] = Task(name, _wait, List(*map(TaskRef, group)))
            waiting.append(name)
    tasks[key] = Task(key, _complete, List(*map(TaskRef, waiting)), target, dict(attributes))
    return tasks


def _wait(_done: list[Any]) -> None:
    """Run after what it depends on."""


def _complete(_done: list[Any], target: Target, attributes: Mapping[str, Any]) -> None:
    """Write the image's attributes once every block is stored."""
    write_attributes(target, attributes)
