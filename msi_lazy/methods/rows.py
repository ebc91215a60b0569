"""Walking windows row by row, for any number of dimensions and any factors.

Every box kernel sees its input as a matrix of contiguous rows.  The *outer* axes are numbered
by one row index; along the row, a window covers ``factor`` groups of ``inner`` samples::

    image (z, y, x), factors (2, 2, 2)   rows along x, outer axes (z, y), inner 1
    image (y, x, c), factors (2, 2, 1)   rows along x and c together, outer axis (y,), inner 3

An output row reads ``window_rows`` input rows, in C order, so that a floating-point sum is made in
the same order wherever the block borders lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numba import njit

__all__ = ["RowLayout", "list_window_rows", "row_layout"]

_FOLD_BELOW = 32
"""Trailing undivided axes with fewer samples than this are folded into the row (RGB last)."""


@dataclass(frozen=True)
class RowLayout:
    """How an array and its downsampled form are seen as rows."""

    outer_in: np.ndarray[Any, Any]
    """Lengths of the outer axes, input."""
    outer_out: np.ndarray[Any, Any]
    """Lengths of the outer axes, output."""
    outer_factors: np.ndarray[Any, Any]
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
    lengths = [np.array(values[:outer], dtype=np.int64) for values in (shape, out_shape, factors)]
    return RowLayout(lengths[0], lengths[1], lengths[2], row_in, row_out, factor, inner)


@njit(nogil=True, cache=True)
def list_window_rows(
    row: int,
    outer_in: np.ndarray[Any, Any],
    outer_out: np.ndarray[Any, Any],
    outer_factors: np.ndarray[Any, Any],
    rows: np.ndarray[Any, Any],
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
