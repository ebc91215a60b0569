"""Computation of a graph, on whatever scheduler is active, with or without a progress bar."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dask
from dask import threaded
from dask.base import get_scheduler
from dask.diagnostics.progress import ProgressBar

from msi_lazy.errors import warn_user
from msi_lazy.graph.emit import describe_task
from msi_lazy.graph.retry import retried
from msi_lazy.run.progress_display import is_watched
from msi_lazy.run.scheduler import active_client, check_waiting, has_workers, out_of_the_pool, worker_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dask.delayed import Delayed

    from msi_lazy.run.options import RunOptions
    from msi_lazy.run.watch import Watch

__all__ = ["compute", "run"]

_PATIENCE = 5.0
"""Seconds after which a wait for a cluster without workers is told of."""


def compute(
    graphs: Iterator[Delayed], options: RunOptions, watch: Watch, advice: str = "mode='w' starts over"
) -> Delayed | None:
    """Compute the graphs of a write, one after another, or return the first if it is not to be computed now.

    Errors get a note with ``advice``, and one on the block that killed workers, if one did.
    """
    graph = next(graphs)
    if not options.compute:
        return graph
    try:
        with watch.shown():
            run(graph, options.progress and watch.tally is None, options.retries)
            for graph in graphs:
                run(graph, options.progress and watch.tally is None, options.retries)
    except BaseException as error:
        block = _deadly_task(error, graph)
        if block:
            error.add_note(
                f"workers died while computing {block}, or another block queued on the same workers (the scheduler "
                f"cannot tell which); most likely they ran out of memory: give them more memory or fewer threads, or "
                f"build the pyramid with smaller block_bytes"
            )
        error.add_note(advice)
        raise
    return None


def _deadly_task(error: BaseException, delayed: Delayed) -> str:
    """Describe the block that killed workers; empty if none did."""
    key = getattr(error, "task", None)
    if type(error).__name__ != "KilledWorker" or key is None:
        return ""
    return describe_task(delayed.dask, key)


def run(delayed: Delayed, progress: bool, retries: int = 0) -> Any:
    """Compute ``delayed``, whose graph needs no further optimising, on whatever scheduler is active.

    Tasks in progress have ended when this returns or raises, except on a cluster, whose scheduler cannot wait for
    cancelled tasks.

    Parameters
    ----------
    delayed
        Graph to compute.
    progress
        Whether to show a bar of the tasks, where anybody can see it.
    retries
        Number of times that a failing task is tried again.
    """
    client, progress = active_client(), progress and is_watched()
    if client is not None:
        return _run_on_cluster(client, delayed, progress, retries)
    if retries:
        delayed = retried(delayed, retries)
    with ProgressBar() if progress else nullcontext(), _own_threads() as settings:
        return delayed.compute(optimize_graph=False, **settings)


def _run_on_cluster(client: Any, delayed: Delayed, progress: bool, retries: int) -> Any:
    """Compute on a cluster; in a task of it, which may be on its only worker, as Dask's own ``compute`` does."""
    check_waiting()
    with out_of_the_pool():
        future = client.compute(delayed, optimize_graph=False, retries=retries)
        try:
            _wait(client, future, progress)
            return future.result()
        except BaseException:
            future.cancel()
            raise
        finally:
            future.release()  # or the scheduler keeps all tasks until errors of waiting, which hold it, are collected


def _wait(client: Any, future: Any, progress: bool) -> None:
    """Wait until ``future`` has ended, and say so if there are no workers that could compute it."""
    from distributed import progress as show_progress

    if progress and has_workers(client):
        show_progress(future, notebook=False)
    said = False
    while not _has_ended(future, _PATIENCE):
        if not said and not has_workers(client):
            said = True
            warn_user(
                f"the cluster {client.scheduler.address} has no workers, and is waited for: start some, "
                f"e.g. with cluster.scale(2), or interrupt"
            )


def _has_ended(future: Any, seconds: float) -> bool:
    from distributed import wait

    try:
        wait(future, timeout=seconds)
    except TimeoutError:
        return False
    return True


@contextmanager
def _own_threads() -> Iterator[dict[str, Any]]:
    """Give a computation threads of its own, which end with it, unless the user has chosen others.

    Dask's own threads continue their tasks after another one failed, or after an interrupt, and might then write into
    another image.
    """
    if get_scheduler() not in (None, threaded.get) or dask.config.get("pool", None) is not None:
        yield {}
        return
    prefix = f"pyramid-{uuid4().hex}"
    threads = ThreadPoolExecutor(worker_threads(), thread_name_prefix=prefix)
    try:
        yield {"scheduler": "threads", "pool": threads}
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
        for thread in threading.enumerate():  # one that was being started as an interrupt came is not known to the pool
            if thread.name.startswith(prefix):
                thread.join()
