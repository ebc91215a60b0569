"""Building the Dask graph: one multi-output layer per stage, and a pick of it for each level.

::

    source ──> stage 0: (level 0, 1, 2, share of 3) per block ──> pick 0, pick 1, pick 2
                                                            └──> merge into blocks of stage 1
               stage 1: (level 3, 4, 5) per block             ──> pick 3, pick 4, pick 5
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.array.overlap import overlap
from dask.base import tokenize
from dask.blockwise import BlockIndex, Blockwise, blockwise
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import DataNode, TaskRef

from msi_lazy.graph.block_tasks import (
    StageWork,
    merge_block,
    pick_level,
    read_block,
    reduce_block,
    reduce_overlapped,
)
from msi_lazy.graph.merge import MergeLayer
from msi_lazy.source.sources import DaskSource, WindowSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dask.highlevelgraph import Layer
    from dask.task_spec import GraphNode

    from msi_lazy.methods import Method
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["STAGE_FUNCTIONS", "build_levels", "find_works", "is_level", "is_stage_task"]

STAGE_FUNCTIONS = (read_block, merge_block, reduce_block, reduce_overlapped)
"""What makes a task a block of a stage."""


def build_levels(
    source: WindowSource | DaskSource, plan: PyramidPlan, method: Method, nodata: object
) -> list[da.Array]:
    """Dask arrays of every level of ``plan``; nothing is read.

    The blocks of each array are the plan's, each a whole number of chunks.
    """
    record = (plan.boundary, plan.block_bytes, plan.reading, plan.notes)
    works = [StageWork(stage, method, nodata, *record) for stage in plan.stages]
    token = tokenize(source.token, works, str(plan.dtype))
    graph, source_name = _start_graph(source, works[0])
    arrays: list[da.Array] = []
    for number, work in enumerate(works):
        name = f"pyramid-stage{number}-{token}"
        if number == 0:
            layer, below = _first_stage(name, source_name, source, work), source_name
        else:
            below = f"pyramid-share{number - 1}-{token}"
            layer = MergeLayer(name, below, work, works[number - 1].stage)
        graph = _with_layer(graph, name, layer, below)
        for position, level in enumerate(work.stage.outputs):
            is_share = position == len(work.stage.written)
            pick = f"pyramid-share{number}-{token}" if is_share else f"pyramid-level{level}-{token}"
            picks = _pick_layer(pick, name, work, position)
            if is_share:
                graph = _with_layer(graph, pick, picks, name)
                continue
            with_level = _with_layer(graph, pick, picks, name)
            arrays.append(_as_array(with_level, pick, work, level, plan.dtype))
    return arrays


def find_works(arrays: list[da.Array]) -> tuple[StageWork, ...]:
    """The stages that ``arrays`` are plain picks of, in the order of their levels."""
    found: dict[str, StageWork] = {}
    for array in arrays:
        if is_level(array):
            layers = array.dask.layers
            name = str(layers[array.name].indices[0][0])
            work = _work_of(layers.get(name))
            if work is not None:
                found[name] = work
    return tuple(sorted(found.values(), key=lambda work: work.stage.first))


def is_level(array: da.Array) -> bool:
    """Whether an array is a level as :func:`build_levels` made it, and nothing was done to it."""
    pick = array.dask.layers.get(array.name)
    return isinstance(pick, Blockwise) and pick.task.func is pick_level


def _work_of(layer: Layer | None) -> StageWork | None:
    """The stage that a layer computes, if it is the layer of one."""
    if isinstance(layer, MergeLayer):
        return layer.work
    if isinstance(layer, Blockwise) and layer.task.func in STAGE_FUNCTIONS:
        work: StageWork = layer.task.kwargs["work"]
        return work
    return None


def _start_graph(source: WindowSource | DaskSource, work: StageWork) -> tuple[HighLevelGraph, str]:
    """The graph below the first stage, and the name of its last layer."""
    if isinstance(source, DaskSource):
        array = source.array.rechunk(work.stage.block_chunks(0))
        if any(work.stage.halo):
            alone = (count == 1 for count in work.stage.counts)  # no neighbour, so nothing to overlap with
            depth = {dim: 0 if lone else work.stage.halo[dim] for dim, lone in enumerate(alone)}
            array = overlap(array, depth, boundary="none", allow_rechunk=False)
        return array.dask, array.name
    key = f"pyramid-source-{source.token}"
    return HighLevelGraph({key: MaterializedLayer({key: DataNode(key, source)})}, {key: set()}), key


def _with_layer(graph: HighLevelGraph, name: str, layer: Layer, below: str) -> HighLevelGraph:
    layers: Mapping[str, Layer] = {**graph.layers, name: layer}
    return HighLevelGraph(layers, {**graph.dependencies, name: {below}})


def _first_stage(name: str, below: str, source: WindowSource | DaskSource, work: StageWork) -> Any:
    """Tasks that read each block's window, or take the source's rechunked block."""
    counts = work.stage.counts
    dims = tuple(range(len(counts)))
    index = BlockIndex(counts)
    if isinstance(source, DaskSource):
        make = reduce_overlapped if any(work.stage.halo) else reduce_block
        return blockwise(make, name, dims, below, dims, index, dims, numblocks={below: counts}, work=work)
    return blockwise(read_block, name, dims, TaskRef(below), None, index, dims, numblocks={}, work=work)


def _pick_layer(name: str, stage: str, work: StageWork, position: int) -> Any:
    dims = tuple(range(len(work.stage.counts)))
    numblocks = {stage: work.stage.counts}
    return blockwise(pick_level, name, dims, stage, dims, numblocks=numblocks, position=position)


def _as_array(graph: HighLevelGraph, name: str, work: StageWork, level: int, dtype: np.dtype) -> da.Array:
    chunks = work.stage.block_chunks(level)
    return da.Array(graph, name, chunks, meta=np.empty((0,) * len(chunks), dtype))


def is_stage_task(node: GraphNode) -> bool:
    """Whether a task makes one block of a stage."""
    return getattr(node, "func", None) in STAGE_FUNCTIONS
