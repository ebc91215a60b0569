"""Whole levels by the twelve built-in methods in plain NumPy: no block, no halo, and no code of msi_lazy.

What the methods promise is in the docstrings of ``msi_lazy.Methods``.  The Gaussians too are to be met to the last bit,
so their oracles keep to what the library lays down for that: weights that are multiples of 2^-36, axis after
axis, and in each the pairs of taps at equal distances from the centre, from the outermost inwards.
"""

from __future__ import annotations

from itertools import count
from math import exp, log, prod, sqrt

import numpy as np
from scipy.special import ive

WEIGHT_BITS = 36
VOTE_BITS = 62
ONE_HOT_SAMPLES = 2**20
"""Samples of all labels that are filtered at once."""


def make_levels(array, steps, method, boundary="trim", nodata=None):
    """Every level of a pyramid, the first one in native byte order, each from the whole one before."""
    levels = [array.astype(array.dtype.newbyteorder("="))]
    for factors in steps:
        with np.errstate(all="ignore"):
            levels.append(ORACLES[method](levels[-1], factors, boundary, nodata))
    return levels


def extents(shape, factors, boundary):
    return tuple(-(-n // f) if boundary == "pad" else n // f for n, f in zip(shape, factors, strict=True))


def is_valid(samples, nodata):
    return (samples == samples) & (True if nodata is None else samples != nodata)


def filled(found, exists, dtype, nodata):
    """``found``, with NaN or ``nodata`` where no valid sample exists."""
    if exists.all():
        return found.astype(dtype)
    return np.where(exists, found, np.nan if nodata is None else dtype.type(nodata)).astype(dtype)


# Box methods: windows become rows of samples in C order.


def split_windows(array, factors, boundary, nodata):
    """Samples of each window along the last axis, and which of them exist and are to be counted."""
    out_shape = extents(array.shape, factors, boundary)
    whole = tuple(n * f for n, f in zip(out_shape, factors, strict=True))
    held = tuple(slice(0, min(n, w)) for n, w in zip(array.shape, whole, strict=True))
    samples, valid = np.zeros(whole, array.dtype), np.zeros(whole, bool)
    samples[held], valid[held] = array[held], is_valid(array[held], nodata)
    samples[~valid] = 0
    order = (*range(0, 2 * array.ndim, 2), *range(1, 2 * array.ndim, 2))
    split = [part for pair in zip(out_shape, factors, strict=True) for part in pair]
    return tuple(each.reshape(split).transpose(order).reshape(*out_shape, -1) for each in (samples, valid))


def sort_windows(array, factors, boundary, nodata):
    """Samples of each window in order, -0.0 before 0.0, those to be counted first, and how many these are."""
    samples, valid = split_windows(array, factors, boundary, nodata)
    signs = ~np.signbit(samples) if array.dtype.kind == "f" else valid
    order = np.lexsort((signs, samples, ~valid), axis=-1)
    return np.take_along_axis(samples, order, -1), valid.sum(-1)


def choose(place, one_zero):
    """Oracle of a method that takes the sample at ``place(count)`` of each sorted window."""

    def reduce(array, factors, boundary, nodata):
        samples, counts = sort_windows(array, factors, boundary, nodata)
        found = np.take_along_axis(samples, place(counts).clip(0)[..., np.newaxis], -1)[..., 0]
        return filled(found + found.dtype.type(0) if one_zero else found, counts > 0, array.dtype, nodata)

    return reduce


def mode(array, factors, boundary, nodata):
    samples, counts = sort_windows(array, factors, boundary, nodata)
    found, longest, run = samples[..., 0].copy(), np.ones(counts.shape, int), np.ones(counts.shape, int)
    for k in range(1, samples.shape[-1]):
        run = np.where(samples[..., k] == samples[..., k - 1], run + 1, 1)
        better = (run > longest) & (k < counts)  # not so for an equal run: the smaller sample came first
        found[better], longest[better] = samples[..., k][better], run[better]
    return filled(found + found.dtype.type(0), counts > 0, array.dtype, nodata)


def nearest(array, factors, boundary, nodata):
    corner = tuple(slice(0, n * f, f) for n, f in zip(extents(array.shape, factors, boundary), factors, strict=True))
    return array[corner]


def half_even(floor, rest, size):
    return (2 * rest > size) | ((2 * rest == size) & (floor % 2 == 1))


def half_up(floor, rest, size):
    return 2 * rest >= size


def truncated(floor, rest, size):
    return (floor < 0) & (rest > 0)


def average(rounds_up):
    """Oracle of a mean: integers exact, then rounded; floats summed one by one in float64."""

    def reduce(array, factors, boundary, nodata):
        samples, valid = split_windows(array, factors, boundary, nodata)
        counts = valid.sum(-1)
        size = np.maximum(counts, 1)
        if array.dtype.kind == "f":
            total = np.zeros(counts.shape)
            for k in range(samples.shape[-1]):
                total = total + samples[..., k]  # zeros in place of missing samples: no sum is -0.0
            return filled(total / size, counts > 0, array.dtype, nodata)
        total = samples.astype(object if array.dtype.itemsize == 8 else np.int64).sum(-1)
        floor, rest = total // size, total % size
        return filled(floor + rounds_up(floor, rest, size).astype(int), counts > 0, array.dtype, nodata)

    return reduce


# Gaussians: every sample of a level is a sum over taps that are looked up by their indices.


def sigma_of(factor):
    return sqrt((factor**2 - 1) / (8 * log(2)))


def gaussian_taps(factor):
    """Weights at the samples within four sigma of the centre of a window."""
    centre, sigma = (factor - 1) / 2, sigma_of(factor)
    distances = [i - centre for i in range(-8 * factor, 9 * factor) if abs(i - centre) <= 4 * sigma]
    return np.array([exp(-(u**2) / (2 * sigma**2)) for u in distances])


def scipy_taps(factor):
    """Weights of ``scipy.ndimage.gaussian_filter``, truncated where it does that."""
    sigma, radius = sigma_of(factor), int(4 * sigma_of(factor) + 0.5)
    return at_centre(np.array([exp(-(u**2) / (2 * sigma**2)) for u in range(-radius, radius + 1)]), factor)


def bessel_taps(factor):
    """Weights of ITK's ``GaussianOperator``: as many as it takes to 99 % of the sum, at most 32 on either side."""
    variance = sigma_of(factor) ** 2
    for radius in count(1):
        weights = ive(np.abs(np.arange(-radius, radius + 1)), variance)
        if weights.sum() >= 0.99 or radius == 32:
            return at_centre(weights, factor)
    return None


def at_centre(weights, factor):
    """Taps on the sample in the centre of a window, or those of the mean of its two central samples."""
    return weights if factor % 2 else np.convolve(weights, [0.5, 0.5])


def units_of(weights):
    """One half of symmetric ``weights``, from the outermost on, in units of 2^-36; these sum to 2^35 exactly.

    The centre of an odd number of taps is paired with itself, and has half its weight here.  The innermost
    pair has what rounding the others leaves it.
    """
    outer = [round(weight / weights.sum() * 2**WEIGHT_BITS) for weight in weights[: (len(weights) - 1) // 2]]
    return [*outer, 2 ** (WEIGHT_BITS - 1) - sum(outer)]


def tap_samples(array, axis, factor, n_out, taps, edge):
    """Samples under each tap, for all windows along ``axis``, as a function of the tap's number."""
    n = array.shape[axis]
    first = np.arange(n_out) * factor - (taps - factor) // 2

    def take(tap):
        places = first + tap
        if edge == "reflect":  # at the end of whole windows: a partial one is filled with the last sample before
            period = 2 * max(n, n_out * factor)
            places = np.minimum(places % period, period - 1 - places % period)
        return array.take(places.clip(0, n - 1), axis)

    return take


def weigh(values, factors, boundary, taps_of, edge):
    """Weighted sum around each window in float64."""
    for axis, (factor, n_out) in enumerate(zip(factors, extents(values.shape, factors, boundary), strict=True)):
        if factor > 1:
            weights = taps_of(factor)
            sample, total = tap_samples(values, axis, factor, n_out, len(weights), edge), None
            for k, unit in enumerate(units_of(weights)):
                term = unit * 2.0**-WEIGHT_BITS * (sample(k) + sample(len(weights) - 1 - k))
                total = term if total is None else total + term
            values = total
    return values


def gaussian(taps_of, edge="replicate"):
    """Oracle of a Gaussian; where samples are missing, the weights of the others are scaled up."""

    def reduce(array, factors, boundary, nodata):
        if max(factors) == 1:
            return array
        terms = (factors, boundary, taps_of, edge)
        valid = is_valid(array, nodata)
        shares = weigh(valid.astype(float), *terms)
        found = weigh(np.where(valid, array, 0).astype(float) + 0.0, *terms) / np.where(shares > 0, shares, 1)
        if nodata is None:  # sums of nothing but numbers are not touched, not even the sign of their zeros
            plain = weigh(array.astype(float), *terms)
            found = np.where(np.isnan(plain), found, plain)
        if array.dtype.kind != "f":
            found = round_to(found, array.dtype)
        return filled(found, shares > 0, array.dtype, nodata)

    return reduce


def round_to(values, dtype):
    """Integers of ``dtype``, half to even, clipped; the largest ones of 64 bits are no float64."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    values = np.rint(values)
    inside = (values >= float(low)) & (values < float(high))
    return np.where(inside, np.where(inside, values, 0).astype(dtype), np.where(values < 0, dtype.type(low), high))


def votes_of(factor, bits):
    """The taps of :func:`gaussian_taps` as integers: at least 1, the sum 2^bits, what is over is the centre's."""
    units = units_of(gaussian_taps(factor))
    sides = [max(1, round(unit / 2 ** (WEIGHT_BITS - bits))) for unit in units[:-1]]
    centre = 2**bits - 2 * sum(sides)
    return [*sides, *([centre] if factor % 2 else [centre // 2] * 2), *sides[::-1]]


def label_gaussian(array, factors, boundary, nodata):
    """Count the votes of every label in the image, the smallest first."""
    out_shape = extents(array.shape, factors, boundary)
    valid = is_valid(array, nodata)
    bits = min(WEIGHT_BITS, VOTE_BITS // max(1, sum(factor > 1 for factor in factors)))
    labels = np.unique(array[valid] + array.dtype.type(0))
    found, most = np.zeros(out_shape, array.dtype), np.zeros(out_shape, np.int64)
    step = max(1, ONE_HOT_SAMPLES // prod(array.shape))
    for start in range(0, len(labels), step):
        some = labels[start : start + step]
        votes = ((array == np.expand_dims(some, tuple(range(1, array.ndim + 1)))) & valid).astype(np.int64)
        for axis, (factor, n_out) in enumerate(zip(factors, out_shape, strict=True), start=1):
            if factor > 1:
                taps = votes_of(factor, bits)
                sample = tap_samples(votes, axis, factor, n_out, len(taps), "replicate")
                votes = sum(tap * sample(k) for k, tap in enumerate(taps))
        best = votes.argmax(0)  # the first, and so the smallest, of equals
        polled = np.take_along_axis(votes, best[np.newaxis], 0)[0]
        found = np.where(polled > most, some[best], found)
        most = np.maximum(polled, most)
    return filled(found, most > 0, array.dtype, nodata)


ORACLES = {
    "mean": average(half_even),
    "bin_shrink": average(half_up),
    "xarray_coarsen": average(truncated),
    "median": choose(lambda counts: (counts - 1) // 2, one_zero=True),
    "min": choose(lambda counts: 0 * counts, one_zero=False),
    "max": choose(lambda counts: counts - 1, one_zero=False),
    "mode": mode,
    "nearest": nearest,
    "gaussian": gaussian(gaussian_taps),
    "dask_image_gaussian": gaussian(scipy_taps, "reflect"),
    "itk_gaussian": gaussian(bessel_taps),
    "label_gaussian": label_gaussian,
}
"""Oracle of each method, called with array, factors, boundary and ``nodata``."""
