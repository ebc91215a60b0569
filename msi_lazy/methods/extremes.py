"""Window minima and maxima, and the sample at the window's corner.

Samples are compared as signed integers of their own width, their *keys*, of which the largest wins: unsigned
integers with the highest bit flipped, floats with the lower bits of negative numbers flipped, and for
minima all bits once more.  So four widths are compiled, not eleven dtypes twice, and no result depends on the
order of the samples.  Rows are compared first, in loops over contiguous memory, and neighbours in a row after that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from msi_lazy.methods.compiled import compiled
from msi_lazy.methods.lending import Lend, as_contiguous, fresh
from msi_lazy.methods.rows import first_samples, row_batches, row_layout, row_parts

__all__ = ["window_corner", "window_maximum", "window_minimum"]

Array = np.ndarray[Any, Any]


class _Keys(NamedTuple):
    """Rules that turn bits into keys and back; all but ``plain`` are of the keys' dtype."""

    flip: Any
    """Bits to flip in all samples."""
    fold: Any
    """Bits to flip in negative floats: all but the highest; 0 if the samples are integers."""
    highest: Any
    """Largest integer: all bits but the highest."""
    infinity: Any
    """Bits of infinity in floats, beyond which all are NaN; the largest integer if the samples are integers."""
    lowest: Any
    """Key of samples that are left out: the smallest integer."""
    first: Any
    """First of the keys that are left out as ``nodata``, before those below are moved up to free ``lowest``."""
    last: Any
    """Last of these keys: -0.0 and 0.0 are two."""
    fill: Any
    """Bits of a window of nothing but samples that are left out."""
    plain: bool
    """Whether nothing is left out, and keys are only flipped bits."""


def window_minimum(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Find the smallest sample of each window; missing samples as in :func:`window_maximum`."""
    return _extreme(array, factors, out_shape, nodata, lend, largest=False)


def window_maximum(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Find the largest sample of each window; parameters of :class:`msi_lazy.methods.row.WindowKernel`.

    Returns
    -------
    ndarray
        Shape ``out_shape``, dtype of ``array``.  NaN is left out; a window of nothing but NaN is NaN, or ``nodata``
        if there is one.  0.0 is larger than -0.0.
    """
    return _extreme(array, factors, out_shape, nodata, lend, largest=True)


def window_corner(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Pick the sample at ``factor * i`` of every dimension, whatever its value (``nodata`` and NaN too)."""
    picked = array[tuple(slice(None, None, factor) for factor in factors)]
    out = lend("result", out_shape, array.dtype)
    out[...] = picked[tuple(map(slice, out_shape))]
    return out


def _extreme(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any, lend: Lend, *, largest: bool
) -> Array:
    array = as_contiguous(array, lend)
    bits = array.view(f"i{array.dtype.itemsize}")
    layout = row_layout(array.shape, out_shape, factors)
    rows_in = bits.reshape(-1, layout.row_in * layout.inner)
    out = lend("result", out_shape, bits.dtype)
    rows_out = out.reshape(-1, layout.row_out * layout.inner)
    keys = _describe_keys(array.dtype, bits.dtype, nodata, largest=largest)
    for part in row_parts(layout):
        firsts, columns = first_samples(part), np.empty(part.width_in, bits.dtype)
        for batch, rows, found in row_batches(layout):
            _extreme_of_rows(rows_in, rows_out[batch], rows, found, part, firsts, columns, keys)
    return out.view(array.dtype)


def _describe_keys(dtype: np.dtype[Any], key: np.dtype[Any], nodata: Any, *, largest: bool) -> _Keys:
    floats = dtype.kind == "f"
    zero, highest, lowest = key.type(0), key.type(np.iinfo(key).max), key.type(np.iinfo(key).min)
    flip = (zero if dtype.kind in "if" else lowest) ^ (zero if largest else ~zero)
    fold = highest if floats else zero
    infinity, fill = np.array([np.inf, np.nan], dtype).view(key) if floats else (highest, zero)
    keys = _Keys(flip, fold, highest, infinity, lowest, lowest, lowest, fill, not floats)
    if nodata is None or nodata != nodata:
        return keys
    value = dtype.type(nodata)
    left_out = np.array([value, value if value else -value] if floats else [value, value], dtype).view(key)
    first, last = sorted((bits ^ (fold if bits < 0 else zero)) ^ flip for bits in left_out)
    return keys._replace(first=first, last=last, fill=left_out[0], plain=False)


@compiled()
def _extreme_of_rows(rows_in, rows_out, rows, found, part, firsts, columns, keys):  # type: ignore[no-untyped-def]
    stop_in, stop_out = part.start_in + part.width_in, part.start_out + part.width_out
    for row in range(len(rows_out)):
        best = rows_out[row, part.start_out : stop_out]
        largest = columns if part.factor > 1 else best
        largest[:] = keys.lowest
        for i in range(found[row]):
            source = rows_in[rows[row, i], part.start_in : stop_in]
            if keys.plain:
                for j in range(len(largest)):
                    key, known = source[j] ^ keys.flip, largest[j]
                    largest[j] = key if key > known else known
            else:
                for j in range(len(largest)):
                    key, known = _encode(source[j], keys, largest.dtype.type), largest[j]
                    largest[j] = key if key > known else known
        if part.factor > 1:
            _largest_of_groups(best, largest, part.factor, part.inner, firsts)
        if keys.plain:
            for j in range(len(best)):
                best[j] ^= keys.flip
        else:
            for j in range(len(best)):
                best[j] = _decode(best[j], keys, best.dtype.type)


@compiled(inline="always")
def _largest_of_groups(best, columns, factor, inner, firsts):  # type: ignore[no-untyped-def]
    # no if and else: an inlined function of several ends counts references at each of them
    pairs = factor == 2 and inner == 1
    if pairs:
        for i in range(len(best)):
            one, other = columns[2 * i], columns[2 * i + 1]
            best[i] = one if one > other else other
    for step in range(0 if pairs else factor):
        offset = np.uint64(step * inner)
        for i in range(len(best)):
            key, known = columns[firsts[i] + offset], best[i]
            best[i] = key if key > known or step == 0 else known


@compiled(inline="always")
def _encode(bits, keys, narrow):  # type: ignore[no-untyped-def]
    """Encode a sample as its key; ``narrow`` undoes numba's widening of sums to 64 bits, for the loop's sake."""
    key = bits ^ ((bits >> 63) & keys.fold) ^ keys.flip
    left_out = ((key >= keys.first) & (key <= keys.last)) | ((bits & keys.highest) > keys.infinity)
    moved = narrow(key + (key < keys.first))
    return keys.lowest if left_out else moved


@compiled(inline="always")
def _decode(key, keys, narrow):  # type: ignore[no-untyped-def]
    bits = narrow(key - (key <= keys.first)) ^ keys.flip
    return keys.fill if key == keys.lowest else bits ^ ((bits >> 63) & keys.fold)
