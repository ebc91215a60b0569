"""From Dask's layers to plain tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dask._task_spec import convert_legacy_graph  # no public name for it

if TYPE_CHECKING:
    from dask.highlevelgraph import HighLevelGraph
    from dask.task_spec import GraphNode
    from dask.typing import Key

__all__ = ["materialize"]


def materialize(graph: HighLevelGraph) -> dict[Key, GraphNode]:
    """All tasks of a graph, tuples of Dask's older notation converted."""
    tasks: dict[Key, GraphNode] = convert_legacy_graph(graph.to_dict())
    return tasks
