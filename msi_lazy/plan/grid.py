"""An array cut into equal parts: its chunks, its shards, or blocks of those."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.plan.windows import Interval, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Grid", "Index"]

Extents = tuple[int, ...]
Index = tuple[int, ...]
"""Position of a part, counted along each dimension."""


@dataclass(frozen=True)
class Grid:
    """A level cut into equal parts, those at its end cut off: chunks, shards, or blocks of those.

    The blocks of a stage are no such grid: their last ones may be longer (:mod:`msi_lazy.plan.stages`).

    Examples
    --------
    >>> grid = Grid((100, 60), (32, 32))
    >>> grid.counts, grid.count, grid.window((3, 1))
    ((4, 2), 8, (Interval(start=96, stop=100), Interval(start=32, stop=60)))
    >>> list(grid.touching((Interval(30, 33), Interval(0, 5))))
    [(0, 0), (1, 0)]
    """

    extents: Extents
    """Shape of the level."""
    part: Extents
    """Shape of a part."""

    @property
    def counts(self) -> Index:
        """Number of parts along each dimension."""
        return tuple(-(-n // part) for n, part in zip(self.extents, self.part, strict=True))

    @property
    def count(self) -> int:
        """Number of parts."""
        return prod(self.counts)

    @property
    def whole(self) -> Window:
        """All samples of the level."""
        return tuple(Interval(0, n) for n in self.extents)

    def indices(self) -> Iterator[Index]:
        """List the indices of all parts, in C order."""
        return self.touching(self.whole)

    def index(self, number: int) -> Index:
        """Return the index of part ``number``, counted in C order."""
        index = []
        for count in reversed(self.counts):
            number, position = divmod(number, count)
            index.append(position)
        return tuple(reversed(index))

    def window(self, index: Index) -> Window:
        """Return the window of a part."""
        terms = zip(index, self.part, self.extents, strict=True)
        return tuple(Interval(i * part, min(i * part + part, n)) for i, part, n in terms)

    def touching(self, window: Window) -> Iterator[Index]:
        """List the indices of the parts that have samples in ``window``, in C order."""
        if any(interval.length <= 0 for interval in window):
            return iter(())
        sides = (range(w.start // part, -(-w.stop // part)) for w, part in zip(window, self.part, strict=True))
        return product(*sides)

    def cut(self, window: Window) -> list[Index]:
        """List the parts in ``window`` that the level's end cuts, if ``window`` reaches that end.

        Examples
        --------
        >>> Grid((7, 8), (4, 4)).cut((Interval(2, 7), Interval(0, 4)))
        [(1, 0)]
        """
        terms = zip(window, self.extents, self.part, strict=True)
        if not any(interval.stop == n and n % part for interval, n, part in terms):
            return []
        sides = zip(self.counts, self.extents, self.part, strict=True)
        last = [count - 1 if n % part else -1 for count, n, part in sides]
        return [index for index in self.touching(window) if any(i == end for i, end in zip(index, last, strict=True))]

    def rounded(self, window: Window) -> Window:
        """Extend ``window`` to all samples of the parts that it touches."""
        terms = zip(window, self.part, self.extents, strict=True)
        return tuple(Interval(w.start // part * part, min(-(w.stop // -part) * part, n)) for w, part, n in terms)
