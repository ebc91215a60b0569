"""Building the Dask graph: one multi-output layer per stage, and a pick of it for each level.

::

    source ──> stage 0: (level 0, 1, 2, share of 3) per block ──> pick 0, pick 1, pick 2
                                                            └──> merge into blocks of stage 1
               stage 1: (level 3, 4, 5) per block             ──> pick 3, pick 4, pick 5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from dask.array.overlap import overlap
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import DataNode, TaskRef

from msi_lazy.compat.dask_arrays import make_array
from msi_lazy.compat.dask_graphs import build_calls
from msi_lazy.graph.block_tasks import StageWork, pick_level, read_block, reduce_block, reduce_overlapped
from msi_lazy.graph.merge import MergeLayer
from msi_lazy.source.sources import DaskSource, WindowSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dask.array as da
    from dask.highlevelgraph import Layer

    from msi_lazy.methods import Method
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["build_levels"]


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
            picks = build_calls(pick_level, pick, work.stage.counts, name, position=position)
            if is_share:
                graph = _with_layer(graph, pick, picks, name)
                continue
            with_level = _with_layer(graph, pick, picks, name)
            arrays.append(_as_array(with_level, pick, work, level, plan.dtype))
    return arrays


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


def _first_stage(name: str, below: str, source: WindowSource | DaskSource, work: StageWork) -> Layer:
    """Tasks that read each block's window, or take the source's rechunked block."""
    counts = work.stage.counts
    if isinstance(source, DaskSource):
        make = reduce_overlapped if any(work.stage.halo) else reduce_block
        return build_calls(make, name, counts, below, index=True, work=work)
    return build_calls(read_block, name, counts, TaskRef(below), index=True, work=work)


def _as_array(graph: HighLevelGraph, name: str, work: StageWork, level: int, dtype: np.dtype) -> da.Array:
    chunks = work.stage.block_chunks(level)
    return make_array(graph, name, chunks, np.empty((0,) * len(chunks), dtype))
