"""Conversion of Dask's layers to plain tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.compat.dask_tasks import convert_tasks, is_plain, write_out
from msi_lazy.graph.garbage import collection_paused

if TYPE_CHECKING:
    from dask.highlevelgraph import HighLevelGraph
    from dask.task_spec import GraphNode
    from dask.typing import Key

__all__ = ["materialize"]


@collection_paused()
def materialize(graph: HighLevelGraph) -> dict[Key, GraphNode]:
    """Write out all tasks of a graph, tuples of Dask's older notation converted."""
    written: dict[Key, Any] = {}
    for layer in graph.layers.values():
        written |= write_out(layer) if is_plain(layer) else layer
    return convert_tasks(written)
