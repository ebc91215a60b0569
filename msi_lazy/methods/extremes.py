"""Window minima and maxima, and the sample at the window's corner."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from msi_lazy.methods.rows import list_window_rows, row_layout

__all__ = ["window_corner", "window_maximum", "window_minimum"]

Array = np.ndarray[Any, Any]


def window_minimum(array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None) -> Array:
    """Smallest sample of each window; parameters and missing samples as in :func:`window_maximum`."""
    return _window_extreme(array, factors, out_shape, nodata, largest=False)


def window_maximum(array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None) -> Array:
    """Largest sample of each window.

    Parameters
    ----------
    array : ndarray
        Block to reduce, native byte order, any number of dimensions.
    factors : tuple of int
        Window size along each dimension.
    out_shape : tuple of int
        Number of windows along each dimension; the last one may reach beyond the array.
    nodata : scalar, optional
        Samples of this value are left out; a window with no other sample becomes this value.

    Returns
    -------
    ndarray
        Shape ``out_shape``, dtype of ``array``.  NaN is left out; a window of nothing but NaN is NaN.
    """
    return _window_extreme(array, factors, out_shape, nodata, largest=True)


def window_corner(array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None) -> Array:
    """Sample at ``factor * i`` of every dimension, whatever its value (``nodata`` and NaN too)."""
    picked = array[tuple(slice(None, None, factor) for factor in factors)]
    return np.ascontiguousarray(picked[tuple(map(slice, out_shape))])


def _window_extreme(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any, *, largest: bool
) -> Array:
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "b":
        as_bytes = _window_extreme(array.view(np.uint8), factors, out_shape, nodata, largest=largest)
        return as_bytes.view(np.bool_)
    layout = row_layout(array.shape, out_shape, factors)
    rows_in = array.reshape(-1, layout.row_in * layout.inner)
    out = np.empty(out_shape, array.dtype)
    rows_out = out.reshape(-1, layout.row_out * layout.inner)
    shape = (layout.outer_in, layout.outer_out, layout.outer_factors, layout.window_rows)
    if nodata is not None:
        skip = array.dtype.type(nodata)
        _extreme_of_valid(rows_in, rows_out, *shape, layout.factor, layout.inner, skip, largest)
    else:
        _extreme_of_all(rows_in, rows_out, *shape, layout.factor, layout.inner, largest)
    return out


@njit(nogil=True, cache=True, inline="always")
def _larger(one, other):  # type: ignore[no-untyped-def]
    """The larger of two samples; NaN loses."""
    return one if (one > other) | (other != other) else other


@njit(nogil=True, cache=True, inline="always")
def _smaller(one, other):  # type: ignore[no-untyped-def]
    """The smaller of two samples; NaN loses."""
    return one if (one < other) | (other != other) else other


@njit(nogil=True, cache=True)
def _meet_row(best, row, factor, inner, largest):  # type: ignore[no-untyped-def]
    """Take one input row into the running extremes of its windows; inner loops for factors 1 and 2."""
    groups_out = len(best) // inner
    groups_in = len(row) // inner
    if factor == 2 and inner == 1 and groups_in >= 2 * groups_out:
        if largest:
            for i in range(groups_out):
                best[i] = _larger(best[i], _larger(row[2 * i], row[2 * i + 1]))
        else:
            for i in range(groups_out):
                best[i] = _smaller(best[i], _smaller(row[2 * i], row[2 * i + 1]))
    elif factor == 1:
        if largest:
            for i in range(len(best)):
                best[i] = _larger(best[i], row[i])
        else:
            for i in range(len(best)):
                best[i] = _smaller(best[i], row[i])
    else:
        for group in range(groups_out):
            for step in range(group * factor, min(group * factor + factor, groups_in)):
                for k in range(inner):
                    value = row[step * inner + k]
                    known = best[group * inner + k]
                    best[group * inner + k] = _larger(known, value) if largest else _smaller(known, value)


@njit(nogil=True, cache=True)
def _extreme_of_all(rows_in, rows_out, outer_in, outer_out, outer_factors, window_rows, factor, inner, largest):  # type: ignore[no-untyped-def]
    """Extremes of all samples that are numbers."""
    rows = np.empty(window_rows, np.int64)
    for row in range(rows_out.shape[0]):
        found = list_window_rows(row, outer_in, outer_out, outer_factors, rows)
        best = rows_out[row]
        first = rows_in[rows[0]]
        for group in range(len(best) // inner):
            for k in range(inner):
                best[group * inner + k] = first[group * factor * inner + k]
        for i in range(found):
            _meet_row(best, rows_in[rows[i]], factor, inner, largest)


@njit(nogil=True, cache=True)
def _extreme_of_valid(  # type: ignore[no-untyped-def]
    rows_in, rows_out, outer_in, outer_out, outer_factors, window_rows, factor, inner, skip, largest
):
    """Extremes of the samples that are neither NaN nor ``skip``; ``skip`` where there are none."""
    rows = np.empty(window_rows, np.int64)
    groups_in = rows_in.shape[1] // inner
    for row in range(rows_out.shape[0]):
        found = list_window_rows(row, outer_in, outer_out, outer_factors, rows)
        best = rows_out[row]
        best[:] = skip  # never a valid value, so it also marks "none yet"
        for i in range(found):
            source = rows_in[rows[i]]
            for group in range(len(best) // inner):
                for step in range(group * factor, min(group * factor + factor, groups_in)):
                    for k in range(inner):
                        value = source[step * inner + k]
                        known = best[group * inner + k]
                        valid = (value == value) & (value != skip)
                        none_yet = (known != known) | (known == skip)
                        better = value > known if largest else value < known
                        if valid & (none_yet | better):
                            best[group * inner + k] = value
