"""Memory of a write in each process, compared with a limit before anything is created."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dask.utils import format_bytes

from msi_lazy.arguments.sizes import parse_bytes_of
from msi_lazy.errors import MemoryLimitError, warn_user
from msi_lazy.plan.source_rows import SourceChunks
from msi_lazy.plan.spill import SpillLayout
from msi_lazy.run.scheduler import process_memory, worker_threads
from msi_lazy.source.views import find_view
from msi_lazy.write.memory_advice import advise
from msi_lazy.write.projected_image import ProjectedImage, process_bytes, spill_where_needed, total_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.write.job import ImageJob

__all__ = ["Savings", "describe_excess", "describe_spill", "project_write"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Savings:
    """What a write does to hold less memory."""

    read_back: Sequence[bool]
    """Per stage, whether it reads back stored samples."""
    spills: bool
    """Whether the source is stored once, and read by windows from then on."""


def project_write(jobs: Sequence[ImageJob], memory_limit: int | str | None, may_spill: bool = True) -> list[Savings]:
    """Project the memory of a write: return what each image does to save some; with ``may_spill``, spill its source.

    A write that needs more than a process has is warned of, unless a limit is given.

    Raises
    ------
    MemoryLimitError
        The images together need more than ``memory_limit``, or an unknown amount.
    """
    threads = worker_threads()
    limit = process_memory() if memory_limit is None else parse_bytes_of("memory_limit", memory_limit)
    alike = Counter(id(job.plan) for job in jobs)
    kinds = list({id(job.plan): job for job in jobs}.values())
    images = [replace(ProjectedImage.of_job(job), count=alike[id(job.plan)]) for job in kinds]
    images = spill_where_needed(images, threads, limit) if may_spill else images
    if memory_limit is not None:
        for job in kinds:
            _check_known(job)
    excess = describe_excess(images, threads, limit, limited=memory_limit is not None)
    if excess and memory_limit is not None:
        raise MemoryLimitError(excess)
    if excess:
        warn_user(excess)
    uses = [image.memory(threads, limit) for image in images]
    for job, use in zip(kinds, uses, strict=True):
        _LOGGER.debug(
            "%s: %s for each of %d threads, in %s; %d stages read back what was stored",
            job.path or "the image", format_bytes(use.per_thread), threads, format_bytes(limit), sum(use.read_back),
        )  # fmt: skip
    savings = {
        id(job.plan): Savings(use.read_back, image.spills) for job, use, image in zip(kinds, uses, images, strict=True)
    }
    return [savings[id(job.plan)] for job in jobs]


def _check_known(job: ImageJob) -> None:
    planned = job.plan.stages and job.levels.are_picks
    if not (
        planned or job.plan.untransposed is not None or all(find_view(array) is not None for array in job.levels.arrays)
    ):
        raise MemoryLimitError(
            "memory_limit cannot be checked for an edited tree: the memory that its arrays need is unknown; leave "
            "memory_limit out, or write the pyramid as to_multiscale built it"
        )


def describe_excess(images: Sequence[ProjectedImage], threads: int, limit: int, *, limited: bool = False) -> str:
    """Say by how much images, written together, exceed ``limit``, and with what settings they would not.

    ``limited`` tells that the limit was given; else it is what a process may use.  Empty if the images fit.
    """
    uses = [image.memory(threads, limit) for image in images]
    total = total_bytes(uses, threads)
    if total <= limit:
        return ""
    each = "1 worker thread" if threads == 1 else f"{threads} worker threads"
    there_is, otherwise = "a process may use", "use a machine with more memory"
    if limited:
        there_is, otherwise = "memory_limit is", "raise memory_limit"
    return (
        f"the write would hold up to {format_bytes(total)} of memory in each process ({each} with "
        f"{format_bytes(max(use.per_thread for use in uses))} each, and {format_bytes(process_bytes(uses))} besides), "
        f"and {there_is} {format_bytes(limit)}; {advise(images, threads, limit, otherwise)}"
    )


def describe_spill(image: ProjectedImage, threads: int, limit: int) -> str:
    """Say why the source of an image is stored for a while."""
    held = replace(image, spills=False).memory(threads, limit).rechunking
    source = None if image.below_edits is None else image.below_edits.gathered
    lengths = image.plan.reading.lengths if source is None else source.recipe.reading.lengths
    tile = " x ".join(map(str, SpillLayout.of(SourceChunks(lengths or ())).tile))
    return (
        f"each chunk of the source is computed once, and stored beside the target until the write ends, in tiles of "
        f"{tile}: {format_bytes(held)} of chunks would be held together, and a process may use {format_bytes(limit)}"
    )
