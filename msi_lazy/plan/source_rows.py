"""Chunks of a computed source: those that a block is cut from, and those that are held at a time.

A chunk is held from its computation until every block that it touches has been computed.  Blocks are computed row by
row, along the first dimension where neighbouring blocks wait for the same chunks::

    planes       | | | | | | | | | | | | | | | |
    row 0        [=======]·                             all its blocks wait for the same planes
    row 1              ·[=======]·                      its planes are computed after those of row 0
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.plan.windows import Interval, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.plan.stages import StagePlan

__all__ = ["BlockRows", "SourceChunks"]

Chunks = tuple[tuple[int, ...], ...]
Index = tuple[int, ...]


@dataclass(frozen=True)
class SourceChunks:
    """Chunks of a source, of any lengths.

    Examples
    --------
    >>> chunks = SourceChunks(((4, 4, 2), (6,)))
    >>> chunks.touching((Interval(3, 8), Interval(0, 2))), chunks.owned((2, 0))
    ((range(0, 2), range(0, 1)), (Interval(start=8, stop=10), Interval(start=0, stop=6)))
    """

    lengths: Chunks
    """Lengths of the chunks along each dimension."""

    @cached_property
    def _borders(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(accumulate(along, initial=0)) for along in self.lengths)

    def touching(self, window: Window) -> tuple[range, ...]:
        """Find the positions, along each dimension, of the chunks that have samples in ``window``."""
        return tuple(self.touching_along(dim, interval) for dim, interval in enumerate(window))

    def touching_along(self, dim: int, interval: Interval) -> range:
        """Find the positions along ``dim`` of the chunks that have samples in ``interval``."""
        borders = self._borders[dim]
        return range(bisect_right(borders, interval.start) - 1, bisect_left(borders, interval.stop))

    def owned(self, position: Index) -> Window:
        """Return the samples of the chunk at ``position``."""
        return tuple(self.owned_along(dim, i) for dim, i in enumerate(position))

    def owned_along(self, dim: int, position: int) -> Interval:
        """Return the samples along ``dim`` of the chunks at ``position``."""
        return Interval(self._borders[dim][position], self._borders[dim][position + 1])

    def span(self, dim: int, positions: range) -> int:
        """Count the samples along ``dim`` of the chunks at ``positions``."""
        return self._borders[dim][positions.stop] - self._borders[dim][positions.start]


@dataclass(frozen=True)
class BlockRows:
    """Rows of blocks that wait for the same chunks of a computed source."""

    stage: StagePlan
    """First stage of the pyramid."""
    chunks: SourceChunks
    """Chunks of the source."""

    @cached_property
    def touched(self) -> tuple[tuple[range, ...], ...]:
        """Chunks that each block touches, by its position, along each dimension."""
        return tuple(_touched_along(self.stage.line(dim), self.chunks.lengths[dim]) for dim in self._dims)

    @property
    def _dims(self) -> range:
        return range(len(self.stage.edges))

    @cached_property
    def axis(self) -> int | None:
        """Dimension that rows follow one another along; ``None`` if no two rows share a chunk."""
        return next((dim for dim in self._dims if not self._are_apart(dim)), None)

    def _are_apart(self, dim: int) -> bool:
        """Tell whether blocks along ``dim`` that share chunks share just one, and so wait for the same."""
        return all(len(blocks) == 1 or len(chunks) == 1 for blocks, chunks in self._groups(dim))

    def _groups(self, dim: int) -> tuple[tuple[range, range], ...]:
        """List the groups of blocks along ``dim`` that share no chunk with others, and the chunks of each."""
        return _groups_along(self.stage.line(dim), self.chunks.lengths[dim])

    def row_of(self, index: Index) -> Index:
        """Return the number of the row that block ``index`` is in; rows are computed in the order of these."""
        if self.axis is None:
            return ()
        before = (self._group_of[dim][index[dim]] for dim in range(self.axis))
        return (*before, index[self.axis])

    @cached_property
    def _group_of(self) -> tuple[tuple[int, ...], ...]:
        return tuple(
            tuple(number for number, (blocks, _) in enumerate(self._groups(dim)) for _ in blocks)
            for dim in range(self.axis or 0)
        )

    def held_samples(self, threads: int) -> int:
        """Count the samples of the chunks that ``threads`` threads hold at a time, at most."""
        extents, together = self.stage.extents[0], self._in_progress(threads)
        ahead = threads * prod(map(max, self.chunks.lengths))  # computed before those that a row still waits for
        if self.axis is None:
            return min(prod(map(self._longest_group, self._dims)) * together + ahead, prod(extents))
        starts: dict[int, int] = {}  # rows that wait for the same chunk last can be begun together
        for chunks in self.touched[self.axis]:
            starts.setdefault(chunks.stop, chunks.start)
        begun = [range(start, stop) for stop, start in starts.items()]
        spans = (range(begun[i].start, begun[: i + together][-1].stop) for i in range(len(begun)))
        along = max(self.chunks.span(self.axis, chunks) for chunks in spans)
        across = prod(map(self._longest_group, range(self.axis)))
        return min(across * along * prod(extents[self.axis + 1 :]) + ahead, prod(extents))

    def _longest_group(self, dim: int) -> int:
        return max(self.chunks.span(dim, chunks) for _, chunks in self._groups(dim))

    def _in_progress(self, threads: int) -> int:
        """Count the rows that ``threads`` threads hold the chunks of, at most."""
        end = len(self._dims) if self.axis is None else self.axis
        together = prod(max(len(blocks) for blocks, _ in self._groups(dim)) for dim in range(end))
        return _rows_in_progress(threads, together * prod(self.stage.counts[end + 1 :]))

    def waiting_blocks(self, stage: StagePlan, spans: Sequence[int], threads: int) -> int:
        """Count the blocks of ``stage``, the first one or a later one, whose carries wait to be merged, at most.

        ``spans`` are the blocks, along each dimension, that a block of the next stage merges.
        """
        rows, axis = self._in_progress(threads), self.axis
        end = len(self._dims) if axis is None else axis
        waiting = prod(
            count if any(len(blocks) > 1 for blocks, _ in self._groups(dim)) else spans[dim]
            for dim, count in enumerate(stage.counts[:end])
        )
        if axis is None:
            return waiting * (rows + 1)
        begun = Counter(position for chunks in self.touched[axis] for position in chunks)  # rows by the same chunk
        along = min(spans[axis] + rows + max(begun.values()), stage.counts[axis])
        return waiting * along * prod(stage.counts[axis + 1 :])


@lru_cache(maxsize=256)  # a plan is made for several sizes of blocks, which differ along some dimensions only
def _touched_along(line: StagePlan, lengths: tuple[int, ...]) -> tuple[range, ...]:
    """List the chunks of ``lengths`` that each block of a stage along one dimension touches."""
    chunks = SourceChunks((lengths,))
    return tuple(chunks.touching_along(0, line.needed(index)[0][0]) for index in line.along(0))


@lru_cache(maxsize=256)
def _groups_along(line: StagePlan, lengths: tuple[int, ...]) -> tuple[tuple[range, range], ...]:
    """List the groups of blocks along one dimension that share no chunk with others, and the chunks of each."""
    groups: list[tuple[range, range]] = []
    for position, chunks in enumerate(_touched_along(line, lengths)):
        if groups and chunks.start < groups[-1][1].stop:
            blocks, held = groups.pop()
            groups.append((range(blocks.start, position + 1), range(held.start, max(held.stop, chunks.stop))))
        else:
            groups.append((range(position, position + 1), chunks))
    return tuple(groups)


def _rows_in_progress(threads: int, blocks: int) -> int:
    """Count the rows of ``blocks`` blocks that threads hold the chunks of: at most one each.

    A block is begun as soon as its chunks are there.  So the chunks of a row are computed when all blocks of the row
    before have begun; those of one more row, or of several short ones, are held for blocks that take long.
    """
    return min(threads, 2 - (1 - threads) // blocks)
