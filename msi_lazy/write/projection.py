"""What a write will hold in each process, held against a limit before anything is created."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from dask.utils import format_bytes

from msi_lazy.arguments.sizes import parse_bytes_of
from msi_lazy.errors import MemoryLimitError
from msi_lazy.plan.block_size import aligned_blocks
from msi_lazy.plan.memory import PROCESS_RESERVE
from msi_lazy.plan.reading import longest_between
from msi_lazy.run.scheduler import process_memory, worker_threads
from msi_lazy.source.views import find_view
from msi_lazy.write.hierarchy import asked_settings
from msi_lazy.write.layout import write_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.graph.level_graph import LevelGraph
    from msi_lazy.plan.memory import MemoryUse
    from msi_lazy.write.job import Part

__all__ = ["project_write"]


def project_write(
    parts: Sequence[Part],
    images: Sequence[LevelGraph],
    memory_limit: int | str | None,
    may_read_back: Sequence[bool],
) -> list[Sequence[bool]]:
    """Which stages of each image read back what was stored, as far as memory asks for it.

    Raises
    ------
    MemoryLimitError
        The images together take more than ``memory_limit``, or nobody can say.
    """
    threads = worker_threads()
    limit = process_memory() if memory_limit is None else parse_bytes_of("memory_limit", memory_limit)
    uses = [
        _project(part, levels, threads, limit if may else None)
        for part, levels, may in zip(parts, images, may_read_back, strict=True)
    ]
    if memory_limit is not None:
        for part, levels in zip(parts, images, strict=True):
            _check_known(part, levels)
        _check_limit(uses, threads, limit, parts[0].plan.block_bytes)
    return [use.read_back for use in uses]


def _project(part: Part, levels: LevelGraph, threads: int, limit: int | None) -> MemoryUse:
    memory = part.plan.memory(threads, limit)
    merged, held = _merged_bytes(part, levels)
    return replace(memory, per_thread=memory.per_thread + merged, rechunking=memory.rechunking + held)


def _check_known(part: Part, levels: LevelGraph) -> None:
    planned = part.plan.stages and levels.are_picks
    if not (
        planned or part.plan.untransposed is not None or all(find_view(array) is not None for array in levels.arrays)
    ):
        raise MemoryLimitError(
            "memory_limit cannot be held against a tree that was edited: what its arrays need is not known; leave "
            "memory_limit out, or write the pyramid as to_multiscale built it"
        )


def _check_limit(uses: Sequence[MemoryUse], threads: int, limit: int, block_bytes: int) -> None:
    """Images are written together: any thread may hold the largest block of any of them."""
    per_thread = max(use.per_thread for use in uses)
    besides = PROCESS_RESERVE + sum(use.graph + use.rechunking + use.carries for use in uses)
    total = besides + threads * per_thread
    if total > limit:
        advice = (
            f"use fewer threads per process, or build the pyramid with smaller block_bytes (now "
            f"{format_bytes(block_bytes)}) or smaller chunks"
        )
        if besides >= limit:
            advice = f"blocks of any size need more than {format_bytes(besides)}, so raise memory_limit"
        each = "1 worker thread" if threads == 1 else f"{threads} worker threads"
        raise MemoryLimitError(
            f"the write would hold up to {format_bytes(total)} in each process ({each} with {format_bytes(per_thread)} "
            f"each, and {format_bytes(besides)} besides), and memory_limit is {format_bytes(limit)}; {advice}"
        )


def _merged_bytes(part: Part, levels: LevelGraph) -> tuple[int, int]:
    """Bytes of the largest block that is merged to fit the chunks or shards, and held meanwhile."""
    merged = held = 0
    for level, array in zip(part.plan.levels, levels.arrays, strict=True):
        unit = write_unit(level, part.plan, part.shards, asked_settings(part.encoding, level, part.plan))
        blocks = aligned_blocks(array.chunks, unit)
        if blocks != array.chunks:
            merged = max(merged, 3 * prod(map(max, blocks)) * array.dtype.itemsize)
            held += 2 * prod(map(longest_between, array.chunks, blocks)) * array.dtype.itemsize
    return merged, held
