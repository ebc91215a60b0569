"""Memory that a write holds: in each worker thread, between stages, and for the process itself.

Peak memory is projected from the plan alone, as an upper bound::

    process = reserve + graph + held chunks + threads x (window + its levels + copies + codecs) + live carries
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.plan.runs import run_axis, run_stage
from msi_lazy.plan.source_rows import BlockRows, SourceChunks
from msi_lazy.plan.windows import needed_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.plan.reading import Reading
    from msi_lazy.plan.stages import StagePlan
    from msi_lazy.plan.windows import Window

__all__ = [
    "PROCESS_RESERVE",
    "TASK_BYTES",
    "MemoryUse",
    "codec_bytes",
    "finer_window",
    "held_bytes",
    "project_memory",
    "run_samples",
    "thread_bytes",
]

PROCESS_RESERVE = 64 * 2**20
"""Bytes of a process besides the arrays: stacks, codecs' buffers, and what the C library's allocator keeps."""
TASK_BYTES = 2048
"""Bytes that Dask's scheduler keeps of one task."""
_LINK_BYTES = 512
"""Bytes that Dask's scheduler keeps of a chunk that a block waits for."""
_KEPT_SHARE = 8
"""One in so many bytes of freed chunks is kept by the C library's allocator, between those still held (measured)."""
_HALF_PRECISION = 4
"""Growth of what a thread holds where half precision is converted to double: window, levels and copies."""
_CODEC_BYTES = 6 * 2**20
"""Bytes that codecs need of a thread's heap besides chunks: zstd in Blosc takes 4 MiB."""
_MOST_RESERVED = 32 * 2**20
"""Most bytes that a thread reserves for codecs: glibc's heap of a thread has parts of 64 MiB."""
_READ_BACK_ABOVE = 0.1
"""Fraction of the memory limit that live carries may take before the next stage reads back what was stored."""


@dataclass(frozen=True)
class MemoryUse:
    """Projected memory of one process, in bytes, over what Python and its libraries took before."""

    threads: int
    """Worker threads in the process."""
    per_thread: int
    """Largest window that a thread holds, the levels computed from it, copies of both, and its reserve for codecs."""
    carries: int
    """Most bytes of carries that wait for the next stage."""
    rechunking: int
    """Chunks of a computed source that are held until the blocks cut from them are complete."""
    graph: int
    """Tasks of the graph."""
    read_back: tuple[bool, ...]
    """Per stage, whether it reads what the stage before it stored, instead of merging carries."""

    @property
    def total(self) -> int:
        """Bytes in all."""
        return PROCESS_RESERVE + self.graph + self.rechunking + self.threads * self.per_thread + self.carries


def project_memory(
    stages: Sequence[StagePlan],
    reading: Reading,
    itemsize: int,
    tasks: int,
    threads: int,
    limit: int | None = None,
    stored_chunk: int = 0,
    half: bool = False,
    may_read_back: bool = True,
    spills: bool = False,
) -> MemoryUse:
    """Project the memory of a write with ``threads`` worker threads in a process.

    Parameters
    ----------
    stages, reading, itemsize, tasks
        The plan.
    threads
        Worker threads in one process.
    limit
        Bytes that the process may use, if that is known: stages whose live carries would take more than a
        tenth of it read back what the stage before has stored.
    stored_chunk
        Bytes of a chunk that is stored.
    half
        Whether the samples are of half precision, which is computed in a wider one.
    may_read_back
        Whether stages may read back at all.  One whose carry is the whole image is always read back then.
    spills
        Whether the chunks of a computed source are stored one by one, and blocks read their windows of that.
    """
    read_back = [False]
    chunks, cut = None if reading.by_window else reading.lengths, [stages[0]]
    rows = None if chunks is None else BlockRows(stages[0], SourceChunks(chunks))
    per_thread = [_first_bytes(stages[0], reading, itemsize)]
    reserve = codec_bytes(stored_chunk, reading.chunk_samples * itemsize if reading.by_window else 0)
    carries = 0
    for before, stage in pairwise([run_stage(stages[0], reading.run), *stages[1:]]):
        live = _live_carries(before, stage, threads, rows) * itemsize
        much = before.carries_input or (limit is not None and live > _READ_BACK_ABOVE * limit)
        if before.carries_input and rows is not None and not may_read_back:  # it is cut from the source as well
            live, rows = 0, BlockRows(stage, rows.chunks)
            cut.append(stage)
        read_back.append(may_read_back and much)
        rows = None if read_back[-1] else rows  # blocks that are read back wait for no row
        carries += 0 if read_back[-1] else live
        per_thread.append(thread_bytes(stage, itemsize, before if read_back[-1] else None))
    return MemoryUse(
        threads=threads,
        per_thread=max(per_thread) * (_HALF_PRECISION if half else 1) + reserve,
        carries=carries,
        rechunking=0 if chunks is None else held_bytes(cut, SourceChunks(chunks), itemsize, threads, spills),
        graph=tasks * TASK_BYTES + reading.links * _LINK_BYTES,
        read_back=tuple(read_back),
    )


def codec_bytes(stored_chunk: int, source_chunk: int) -> int:
    """Count the bytes of its heap that a thread reserves for the codecs of chunks of so many bytes."""
    return min(_CODEC_BYTES + 4 * stored_chunk + 3 * source_chunk, _MOST_RESERVED)


def held_bytes(
    stages: Sequence[StagePlan], chunks: SourceChunks, itemsize: int, threads: int, spills: bool = False
) -> int:
    """Count the bytes of the chunks of a computed source that are held for blocks of ``stages``, or to be stored."""
    if spills:
        held = (2 * threads + 1) * prod(map(max, chunks.lengths))
    else:
        held = max(BlockRows(stage, chunks).held_samples(threads) for stage in stages)
    return held * itemsize * (_KEPT_SHARE + 1) // _KEPT_SHARE


def _first_bytes(stage: StagePlan, reading: Reading, itemsize: int) -> int:
    """Count the bytes of a block of the first stage, with a chunk that is decoded for it, or of a computed chunk."""
    block, chunk = thread_bytes(stage, itemsize), reading.chunk_samples * itemsize
    if reading.by_window:
        return block + chunk + _run_bytes(stage, reading, itemsize)
    return max(block, chunk)


def _run_bytes(stage: StagePlan, reading: Reading, itemsize: int) -> int:
    """Count the further bytes of a block of a run: the chunks that its window reaches into, and the run's carry."""
    if reading.run == 1 or reading.chunk_shape is None:
        return 0
    ahead = run_samples(stage, reading.chunk_shape) - _volume(_largest_windows(stage)[0])
    carry = 0 if stage.carry is None else reading.run * prod(max(along) for along in stage.block_chunks(stage.carry))
    return (ahead + carry) * itemsize


def run_samples(stage: StagePlan, chunk_shape: Sequence[int]) -> int:
    """Count the samples that a run holds of its source: a window, and the rest of the chunks that it reaches into."""
    axis = run_axis(stage)
    lengths = [interval.length for interval in _largest_windows(stage)[0]]
    if axis is not None:
        lengths[axis] = min(lengths[axis] + chunk_shape[axis], stage.extents[0][axis])
    return prod(lengths)


def thread_bytes(stage: StagePlan, itemsize: int, before: StagePlan | None = None) -> int:
    """Count the bytes that the largest block of ``stage`` needs at once.

    A task holds the window it read, the levels computed from it, and, while the largest level is written, a
    copy of it, encoded or made contiguous.  A window with a halo is copied once more where the edge of the image
    cuts it and is replicated.  A task that reads back what stage ``before`` stored holds that, too.
    """
    windows = _largest_windows(stage)
    volumes = [_volume(window) for window in windows]
    total = sum(volumes) + volumes[0] * (2 if any(stage.halo) else 1)
    if before is not None:
        total += _volume(finer_window(before, stage.first, windows[0]))
    return total * itemsize


def _largest_windows(stage: StagePlan) -> list[Window]:
    """Find, per level, a window as long along each dimension as any block's; of blocks alike, one is checked."""
    windows = [list(window) for window in stage.needed((0,) * len(stage.counts))]
    for dim, count in enumerate(stage.counts):
        for position in {1, count // 2, count - 2, count - 1} & set(range(count)):
            index = tuple(position if other == dim else 0 for other in range(len(stage.counts)))
            for level, window in enumerate(stage.needed(index)):
                windows[level][dim] = max(windows[level][dim], window[dim], key=lambda interval: interval.length)
    return [tuple(window) for window in windows]


def finer_window(before: StagePlan, level: int, window: Window) -> Window:
    """Find the samples of the last level that stage ``before`` writes that ``window`` of ``level`` is computed from."""
    if level == before.written[-1]:
        return window
    step = level - before.first - 1
    terms = zip(window, before.factors[step], before.radii[step], before.extents[step], strict=True)
    return tuple(needed_interval(*term) for term in terms)


def _volume(window: Window) -> int:
    return prod(interval.length for interval in window)


def _live_carries(before: StagePlan, stage: StagePlan, threads: int, rows: BlockRows | None) -> int:
    """Count the samples of carries of ``before`` that wait for blocks of ``stage``, at most.

    Where each carry goes to one block, those of the blocks in progress are alive; where blocks overlap, Dask
    sweeps the image, and all carries of the planes that a row of blocks touches are.  A computed source is swept
    in ``rows``.
    """
    touched = [_merged_along(before, stage, dim) for dim in range(len(stage.edges))]
    spans = [max(map(len, along)) for along in touched]
    if rows is not None:
        alive = rows.waiting_blocks(before, spans, threads)
    elif all(sum(map(len, along)) == count for along, count in zip(touched, before.counts, strict=True)):
        alive = (threads + 1) * prod(spans)
    else:
        swept = next((dim for dim, count in enumerate(stage.counts) if count > 1), 0)
        alive = (spans[swept] + 1) * prod(before.counts) // before.counts[swept]
    largest = prod(max(lengths) for lengths in before.block_chunks(stage.first))
    return min(alive * largest, prod(before.extents[stage.first - before.first]))


def _merged_along(before: StagePlan, stage: StagePlan, dim: int) -> list[range]:
    """List, along one dimension, the blocks of ``before`` whose carries each block of ``stage`` merges."""
    owners, line = before.line(dim), stage.line(dim)
    return [owners.touching(line.first, line.needed(index)[0])[0] for index in line.along(0)]
