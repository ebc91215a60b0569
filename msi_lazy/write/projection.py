"""Memory of a write in each process, compared with a limit before anything is created."""

from __future__ import annotations

import logging
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from dask.utils import format_bytes

from msi_lazy.arguments.sizes import parse_bytes_of
from msi_lazy.errors import MemoryLimitError, warn_user
from msi_lazy.plan.block_size import aligned_blocks
from msi_lazy.plan.memory import PROCESS_RESERVE
from msi_lazy.plan.reading import longest_between
from msi_lazy.run.scheduler import process_memory, worker_threads
from msi_lazy.source.views import find_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.plan.memory import MemoryUse
    from msi_lazy.write.job import ImageJob

__all__ = ["project_write"]

_LOGGER = logging.getLogger(__name__)


def project_write(jobs: Sequence[ImageJob], memory_limit: int | str | None) -> list[Sequence[bool]]:
    """Project the memory of a write: return which stages of each image read back stored samples to save memory.

    Without a limit, more than a process of the computation may use is warned of.

    Raises
    ------
    MemoryLimitError
        The images together need more than ``memory_limit``, or an unknown amount.
    """
    threads = worker_threads()
    limit = process_memory() if memory_limit is None else parse_bytes_of("memory_limit", memory_limit)
    uses = [_project(job, threads, limit) for job in jobs]
    excess = _describe_excess(uses, threads, limit, jobs[0].plan.block_bytes, memory_limit is not None)
    if memory_limit is not None:
        for job in jobs:
            _check_known(job)
        if excess:
            raise MemoryLimitError(excess)
    elif excess:
        warn_user(excess)
    for job, use in zip(jobs, uses, strict=True):
        _LOGGER.debug(
            "%s: %s for each of %d threads, in %s; %d stages read back what was stored",
            job.path or "the image", format_bytes(use.per_thread), threads, format_bytes(limit), sum(use.read_back),
        )  # fmt: skip
    return [use.read_back for use in uses]


def _project(job: ImageJob, threads: int, limit: int | None) -> MemoryUse:
    may_read_back = job.lossless and not job.kept and job.levels.is_whole
    memory = job.plan.memory(threads, limit if may_read_back else None)
    merged, held = _merged_bytes(job)
    return replace(memory, per_thread=memory.per_thread + merged, rechunking=memory.rechunking + held)


def _check_known(job: ImageJob) -> None:
    planned = job.plan.stages and job.levels.are_picks
    if not (
        planned or job.plan.untransposed is not None or all(find_view(array) is not None for array in job.levels.arrays)
    ):
        raise MemoryLimitError(
            "memory_limit cannot be checked for an edited tree: the memory that its arrays need is unknown; leave "
            "memory_limit out, or write the pyramid as to_multiscale built it"
        )


def _describe_excess(
    uses: Sequence[MemoryUse], threads: int, limit: int, block_bytes: int, limit_is_given: bool
) -> str:
    """Say by how much images, written together, exceed the limit; empty if they do not.

    Any thread may hold the largest block of all.
    """
    per_thread = max(use.per_thread for use in uses)
    besides = PROCESS_RESERVE + sum(use.graph + use.rechunking + use.carries for use in uses)
    total = besides + threads * per_thread
    if total <= limit:
        return ""
    advice = (
        f"use fewer threads per process, or build the pyramid with smaller block_bytes (now "
        f"{format_bytes(block_bytes)}) or smaller chunks"
    )
    if besides >= limit:
        advice = f"with these chunks, blocks of any size need more than {format_bytes(besides)}"
        advice += ", so raise memory_limit" if limit_is_given else ""
    each = "1 worker thread" if threads == 1 else f"{threads} worker threads"
    there_is = "memory_limit is" if limit_is_given else "a process may use"
    return (
        f"the write would hold up to {format_bytes(total)} of memory in each process ({each} with "
        f"{format_bytes(per_thread)} each, and {format_bytes(besides)} besides), and {there_is} {format_bytes(limit)}; "
        f"{advice}"
    )


def _merged_bytes(job: ImageJob) -> tuple[int, int]:
    """Bytes of the largest block merged to fit the chunks or shards, and of those held meanwhile."""
    merged = held = 0
    for layout, array in zip(job.layouts, job.levels.arrays[job.kept :], strict=True):
        blocks = aligned_blocks(array.chunks, layout.write_unit)
        if blocks != array.chunks:
            merged = max(merged, 3 * prod(map(max, blocks)) * array.dtype.itemsize)
            held += 2 * prod(map(longest_between, array.chunks, blocks)) * array.dtype.itemsize
    return merged, held
