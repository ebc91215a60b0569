"""Lanes of windows side by side: samples as keys, and a sorting network for all lanes at once.

The samples of many windows are gathered into *lanes*, one window per lane, so that one operation on
two contiguous rows does the same to all of them::

    sample 0   3 7 . .      one column (lane) per window;
    sample 1   3 5 . .      an exchange of two samples puts the
    sample 2   9 5 . .      smaller ones into one row, the larger
    sample 3   3 7 . .      ones into the other

Samples are compared as signed integers of their own width, their *keys*, whose order is the
samples' order: unsigned integers with the highest bit flipped, floats with the lower bits of
negative numbers flipped.  So four widths are compiled, not twelve dtypes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msi_lazy.methods.compiled import compiled

if TYPE_CHECKING:
    from msi_lazy.methods.rows import RowLayout

__all__ = [
    "Columns",
    "Keys",
    "count_lanes",
    "decode",
    "describe_keys",
    "encode",
    "sort_lanes",
    "split_columns",
]

_LANE_BYTES = 2**18
"""Most bytes of all lanes: they should stay in the second-level cache."""


class Keys(NamedTuple):
    """Rules that turn bits into keys and back, and keys of missing samples; all but ``skips`` of the keys' dtype."""

    flip: Any
    """Bits to flip in integers: the highest one if they are unsigned."""
    highest: Any
    """Largest integer: all bits but the highest."""
    infinity: Any
    """Bits of infinity in floats; 0 if the samples are integers."""
    skip: Any
    """Key of a missing sample, and of a window of nothing else."""
    missing: Any
    """Another key of missing samples: that of NaN, for floats; else the same as ``skip``."""
    skips: bool
    """Whether there are keys of missing samples."""


def describe_keys(dtype: np.dtype[Any], key: np.dtype[Any], nodata: Any) -> Keys:
    """Describe the keys of samples of ``dtype``, as integers of dtype ``key``."""
    floats = dtype.kind == "f"
    zero, highest, lowest = key.type(0), key.type(np.iinfo(key).max), key.type(np.iinfo(key).min)
    flip = lowest if dtype.kind == "u" else zero
    infinity, nan = (np.array([np.inf, np.nan], dtype).view(key)) if floats else (zero, zero)
    skips = floats or nodata is not None
    plain = Keys(flip, highest, infinity, nan, nan, skips)
    if nodata is None:
        return plain
    skip = np.array([nodata], dtype).view(key)
    encode(skip, plain)
    return plain._replace(skip=skip[0], missing=nan if floats else skip[0])


class Columns(NamedTuple):
    """Windows of every row that have the same length along it."""

    first_in: int
    """First column of the input."""
    first: int
    """First column of the output."""
    stop: int
    """Column of the output behind the last one."""
    length: int
    """Groups in a window."""


def split_columns(layout: RowLayout) -> list[Columns]:
    """Split the rows into whole windows, then the partial ones at the rows' ends; whichever of the two exist.

    Examples
    --------
    >>> from msi_lazy.methods.rows import row_layout
    >>> split_columns(row_layout((7,), (4,), (2,)))
    [Columns(first_in=0, first=0, stop=3, length=2), Columns(first_in=6, first=3, stop=4, length=1)]
    """
    full = min(layout.row_out, layout.row_in // layout.factor)
    rest = layout.row_in - full * layout.factor
    inner = layout.inner
    columns = [
        Columns(start * layout.factor * inner, start * inner, stop * inner, length)
        for start, stop, length in ((0, full, layout.factor), (full, layout.row_out, rest))
    ]
    return [part for part in columns if part.first < part.stop]


def count_lanes(samples: int, key: np.dtype[Any], most: int) -> int:
    """Count the lanes for windows of ``samples`` samples: ``most``, or as many as stay in the cache, at least one."""
    return max(1, min(most, _LANE_BYTES // (samples * key.itemsize)))


@compiled()
def sort_lanes(lanes, held):  # type: ignore[no-untyped-def]
    """Sort each of the first ``held`` lanes downwards, the smallest key first.

    By Batcher's merge exchange (Knuth, *The Art of Computer Programming* 3, section 5.2.2, algorithm M):
    n log(n)^2 / 4 exchanges for any n, the same ones whatever the samples.
    """
    top = 1
    while 2 * top < len(lanes):
        top *= 2
    part = top
    while part > 0:
        reach, span, rest = top, part, 0
        while True:
            for i in range(len(lanes) - span):
                if i & part == rest:
                    _exchange(lanes[i], lanes[i + span], held)
            if reach == part:
                break
            span, reach, rest = reach - part, reach // 2, part
        part //= 2


@compiled()
def _exchange(upper, lower, held):  # type: ignore[no-untyped-def]
    """Put the smaller of each two keys into ``upper``, the larger one into ``lower``."""
    for k in range(held):
        one, other = upper[k], lower[k]
        upper[k] = one if one < other else other
        lower[k] = other if one < other else one


@compiled()
def encode(bits, keys):  # type: ignore[no-untyped-def]
    """Turn bits into keys, in place: both zeros into one key, all NaN into one."""
    if keys.infinity == 0:
        for i in range(len(bits)):
            bits[i] ^= keys.flip
    else:
        for i in range(len(bits)):
            magnitude = bits[i] & keys.highest
            key = magnitude if bits[i] >= 0 else bits[i] ^ keys.highest
            key = keys.missing if magnitude > keys.infinity else key
            bits[i] = 0 if magnitude == 0 else key


@compiled()
def decode(bits, keys):  # type: ignore[no-untyped-def]
    """Turn keys back into bits, in place."""
    if keys.infinity == 0:
        for i in range(len(bits)):
            bits[i] ^= keys.flip
    else:
        for i in range(len(bits)):
            bits[i] = bits[i] if bits[i] >= 0 else bits[i] ^ keys.highest
