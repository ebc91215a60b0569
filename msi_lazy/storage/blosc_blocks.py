"""Blocks of a Blosc frame: a part of a chunk is decoded from those that hold it, without the others.

A frame is a header, the starts of its blocks, and the blocks, each compressed by itself; all but the last decode to
``blocksize`` bytes (README_CHUNK_FORMAT.rst of C-Blosc 1)::

    version versionlz flags typesize | nbytes blocksize cbytes | start of block 0, 1, ... | blocks, in any order
"""

from __future__ import annotations

import struct
from itertools import pairwise

__all__ = ["cut_blocks", "decoded_size"]

_HEADER = struct.Struct("<4BIII")
_COPIED = 0x2
"""Flag of a frame whose bytes are stored as they are, without blocks."""


def cut_blocks(frame: bytes, start: int, stop: int) -> tuple[bytes, int] | None:
    """Cut out the blocks that hold the bytes from ``start`` to ``stop`` of what a frame decodes to.

    Returns
    -------
    cut : bytes
        Frame of these blocks.
    begin : int
        Position of its first byte among those that the whole frame decodes to.

    ``None`` if all blocks are needed, or the frame is not of this form, so that decoding it as a whole says why.
    """
    if len(frame) < _HEADER.size:
        return None
    *form, nbytes, blocksize, cbytes = _HEADER.unpack_from(frame)
    if form[2] & _COPIED or not 0 < blocksize <= nbytes or cbytes != len(frame) or not 0 <= start < stop <= nbytes:
        return None
    count, end = -(-nbytes // blocksize), -(-stop // blocksize)
    first = min(start, nbytes - blocksize) // blocksize  # a frame has no fewer bytes than a block
    content = _HEADER.size + 4 * count
    if end - first == count or content > cbytes:
        return None
    starts = struct.unpack_from(f"<{count}I", frame, _HEADER.size)
    if min(starts) < content or max(starts) >= cbytes:
        return None
    ends = dict(pairwise((*sorted(starts), cbytes)))  # several threads store blocks in the order they are done
    blocks = [frame[at : ends[at]] for at in starts[first:end]]
    at, moved = _HEADER.size + 4 * len(blocks), []
    for block in blocks:
        moved.append(at)
        at += len(block)
    begin = first * blocksize
    header = _HEADER.pack(*form, min(end * blocksize, nbytes) - begin, blocksize, at)
    return b"".join((header, struct.pack(f"<{len(moved)}I", *moved), *blocks)), begin


def decoded_size(frame: bytes) -> int:
    """Return the bytes that a frame promises to decode to."""
    found: int = _HEADER.unpack_from(frame)[4]
    return found
