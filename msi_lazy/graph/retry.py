"""Retries of tasks that fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask.task_spec import Task

from msi_lazy.graph.gather import as_delayed

if TYPE_CHECKING:
    from collections.abc import Callable

    from dask.delayed import Delayed

__all__ = ["retried"]


@dataclass(frozen=True)
class _Retried:
    """A task's function, retried where it fails; the tasks of a write may run any number of times."""

    function: Callable[..., Any]
    retries: int

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, again if need be."""
        for _ in range(self.retries):
            try:
                return self.function(*args, **kwargs)
            except Exception:
                continue
        return self.function(*args, **kwargs)


def retried(delayed: Delayed, retries: int) -> Delayed:
    """Retry each task that fails, which Dask's own schedulers for one machine cannot do."""
    tasks = {
        key: Task(key, _Retried(task.func, retries), *task.args, **task.kwargs) if type(task) is Task else task
        for key, task in delayed.dask.items()
    }
    return as_delayed(tasks, delayed.key)
