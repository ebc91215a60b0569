"""Tiles in which the chunks of a computed source are stored for a while, where memory cannot hold them.

Files of tiles must not hold parts of two chunks, which two tasks store.  Along dimensions where no file of whole tiles
fits every chunk, each chunk begins a file of its own, and the rest of its last file stays empty::

    image    |----chunk----|----chunk----|--chunk--|
    stored   |----chunk----|  |----chunk----|  |--chunk--|
             '-tile-'-tile-'--'-tile-'-tile-'--'-tile-'
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import gcd
from typing import TYPE_CHECKING, TypeVar

from msi_lazy.plan.windows import Interval, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.plan.source_rows import SourceChunks

__all__ = ["SpillLayout"]

T = TypeVar("T")

_TILE, _SMALLEST, _SHARD = 128, 32, 2048
"""Edges of a tile, at most, and at least where chunks are cut into several; and of a file of tiles, at most."""


@dataclass(frozen=True)
class SpillLayout:
    """Layout of the array that the chunks of a computed source are stored in.

    Examples
    --------
    >>> from msi_lazy.plan.source_rows import SourceChunks
    >>> SpillLayout.of(SourceChunks(((1,) * 9, (10_000,), (5000, 5000)))).tile
    (1, 128, 125)
    >>> prime = SpillLayout.of(SourceChunks(((251, 251),)))
    >>> prime.tile, prime.shape, list(prime.parts((Interval(200, 260),)))
    ((128,), (512,), [((Interval(start=200, stop=251),), (Interval(start=200, stop=251),)), ((Interval(start=251, \
stop=260),), (Interval(start=256, stop=265),))])
    """

    chunks: SourceChunks
    """Chunks of the source."""
    tile: tuple[int, ...]
    """Least part that is read: small, as a halo reaches into the next ones."""
    shard: tuple[int, ...]
    """Tiles in one file, all of one chunk of the source."""
    pitch: tuple[int, ...]
    """Samples from the start of a chunk to that of the next, as they are stored; 0 where they follow one another."""

    order: tuple[int, ...]
    """Dimensions of the image in the order in which they are stored: first those along which tiles are thin.

    Otherwise tiles of planes along the last dimension would be read sample by sample.
    """

    @classmethod
    def of(cls, chunks: SourceChunks) -> SpillLayout:
        """Choose the layout for the chunks of a source."""
        edges = [_edges(along) for along in chunks.lengths]
        tile, shard, pitch = zip(*edges, strict=True)
        cut = (edge if edge < sum(along) else _SMALLEST for edge, along in zip(tile, chunks.lengths, strict=True))
        thickness = [min(edge, _SMALLEST) for edge in cut]
        return cls(chunks, tile, shard, pitch, tuple(sorted(range(len(tile)), key=thickness.__getitem__)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, in the order of the image."""
        terms = zip(self.chunks.lengths, self.pitch, strict=True)
        return tuple(len(along) * pitch if pitch else sum(along) for along, pitch in terms)

    def turned(self, values: Sequence[T]) -> tuple[T, ...]:
        """Order what there is for each dimension of the image as the array has it."""
        return tuple(values[dim] for dim in self.order)

    @property
    def back(self) -> tuple[int, ...]:
        """Dimensions of the array in the order of the image."""
        return tuple(self.order.index(dim) for dim in range(len(self.order)))

    def parts(self, window: Window) -> Iterator[tuple[Window, Window]]:
        """Cut a window of the image where it is not stored in one piece; yield each part, and where that is stored.

        Both are in the order of the image.
        """
        along = [list(self._parts_along(dim, interval)) for dim, interval in enumerate(window)]
        for pairs in product(*along):
            part, stored = zip(*pairs, strict=True)
            yield part, stored

    def _parts_along(self, dim: int, interval: Interval) -> Iterator[tuple[Interval, Interval]]:
        pitch = self.pitch[dim]
        if not pitch:
            yield interval, interval
            return
        for position in self.chunks.touching_along(dim, interval):
            start, stop = self.chunks.owned_along(dim, position)
            part = Interval(max(start, interval.start), min(stop, interval.stop))
            yield part, Interval(part.start - start + position * pitch, part.stop - start + position * pitch)


def _edges(lengths: tuple[int, ...]) -> tuple[int, int, int]:
    """Choose the edges of tiles and of a file of them along one dimension, and the pitch of the chunks."""
    longest = max(lengths)
    if len(lengths) == 1:
        return (longest, longest, 0) if longest <= _TILE else (_TILE, min(-(-longest // _TILE) * _TILE, _SHARD), 0)
    common = gcd(*lengths[:-1]) if lengths[-1] <= min(lengths) else gcd(*lengths)
    tile = next((edge for edge in range(min(common, _TILE), 0, -1) if common % edge == 0), 0)
    if tile >= min(longest, _SMALLEST):
        return tile, max(edge for edge in range(tile, min(common, _SHARD) + 1, tile) if common % edge == 0), 0
    tile = min(longest, _TILE)
    count = -(-longest // tile)
    in_file = min(count, _SHARD // tile)
    return tile, in_file * tile, -(-count // in_file) * in_file * tile
