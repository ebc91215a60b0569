"""Active scheduler: its processes, threads and memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import dask
from dask import multiprocessing
from dask.base import get_scheduler
from dask.local import get_sync
from dask.system import CPU_COUNT

from msi_lazy.compat.dask_graphs import scheduler_owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.source.origins import Source
    from msi_lazy.storage.place import Place

__all__ = ["active_client", "check_processes", "crosses_processes", "process_memory", "worker_threads"]


def active_client() -> Any:
    """Find the distributed client that a computation would now be sent to, or ``None``."""
    owner = scheduler_owner()
    if owner is None or "distributed" not in sys.modules:  # else no client can exist
        return None
    from distributed import Client

    return owner if isinstance(owner, Client) else None


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

    return int(MEMORY_LIMIT)


def _workers(client: Any) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


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
