"""Exact rounding of quotients of integers: half to even, half up, or towards zero."""

from __future__ import annotations

import numpy as np

from msi_lazy.methods.compiled import compiled

__all__ = ["EXACT_SUMS", "HALF_EVEN", "HALF_UP", "TRUNCATED", "round_quotients", "rounds_up"]

HALF_EVEN = 0
"""Rounding to the nearest integer, of two equally near ones the even one."""
HALF_UP = 1
"""Rounding to the nearest integer, of two equally near ones the larger one: floor(x + 1/2), also below zero."""
TRUNCATED = 2
"""Rounding towards zero."""

EXACT_SUMS = 2**48
"""Limit of the sums whose quotients :func:`round_quotients` rounds exactly."""
_ONE_AND_A_BIT = 1.0 + 2.0**-52


@compiled(inline="always")
def round_quotients(sums, reciprocal, count, rounding, out):  # type: ignore[no-untyped-def]
    """Round ``sums / count`` into ``out``, computed as ``sums * reciprocal``, with ``1 / count`` in float64.

    With a ``reciprocal`` of 1.0, round quotients that were divided by ``count`` or less.

    Notes
    -----
    Divisions are slow, but products are only nearly quotients: with the additions below, they are off by less than
    2^-50 of their size, 1 / 4c for sums below 2^48 and a count of c.  A quotient that is not an integer is at
    least 1 / c from one, a quotient that is not a tie (half an odd integer) at least 1 / 2c from one.  So 1 / 4c
    more than a half takes every tie across, and nothing else.  Half to even is the mean of half up and half
    down, which differ at ties, rounded again.  That is not needed where products cannot cross a tie: odd
    counts have no ties, and products are exact if the count is a power of two.
    """
    half = 0.5 + 0.25 / count
    exact = reciprocal == 1.0 or count % 2 == 1 or count & (count - 1) == 0
    if rounding == HALF_EVEN and exact:
        for i in range(len(out)):
            out[i] = np.rint(sums[i] * reciprocal)
    elif rounding == HALF_EVEN:
        for i in range(len(out)):
            quotient = sums[i] * reciprocal
            out[i] = np.rint((np.floor(quotient + half) + np.ceil(quotient - half)) * 0.5)
    elif rounding == HALF_UP:
        for i in range(len(out)):
            out[i] = np.floor(sums[i] * reciprocal + half)
    else:
        upper = reciprocal * _ONE_AND_A_BIT  # not below 1 / count, so that integers stay what they are
        for i in range(len(out)):
            out[i] = np.trunc(sums[i] * upper)


@compiled(inline="always")
def rounds_up(floor, rest, count, negative, rounding):  # type: ignore[no-untyped-def]
    """Tell whether ``floor + rest / count``, with ``0 <= rest < count``, is rounded to ``floor + 1``."""
    if rounding == HALF_EVEN:
        return (2 * rest > count) | ((2 * rest == count) & (floor & 1 == 1))
    if rounding == HALF_UP:
        return 2 * rest >= count
    return negative & (rest > 0)
