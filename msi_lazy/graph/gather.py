"""Tasks that wait for many others, through a small tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import DataNode, GraphNode, List, Task, TaskRef
from dask.typing import Key

from msi_lazy.plan.pyramid import FINISH_FAN_IN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["SmallGraph", "TaskRef", "as_delayed", "gather", "gather_lists", "wait"]


class SmallGraph:
    """A graph that is built task by task, its keys unique to it.

    Parameters
    ----------
    name
        Part of every key.

    Examples
    --------
    >>> graph = SmallGraph("add")
    >>> one = graph.hold("one", 1)
    >>> total = graph.add("total", sum, [one, one])
    >>> graph.delayed(total).compute(scheduler="sync")
    2
    """

    def __init__(self, name: str) -> None:
        self.name, self.tasks = name, dict[Key, GraphNode]()
        self._token = uuid4().hex

    def hold(self, label: str, value: Any) -> TaskRef:
        """Add a task that holds ``value``, and return a reference to it."""
        key = self._key(label)
        self.tasks[key] = DataNode(key, value)
        return TaskRef(key)

    def add(self, label: str, function: Callable[..., Any], *arguments: Any, index: Any = None) -> TaskRef:
        """Add a task that calls ``function``, and return a reference to it.

        Parameters
        ----------
        label
            Part of the key, unique within the graph together with ``index``.
        function
            Function to call.
        *arguments
            References to other tasks, lists of such, or values.
        index
            Index of the task among several with this label.
        """
        key: Key = self._key(label) if index is None else (self._key(label), index)
        given = (List(*value) if isinstance(value, list) else value for value in arguments)
        self.tasks[key] = Task(key, function, *given)
        return TaskRef(key)

    def gather(self, label: str, tasks: Sequence[TaskRef], *, lists: bool = False) -> TaskRef:
        """Add a task that runs once ``tasks`` have run; with ``lists`` it joins the lists that they return."""
        key, keys = self._key(label), [task.key for task in tasks]
        self.tasks |= gather_lists(key, keys) if lists else gather(key, keys, wait, wait)
        return TaskRef(key)

    def delayed(self, task: TaskRef) -> Delayed:
        """Wrap the graph as a ``Delayed`` whose value is that of ``task``."""
        return as_delayed(self.tasks, str(task.key))

    def _key(self, label: str) -> str:
        return f"{self.name}-{label}-{self._token}"


def gather(
    end: str, keys: Sequence[Key], join: Callable[[list[Any]], Any], last: Callable[..., Any], *arguments: Any
) -> dict[Key, GraphNode]:
    """Build tasks that wait for the tasks ``keys``, few at a time: one that waits for thousands is slow to schedule.

    Parameters
    ----------
    end
        Key of the last of them.
    keys
        Tasks to wait for.
    join
        Function that turns a list of results into one.
    last, arguments
        The same for ``end``, which gets ``arguments`` too.
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
    """Build tasks that join the lists that the tasks ``keys`` return, in order; ``end`` returns the whole."""
    return gather(end, keys, _join, _join)


def wait(_done: list[Any]) -> None:
    """Run after what it depends on."""


def _join(lists: list[list[Any]]) -> list[Any]:
    return [entry for entries in lists for entry in entries]


def as_delayed(tasks: Mapping[Key, GraphNode], key: str) -> Delayed:
    """Wrap a graph and the key of its last task as a ``Delayed``."""
    return Delayed(key, HighLevelGraph.from_collections(key, dict(tasks)))
