"""Weights and radii of the Gaussians that suit a factor.

A filter is described by the first half of its weights, outermost first; the other half mirrors it.  Where the
number of taps is odd, as it is for odd factors, the last weight is half that of the sample in the centre,
which is thus paired with itself.

The halves of a filter sum to exactly one half, and are multiples of 2^-36.  So sums over integers of up to 16 bits
are exact along the first axis, a constant is unchanged, and weights that are left out differ from rounding errors.
"""

from __future__ import annotations

from functools import cache
from math import exp, floor, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "bessel_radius",
    "bessel_weights",
    "centred_gaussian_radius",
    "centred_gaussian_weights",
    "count_taps",
    "gaussian_radius",
    "gaussian_weights",
]

_WEIGHT_UNIT = 2.0**-36
"""Unit of the weights, which are multiples of it."""
_BESSEL_ERROR = 0.01
"""Fraction of a Bessel kernel's sum that its tails may leave out: msi's setting of ITK's filter."""
_BESSEL_RADIUS = 32
"""Most taps on either side of a Bessel kernel's centre: ITK's maximum kernel width."""


def gaussian_radius(factor: int) -> int:
    """Count the samples beyond a window of ``factor``, on either side, that :func:`gaussian_weights` reach.

    Examples
    --------
    >>> [gaussian_radius(factor) for factor in (1, 2, 3, 4)]
    [0, 2, 3, 5]
    """
    return floor(4 * _sigma(factor) - (factor - 1) / 2)


@cache
def gaussian_weights(factor: int) -> tuple[float, ...]:
    """Compute half of the Gaussian around the centre of a window of ``factor`` samples.

    Notes
    -----
    The weights are w(u) = exp(-u^2 / (2 sigma^2)) / sum at distances u = i - (f - 1) / 2 of at most
    4 sigma, with sigma^2 = (f^2 - 1) / (8 ln 2), which takes a Gaussian point spread of full width at half
    maximum 1 to one of f samples (M. J. Cardoso et al., "Scale factor point spread function matching:
    beyond aliasing in image resampling", MICCAI 2015).

    Examples
    --------
    >>> [round(weight, 4) for weight in gaussian_weights(2)]
    [0.0017, 0.0678, 0.4305]
    """
    if factor == 1:
        return (0.5,)
    radius, sigma = gaussian_radius(factor), _sigma(factor)
    distances = [radius + (factor - 1) / 2 - step for step in range((factor + 2 * radius + 1) // 2)]
    return _scaled([exp(-((u / sigma) ** 2) / 2) / (1 if u else 2) for u in distances])


def centred_gaussian_radius(factor: int) -> int:
    """Count the samples beyond a window of ``factor``, on either side, that :func:`centred_gaussian_weights` reach.

    Examples
    --------
    >>> [centred_gaussian_radius(factor) for factor in (1, 2, 3, 4)]
    [0, 3, 4, 6]
    """
    return (count_taps(centred_gaussian_weights(factor), factor) - factor) // 2


@cache
def centred_gaussian_weights(factor: int) -> tuple[float, ...]:
    """Compute half of SciPy's Gaussian around the sample in the centre of a window, or around its two central ones.

    Notes
    -----
    ``scipy.ndimage.gaussian_filter`` cuts its kernel off at ``int(4 sigma + 0.5)`` samples.  For an even
    factor the mean of the filtered values of the two central samples is one sum over both kernels.

    Examples
    --------
    >>> [round(weight, 4) for weight in centred_gaussian_weights(2)]
    [0.0001, 0.0068, 0.1143, 0.3788]
    """
    if factor == 1:
        return (0.5,)
    sigma = _sigma(factor)
    return _around_centre([exp(-((u / sigma) ** 2) / 2) for u in range(int(4 * sigma + 0.5) + 1)], factor)


def bessel_radius(factor: int) -> int:
    """Count the samples beyond a window of ``factor``, on either side, that :func:`bessel_weights` reach.

    Zero where the kernel, of limited width, is narrower than the window.

    Examples
    --------
    >>> [bessel_radius(factor) for factor in (1, 2, 3, 4, 100)]
    [0, 2, 2, 3, 0]
    """
    return max(0, (count_taps(bessel_weights(factor), factor) - factor) // 2)


@cache
def bessel_weights(factor: int) -> tuple[float, ...]:
    """Compute half of the discrete Gaussian around the sample in a window's centre, or around its two central ones.

    Notes
    -----
    The discrete Gaussian of variance t has the weights exp(-t) I_n(t), with I_n the modified Bessel function
    of order n (T. Lindeberg, "Scale-space for discrete signals", IEEE PAMI 12(3), 1990).  As ITK's
    ``GaussianOperator`` does, it is cut off where the sum of the weights reaches 0.99, or at 32 samples.

    Examples
    --------
    >>> [round(weight, 4) for weight in bessel_weights(2)]
    [0.011, 0.093, 0.3961]
    """
    if factor == 1:
        return (0.5,)
    from scipy.special import ive

    kernel = ive(np.arange(_BESSEL_RADIUS + 1), _sigma(factor) ** 2)
    covered = 2 * np.cumsum(kernel) - kernel[0]
    enough = int(np.argmax(covered >= 1 - _BESSEL_ERROR)) if covered[-1] >= 1 - _BESSEL_ERROR else _BESSEL_RADIUS
    return _around_centre(kernel[: max(enough, 1) + 1].tolist(), factor)


def count_taps(half: Sequence[float], factor: int) -> int:
    """Count the taps of a filter for ``factor``, both halves together."""
    return 2 * len(half) - factor % 2


def _sigma(factor: int) -> float:
    return sqrt((factor**2 - 1) / (8 * log(2)))


def _around_centre(kernel: Sequence[float], factor: int) -> tuple[float, ...]:
    """Compute half of a symmetric kernel, given from its centre outwards, around the centre of a window."""
    if factor % 2:
        return _scaled([*kernel[:0:-1], kernel[0] / 2])
    outwards = kernel[::-1]  # around the lower of the two central samples, and one further on around the other
    return _scaled([one + other for one, other in zip(outwards, [0.0, *outwards[:-1]], strict=True)])


def _scaled(weights: Sequence[float]) -> tuple[float, ...]:
    """Round ``weights`` to multiples of the weight unit that sum to one half."""
    total = sum(weights)
    units = [round(weight / total * 0.5 / _WEIGHT_UNIT) for weight in weights]
    units[-1] += round(0.5 / _WEIGHT_UNIT) - sum(units)
    return tuple(unit * _WEIGHT_UNIT for unit in units)


def gaussian_votes(factor: int, bits: int) -> tuple[int, ...]:
    """Convert :func:`gaussian_weights` to integers that sum to exactly 2^bits: votes on labels.

    Every tap has a vote; the remainder of rounding goes to the centre, in equal parts if it is two taps.

    Raises
    ------
    ValueError
        There are so many taps that the centre would have less than half of its neighbours' votes.

    Examples
    --------
    >>> gaussian_votes(2, 10)
    (2, 69, 441, 441, 69, 2)
    """
    sides = [max(1, round(weight * 2**bits)) for weight in gaussian_weights(factor)[:-1]]
    taps = 1 if factor % 2 else 2
    centre = (2**bits - 2 * sum(sides)) // taps
    if 2 * centre < max([1, *sides]):
        raise ValueError(f"2^{bits} votes are too few for the taps of factor {factor}; divide fewer axes at once")
    return (*sides, *[centre] * taps, *reversed(sides))
