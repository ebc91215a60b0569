"""Ends of a graph: one task that waits for many, through a small tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import GraphNode, List, Task, TaskRef

from msi_lazy.plan.pyramid import FINISH_FAN_IN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dask.typing import Key

__all__ = ["as_delayed", "gather", "gather_lists", "wait"]


def gather(
    end: str, keys: Sequence[Key], join: Callable[[list[Any]], Any], last: Callable[..., Any], *arguments: Any
) -> dict[Key, GraphNode]:
    """Tasks that wait for the tasks ``keys``, few at a time: a task of thousands is slow to hand to a scheduler.

    Parameters
    ----------
    end
        Key of the last of them.
    keys
        What they wait for.
    join
        Makes one result of a list of them.
    last, arguments
        The same for ``end``, which is given ``arguments`` too.
    """
    tasks: dict[Key, GraphNode] = {}
    waiting = list(keys)
    while len(waiting) > FINISH_FAN_IN:
        groups = [waiting[i : i + FINISH_FAN_IN] for i in range(0, len(waiting), FINISH_FAN_IN)]
        waiting = []
        for group in groups:
            name = (f"gather-{end}", len(tasks))
            tasks[name] = Task(name, join, List(*map(TaskRef, group)))
            waiting.append(name)
    tasks[end] = Task(end, last, List(*map(TaskRef, waiting)), *arguments)
    return tasks


def gather_lists(end: str, keys: Sequence[Key]) -> dict[Key, GraphNode]:
    """Tasks that put the lists together that the tasks ``keys`` return, in order; ``end`` returns them all."""
    return gather(end, keys, _join, _join)


def wait(_done: list[Any]) -> None:
    """Run after what it depends on."""


def _join(lists: list[list[Any]]) -> list[Any]:
    return [entry for entries in lists for entry in entries]


def as_delayed(tasks: Mapping[Key, GraphNode], key: str) -> Delayed:
    """A graph and the key of its last task as a ``Delayed``."""
    return Delayed(key, HighLevelGraph.from_collections(key, dict(tasks)))
