"""What stored bytes promise to decode to, found without decoding them: codecs allocate whatever is promised."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[int, int], bytes]
    """Function of an offset and a count, that returns those stored bytes, fewer at their end."""

__all__ = ["Bounds", "check_promise", "too_large"]

_SLACK = 2**16
_STREAM_SLACK = 2**24
"""Bytes that the decoder may be asked for where only a rough bound of the decoded size is known."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_BLOCK = 2**17
"""Most bytes that a block of a zstd frame decodes to (RFC 8878)."""
_ZSTD_SKIPPED = b"\x2a\x4d\x18"
"""Second to last byte of the number of a frame that is skipped."""
_FEWEST_BLOCKS = 2**10
"""Blocks that any chunk may have."""


@dataclass(frozen=True)
class Bounds:
    """Most bytes that the stored bytes of one chunk may decode to."""

    nbytes: int
    """Bytes of its samples."""
    factor: int = 2
    """Bytes allowed for each of them: more where they are filtered before they are compressed."""
    slack: int = _SLACK
    """Bytes allowed besides, such as checksums: more where samples have sizes of their own, as strings have."""

    @property
    def most(self) -> int:
        """Bytes allowed where what is promised is exact."""
        return self.factor * self.nbytes + self.slack

    @property
    def most_in_stream(self) -> int:
        """Bytes allowed where only an upper bound is known: many times as many as there will be."""
        return max(self.most, 8 * self.nbytes + _STREAM_SLACK)

    @property
    def most_blocks(self) -> int:
        """Blocks of compressed bytes, and frames, that there may be: each costs time, also an empty one."""
        return max(_FEWEST_BLOCKS, self.most_in_stream // 2**12)


def too_large(promised: int | None, bounds: Bounds) -> ValueError:
    """Error of a chunk that would decode to too much: ``promised`` bytes, or ``None`` if only a bound is known."""
    found = "more" if promised is None else f"{promised:,} bytes"
    return ValueError(
        f"the stored bytes would decode to {found}, and a chunk of this array has {bounds.nbytes:,} bytes of samples, "
        f"so they are damaged, or made to exhaust memory; delete the chunk, or write it again"
    )


def check_promise(kind: str, read: Read, size: int, bounds: Bounds) -> None:
    """Refuse stored bytes that promise more than a chunk can have.

    Parameters
    ----------
    kind
        Codec that made them: of others than zstd, Blosc, LZ4 and those of strings, only the number of bytes counts.
    read, size
        Function that reads them, and their number.
    bounds
        Bounds of the chunk.

    Raises
    ------
    ValueError
        They promise too much, or are none of the codec's.
    """
    if size > bounds.most:
        raise too_large(size, bounds)
    if kind == "zstd":
        _check_zstd(read, size, bounds)
    elif kind == "blosc":
        _check_blosc(read, size, bounds)
    elif kind == "lz4" and size >= 4:
        (promised,) = struct.unpack("<i", read(0, 4))
        if promised > bounds.most:
            raise too_large(promised, bounds)
    elif kind.startswith("vlen-") and size >= 4:
        (count,) = struct.unpack("<I", read(0, 4))
        if count > bounds.nbytes:
            raise ValueError(f"the stored bytes state {count:,} strings, more than a chunk of this array has")


def _check_blosc(read: Read, size: int, bounds: Bounds) -> None:
    """Check the header of a Blosc buffer: the sizes of its samples, of its blocks, and its own."""
    header = read(0, 16)
    if len(header) < 16:
        raise ValueError(f"the {size} stored bytes are no Blosc buffer: its header alone has 16")
    nbytes, block, stored = struct.unpack("<III", header[4:])
    if nbytes > bounds.most:
        raise too_large(nbytes, bounds)
    if stored != size or (nbytes and block > nbytes):
        raise ValueError(
            f"the header of the Blosc buffer states {stored:,} stored bytes in blocks of {block:,}, and there are "
            f"{size:,} bytes, for {nbytes:,} of samples"
        )


def _check_zstd(read: Read, size: int, bounds: Bounds) -> None:
    """Sum up what the frames state, or their blocks can hold where they state nothing (RFC 8878)."""
    at = stated = estimated = blocks = 0
    while at < size:
        header = read(at, 18)
        if header[:4] == _ZSTD_MAGIC and len(header) > 5:
            flags = header[4]
            single = flags >> 5 & 1
            start = 6 - single + (0, 1, 2, 4)[flags & 3]
            length = (single, 2, 4, 8)[flags >> 6]
            promised = int.from_bytes(header[start : start + length], "little") + 256 * (length == 2)
            stated += promised if length else 0
            if stated > bounds.most:
                raise too_large(stated, bounds)
            window = promised if single else (8 + (header[5] & 7)) << (7 + (header[5] >> 3))
            at, found, blocks = _walk_blocks(read, at + start + length, min(window, _ZSTD_BLOCK), blocks, bounds)
            at += 4 * (flags >> 2 & 1)  # its checksum
            estimated += 0 if length else found
        elif header[1:4] == _ZSTD_SKIPPED and header[0] >> 4 == 5 and len(header) >= 8:
            at += 8 + int.from_bytes(header[4:8], "little")
            blocks += 1
        else:
            raise ValueError("the stored bytes are no zstd frames")
        if estimated > bounds.most_in_stream or blocks > bounds.most_blocks:
            raise too_large(None, bounds)


def _walk_blocks(read: Read, at: int, largest: int, count: int, bounds: Bounds) -> tuple[int, int, int]:
    """Walk the blocks of a zstd frame: where they end, most bytes that they decode to, and ``count`` and theirs."""
    decoded = 0
    while True:
        header = read(at, 3)
        if len(header) < 3:
            raise ValueError("the zstd frame is cut")
        bits = header[0] | header[1] << 8 | header[2] << 16
        length, kind, count = bits >> 3, bits >> 1 & 3, count + 1
        decoded += largest if kind == 2 else length
        at += 4 if kind == 1 else 3 + length
        if bits & 1 or (count > _FEWEST_BLOCKS and count > bounds.most_blocks):
            return at, decoded, count
