"""Chunks on disk for sources whose own are flat, such as planes: flatter ones of about as many samples.

A block holds whole chunks, and so a row of blocks waits for as many planes as a chunk is deep.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["default_chunks", "describe_flat", "flatter_chunks"]

Extents = tuple[int, ...]

_FLAT_ENOUGH = 16
"""Depth of chunks down to which they become flatter to save memory; below, only if much is to be saved."""
_MOST_HELD = 128 * 2**20
"""Bytes of the source that a row of chunks may wait for, before flatter chunks are the default."""
_MOST_HELD_BY_FLAT = 2**30
"""The same for chunks that are flat already."""
_SPAN = 8
"""Chunks along a dimension that a block has at most: chunks of the source that are longer are no part of a block."""


def default_chunks(
    chunks: Extents, lengths: Sequence[tuple[int, ...]] | None, spatial: Sequence[bool], itemsize: int
) -> Extents:
    """Choose the default chunks of a source that is computed chunk by chunk: ``chunks``, or flatter ones.

    Parameters
    ----------
    chunks
        Usual default.
    lengths
        Lengths of the source's chunks along each dimension; ``None`` if it has none.
    spatial
        Whether each dimension is one of space.
    itemsize
        Bytes of a sample.

    Examples
    --------
    Planes of 2048², and of 10,000²:

    >>> space = (True, True, True)
    >>> default_chunks((64, 64, 64), ((1,) * 512, (2048,), (2048,)), space, itemsize=2)
    (16, 128, 128)
    >>> default_chunks((64, 64, 64), ((1,) * 256, (10_000,), (10_000,)), space, itemsize=2)
    (4, 256, 256)
    """
    if lengths is None:
        return chunks
    chosen = chunks
    for chosen in (chunks, *flatter_chunks(chunks, lengths, spatial)):
        thin = [n for n, usual, is_space in zip(chosen, chunks, spatial, strict=True) if is_space and n < usual]
        most = _MOST_HELD_BY_FLAT if thin and min(thin) <= _FLAT_ENOUGH else _MOST_HELD
        if _held_samples(chosen, chunks, lengths, spatial) * itemsize <= most:
            break
    return chosen


def describe_flat(chosen: Extents, usual: Extents) -> str:
    """Say why chunks are flatter than the usual ones, for the notes of a plan."""
    return (
        f"chunks are flat by default, {' x '.join(map(str, chosen))} instead of {' x '.join(map(str, usual))}: the "
        f"source comes in planes, and all that a chunk is deep are in memory together; chunks=... sets others"
    )


def _held_samples(chosen: Extents, usual: Extents, lengths: Sequence[tuple[int, ...]], spatial: Sequence[bool]) -> int:
    """Count the samples of the source that a row of ``chosen`` chunks waits for."""
    held = []
    for dim, along in enumerate(lengths):
        longest, extent, block = max(along), sum(along), _SPAN * usual[dim]
        if not spatial[dim] or longest < usual[dim]:
            held.append(max(longest, chosen[dim]))
        else:
            held.append(extent if longest > block else min(max(longest, block), extent))
    return prod(held)


def flatter_chunks(chunks: Extents, lengths: Sequence[tuple[int, ...]], spatial: Sequence[bool]) -> list[Extents]:
    """List chunks of about the same size, flatter step by step along the dimensions where the source's are flat.

    Examples
    --------
    >>> flatter_chunks((64, 64, 64), ((1,) * 512, (2048,), (2048,)), (True, True, True))[:2]
    [(32, 64, 64), (16, 128, 128)]
    """
    flat = [dim for dim, chunk in enumerate(chunks) if max(lengths[dim]) < chunk]
    wide = [dim for dim, is_space in enumerate(spatial) if is_space and dim not in flat]
    found, thin = [], list(chunks)
    while any(thin[dim] > max(lengths[dim]) for dim in flat):
        for dim in flat:
            thin[dim] = max(thin[dim] // 2, max(lengths[dim]), 1)
        found.append(_widened(thin, wide, [sum(along) for along in lengths], prod(chunks)))
    return list(dict.fromkeys(found))


def _widened(thin: Sequence[int], wide: Sequence[int], shape: Sequence[int], most: int) -> Extents:
    """Double ``thin`` chunks along the dimensions ``wide`` while they have at most ``most`` samples."""
    chunks = list(thin)
    while True:
        wider = [min(2 * n, shape[dim]) if dim in wide else n for dim, n in enumerate(chunks)]
        if wider == chunks or prod(wider) > most:
            return tuple(chunks)
        chunks = wider
