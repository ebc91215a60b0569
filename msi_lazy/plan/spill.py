"""Tiles in which the chunks of a computed source are stored for a while, where memory cannot hold them."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TileShapes", "choose_tiles"]

_TILE, _SMALLEST, _SHARD = 128, 32, 2048
"""Edges of a tile, at most, and at least where chunks are cut into several; and of a file of tiles, at most."""


class TileShapes(NamedTuple):
    """Shapes of the tiles in which chunks are stored, and of the files that hold them."""

    tile: tuple[int, ...]
    """Least part that is read: small, as a halo reaches into the next ones."""
    shard: tuple[int, ...]
    """Tiles in one file, all of one chunk of the source."""


def choose_tiles(lengths: Sequence[tuple[int, ...]] | None) -> TileShapes | None:
    """Choose tiles of which each file lies in one chunk; ``None`` if the chunks' lengths have too little in common.

    Examples
    --------
    >>> choose_tiles(((1,) * 9, (10_000,), (5000, 5000)))
    TileShapes(tile=(1, 128, 125), shard=(1, 2048, 1250))
    """
    if lengths is None:
        return None
    edges = [_edges(along) for along in lengths]
    return TileShapes(*zip(*edges, strict=True)) if all(map(all, edges)) else None


def _edges(lengths: tuple[int, ...]) -> tuple[int, int]:
    """Choose the edges of tiles, and of a file of them, along one dimension; 0 if there are none."""
    if len(lengths) == 1:
        (length,) = lengths
        return (length, length) if length <= _TILE else (_TILE, min(-(-length // _TILE) * _TILE, _SHARD))
    common = gcd(*lengths[:-1]) if lengths[-1] <= min(lengths) else gcd(*lengths)
    if common < min(max(lengths), _SMALLEST):
        return 0, 0
    tile = next((edge for edge in range(min(common, _TILE), _SMALLEST - 1, -1) if common % edge == 0), common)
    return tile, max(edge for edge in range(tile, max(min(common, _SHARD), tile) + 1, tile) if common % edge == 0)
