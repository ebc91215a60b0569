"""Window modes: the most frequent sample, by sorting many windows side by side.

Labels are mostly flat, so every row of windows is first compared with its first samples, in loops
over contiguous memory; a window whose samples all agree is done.  The samples of the others are
gathered into lanes, which are sorted downwards; the longest run of a sorted lane, the first of
equals, is its window's mode.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from msi_lazy.methods.compiled import compiled
from msi_lazy.methods.lanes import count_lanes, decode, describe_keys, encode, sort_lanes, split_columns
from msi_lazy.methods.lending import Lend, as_contiguous, fresh
from msi_lazy.methods.rows import list_window_rows, row_layout

__all__ = ["window_mode"]

Array = np.ndarray[Any, Any]

_LANES = 256
"""Most windows sorted side by side."""


def window_mode(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Find the most frequent sample of each window; of equally frequent ones the smallest.

    Parameters are those of :class:`msi_lazy.methods.row.WindowKernel`; ``array`` is bool, integer, or float of 32 or
    64 bits.  ``nodata`` has no vote.

    Returns
    -------
    ndarray
        Shape ``out_shape``, dtype of ``array``.  NaN has no vote; a window of nothing but NaN is NaN,
        or ``nodata`` if there is one.  0.0 and -0.0 are one value, which is written as 0.0.
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
        lanes, counts = _allocate_lanes(layout.window_rows * columns.length, bits.dtype)
        _mode_of_rows(rows_in, rows_out, *outer, columns, layout.inner, lanes, counts, keys)
    return out.view(array.dtype)


def _allocate_lanes(samples: int, key: np.dtype[Any]) -> tuple[Array, Array]:
    """Allocate lanes for windows of ``samples`` samples, and a row of counts.

    Counts are as wide as keys, for the loops' sake, unless a whole window would wrap them.
    """
    lanes = count_lanes(samples, key, _LANES)
    count = np.result_type(key, np.min_scalar_type(-samples - 1))
    return np.empty((samples, lanes), key), np.zeros(lanes, count)


@compiled()
def _mode_of_rows(  # type: ignore[no-untyped-def]
    rows_in, rows_out, outer_in, outer_out, outer_factors, window_rows, columns, inner, lanes, counts, keys
):
    column_in, column, column_stop, length = columns
    width = column_stop - column
    rows = np.empty(window_rows, np.int64)
    differs = np.empty(width * length, rows_in.dtype)
    changed = np.empty(width, rows_in.dtype)
    mixed = np.empty(width, np.int64)
    # where lanes come from and go to; unsigned, so that no index is tested for being negative
    offsets = np.empty(window_rows * length, np.uint64)
    firsts = np.empty(lanes.shape[1], np.uint64)
    places = np.empty(lanes.shape[1], np.uint64)
    flat_in, flat_out = rows_in.reshape(-1), rows_out.reshape(-1)
    held, height = 0, 0
    for row in range(rows_out.shape[0]):
        found = list_window_rows(row, outer_in, outer_out, outer_factors, rows)
        out = rows_out[row, column:column_stop]
        waiting = _settle_uniform(rows_in, rows[:found], column_in, length, inner, out, differs, changed, mixed)
        if keys.infinity != 0:
            _settle_zeros_and_nans(out, keys)
        if found != height or found < window_rows:  # lanes are windows of one form
            _settle_lanes(flat_in, offsets, firsts[:held], lanes[: height * length], counts, keys, places, flat_out)
            held, height = 0, found
            for i in range(found):
                for step in range(length):
                    offsets[i * length + step] = (rows[i] - rows[0]) * rows_in.shape[1] + step * inner
        for i in mixed[:waiting]:
            group = i if inner == 1 else i // inner
            firsts[held] = rows[0] * rows_in.shape[1] + column_in + group * (length - 1) * inner + i
            places[held] = row * rows_out.shape[1] + column + i
            held += 1
            if held == len(firsts):
                _settle_lanes(flat_in, offsets, firsts, lanes[: height * length], counts, keys, places, flat_out)
                held = 0
    _settle_lanes(flat_in, offsets, firsts[:held], lanes[: height * length], counts, keys, places, flat_out)


@compiled()
def _settle_uniform(rows_in, rows, start, length, inner, out, differs, changed, mixed):  # type: ignore[no-untyped-def]
    """Write the first sample of each window; list in ``mixed`` the windows that hold others; return how many."""
    first = rows_in[rows[0], start : start + len(differs)]
    differs[:] = 0
    for i in range(1, len(rows)):
        other = rows_in[rows[i], start : start + len(differs)]
        for j in range(len(differs)):
            differs[j] |= first[j] ^ other[j]
    if length == 2 and inner == 1:
        for i in range(len(out)):
            out[i] = first[2 * i]
            changed[i] = differs[2 * i] | differs[2 * i + 1] | (first[2 * i] ^ first[2 * i + 1])
    else:
        for group in range(len(out) // inner):
            for k in range(inner):
                one = first[group * length * inner + k]
                change = one ^ one
                for step in range(group * length, group * length + length):
                    change |= differs[step * inner + k] | (first[step * inner + k] ^ one)
                out[group * inner + k] = one
                changed[group * inner + k] = change
    change = changed[0]
    for i in range(len(out)):
        change |= changed[i]
    found = 0
    if change != 0:
        for i in range(len(out)):
            mixed[found] = i
            found += changed[i] != 0
    return found


@compiled()
def _settle_lanes(flat_in, offsets, firsts, lanes, counts, keys, places, flat_out):  # type: ignore[no-untyped-def]
    """Write the modes of the windows whose first samples are at ``firsts`` to ``places``."""
    held = len(firsts)
    if held == 0:
        return
    for sample in range(len(lanes)):
        lane, offset = lanes[sample], offsets[sample]
        for k in range(held):
            lane[k] = flat_in[firsts[k] + offset]
        encode(lane[:held], keys)
    sort_lanes(lanes, held)
    best = _vote(lanes, held, counts, keys)
    decode(best, keys)
    for k in range(held):
        flat_out[places[k]] = best[k]


@compiled()
def _vote(lanes, held, counts, keys):  # type: ignore[no-untyped-def]
    """Find the key of the longest run of each sorted lane, the first of equals; ``keys.skip`` if none has a vote."""
    # allocated here, and loaded before they are compared: only so do the loops vectorise
    best = np.empty(held, lanes.dtype)
    run = np.zeros(held, counts.dtype)
    most = np.zeros(held, counts.dtype)
    best[:] = keys.skip
    for sample in range(len(lanes)):
        above, here = lanes[max(sample - 1, 0)], lanes[sample]
        if keys.skips:
            for k in range(held):
                key, before, known, record = here[k], above[k], best[k], most[k]
                length = (run[k] * (key == before) + 1) * ((key != keys.skip) & (key != keys.missing))
                run[k] = length
                best[k] = key if length > record else known
                most[k] = length if length > record else record
        else:
            for k in range(held):
                key, before, known, record = here[k], above[k], best[k], most[k]
                length = run[k] * (key == before) + 1
                run[k] = length
                best[k] = key if length > record else known
                most[k] = length if length > record else record
    return best


@compiled()
def _settle_zeros_and_nans(out, keys):  # type: ignore[no-untyped-def]
    """Turn -0.0 into 0.0, and NaN into ``keys.skip``, in windows of nothing else, as in all others."""
    encode(out, keys)
    for i in range(len(out)):
        out[i] = keys.skip if out[i] == keys.missing else out[i]
    decode(out, keys)
