"""Weights of the Gaussian that suits a factor: how far they reach, and what they are."""

from __future__ import annotations

from functools import cache
from math import exp, floor, log, sqrt

__all__ = ["gaussian_radius", "gaussian_weights"]

_WEIGHT_UNIT = 2.0**-36
"""Weights are multiples of this."""


def gaussian_radius(factor: int) -> int:
    """Samples beyond a window of ``factor`` samples, on either side, that have a weight.

    Examples
    --------
    >>> [gaussian_radius(factor) for factor in (1, 2, 3, 4)]
    [0, 2, 3, 5]
    """
    return floor(4 * _sigma(factor) - (factor - 1) / 2)


@cache
def gaussian_weights(factor: int) -> tuple[float, ...]:
    """First half of the filter's weights, outermost first; the other half mirrors it.

    Where the number of taps is odd, the last one is half the weight of the sample in the centre, which
    is thus paired with itself.

    Returns
    -------
    tuple of float
        They sum to exactly one half, and are multiples of 2^-36.  So sums over integers of up to 16 bits
        are exact along the first axis, a constant stays what it is, and weights that are left out
        can be told from rounding.

    Notes
    -----
    The weights are w(u) = exp(-u^2 / (2 sigma^2)) / sum at distances u = i - (f - 1) / 2 of at most
    4 sigma, with sigma^2 = (f^2 - 1) / (8 ln 2): what takes a Gaussian point spread of full width at half
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
    shares = [exp(-((u / sigma) ** 2) / 2) / (1 if u else 2) for u in distances]
    units = [round(share / sum(shares) * 0.5 / _WEIGHT_UNIT) for share in shares]
    units[-1] += round(0.5 / _WEIGHT_UNIT) - sum(units)
    return tuple(unit * _WEIGHT_UNIT for unit in units)


def _sigma(factor: int) -> float:
    return sqrt((factor**2 - 1) / (8 * log(2)))
