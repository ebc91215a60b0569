"""Dask graph of a pyramid: one multi-output layer per stage, and a pick of it for each level.

::

    source ──> stage 0: (level 0, 1, 2, carry of 3) per block ──> pick 0, pick 1, pick 2
                                                            └──> merge into blocks of stage 1
               stage 1: (level 3, 4, 5) per block             ──> pick 3, pick 4, pick 5

Blocks of a computed source take the chunks that they touch, whole.  Dask's rechunk and overlap would cut each chunk
into views first, which hold it just as long, and take a task for each view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from dask.array.overlap import overlap
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import DataNode, TaskRef

from msi_lazy.compat.dask_arrays import make_array
from msi_lazy.compat.dask_graphs import build_calls, scheduler_owner
from msi_lazy.graph.block_tasks import StageRecipe, pick_level, read_block, reduce_block, reduce_overlapped
from msi_lazy.graph.declared import check_blocks
from msi_lazy.graph.merge import GatherLayer, MergeLayer
from msi_lazy.plan.source_rows import SourceChunks
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
    """Build the Dask arrays of every level of ``plan``; nothing is read.

    The blocks of each array are the plan's, each a whole number of chunks.
    """
    computed = source.array.name if isinstance(source, DaskSource) else None
    record = (plan.boundary, plan.block_bytes, plan.reading, plan.notes, computed)
    recipes = [StageRecipe(stage, method, nodata, plan.dtype, *record) for stage in plan.stages]
    token = tokenize(source.token, recipes)
    graph, source_name = _start_graph(source, recipes[0])
    arrays: list[da.Array] = []
    for number, recipe in enumerate(recipes):
        name = f"pyramid-stage{number}-{token}"
        if number == 0:
            layer, below = _first_stage(name, source_name, source, recipe), source_name
        else:
            below = f"pyramid-carry{number - 1}-{token}"
            layer = MergeLayer(name, below, recipe, recipes[number - 1].stage)
        graph = _with_layer(graph, name, layer, below)
        for position, level in enumerate(recipe.stage.outputs):
            is_carry = position == len(recipe.stage.written)
            pick = f"pyramid-carry{number}-{token}" if is_carry else f"pyramid-level{level}-{token}"
            picks = build_calls(pick_level, pick, recipe.stage.counts, name, position=position)
            if is_carry:
                graph = _with_layer(graph, pick, picks, name)
                continue
            with_level = _with_layer(graph, pick, picks, name)
            arrays.append(_as_array(with_level, pick, recipe, level, plan.dtype))
    return arrays


def _start_graph(source: WindowSource | DaskSource, recipe: StageRecipe) -> tuple[HighLevelGraph, str]:
    """Build the graph below the first stage; return it and the name of its last layer."""
    if isinstance(source, DaskSource):
        if not _sends_pieces():
            return source.array.dask, source.array.name
        array, chunks = source.array, recipe.stage.block_chunks(0)
        if array.chunks != chunks or any(recipe.stage.halo):  # several are joined to one
            array = check_blocks(array).rechunk(chunks)
        if any(recipe.stage.halo):
            alone = (count == 1 for count in recipe.stage.counts)  # a single block overlaps with nothing
            depth = {dim: 0 if lone else recipe.stage.halo[dim] for dim, lone in enumerate(alone)}
            array = overlap(array, depth, boundary="none", allow_rechunk=False)
        return array.dask, array.name
    key = f"pyramid-source-{source.token}"
    return HighLevelGraph({key: MaterializedLayer({key: DataNode(key, source)})}, {key: set()}), key


def _sends_pieces() -> bool:
    """Tell whether Dask rechunks a computed source: on a cluster, where workers would send one another whole chunks."""
    return scheduler_owner() is not None


def _with_layer(graph: HighLevelGraph, name: str, layer: Layer, below: str) -> HighLevelGraph:
    layers: Mapping[str, Layer] = {**graph.layers, name: layer}
    return HighLevelGraph(layers, {**graph.dependencies, name: {below}})


def _first_stage(name: str, below: str, source: WindowSource | DaskSource, recipe: StageRecipe) -> Layer:
    """Build the layer that reads each block's window, or cuts it out of the chunks of a computed source."""
    counts = recipe.stage.counts
    if isinstance(source, DaskSource) and not _sends_pieces():
        return GatherLayer(name, below, recipe, SourceChunks(source.chunks))
    if isinstance(source, DaskSource):
        function = reduce_overlapped if any(recipe.stage.halo) else reduce_block
        return build_calls(function, name, counts, below, index=True, recipe=recipe)
    return build_calls(read_block, name, counts, TaskRef(below), index=True, recipe=recipe)


def _as_array(graph: HighLevelGraph, name: str, recipe: StageRecipe, level: int, dtype: np.dtype) -> da.Array:
    chunks = recipe.stage.block_chunks(level)
    return make_array(graph, name, chunks, np.empty((0,) * len(chunks), dtype))
