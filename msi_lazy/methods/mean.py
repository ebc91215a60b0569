"""Window means: exact for integers, summed in float64 for floats.

The samples of an integer window are added column by column, in loops over contiguous memory, and
the columns of each window after that; the quotient is rounded once::

    row 0    a b c d . .      columns   a+e b+f c+g d+h . .
    row 1    e f g h . .      sums      a+e+b+f     c+g+d+h     . .

Floats are summed in float64 in C order, row after row, NaN left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.methods.compiled import compiled
from msi_lazy.methods.lending import Lend, as_contiguous, fresh
from msi_lazy.methods.rounding import EXACT_SUMS, HALF_EVEN, HALF_UP, TRUNCATED, round_quotients
from msi_lazy.methods.rows import first_samples, row_batches, row_layout, row_parts
from msi_lazy.methods.words import mean_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from msi_lazy.methods.rows import RowPart

__all__ = ["window_mean", "window_mean_half_up", "window_mean_truncated"]

Array = np.ndarray[Any, Any]


def window_mean(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Compute the mean of each window of an integer or floating-point array; integers rounded half to even.

    Parameters are those of :class:`msi_lazy.methods.row.WindowKernel`; a partial window is the mean of its samples.

    Returns
    -------
    ndarray
        Shape ``out_shape``, dtype of ``array``.  Integers are exact and rounded once.  In
        floats NaN is left out; a window of nothing but NaN is NaN.
    """
    return _mean(array, factors, out_shape, nodata, lend, HALF_EVEN)


def window_mean_half_up(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Do as :func:`window_mean`, but round integers half up: the floor of the mean plus one half, also below zero.

    So does ITK's ``BinShrinkImageFilter``, but for the ties that it loses as it multiplies by the float64 nearest to
    the reciprocal of the number of samples, the smallest number being 98.
    """
    return _mean(array, factors, out_shape, nodata, lend, HALF_UP)


def window_mean_truncated(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Do as :func:`window_mean`, but truncate integers towards zero, as ``xarray``'s ``coarsen().mean().astype()``."""
    return _mean(array, factors, out_shape, nodata, lend, TRUNCATED)


def _mean(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any, lend: Lend, rounding: int
) -> Array:
    array = as_contiguous(array, lend)
    layout = row_layout(array.shape, out_shape, factors)
    rows_in = array.reshape(-1, layout.row_in * layout.inner)
    out = lend("result", out_shape, array.dtype)
    rows_out = out.reshape(-1, layout.row_out * layout.inner)
    samples = layout.window_rows * layout.factor
    for part in row_parts(layout):
        firsts = first_samples(part)
        kernel, arguments = _choose_kernel(array.dtype, part, samples, nodata, rounding)
        for batch, rows, found in row_batches(layout):
            kernel(rows_in, rows_out[batch], rows, found, part, firsts, *arguments)
    return out


def _choose_kernel(
    dtype: np.dtype[Any], part: RowPart, samples: int, nodata: Any, rounding: int
) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """Choose the kernel for windows of up to ``samples`` samples, and its last arguments: buffers and settings."""
    sums, counts = np.empty((2, part.width_out))
    if dtype.kind == "f":
        return _mean_floats, (sums, counts, dtype.type(np.nan if nodata is None else nodata))
    if samples << 8 * dtype.itemsize > EXACT_SUMS:
        high, low, valid = np.empty((3, part.width_out), np.int64)
        return mean_words, (high, low, valid, dtype.type(nodata or 0), nodata is not None, rounding)
    columns, valid = np.empty((2, part.width_in), _sum_dtype(dtype, samples))
    if nodata is not None:
        return _mean_valid_integers, (columns, valid, sums, counts, dtype.type(nodata), rounding)
    narrow = np.empty(part.width_out, columns.dtype) if part.factor > 1 else columns
    return _mean_integers, (np.zeros(part.width_in, dtype), columns, narrow, rounding)


def _sum_dtype(dtype: np.dtype[Any], samples: int) -> np.dtype[Any]:
    """Choose a dtype that holds a sum of ``samples`` integers of up to 32 bits; of two, as each is compiled."""
    narrow = {"u1": "u2", "i1": "i2", "u2": "i4", "i2": "i4"}.get(dtype.str[1:], "f8")
    limits = np.iinfo(dtype)
    fits = narrow != "f8" and samples * max(-int(limits.min), int(limits.max)) <= np.iinfo(narrow).max
    return np.dtype(narrow if fits else "f8")


@compiled()
def _mean_integers(  # type: ignore[no-untyped-def]
    rows_in, rows_out, rows, found, part, firsts, nothing, columns, sums, rounding
):
    """Compute means of integers of up to 32 bits, summed in the dtype of ``columns`` and ``sums``.

    The two are one where windows have one column.  Rows are added two at a time, the last of an odd number
    with a row of ``nothing``.
    """
    stop_in, stop_out = part.start_in + part.width_in, part.start_out + part.width_out
    for row in range(len(rows_out)):
        columns[:] = 0
        for i in range(0, found[row], 2):
            one = rows_in[rows[row, i], part.start_in : stop_in]
            other = rows_in[rows[row, i + 1], part.start_in : stop_in] if i + 1 < found[row] else nothing
            for j in range(len(columns)):
                columns[j] = (columns[j] + one[j]) + other[j]
        if part.factor > 1:
            sums[:] = 0
            _add_groups(sums, columns, part.factor, part.inner, firsts)
        count = found[row] * part.factor
        round_quotients(sums, 1.0 / count, count, rounding, rows_out[row, part.start_out : stop_out])


@compiled()
def _mean_floats(rows_in, rows_out, rows, found, part, firsts, sums, counts, skip):  # type: ignore[no-untyped-def]
    """Compute means of floats without NaN and without ``skip``, summed in float64.

    All samples are summed first; only where a sum is not a number, or there is a ``skip``, the row
    is summed again without them.
    """
    stop_in, stop_out = part.start_in + part.width_in, part.start_out + part.width_out
    nothing_to_skip = skip != skip
    for row in range(len(rows_out)):
        out = rows_out[row, part.start_out : stop_out]
        plain = nothing_to_skip
        if plain:
            sums[:] = 0.0
            for i in range(found[row]):
                _add_groups(sums, rows_in[rows[row, i], part.start_in : stop_in], part.factor, part.inner, firsts)
            count = np.float64(found[row] * part.factor)
            for j in range(len(out)):
                out[j] = sums[j] / count
                plain &= sums[j] == sums[j]
        if not plain:
            _sum_valid(rows_in, rows[row, : found[row]], part, firsts, skip, sums, counts)
            for j in range(len(out)):
                out[j] = sums[j] / counts[j] if counts[j] > 0 else skip


@compiled()
def _mean_valid_integers(  # type: ignore[no-untyped-def]
    rows_in, rows_out, rows, found, part, firsts, columns, valid, sums, counts, skip, rounding
):
    """Compute means of the integers of up to 32 bits that are not ``skip``; ``skip`` where there is nothing else.

    Columns are summed and counted in the dtype of ``columns`` and ``valid``.
    """
    stop_in, stop_out = part.start_in + part.width_in, part.start_out + part.width_out
    for row in range(len(rows_out)):
        columns[:] = 0
        valid[:] = 0
        for i in range(found[row]):
            source = rows_in[rows[row, i], part.start_in : stop_in]
            for j in range(len(columns)):
                columns[j] += source[j] if source[j] != skip else 0
                valid[j] += source[j] != skip
        sums[:] = 0.0
        counts[:] = 0.0
        _add_groups(sums, columns, part.factor, part.inner, firsts)
        _add_groups(counts, valid, part.factor, part.inner, firsts)
        for j in range(len(sums)):
            sums[j] = sums[j] / counts[j] if counts[j] > 0 else np.float64(skip)
        round_quotients(sums, 1.0, found[row] * part.factor, rounding, rows_out[row, part.start_out : stop_out])


@compiled(inline="always")
def _add_groups(sums, row, factor, inner, firsts):  # type: ignore[no-untyped-def]
    """Add the samples of one row to the sums of their windows; loops that vectorise for factors 1 and 2."""
    # no if and else: an inlined function of several ends counts references at each of them
    pairs = factor == 2 and inner == 1
    if factor == 1:
        for i in range(len(sums)):
            sums[i] += row[i]
    if pairs:
        for i in range(len(sums)):
            sums[i] = (sums[i] + row[2 * i]) + row[2 * i + 1]
    for step in range(0 if pairs or factor == 1 else factor):
        offset = np.uint64(step * inner)
        for i in range(len(sums)):
            sums[i] += row[firsts[i] + offset]


@compiled(inline="always")
def _sum_valid(rows_in, rows, part, firsts, skip, sums, counts):  # type: ignore[no-untyped-def]
    """Sum the samples of each window that are neither NaN nor ``skip``, and count them."""
    sums[:] = 0.0
    counts[:] = 0.0
    for row in rows:
        for step in range(part.factor):
            source = rows_in[row, part.start_in + step * part.inner :]
            for j in range(len(sums)):
                value = source[firsts[j]]
                valid = (value == value) & (value != skip)
                sums[j] += np.float64(value) if valid else 0.0  # adding 0.0 changes no sum: none is -0.0
                counts[j] += valid
