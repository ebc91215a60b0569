"""Smoothing and decimation in one: a separable FIR filter, evaluated only where samples survive.

The first divided axis is filtered plane by plane: the planes under one output plane become one of
float64, small enough for the cache, whose own axes are filtered one after the other.  Every loop
over samples is along contiguous memory::

    planes z .. z+5 ──> one plane (y, x) ──> (y/2, x) ──> (y/2, x/2), rounded once

The order of the axes, and of the taps (pairs of samples at equal distances from the centre, from the
outermost inwards), is fixed, so that a result has the same bits wherever the block borders lie.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from msi_lazy.methods.compiled import compiled
from msi_lazy.methods.lending import Lend, as_contiguous, fresh
from msi_lazy.methods.weights import count_taps

__all__ = ["filter_windows"]

Array = np.ndarray[Any, Any]
Halves = Callable[[int], tuple[float, ...]]

_PLANE_SAMPLES = 2**16
"""Number of samples above which planes are filtered in strips: 512 KiB of float64."""
_SHORT = 32
"""Number of samples below which planes are too short for a loop: the axis before is then the first one."""


def filter_windows(
    array: Array,
    factors: tuple[int, ...],
    out_shape: tuple[int, ...],
    nodata: Any,
    halves: Halves,
    lend: Lend = fresh,
) -> Array:
    """Compute the weighted mean of the samples around the centre of each window.

    Parameters
    ----------
    array : ndarray
        Block to reduce with its halo, integer or float of 32 or 64 bits, native byte order, any number of dimensions:
        ``out_shape * factor`` samples along each dimension, and as many on either side as the filter reaches
        beyond a window, if it does.
    factors : tuple of int
        Window size along each dimension; nothing is smoothed along those of 1.
    out_shape : tuple of int
        Number of windows along each dimension.
    nodata : scalar or None
        Samples of this value are left out with their weights, and the others' weights are scaled up
        to one; where nothing else has a weight the result is this value.
    halves : callable
        Function that returns half of the filter for a factor; see :mod:`msi_lazy.methods.weights`.
    lend : callable
        Function that lends the result, and arrays for what is computed on the way.

    Returns
    -------
    ndarray
        Shape ``out_shape``, dtype of ``array``.  Summed in float64; integers are rounded once, half to even,
        and clipped to the range of the dtype.  NaN is left out as ``nodata`` is; where nothing else has
        a weight the result is NaN, or ``nodata`` if there is one.  Infinities are summed as they are.

    Notes
    -----
    64-bit integers beyond 2^53 are rounded when they are converted.  Before the last rounding, a sum
    over d axes of p pairs of taps each is within (d (p + 2) + 1) 2^-53 of the largest magnitude summed.
    Floats beyond 2^1022 may overflow to infinity, as two samples are added before they are weighted.
    """
    if max(factors, default=1) == 1:
        out = lend("result", array.shape, array.dtype)
        out[...] = array
        return out
    radii = tuple((count_taps(halves(factor), factor) - factor) // 2 for factor in factors)
    # a filter narrower than its window leaves samples out at either end
    array = array[tuple(slice(max(-r, 0), n - max(-r, 0)) for n, r in zip(array.shape, radii, strict=True))]
    slow = _choose_slow_axis(array.shape, factors)
    if slow < 0:
        plane: Array = filter_windows(array[np.newaxis], (1, *factors), (1, *out_shape), nodata, halves, lend)[0]
        return plane
    out = lend("result", out_shape, array.dtype)
    stop = 0
    for strip in _cut_strips(array.shape, factors[slow + 1], radii[slow + 1], out_shape[slow + 1], slow):
        filtered = _filter(as_contiguous(array[strip], lend), factors, radii, slow, nodata, halves, lend)
        start, stop = stop, stop + filtered.shape[slow + 1]
        out[(slice(None),) * (slow + 1) + (slice(start, stop),)] = filtered
    return out


def _choose_slow_axis(shape: tuple[int, ...], factors: tuple[int, ...]) -> int:
    """Choose the axis along which planes are combined: the first divided one, unless planes below it are too short."""
    first = next(axis for axis, factor in enumerate(factors) if factor > 1)
    return first - (prod(factors[first + 1 :]) == 1 and prod(shape[first + 1 :]) < _SHORT)


def _cut_strips(shape: tuple[int, ...], factor: int, radius: int, count: int, slow: int) -> list[tuple[slice, ...]]:
    """Slice the input, halo included, along the first axis of a plane, so that planes fit the cache."""
    halo = 2 * radius
    rows = _PLANE_SAMPLES // prod(shape[slow + 2 :])
    step = max((rows - halo) // factor, halo, 1)
    ends = [(start, min(start + step, count)) for start in range(0, count, step)]
    before = (slice(None),) * (slow + 1)
    return [(*before, slice(start * factor, stop * factor + halo)) for start, stop in ends]


class _Pass(NamedTuple):
    """Filter pass along one axis of a plane."""

    outer: int
    """Samples of the axes before, already filtered."""
    length: int
    """Samples along the axis."""
    inner: int
    """Samples of the axes behind, yet to be filtered."""
    factor: int
    """Factor of the axis."""
    length_out: int
    """Samples along the axis, afterwards."""
    taps: int
    """Taps of the filter."""


def _plan_passes(
    shape: tuple[int, ...], factors: tuple[int, ...], radii: tuple[int, ...], slow: int
) -> tuple[tuple[int, ...], list[_Pass]]:
    """Plan the shape afterwards, and the passes: the slow axis first, then the divided axes of a plane."""
    out, passes = list(shape), []
    for axis in range(slow, len(shape)):
        factor, radius = factors[axis], radii[axis]
        out[axis] = (shape[axis] - 2 * radius) // factor
        if factor > 1 or axis == slow:
            outer, inner = prod(out[slow + 1 : axis]), prod(shape[axis + 1 :])
            passes.append(_Pass(outer, shape[axis], inner, factor, out[axis], factor + 2 * radius))
    return tuple(out), passes


def _filter(
    array: Array, factors: tuple[int, ...], radii: tuple[int, ...], slow: int, nodata: Any, halves: Halves, lend: Lend
) -> Array:
    """Filter a contiguous block whose planes fit the cache."""
    out_shape, passes = _plan_passes(array.shape, factors, radii, slow)
    filters = [halves(step.factor) for step in passes]
    weights = np.zeros((len(filters), max(map(len, filters))))
    for row, half in zip(weights, filters, strict=True):
        row[: len(half)] = half
    out = lend("strip", out_shape, array.dtype)
    volume = array.reshape(-1, passes[0].length, passes[0].inner)
    planes = out.reshape(len(volume), passes[0].length_out, -1)
    if array.dtype.kind == "f":
        skip = array.dtype.type(np.nan if nodata is None else nodata)
        _filter_floats(volume, planes, np.array(passes), weights, skip, nodata is None)
    else:
        skip, limits = array.dtype.type(nodata or 0), np.iinfo(array.dtype)
        low, high = array.dtype.type(limits.min), array.dtype.type(limits.max)
        _filter_integers(volume, planes, np.array(passes), weights, skip, nodata is None, low, high)
    return out


@compiled()
def _filter_floats(volume, out, passes, weights, skip, plain):  # type: ignore[no-untyped-def]
    """Filter planes of floats; those with NaN, or all if there is a ``skip``, once more without them."""
    first, second = np.empty(volume.shape[2]), np.empty(volume.shape[2])
    for batch in range(out.shape[0]):
        for plane in range(out.shape[1]):
            target = out[batch, plane]
            missing = True
            if plain:
                _combine(volume[batch], plane * passes[0, 3], passes[0, 5], weights[0], first)
                values = _filter_plane(first, second, passes, weights)
                missing = False
                for i in range(len(target)):
                    target[i] = values[i]
                    missing |= values[i] != values[i]
            if missing:
                values, shares = _filter_valid(volume[batch], plane * passes[0, 3], passes, weights, skip)
                for i in range(len(target)):
                    if not plain or target[i] != target[i]:
                        target[i] = values[i] / shares[i] if shares[i] > 0 else skip


@compiled()
def _filter_integers(volume, out, passes, weights, skip, plain, low, high):  # type: ignore[no-untyped-def]
    """Filter planes of integers, without ``skip`` unless ``plain``, and round them."""
    first, second = np.empty(volume.shape[2]), np.empty(volume.shape[2])
    for batch in range(out.shape[0]):
        for plane in range(out.shape[1]):
            target = out[batch, plane]
            if plain:
                _combine(volume[batch], plane * passes[0, 3], passes[0, 5], weights[0], first)
                _round_plane(_filter_plane(first, second, passes, weights), target, low, high)
            else:
                values, shares = _filter_valid(volume[batch], plane * passes[0, 3], passes, weights, skip)
                for i in range(len(target)):
                    values[i] = values[i] / shares[i] if shares[i] > 0 else 0.0
                _round_plane(values, target, low, high)
                for i in range(len(target)):
                    target[i] = target[i] if shares[i] > 0 else skip


@compiled()
def _filter_valid(planes, start, passes, weights, skip):  # type: ignore[no-untyped-def]
    """Sum the samples that are neither NaN nor ``skip``, and their weights, which give exactly 1 if all are valid."""
    values, shares, spare = np.empty(planes.shape[1]), np.empty(planes.shape[1]), np.empty(planes.shape[1])
    _combine_valid(planes, start, passes[0, 5], weights[0], skip, values, shares)
    other = np.empty(planes.shape[1])
    return _filter_plane(values, spare, passes, weights), _filter_plane(shares, other, passes, weights)


@compiled()
def _filter_plane(source, target, passes, weights):  # type: ignore[no-untyped-def]
    """Filter a plane along its own axes, to and fro between two arrays; return the one with the result."""
    for step in range(1, len(passes)):
        outer, length, inner, factor, length_out, taps = passes[step]
        for group in range(outer):
            lines = source[group * length * inner : (group + 1) * length * inner].reshape(length, inner)
            results = target[group * length_out * inner : (group + 1) * length_out * inner]
            if inner < 8:
                _combine_short(lines, factor, taps, weights[step], results)
            else:
                for i in range(length_out):
                    _combine(lines, i * factor, taps, weights[step], results[i * inner : (i + 1) * inner])
        source, target = target, source
    return source


@compiled()
def _combine(lines, start, taps, weights, total):  # type: ignore[no-untyped-def]
    """Sum ``taps`` weighted lines from ``start`` on, in pieces that stay in the first-level cache."""
    if taps == 1:
        for i in range(len(total)):
            total[i] = lines[start, i]
        return
    for left in range(0, len(total), 1024):
        part = total[left : left + 1024]
        for pair in range((taps + 1) // 2):
            weight = weights[pair]
            one = lines[start + pair, left : left + len(part)]
            other = lines[start + taps - 1 - pair, left : left + len(part)]
            if pair == 0:
                for i in range(len(part)):
                    part[i] = weight * (np.float64(one[i]) + np.float64(other[i]))
            else:
                for i in range(len(part)):
                    part[i] += weight * (np.float64(one[i]) + np.float64(other[i]))


@compiled()
def _combine_short(lines, factor, taps, weights, results):  # type: ignore[no-untyped-def]
    """Compute all sums of an axis with few samples behind it, each with the operations of :func:`_combine`."""
    inner = lines.shape[1]
    flat = lines.reshape(-1)
    for i in range(len(results)):
        group = i if inner == 1 else i // inner
        first = group * (factor - 1) * inner + i
        last = first + (taps - 1) * inner
        total = weights[0] * (flat[first] + flat[last])
        for pair in range(1, (taps + 1) // 2):
            total += weights[pair] * (flat[first + pair * inner] + flat[last - pair * inner])
        results[i] = total


@compiled()
def _combine_valid(lines, start, taps, weights, skip, total, share):  # type: ignore[no-untyped-def]
    """Sum the weighted samples that are neither NaN nor ``skip``, and their weights."""
    total[:] = 0.0
    share[:] = 0.0
    if taps == 1:
        for i in range(len(total)):
            if (lines[start, i] == lines[start, i]) & (lines[start, i] != skip):
                total[i] += np.float64(lines[start, i])
                share[i] = 1.0
        return
    for pair in range((taps + 1) // 2):
        weight = weights[pair]
        one, other = lines[start + pair], lines[start + taps - 1 - pair]
        for i in range(len(total)):
            a, b = one[i], other[i]
            has_a, has_b = (a == a) & (a != skip), (b == b) & (b != skip)
            total[i] += weight * ((np.float64(a) if has_a else 0.0) + (np.float64(b) if has_b else 0.0))
            share[i] += weight * (np.float64(has_a) + np.float64(has_b))


@compiled()
def _round_plane(values, target, low, high):  # type: ignore[no-untyped-def]
    """Round half to even, clip, cast; ``high`` of 64 bits is no float64, its neighbour is too large."""
    shift, bottom, top = 2.0**52, np.float64(low), np.float64(high)
    for i in range(len(target)):
        size = abs(values[i])
        size = (size + shift) - shift if size < shift else size  # float64 of this size have no fraction
        value = size if values[i] >= 0 else -size
        if value >= top:
            target[i] = high
        elif value <= bottom:
            target[i] = low
        else:
            target[i] = value
