"""Taps of a Gaussian vote: their places, their votes, and the rounds they are counted in."""

from __future__ import annotations

from functools import reduce
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msi_lazy.methods.weights import gaussian_votes

if TYPE_CHECKING:
    from msi_lazy.methods.rows import RowLayout

__all__ = ["Taps", "plan_taps"]

Array = np.ndarray[Any, Any]

_AXIS_BITS = 36
"""Bits of the votes along an axis, as many as the unit of the Gaussian's weights has."""
_ALL_BITS = 62
"""Most bits of all votes: their sums fit 64 bits, with a sign."""
_FIRST_ROUND = 8
"""Taps of the first round: the centre of a window of three dimensions."""
_GROWTH = 4
"""Ratio of the taps counted after a round to those before."""


class Taps(NamedTuple):
    """Taps of a window, from the heaviest to the lightest."""

    places: Array
    """Samples from the window's first tap; unsigned, so that no index is tested for being negative."""
    votes: Array
    """Votes of each tap."""
    ends: Array
    """Taps counted after each round."""
    rests: Array
    """Votes not yet counted after each round."""
    total: int
    """Sum of all votes."""


def plan_taps(layout: RowLayout) -> tuple[Array, tuple[Array, Array, int], Taps]:
    """Plan strides of the outer axes, rows of the core, all rows and their number of taps, all taps."""
    factors = [*layout.outer_factors.tolist(), layout.factor]
    lengths = [*layout.outer_in.tolist(), layout.row_in]
    strides = [prod(lengths[axis + 1 :]) * layout.inner for axis in range(len(lengths))]
    bits = min(_AXIS_BITS, _ALL_BITS // max(1, sum(factor > 1 for factor in factors)))
    votes = [np.array(gaussian_votes(factor, bits) if factor > 1 else (1,), np.int64) for factor in factors]
    places = [np.arange(len(axis)) * stride for axis, stride in zip(votes, strides, strict=True)]
    core = [axis[part] for axis, part in zip(places, _choose_core(votes, factors), strict=True)]
    boxes = (_cross(np.add, core[:-1], core[-1][0]), _cross(np.add, places[:-1], 0), len(places[-1]))
    return np.array(strides[:-1], np.int64), boxes, _sort_taps(_cross(np.add, places, 0), _cross(np.multiply, votes, 1))


def _cross(operation: np.ufunc, axes: list[Array], start: int) -> Array:
    """Combine (add or multiply) one value of each axis, in C order."""
    return reduce(operation.outer, axes, np.array(start, np.int64)).ravel()


def _choose_core(votes: list[Array], factors: list[int]) -> list[slice]:
    """Choose a box with more than half of all votes: the window, extended along outer axes if need be."""
    sides = [(len(axis) - factor) // 2 for axis, factor in zip(votes, factors, strict=True)]
    while True:
        core = [slice(side, len(axis) - side) for side, axis in zip(sides, votes, strict=True)]
        shares = [axis[part].sum() / axis.sum() for axis, part in zip(votes, core, strict=True)]
        if prod(shares) > 0.5 + 2.0**-20:  # more than rounding
            return core
        sides[shares.index(min(shares[:-1]))] -= 1


def _sort_taps(places: Array, votes: Array) -> Taps:
    order = np.argsort(-votes, kind="stable")
    places, votes = places[order].astype(np.uint64), votes[order]
    rounds = (_FIRST_ROUND * _GROWTH**k for k in range(len(order).bit_length()))
    ends = np.array([*(end for end in rounds if end < len(order)), len(order)], np.uint64)
    counted = np.cumsum(votes)
    return Taps(places, votes, ends, counted[-1] - counted[ends - np.uint64(1)], int(counted[-1]))
