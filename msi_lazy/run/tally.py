"""Stored blocks of an image that is being written, counted level by level in a progress display."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from math import prod
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from msi_lazy.graph.direct import BlockGeometry, block_geometry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.progress import Progress

    from msi_lazy.graph.write_graph import LevelArrays

__all__ = ["Tally"]

ALL = "all levels"
"""Name of the row for all levels together."""


@dataclass(frozen=True)
class _Blocks:
    """Blocks of one grid, numbered from ``first`` on, and the rows that count them."""

    first: int
    geometry: BlockGeometry
    rows: dict[int, str]
    """Name of the row of each level that is stored."""
    itemsize: int
    in_all: bool = True
    """Whether they count for the row of all levels: chunks of a source that is stored for a while are of no level."""

    def parts(self, number: int) -> dict[str, int]:
        """Count the bytes of each row that a block stores, the last for all; empty for a block of kept levels."""
        index = tuple(int(i) for i in np.unravel_index(number - self.first, self.geometry.counts))
        sizes = {name: self.geometry.samples(level, index) * self.itemsize for level, name in self.rows.items()}
        parts = {name: size for name, size in sizes.items() if size}
        return {**parts, ALL: sum(parts.values())} if parts and self.in_all else parts


def _source_row(image: LevelArrays) -> str:
    """Name of the row that counts the chunks of a source that is stored for a while."""
    return "/".join(filter(None, (image.path, "source")))


class Tally:
    """A count of the blocks that are stored, level by level; any thread may add to it.

    Parameters
    ----------
    images
        Images to write, in the order in which their blocks are numbered.
    done
        Numbers of the blocks that an earlier run stored.
    progress
        Display that gets a task for each level, in bytes, and one for all of them, with the fields ``blocks`` and
        ``stored`` (blocks).  Blocks that an earlier run stored count as stored, but not for the rate.

    Examples
    --------
    >>> import dask.array as da
    >>> from rich.progress import Progress
    >>> from msi_lazy.graph.level_graph import LevelGraph
    >>> from msi_lazy.graph.write_graph import LevelArrays
    >>> progress = Progress()
    >>> image = LevelArrays(LevelGraph.of([da.zeros((4, 4), chunks=(2, 4), dtype="u1")]), [])
    >>> tally = Tally([image], frozenset({0}), progress)
    >>> tally.add(1)
    >>> [(task.description, task.completed, task.fields["stored"]) for task in progress.tasks]
    [('scale0', 16, 2), ('all levels', 16, 2)]
    """

    def __init__(self, images: Iterable[LevelArrays], done: frozenset[int], progress: Progress) -> None:
        self.progress = progress
        self._lock = Lock()
        self._grids: list[_Blocks] = []
        self._stored = set(done)
        self._counts: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        blocks: Counter[str] = Counter()
        first = 0
        images = list(images)
        for image in images:
            if image.spill is not None:
                sizes[_source_row(image)], blocks[_source_row(image)] = image.spill.nbytes, image.spill.count
            path = image.path if image.counted_as is None else image.counted_as
            names = {
                level: "/".join(filter(None, (path, f"scale{image.first + level}")))
                for level in range(image.kept, len(image.levels.arrays))
            }
            sizes.update({name: int(image.levels.arrays[level].nbytes) for level, name in names.items()})
            for geometry in block_geometry(image.levels):
                rows = {level: names[level] for level in geometry.levels if level in names}
                self._grids.append(_Blocks(first, geometry, rows, image.levels.arrays[0].dtype.itemsize))
                first += prod(geometry.counts)
                if rows:
                    blocks.update(dict.fromkeys([*rows.values(), ALL], prod(geometry.counts)))
        sizes[ALL] = sum(sizes[name] for name in {name for grid in self._grids for name in grid.rows.values()})
        for image in images:
            first = self._add_chunks(first, image)
        before: Counter[str] = Counter()
        for number in self._stored:
            parts = self._parts(number)
            before.update(parts)
            self._counts.update(parts.keys())
        self._tasks = {}
        for name, size in sizes.items():
            self._tasks[name] = progress.add_task(
                name, total=size, completed=before[name], stored=self._counts[name], blocks=blocks[name]
            )
            progress.update(self._tasks[name])  # so that it ends where nothing is left to do

    def _add_chunks(self, first: int, image: LevelArrays) -> int:
        """Count the chunks of a source that is stored for a while, from number ``first`` on; return the next number."""
        spill = image.spill
        if spill is None:
            return first
        geometry, size = BlockGeometry(spill.counts, (0,), spill.lengths), spill.array.dtype.itemsize
        self._grids.append(_Blocks(first, geometry, {0: _source_row(image)}, size, in_all=False))
        self._stored |= {first + number for number in spill.stored_chunks()}
        return first + spill.count

    def _parts(self, number: int) -> dict[str, int]:
        return self._grids[bisect_right(self._grids, number, key=lambda grid: grid.first) - 1].parts(number)

    def add(self, number: int, _stored: object = ()) -> None:
        """Count block ``number``, once however often it is stored."""
        parts = self._parts(number)
        with self._lock:
            if number in self._stored:
                return
            self._stored.add(number)
            self._counts.update(parts.keys())
            for name, size in parts.items():
                self.progress.update(self._tasks[name], advance=size, stored=self._counts[name])

    def add_all(self) -> None:
        """Count every block as stored."""
        last = self._grids[-1]
        for number in range(last.first + prod(last.geometry.counts)):
            self.add(number)
