"""Whole-array oracles in plain Python: each window reduced by itself, exactly."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import floor, isnan, trunc

import numpy as np


def reduce_windows(array, factors, out_shape, reduce):
    """Oracle: apply ``reduce`` to the list of samples of each window, one by one, in plain Python."""
    out = np.empty(out_shape, array.dtype)
    for index in np.ndindex(*out_shape):
        window = array[tuple(slice(i * f, i * f + f) for i, f in zip(index, factors, strict=True))]
        out[index] = reduce(window.ravel().tolist())
    return out


def exact_mean(samples):
    """Mean of integers, as a fraction, rounded half to even; of floats, NaN left out, summed in order."""
    if isinstance(samples[0], int):
        return round(Fraction(sum(samples), len(samples)))
    valid = [sample for sample in samples if not isnan(sample)]
    total = 0.0
    for sample in valid:
        total += sample
    return total / len(valid) if valid else float("nan")


def exact_mean_half_up(samples):
    """Mean of integers, rounded half up; of floats as :func:`exact_mean`."""
    if isinstance(samples[0], int):
        return floor(Fraction(sum(samples), len(samples)) + Fraction(1, 2))
    return exact_mean(samples)


def exact_mean_truncated(samples):
    """Mean of integers, truncated towards zero; of floats as :func:`exact_mean`."""
    return trunc(Fraction(sum(samples), len(samples))) if isinstance(samples[0], int) else exact_mean(samples)


def lower_median(samples):
    """The lower one of the middle samples that are numbers."""
    valid = sorted(sample for sample in samples if sample == sample)
    return valid[(len(valid) - 1) // 2] if valid else samples[0]


def smallest(samples):
    return _extreme(min, samples)


def largest(samples):
    return _extreme(max, samples)


def _extreme(choose, samples):
    valid = [sample for sample in samples if sample == sample]
    return choose(valid) if valid else samples[0]


def most_frequent(samples):
    """The most frequent sample that is a number; of equally frequent ones the smallest."""
    votes = Counter(sample for sample in samples if sample == sample)
    return min(votes, key=lambda sample: (-votes[sample], sample)) if votes else samples[0]


ORACLES = {
    "mean": exact_mean,
    "bin_shrink": exact_mean_half_up,
    "xarray_coarsen": exact_mean_truncated,
    "median": lower_median,
    "min": smallest,
    "max": largest,
    "nearest": lambda samples: samples[0],
    "mode": most_frequent,
}


def pyramid_oracle(array, factors, method, boundary="trim"):
    """Every level of a pyramid of ``array``, each from the one before, by :func:`reduce_windows`."""
    levels = [array]
    for step in factors:
        array = levels[-1]
        out_shape = tuple(-(-n // f) if boundary == "pad" else n // f for n, f in zip(array.shape, step, strict=True))
        levels.append(reduce_windows(array, step, out_shape, ORACLES[method]))
    return levels
