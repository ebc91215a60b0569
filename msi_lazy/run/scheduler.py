"""Active scheduler: its processes, threads and memory."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import dask
from dask import multiprocessing
from dask.base import get_scheduler
from dask.local import get_sync
from dask.system import CPU_COUNT

from msi_lazy.compat.dask_graphs import scheduler_owner
from msi_lazy.run.container_memory import container_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.source.origins import Source
    from msi_lazy.storage.place import Place

__all__ = [
    "active_client",
    "all_threads",
    "check_processes",
    "check_waiting",
    "crosses_processes",
    "has_workers",
    "out_of_the_pool",
    "process_memory",
    "worker_threads",
]


def active_client() -> Any:
    """Find the distributed client that a computation would now be sent to, or ``None``."""
    try:
        owner = scheduler_owner()
    except RuntimeError:  # Dask computes nothing at once by an asynchronous client
        return _asynchronous_client()
    if owner is None or "distributed" not in sys.modules:  # else no client can exist
        return None
    from distributed import Client

    return owner if isinstance(owner, Client) else None


def _asynchronous_client() -> Any:
    """Return the client that Dask refuses; raises if that was for another reason."""
    from distributed import Client, get_client

    chosen = dask.config.get("scheduler", None)
    client = chosen if isinstance(chosen, Client) else get_client()
    if not client.asynchronous:
        scheduler_owner()  # which raises what it raised
    return client


def check_waiting(compute: bool = True) -> None:
    """Refuse to compute at once by an asynchronous client, before anything is created.

    Raises
    ------
    RuntimeError
        A computation would now be sent to an asynchronous client.
    """
    client = active_client() if compute else None
    if client is not None and client.asynchronous:
        raise RuntimeError(
            "the active Client is asynchronous, and nothing can wait for it here: pass compute=False, and then "
            "'await client.compute(delayed)' with what is returned; or compute in another "
            "thread, 'await asyncio.to_thread(...)'; or without the client, with dask.config.set(scheduler='threads')"
        )


def has_workers(client: Any) -> bool:
    """Tell whether a client's cluster has any worker now."""
    return bool(_workers(client))


@contextmanager
def out_of_the_pool() -> Iterator[None]:
    """Let the worker whose task this is, if it is one, run other tasks within: those that it waits for, say."""
    from distributed import rejoin, secede

    left = False
    with suppress(AttributeError, KeyError, ValueError):  # no task of a worker, one that has left already, no worker
        secede()
        left = True
    try:
        yield
    finally:
        if left:
            rejoin()


def crosses_processes() -> bool:
    """Tell whether a computation would now run in other processes than this one."""
    if active_client() is not None:
        return True
    return bool(get_scheduler() is multiprocessing.get)


def worker_threads() -> int:
    """Count the threads of a process that a computation would now use; the most of any worker on a cluster."""
    client = active_client()
    if client is not None:
        return max((worker["nthreads"] for worker in _workers(client)), default=1)
    scheduler = dask.config.get("scheduler", None)
    pools = (scheduler, dask.config.get("pool", None))
    sizes = [getattr(pool, name, None) for pool in pools for name in ("_max_workers", "_processes")]
    if get_scheduler() in (get_sync, multiprocessing.get):
        return 1
    return int(next(filter(None, sizes), None) or dask.config.get("num_workers", None) or CPU_COUNT)


def all_threads() -> int:
    """Count the threads of all processes that a computation would now use."""
    client = active_client()
    return worker_threads() if client is None else max(sum(worker["nthreads"] for worker in _workers(client)), 1)


def process_memory() -> int:
    """Find the bytes that each process of a computation may use: the least limit of any worker, or of this process.

    The limit of this process is the machine's memory, or the limit of its container (cgroup) or user, if less.
    """
    client = active_client()
    limits = [worker["memory_limit"] for worker in _workers(client)] if client is not None else []
    known = list(filter(None, limits))
    if known:
        return int(min(known))
    from distributed.system import MEMORY_LIMIT  # a quarter of a second, once, and for writes alone

    return min(int(MEMORY_LIMIT), container_memory() or int(MEMORY_LIMIT))  # which sees no group inside another


def _workers(client: Any) -> list[dict[str, Any]]:
    """Describe the workers: ``scheduler_info`` may give what the client has cached in that moment, without any."""
    if client.asynchronous:
        return list(client.scheduler_info()["workers"].values())
    return list(client.sync(client.scheduler.identity, n_workers=-1)["workers"].values())


def check_processes(place: Place, sources: Sequence[Source] = ()) -> None:
    """Refuse to write to a store in memory from other processes, or to read a source that they do not see.

    Raises
    ------
    ValueError
        A computation would now run in other processes, and these cannot see the store, or a source.
    """
    if not crosses_processes():
        return
    if place.in_memory:
        raise ValueError("a store in memory cannot be written by worker processes; write to a path")
    for source in sources:
        source.check_elsewhere()
