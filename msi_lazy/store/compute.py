"""Running a write, on whatever scheduler is active, with or without a progress bar."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from dask.base import get_scheduler
from dask.diagnostics.progress import ProgressBar

if TYPE_CHECKING:
    from dask.delayed import Delayed

__all__ = ["active_client", "crosses_processes", "run"]


def active_client() -> Any:
    """The distributed client that a computation would go to now, or ``None``."""
    if "distributed" not in sys.modules:  # nobody can have made one
        return None
    from distributed import Client

    owner = getattr(get_scheduler(), "__self__", None)
    return owner if isinstance(owner, Client) else None


def crosses_processes() -> bool:
    """Whether a computation now would run in other processes than this one."""
    if active_client() is not None:
        return True
    from dask import multiprocessing

    return bool(get_scheduler() is multiprocessing.get)


def run(delayed: Delayed, progress: bool) -> None:
    """Compute ``delayed``, whose graph needs no further optimising."""
    client = active_client()
    if not progress:
        delayed.compute(optimize_graph=False)
    elif client is None:
        with ProgressBar():
            delayed.compute(optimize_graph=False)
    else:
        from distributed import progress as show_progress

        future = client.compute(delayed, optimize_graph=False)
        show_progress(future, notebook=False)
        future.result()
