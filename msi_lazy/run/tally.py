"""What is stored of an image while it is written, level by level: bytes, blocks, rate, and time left."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from math import prod
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.graph.direct import block_geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from msi_lazy.graph.direct import BlockGeometry
    from msi_lazy.graph.marks import Ledger
    from msi_lazy.graph.write_graph import LevelArrays

__all__ = ["ReportingLedger", "Row", "Tally", "log_block"]

ALL = "all levels"
"""Name of the row of everything."""


@dataclass(frozen=True)
class Row:
    """How far one level is, or all of them together."""

    name: str
    """Of the level."""
    nbytes: int
    """Bytes to store, uncompressed."""
    blocks: int
    """Blocks to store."""
    stored_bytes: int
    """Bytes that are stored, also by an earlier run that this one goes on with."""
    stored_blocks: int
    """Blocks that are stored."""
    rate: float
    """Bytes that this run stored each second."""

    @property
    def seconds_left(self) -> float | None:
        """Time until it is stored, if it goes on like this; ``None`` while nothing is known."""
        if self.stored_bytes == self.nbytes:
            return 0.0
        return (self.nbytes - self.stored_bytes) / self.rate if self.rate else None


@dataclass(frozen=True)
class _Blocks:
    """The blocks of one grid, numbered from ``first`` on, and the rows that they are part of."""

    first: int
    geometry: BlockGeometry
    rows: dict[int, str]
    """Name of the row of each level that is stored."""
    itemsize: int

    def parts(self, number: int) -> dict[str, int]:
        """Bytes of each row that a block stores."""
        index = tuple(int(i) for i in np.unravel_index(number - self.first, self.geometry.counts))
        sizes = {name: self.geometry.samples(level, index) * self.itemsize for level, name in self.rows.items()}
        return {name: size for name, size in sizes.items() if size}


class Tally:
    """Counts the blocks that are stored; any thread may add to it.

    Parameters
    ----------
    images
        What is written, in the order in which its blocks are numbered.
    done
        Numbers of the blocks that an earlier run stored.
    clock
        Tells the time, in seconds.

    Examples
    --------
    >>> import dask.array as da
    >>> from msi_lazy.graph.level_graph import LevelGraph
    >>> from msi_lazy.graph.write_graph import LevelArrays
    >>> levels = LevelGraph.of([da.zeros((4, 4), chunks=(2, 4), dtype="u1")])
    >>> tally = Tally([LevelArrays(levels, [])], frozenset({0}))
    >>> tally.add(1)
    >>> [(row.name, row.stored_bytes, row.stored_blocks) for row in tally.rows()]
    [('scale0', 16, 2), ('all levels', 16, 2)]
    """

    def __init__(
        self, images: Iterable[LevelArrays], done: frozenset[int], clock: Callable[[], float] = monotonic
    ) -> None:
        self._lock, self._clock, self._began = Lock(), clock, clock()
        self._grids: list[_Blocks] = []
        self._sizes: dict[str, int] = {}
        self._blocks: Counter[str] = Counter()
        self._bytes_stored: Counter[str] = Counter()
        self._blocks_stored: Counter[str] = Counter()
        self._stored: set[int] = set()
        first = 0
        for image in images:
            names = {
                level: "/".join(filter(None, (image.path, f"scale{image.first + level}")))
                for level in range(image.kept, len(image.levels.arrays))
            }
            self._sizes |= {name: int(image.levels.arrays[level].nbytes) for level, name in names.items()}
            for geometry in block_geometry(image.levels):
                rows = {level: names[level] for level in geometry.levels if level in names}
                self._grids.append(_Blocks(first, geometry, rows, image.levels.arrays[0].dtype.itemsize))
                first += prod(geometry.counts)
                if rows:
                    self._blocks.update(dict.fromkeys([*rows.values(), ALL], prod(geometry.counts)))
        self._sizes[ALL] = sum(self._sizes.values())
        for number in done:
            self.add(number)
        self._before = Counter(self._bytes_stored)

    def add(self, number: int) -> None:
        """Count block ``number``, once however often it is stored."""
        position = bisect_right(self._grids, number, key=lambda grid: grid.first) - 1
        parts = self._grids[position].parts(number)
        with self._lock:
            if number in self._stored or not parts:
                return
            self._stored.add(number)
            self._bytes_stored.update({**parts, ALL: sum(parts.values())})
            self._blocks_stored.update([*parts, ALL])

    def add_all(self) -> None:
        """Count every block: all of them are stored."""
        last = self._grids[-1]
        for number in range(last.first + prod(last.geometry.counts)):
            self.add(number)

    def rows(self) -> list[Row]:
        """How far each level is now, and last of all how far everything is."""
        with self._lock:
            seconds = max(self._clock() - self._began, 1e-3)
            return [
                Row(
                    name,
                    size,
                    self._blocks[name],
                    self._bytes_stored[name],
                    self._blocks_stored[name],
                    (self._bytes_stored[name] - self._before[name]) / seconds,
                )
                for name, size in self._sizes.items()
            ]


@dataclass(frozen=True)
class ReportingLedger:
    """A ledger that also reports each block that is stored."""

    ledger: Ledger | None
    """Where blocks are marked; ``None`` for a write that keeps no ledger."""
    report: Callable[[int], Any]
    """Given the number of a block; must pickle to run on a cluster."""

    def mark(self, number: int) -> None:
        """Mark the block, then report it."""
        if self.ledger is not None:
            self.ledger.mark(number)
        self.report(number)


def log_block(number: int, *, topic: str) -> None:
    """Report a block from a worker of a cluster, to who subscribes to ``topic``."""
    from distributed import get_worker

    get_worker().log_event(topic, number)
