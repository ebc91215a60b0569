"""Window means: exact for integers, summed in float64 for floats.

Integer windows are summed in an integer wide enough for any window, and the quotient is
rounded once, half to even.  Sums of 64-bit integers are kept as a high and a low word.
Floats are summed in float64 in C order, NaN left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from msi_lazy.methods.rows import list_window_rows, row_layout

__all__ = ["window_mean"]

Array = np.ndarray[Any, Any]


def window_mean(array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None) -> Array:
    """Mean of each window of an integer or floating-point array.

    Parameters
    ----------
    array : ndarray
        Block to reduce, native byte order, any number of dimensions.
    factors : tuple of int
        Window size along each dimension.
    out_shape : tuple of int
        Number of windows along each dimension; the last one may reach beyond the array, and is then
        the mean of the samples that exist.
    nodata : scalar, optional
        Samples of this value are left out; a window with no other sample becomes this value.

    Returns
    -------
    ndarray
        Shape ``out_shape``, dtype of ``array``.  Integers are exact and rounded half to even.  In
        floats NaN is left out; a window of nothing but NaN is NaN.
    """
    array = np.ascontiguousarray(array)
    layout = row_layout(array.shape, out_shape, factors)
    rows_in = array.reshape(-1, layout.row_in * layout.inner)
    out = np.empty(out_shape, array.dtype)
    rows_out = out.reshape(-1, layout.row_out * layout.inner)
    shape = (layout.outer_in, layout.outer_out, layout.outer_factors)
    along = (layout.factor, layout.inner)
    samples = layout.window_rows * layout.factor
    width = rows_out.shape[1]
    if array.dtype.kind == "f":
        skip = array.dtype.type(np.nan if nodata is None else nodata)
        sums = np.empty(width, np.float64)
        _mean_float(rows_in, rows_out, *shape, layout.window_rows, *along, sums, skip)
    elif array.dtype.itemsize == 8 or nodata is not None:
        skip = array.dtype.type(0 if nodata is None else nodata)
        high, low = np.empty(width, np.int64), np.empty(width, np.uint64)
        counts = np.empty(width, np.int64)
        words = (high, low, counts, skip, nodata is not None)
        _mean_words(rows_in, rows_out, *shape, layout.window_rows, *along, *words)
    else:
        sums = np.empty(width, _sum_dtype(array.dtype, samples))
        _mean_integer(rows_in, rows_out, *shape, layout.window_rows, *along, sums)
    return out


def _sum_dtype(dtype: np.dtype[Any], samples: int) -> np.dtype[Any]:
    """Narrowest integer of 32 or 64 bits that holds a sum of ``samples`` values of ``dtype``."""
    largest = samples * max(abs(int(np.iinfo(dtype).min)), int(np.iinfo(dtype).max))
    return np.dtype(np.int32 if largest < 2**31 else np.int64)


@njit(nogil=True, cache=True)
def _add_row(sums, row, factor, inner):  # type: ignore[no-untyped-def]
    """Add one input row to the running sums of its windows; inner loops for factors 1 and 2."""
    if factor == 1:
        for i in range(len(sums)):
            sums[i] += row[i]
        return
    groups_out = len(sums) // inner
    groups_in = len(row) // inner
    full = min(groups_out, groups_in // factor)
    if factor == 2 and inner == 1:
        for i in range(full):
            sums[i] = (sums[i] + row[2 * i]) + row[2 * i + 1]
    elif inner == 1:
        for i in range(full):
            total = sums[i]
            for step in range(factor):
                total += row[i * factor + step]
            sums[i] = total
    else:
        for i in range(full):
            for step in range(factor):
                for k in range(inner):
                    sums[i * inner + k] += row[(i * factor + step) * inner + k]
    for i in range(full, groups_out):
        for group in range(i * factor, groups_in):
            for k in range(inner):
                sums[i * inner + k] += row[group * inner + k]


@njit(nogil=True, cache=True)
def _rounded_quotient(total, count):  # type: ignore[no-untyped-def]
    """``total / count`` rounded half to even; ``count`` positive."""
    quotient = total // count
    rest = total - quotient * count
    return quotient + ((2 * rest > count) | ((2 * rest == count) & (quotient & 1 == 1)))


@njit(nogil=True, cache=True, inline="always")
def _shift_right(sums, out, length, shift):  # type: ignore[no-untyped-def]
    """``sums / 2**shift`` rounded half to even; inlined, so that the shift is a constant and vectorises."""
    for i in range(length):
        # adding half, less one where the quotient is even, rounds half to even
        out[i] = (sums[i] + ((1 << shift) >> 1) - (1 - ((sums[i] >> shift) & 1))) >> shift


@njit(nogil=True, cache=True)
def _mean_integer(rows_in, rows_out, outer_in, outer_out, outer_factors, window_rows, factor, inner, sums):  # type: ignore[no-untyped-def]
    """Means of integers up to 32 bits, summed in the dtype of ``sums``."""
    rows = np.empty(window_rows, np.int64)
    groups_in = rows_in.shape[1] // inner
    full = min(rows_out.shape[1] // inner, groups_in // factor) * inner
    for row in range(rows_out.shape[0]):
        found = list_window_rows(row, outer_in, outer_out, outer_factors, rows)
        sums[:] = 0
        for i in range(found):
            _add_row(sums, rows_in[rows[i]], factor, inner)
        count = found * factor
        out = rows_out[row]
        if count == 8:
            _shift_right(sums, out, full, 3)
        elif count == 4:
            _shift_right(sums, out, full, 2)
        elif count == 2:
            _shift_right(sums, out, full, 1)
        else:
            for i in range(full):
                out[i] = _rounded_quotient(sums[i], count)
        for i in range(full, len(out)):
            left = groups_in - (i // inner) * factor
            out[i] = _rounded_quotient(sums[i], found * left)


@njit(nogil=True, cache=True)
def _mean_float(  # type: ignore[no-untyped-def]
    rows_in, rows_out, outer_in, outer_out, outer_factors, window_rows, factor, inner, sums, skip
):
    """Means of floats without NaN and without ``skip``, summed in float64.

    All samples are summed first; only where that is not a number, or there is a ``skip``, are the
    samples of the window looked at one by one.
    """
    rows = np.empty(window_rows, np.int64)
    groups_in = rows_in.shape[1] // inner
    full = min(rows_out.shape[1] // inner, groups_in // factor) * inner
    nothing_to_skip = skip != skip
    for row in range(rows_out.shape[0]):
        found = list_window_rows(row, outer_in, outer_out, outer_factors, rows)
        sums[:] = 0.0
        for i in range(found):
            _add_row(sums, rows_in[rows[i]], factor, inner)
        count = np.float64(found * factor)
        out = rows_out[row]
        plain = nothing_to_skip
        for i in range(full):
            out[i] = sums[i] / count
            plain &= sums[i] == sums[i]
        for i in range(0 if not plain else full, len(out)):
            if i >= full or not nothing_to_skip or sums[i] != sums[i]:
                out[i] = _mean_of_valid(rows_in, rows[:found], i, factor, inner, skip)


@njit(nogil=True, cache=True)
def _mean_of_valid(rows_in, rows, position, factor, inner, skip):  # type: ignore[no-untyped-def]
    """Mean of the samples of one window that are neither NaN nor ``skip``; ``skip`` if there are none."""
    start = (position // inner) * factor
    stop = min(start + factor, rows_in.shape[1] // inner)
    total = 0.0
    count = 0
    for row in rows:
        for step in range(start, stop):
            value = rows_in[row, step * inner + position % inner]
            if value == value and value != skip:
                total += np.float64(value)
                count += 1
    return total / count if count > 0 else np.float64(skip)


@njit(nogil=True, cache=True)
def _mean_words(  # type: ignore[no-untyped-def]
    rows_in,
    rows_out,
    outer_in,
    outer_out,
    outer_factors,
    window_rows,
    factor,
    inner,
    high,
    low,
    counts,
    skip,
    skips,
):
    """Means of integers of any width, summed as words of 32 bits, without ``skip`` if ``skips``."""
    rows = np.empty(window_rows, np.int64)
    groups_in = rows_in.shape[1] // inner
    mask = np.uint64(0xFFFFFFFF)
    for row in range(rows_out.shape[0]):
        found = list_window_rows(row, outer_in, outer_out, outer_factors, rows)
        high[:] = 0
        low[:] = 0
        counts[:] = 0
        for i in range(found):
            source = rows_in[rows[i]]
            for group in range(rows_out.shape[1] // inner):
                for step in range(group * factor, min(group * factor + factor, groups_in)):
                    for k in range(inner):
                        value = source[step * inner + k]
                        if not (skips and value == skip):
                            high[group * inner + k] += np.int64(value >> 32)
                            low[group * inner + k] += np.uint64(value) & mask
                            counts[group * inner + k] += 1
        out = rows_out[row]
        for i in range(len(out)):
            if counts[i] == 0:
                out[i] = skip
                continue
            # value = high * 2^32 + low, divided word by word; both remainders are below the count
            carried = high[i] + np.int64(low[i] >> np.uint64(32))
            upper = carried // counts[i]
            rest = ((carried - upper * counts[i]) << 32) + np.int64(low[i] & mask)
            lower = _rounded_quotient(rest, counts[i])
            out[i] = (upper << 32) + lower
