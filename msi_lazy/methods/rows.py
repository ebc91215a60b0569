"""Windows row by row, for any number of dimensions and any factors.

Every box kernel sees its input as a matrix of contiguous rows.  The *outer* axes are numbered
by one row index; along the row, a window covers ``factor`` groups of ``inner`` samples::

    image (z, y, x), factors (2, 2, 2)   rows along x, outer axes (z, y), inner 1
    image (y, x, c), factors (2, 2, 1)   rows along x and c together, outer axis (y,), inner 3

An output row reads ``window_rows`` input rows, in C order, so that a floating-point sum is computed in
the same order wherever the block borders lie.  A kernel is called for one *batch* of output rows, whose input
rows are listed beforehand, and one *part* of them: a run of windows of one length that is short enough for its
sums to stay in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msi_lazy.methods.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "RowLayout",
    "RowPart",
    "first_samples",
    "list_window_rows",
    "row_batches",
    "row_layout",
    "row_parts",
]

Array = np.ndarray[Any, Any]

_FOLD_BELOW = 32
"""Number of samples below which trailing undivided axes are folded into the row (RGB last)."""
_PART_SAMPLES = 2**12
"""Most input samples of a part, unless one window has more."""
_BATCH_ROWS = 2**14
"""Most input rows listed at a time, unless one window has more."""


@dataclass(frozen=True)
class RowLayout:
    """Rows of an array and of its downsampled form."""

    outer_in: Array
    """Lengths of the outer axes, input; there is at least one, if need be of length 1."""
    outer_out: Array
    """Lengths of the outer axes, output."""
    outer_factors: Array
    """Factors of the outer axes."""
    row_in: int
    """Groups in an input row."""
    row_out: int
    """Groups in an output row."""
    factor: int
    """Factor along the row, in groups."""
    inner: int
    """Samples in a group."""

    @property
    def window_rows(self) -> int:
        """Rows in a full window."""
        return int(self.outer_factors.prod())


class RowPart(NamedTuple):
    """Neighbouring windows of one length, the same ones in every row; offsets and widths in samples."""

    start_in: int
    """First sample in the input row."""
    width_in: int
    """Samples in the input row."""
    start_out: int
    """First sample in the output row."""
    width_out: int
    """Samples in the output row."""
    factor: int
    """Groups in a window; fewer than the layout's where the row ends."""
    inner: int
    """Samples in a group."""


def row_layout(shape: tuple[int, ...], out_shape: tuple[int, ...], factors: tuple[int, ...]) -> RowLayout:
    """Choose the row axis.

    Examples
    --------
    >>> layout = row_layout((8, 8, 3), (4, 4, 3), (2, 2, 1))
    >>> layout.row_in, layout.row_out, layout.factor, layout.inner
    (8, 4, 2, 3)
    """
    split = len(shape)
    while split > 0 and factors[split - 1] == 1:
        split -= 1
    inner = prod(shape[split:])
    if split > 0 and inner < _FOLD_BELOW:
        outer = split - 1
        row_in, row_out, factor = shape[outer], out_shape[outer], factors[outer]
    else:  # nothing to reduce along the row: take the undivided axes as the row itself
        outer = split
        row_in = row_out = inner
        factor = inner = 1
    lengths = [np.array(values[:outer] or (1,), dtype=np.int64) for values in (shape, out_shape, factors)]
    return RowLayout(lengths[0], lengths[1], lengths[2], row_in, row_out, factor, inner)


def row_parts(layout: RowLayout) -> list[RowPart]:
    """Cut the rows into parts: of whole windows, and last of the window that reaches beyond the row, if any.

    Examples
    --------
    >>> for part in row_parts(row_layout((9, 7), (5, 4), (2, 2))):
    ...     print(part)
    RowPart(start_in=0, width_in=6, start_out=0, width_out=3, factor=2, inner=1)
    RowPart(start_in=6, width_in=1, start_out=3, width_out=1, factor=1, inner=1)
    """
    factor, inner = layout.factor, layout.inner
    whole = min(layout.row_out, layout.row_in // factor)
    step = max(1, _PART_SAMPLES // (factor * inner))
    parts = []
    for start in range(0, whole, step):
        width = min(step, whole - start) * inner
        parts.append(RowPart(start * factor * inner, width * factor, start * inner, width, factor, inner))
    if whole < layout.row_out:
        rest = layout.row_in - whole * factor
        parts.append(RowPart(whole * factor * inner, rest * inner, whole * inner, inner, rest, inner))
    return parts


def row_batches(layout: RowLayout) -> Iterator[tuple[slice, Array, Array]]:
    """List the input rows of all windows, a batch of output rows at a time.

    Yields
    ------
    batch : slice
        Output rows.
    rows : ndarray of int64
        Input rows of each of them, in C order, as far as ``counts`` says: windows that reach beyond the input
        are cut short.  Overwritten by the next batch.
    counts : ndarray of int64
        Number of input rows of each output row.

    Examples
    --------
    >>> for batch, rows, counts in row_batches(row_layout((3, 4), (2, 2), (2, 2))):
    ...     print(batch, rows[0].tolist(), rows[1, : counts[1]].tolist())
    slice(0, 2, None) [0, 1] [2]
    """
    total = int(layout.outer_out.prod())
    size = max(1, min(total, _BATCH_ROWS // layout.window_rows))
    rows, counts = np.empty((size, layout.window_rows), np.int64), np.empty(size, np.int64)
    for start in range(0, total, size):
        length = min(size, total - start)
        lengths = (layout.outer_in, layout.outer_out, layout.outer_factors)
        _list_batch(start, *lengths, rows[:length], counts[:length])
        yield slice(start, start + length), rows[:length], counts[:length]


def first_samples(part: RowPart) -> Array:
    """Find the offset in a part's input of the first sample that each of its output samples covers.

    Unsigned, so that no index is tested for being negative.

    Examples
    --------
    >>> first_samples(RowPart(0, 12, 0, 6, factor=2, inner=3)).tolist()
    [0, 1, 2, 6, 7, 8]
    """
    place = np.arange(part.width_out, dtype=np.uint64)
    return place + place // np.uint64(part.inner) * np.uint64((part.factor - 1) * part.inner)


@compiled()
def list_window_rows(
    row: int,
    outer_in: Array,
    outer_out: Array,
    outer_factors: Array,
    rows: Array,
) -> int:
    """Fill ``rows`` with the input rows of output row ``row``, in C order; return how many.

    Windows that reach beyond the input are cut short.
    """
    stride = 1
    for axis in range(len(outer_out)):
        stride *= outer_out[axis]
    count = 1
    rows[0] = 0
    for axis in range(len(outer_out)):
        stride //= outer_out[axis]
        position = row // stride
        row -= position * stride
        start = position * outer_factors[axis]
        length = min(outer_factors[axis], outer_in[axis] - start)
        for known in range(count - 1, -1, -1):  # backwards, so that no entry is overwritten unread
            base = rows[known] * outer_in[axis] + start
            for step in range(length - 1, -1, -1):
                rows[known * length + step] = base + step
        count *= length
    return count


@compiled()
def _list_batch(first, outer_in, outer_out, outer_factors, rows, counts):  # type: ignore[no-untyped-def]
    """Fill ``rows`` and ``counts`` for the output rows from ``first`` on.

    Most of them follow the one before along the last outer axis, and so do their input rows, without divisions.
    """
    last = len(outer_out) - 1
    length, factor = outer_out[last], outer_factors[last]
    for i in range(len(rows)):
        position = (first + i) % length
        if i > 0 and position > 0 and (position + 1) * factor <= outer_in[last]:
            counts[i] = counts[i - 1]
            for k in range(counts[i]):
                rows[i, k] = rows[i - 1, k] + factor
        else:
            counts[i] = list_window_rows(first + i, outer_in, outer_out, outer_factors, rows[i])
