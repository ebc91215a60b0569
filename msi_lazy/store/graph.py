"""The write graph: one graph that stores every level and ends with the metadata."""

from __future__ import annotations

from dataclasses import dataclass
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dask.array as da
    import numpy as np
    import zarr
    from dask.typing import Key

__all__ = ["LevelArrays", "skip_block", "store_block", "write_graph"]


@dataclass(frozen=True)
class LevelArrays:
    """The levels of one image, and where they go."""

    arrays: Sequence[da.Array]
    """Samples of each level."""
    targets: Sequence[zarr.Array[Any]]
    """Stored array of each level."""
    read_back: Sequence[bool] = ()
    """Which stages read what the one before stored, in place of its shares."""
    kept: int = 0
    """Levels from the finest that are in the store already and are not written again."""


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


def skip_block(block: np.ndarray[Any, Any], target: zarr.Array[Any], index: tuple[int, ...], **_options: Any) -> None:
    """Leave a block as it is in the store."""


def _none_is_empty(block: np.ndarray[Any, Any], target: zarr.Array[Any]) -> bool:
    """Whether each chunk of ``block`` begins with a sample that is not the fill value."""
    corners = block[tuple(slice(None, None, chunk) for chunk in target.chunks)]
    fill: Any = target.fill_value
    return bool(((corners != fill) & (corners == corners)).all())


def write_graph(images: Sequence[LevelArrays], completions: Sequence[Callable[[], None]]) -> Delayed:
    """Build the graph that stores all levels of ``images``, and then runs ``completions`` in order.

    Keys carry a fresh token, as the same key under a held future would run nothing.
    """
    graph: dict[Key, GraphNode] = {}
    sinks: list[Key] = []
    for image in images:
        tasks, ends = _store_levels(image)
        graph |= tasks
        sinks.extend(ends)
    name = f"pyramid-write-{uuid4().hex}"
    graph |= _finish(name, sinks, completions)
    return Delayed(name, HighLevelGraph.from_collections(name, graph))


def _store_levels(image: LevelArrays) -> tuple[dict[Key, GraphNode], Sequence[Key]]:
    """Tasks that store one image, and those of them that nothing waits for."""
    token = uuid4().hex
    # levels that are kept are not written, so their blocks may lie as they will
    arrays = [
        array if number < image.kept else _aligned(array, stored)
        for number, (array, stored) in enumerate(zip(image.arrays, image.targets, strict=True))
    ]
    opened: dict[Key, GraphNode] = {}
    stores = []
    for number, (array, stored) in enumerate(zip(arrays, image.targets, strict=True)):
        key = f"pyramid-target{number}-{token}"
        opened[key] = DataNode(key, stored)
        starts = tuple(tuple(accumulate(lengths[:-1], initial=0)) for lengths in array.chunks)
        probe = stored.shards is None and not runs_in_rust(stored)
        stores.append(
            LevelStore(skip_block if number < image.kept else store_block, key, {"starts": starts, "probe": probe})
        )
    fused = emit_blocks(arrays, stores, token, image.read_back) or _fuse(arrays, stores, opened, token)
    return opened | fused.tasks, fused.sinks


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


def _finish(key: str, sinks: Sequence[Key], completions: Sequence[Callable[[], None]]) -> dict[Key, GraphNode]:
    """A small tree of tasks that waits for all of ``sinks``, then runs ``completions``."""
    tasks: dict[Key, GraphNode] = {}
    waiting = list(sinks)
    while len(waiting) > FINISH_FAN_IN:
        groups = [waiting[i : i + FINISH_FAN_IN] for i in range(0, len(waiting), FINISH_FAN_IN)]
        waiting = []
        for group in groups:
            name = (f"pyramid-wait-{key}", len(tasks))
            tasks[name] = Task(name, _wait, List(*map(TaskRef, group)))
            waiting.append(name)
    tasks[key] = Task(key, _complete, List(*map(TaskRef, waiting)), tuple(completions))
    return tasks


def _wait(_done: list[Any]) -> None:
    """Run after what it depends on."""


def _complete(_done: list[Any], completions: Sequence[Callable[[], None]]) -> None:
    """Complete the images once every block is stored."""
    for complete in completions:
        complete()
