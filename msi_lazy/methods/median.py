"""Window medians: the sample in the middle, by sorting many windows side by side.

Rows of windows are gathered into lanes, several rows at once if they are short, and sorted; the middle
row of the lanes is the result.  Missing samples (NaN, ``nodata``) become the highest key and the lowest
one by turns, so that the middle of the others is the middle of all::

    samples       3 5 8 - -     lower median 5, of 3
    lane          3 5 8 L H     lower median 5, of 5
"""

from __future__ import annotations

from typing import Any

import numpy as np

from msi_lazy.methods.compiled import compiled
from msi_lazy.methods.lanes import count_lanes, decode, describe_keys, encode, sort_lanes, split_columns
from msi_lazy.methods.lending import Lend, as_contiguous, fresh
from msi_lazy.methods.rows import list_window_rows, row_layout

__all__ = ["window_median"]

Array = np.ndarray[Any, Any]

_LANES = 256
"""Most windows side by side."""


def window_median(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Find the middle sample of each window; of an even number the lower one of the two in the middle.

    Parameters are those of :class:`msi_lazy.methods.row.WindowKernel`; ``array`` is bool, integer, or float of 32 or
    64 bits.

    Returns
    -------
    ndarray
        Shape ``out_shape``, dtype of ``array``: sample ``(n - 1) // 2`` of the ``n`` samples in order.
        NaN is left out; a window of nothing but NaN is NaN, or ``nodata`` if there is one.
        0.0 and -0.0 are one value, which is written as 0.0.
    """
    array = as_contiguous(array, lend)
    bits = array.view(f"i{array.dtype.itemsize}")
    layout = row_layout(array.shape, out_shape, factors)
    rows_in = bits.reshape(-1, layout.row_in * layout.inner)
    out = lend("result", out_shape, bits.dtype)
    rows_out = out.reshape(-1, layout.row_out * layout.inner)
    outer = (layout.outer_in, layout.outer_out, layout.outer_factors, layout.window_rows)
    keys = describe_keys(array.dtype, bits.dtype, nodata)
    for columns in split_columns(layout):
        samples = layout.window_rows * columns.length
        groups = max(1, count_lanes(samples, bits.dtype, _LANES) // layout.inner)
        lanes = np.empty((samples, groups * layout.inner), bits.dtype)
        _median_of_rows(rows_in, rows_out, *outer, columns, layout.inner, lanes, keys)
    return out.view(array.dtype)


@compiled()
def _median_of_rows(  # type: ignore[no-untyped-def]
    rows_in, rows_out, outer_in, outer_out, outer_factors, window_rows, columns, inner, lanes, keys
):
    """Find medians of some columns of every output row; of several rows at once if the lanes are longer than a row."""
    column_in, column, column_stop, length = columns
    width = column_stop - column
    together = max(1, lanes.shape[1] // width)
    rows = np.empty(window_rows, np.int64)
    fillers, empty = np.empty(lanes.shape[1], lanes.dtype), np.empty(lanes.shape[1], lanes.dtype)
    stop = 0
    for top in range(rows_out.shape[0]):
        if top < stop:  # done together with a row before
            continue
        stop = min(top + together, rows_out.shape[0])
        for left in range(0, width, lanes.shape[1]):
            part = min(width - left, lanes.shape[1])
            row, height = top, 0
            while row < stop:
                found = list_window_rows(row, outer_in, outer_out, outer_factors, rows)
                if height not in (0, found):  # lanes are windows of one form
                    stop = row
                    break
                place = (row - top) * part
                _gather(rows_in, rows[:found], column_in + left * length, lanes, place, part, length, inner)
                row, height = row + 1, found
            windows, held = lanes[: height * length], (stop - top) * part
            for sample in range(len(windows)):
                encode(windows[sample, :held], keys)
            if keys.skips:
                _fill_missing(windows, held, fillers, empty, keys)
            sort_lanes(windows, held)
            middle = windows[(len(windows) - 1) // 2, :held]
            if keys.skips:
                for k in range(held):
                    middle[k] = keys.skip if empty[k] else middle[k]
            decode(middle, keys)
            for row in range(top, stop):
                out = rows_out[row, column + left : column + left + part]
                for k in range(part):
                    out[k] = middle[(row - top) * part + k]


@compiled()
def _gather(rows_in, rows, start, lanes, place, part, length, inner):  # type: ignore[no-untyped-def]
    """Put the windows of one output row, from column ``start`` of the input on, into lanes from ``place`` on."""
    if length == 1:
        inner = part  # contiguous whatever the groups are
    for i in range(len(rows)):
        source = rows_in[rows[i], start : start + part * length]
        if length == 2 and inner == 1:
            lane, next_lane = lanes[2 * i, place : place + part], lanes[2 * i + 1, place : place + part]
            for k in range(part):
                lane[k] = source[2 * k]
                next_lane[k] = source[2 * k + 1]
        else:
            for step in range(length):
                lane = lanes[i * length + step, place : place + part]
                if inner == 1:
                    for k in range(part):
                        lane[k] = source[k * length + step]
                else:
                    for group in range(part // inner):
                        for k in range(inner):
                            lane[group * inner + k] = source[(group * length + step) * inner + k]


@compiled()
def _fill_missing(lanes, held, fillers, empty, keys):  # type: ignore[no-untyped-def]
    """Put the extreme keys by turns in place of missing samples; mark lanes of nothing else as ``empty``."""
    filler = keys.highest if len(lanes) % 2 == 0 else ~keys.highest
    for k in range(held):
        fillers[k] = filler
        empty[k] = 1
    for sample in range(len(lanes)):
        lane = lanes[sample]
        for k in range(held):
            key, filler, none_yet = lane[k], fillers[k], empty[k]
            missing = (key == keys.skip) | (key == keys.missing)
            lane[k] = filler if missing else key
            fillers[k] = ~filler if missing else filler
            empty[k] = none_yet if missing else 0
