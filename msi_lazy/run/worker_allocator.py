"""Preload for Dask's workers, whose allocator then keeps freed memory: ``--preload msi_lazy.run.worker_allocator``.

Dask's nanny starts workers with ``MALLOC_TRIM_THRESHOLD_=65536``, with which glibc gives each large block back to the
kernel when it is freed.  Nothing needs this preload for Blosc and zstd in local files: a write reserves what their
codecs need by itself.
"""

from __future__ import annotations

from typing import Any

from distributed import WorkerPlugin

from msi_lazy.compat.allocator import keep_freed_memory

__all__ = ["AllocatorPlugin", "dask_setup"]


def dask_setup(_worker: Any) -> None:
    """Set the allocator of a worker's process, as ``dask worker --preload`` calls it."""
    keep_freed_memory()


class AllocatorPlugin(WorkerPlugin):
    """The same for the workers of a cluster that runs: ``client.register_plugin(AllocatorPlugin())``.

    The memory that a process keeps is up to 256 MiB for each of its threads.
    """

    name = "msi_lazy-allocator"

    def setup(self, worker: Any) -> None:
        """Set the allocator of a worker's process."""
        keep_freed_memory()
