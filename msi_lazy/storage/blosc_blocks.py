"""Blocks of a Blosc frame: a part of a chunk is decoded from those that hold it, without the others.

A frame is a header, the starts of its blocks, and the blocks, each compressed by itself; all but the last decode to
``blocksize`` bytes, from one stream or one for each byte of a sample (README_CHUNK_FORMAT.rst of C-Blosc 1)::

    version versionlz flags typesize | nbytes blocksize cbytes | start of block 0, 1, ... | blocks, in any order
"""

from __future__ import annotations

import struct
from itertools import pairwise

__all__ = ["cut_blocks", "decoded_size"]

_HEADER = struct.Struct("<4BIII")
_SIZE = struct.Struct("<I")
_COPIED, _ALONE = 0x2, 0x10
"""Flags of a frame: its bytes are stored as they are, without blocks; the streams of a block are one."""
_MOST_STREAMS, _LEAST_SPLIT = 16, 128
"""Bytes of a sample, at most, and samples of a block, at least, for a stream of each byte of a sample."""


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
    is_split = not form[2] & _ALONE and 0 < form[3] <= _MOST_STREAMS and blocksize // form[3] >= _LEAST_SPLIT
    streams = [form[3] if is_split and (at + 1) * blocksize <= nbytes else 1 for at in range(first, end)]
    if list(map(_count_streams, blocks)) != streams:  # a start is damaged, perhaps that of a block which is not needed
        return None
    at, moved = _HEADER.size + 4 * len(blocks), []
    for block in blocks:
        moved.append(at)
        at += len(block)
    begin = first * blocksize
    header = _HEADER.pack(*form, min(end * blocksize, nbytes) - begin, blocksize, at)
    return b"".join((header, struct.pack(f"<{len(moved)}I", *moved), *blocks)), begin


def _count_streams(block: bytes) -> int:
    """Count the streams of a block, each after its size; 0 if they do not end where it does."""
    at = count = 0
    while at + _SIZE.size <= len(block):
        at += _SIZE.size + _SIZE.unpack_from(block, at)[0]
        count += 1
    return count if at == len(block) else 0


def decoded_size(frame: bytes) -> int:
    """Return the bytes that a frame promises to decode to."""
    found: int = _HEADER.unpack_from(frame)[4]
    return found
