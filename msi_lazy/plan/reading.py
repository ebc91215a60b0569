"""Cost of reading the source: samples, chunks, tasks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.plan.runs import choose_run, new_reads, run_axis, run_positions
from msi_lazy.plan.source_rows import BlockRows, SourceChunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msi_lazy.plan.stages import StagePlan
    from msi_lazy.plan.windows import Interval

__all__ = ["Reading", "longest_between"]

Chunks = tuple[tuple[int, ...], ...]

_MOST_DECODING = 1.5
"""Times that blocks may decode a chunk of the source, on average, before rechunking it costs less."""


@dataclass(frozen=True)
class Reading:
    """Reads of level 0, in all."""

    by_window: bool
    """Whether each block reads its own window, halo included, straight from the source."""
    samples: int
    """Samples read."""
    chunks: int | None = None
    """Chunks of the source decoded, each as often as it is touched; ``None`` if it has none."""
    source_chunks: int | None = None
    """Chunks the source has."""
    chunks_without_halo: int | None = None
    """Chunks that would be decoded without a halo: a measure of how well they fit the blocks."""
    extra_tasks: int = 0
    """Tasks besides those of the blocks: the source's own."""
    links: int = 0
    """Chunks of a computed source that blocks are cut from, counted for each block."""
    chunk_shape: tuple[int, ...] | None = None
    """Largest chunk of the source, along each dimension; ``None`` if it has none."""
    run: int = 1
    """Blocks that one task computes one after another, keeping what two of them read."""
    held_samples: int = 0
    """Samples of a computed source's chunks that one thread holds at a time, until all blocks that touch them are
    computed."""
    lengths: Chunks | None = None
    """Lengths of the source's chunks along each dimension; ``None`` if it has none."""
    is_known: bool = True
    """Whether it is known what is decoded of the source; it is not where windows of unknown chunks are read."""
    decoded_samples: int = 0
    """Samples of the image's size that the largest chunk holds, with what a view leaves out of it."""
    is_sliceable: bool = False
    """Whether the source gives any window, so that other blocks might read theirs where these do not."""

    @property
    def chunk_samples(self) -> int:
        """Samples of the largest chunk, which is decoded whole."""
        return max(prod(self.chunk_shape), self.decoded_samples) if self.chunk_shape is not None else 0

    @property
    def fits(self) -> bool:
        """True if the source's chunks fit the blocks well enough to be read window by window."""
        if self.chunks_without_halo is None or self.source_chunks is None:
            return True
        return self.chunks_without_halo <= _MOST_DECODING * self.source_chunks

    @classmethod
    def of_stage(cls, stage: StagePlan, chunks: Chunks | None, by_window: bool, is_known: bool = True) -> Reading:
        """Compute the reads of the first stage from a source in ``chunks``, if ``is_known`` that it has those, or none.

        A window per dimension depends on the block's position along that dimension alone, so
        sums over all blocks are products of sums along the dimensions.
        """
        if not by_window:
            return cls._of_chunks(stage, chunks)
        count = None if chunks is None else prod(map(len, chunks))
        largest = None if chunks is None else tuple(map(max, chunks))
        dims = range(len(stage.edges))
        windows = [[stage.needed(index)[0][dim] for index in stage.along(dim)] for dim in dims]
        run = 1 if chunks is None else choose_run(stage)
        axis = run_axis(stage)
        if run > 1 and axis is not None and chunks is not None:
            runs = (run_positions(stage, run, position) for position in range(-(-stage.counts[axis] // run)))
            reads = (new_reads([windows[axis][i] for i in positions], chunks[axis]) for positions in runs)
            windows[axis] = [interval for intervals in reads for interval in intervals if interval.length]
        samples = prod(sum(window.length for window in along) for along in windows)
        if chunks is None:
            return cls(True, samples, is_known=is_known)
        owned = [[stage.owned(stage.first, index)[dim] for index in stage.along(dim)] for dim in dims]
        decoded, least = (prod(map(_touched, along, chunks)) for along in (windows, owned))
        return cls(True, samples, decoded, count, least, chunk_shape=largest, run=run, lengths=chunks)

    @classmethod
    def _of_chunks(cls, stage: StagePlan, chunks: Chunks | None) -> Reading:
        """Compute the reads of a source that is computed chunk by chunk, each once."""
        samples = prod(stage.extents[0])
        if chunks is None:
            return cls(False, samples, extra_tasks=stage.blocks)
        rows, count = BlockRows(stage, SourceChunks(chunks)), prod(map(len, chunks))
        links, largest = prod(sum(map(len, along)) for along in rows.touched), tuple(map(max, chunks))
        held = rows.held_samples(threads=1)
        return cls(False, samples, count, count, count, count, links, largest, held_samples=held, lengths=chunks)


def longest_between(chunks: tuple[int, ...], blocks: tuple[int, ...]) -> int:
    """Measure the longest stretch between two borders that ``chunks`` and ``blocks`` have in common.

    Examples
    --------
    >>> longest_between((1,) * 8, (4, 4)), longest_between((8,), (4, 4))
    (4, 8)
    """
    shared = sorted({0, *accumulate(chunks)} & {0, *accumulate(blocks)})
    return max(stop - start for start, stop in pairwise(shared))


def _touched(windows: Iterable[Interval], lengths: tuple[int, ...]) -> int:
    """Count the chunks of ``lengths`` that each window touches, over all windows."""
    borders = list(accumulate(lengths))
    return sum(bisect_left(borders, w.stop) - bisect_right(borders, w.start) + 1 for w in windows)
