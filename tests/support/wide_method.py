"""A method with a radius of two that no other shares, and what its levels are of a whole array."""

from itertools import product

import numpy as np

import msi_lazy as msi
from msi_lazy.plan.windows import level_extent


def two(factor):
    return 2


def wide_sum(array, factors, out_shape, nodata=None):
    """Weighted sum of a window and two samples around it: order and place of every sample matter."""
    radii = [two(factor) if factor > 1 else 0 for factor in factors]
    total = np.zeros(out_shape)
    for offset in product(*(range(f + 2 * r) for f, r in zip(factors, radii, strict=True))):
        steps = zip(offset, out_shape, factors, strict=True)
        part = array[tuple(slice(o, o + (n - 1) * f + 1, f) for o, n, f in steps)]
        total += part * (1 + sum(offset) % 5)
    return np.rint(total / 7).astype(array.dtype)


WIDE = msi.Method("wide", wide_sum, "test method with a radius of two", kinds="iuf", radius=two)


def whole_array_levels(array, factors, boundary):
    """Levels by :data:`WIDE`, each of the whole level before it."""
    levels = [array]
    for step in factors:
        array = levels[-1]
        out = tuple(level_extent(n, f, boundary) for n, f in zip(array.shape, step, strict=True))
        for dim, (f, count) in enumerate(zip(step, out, strict=True)):
            radius = 2 if f > 1 else 0
            reach = np.arange(-radius, count * f + radius).clip(0, array.shape[dim] - 1)
            array = array.take(reach, axis=dim)  # edges replicated, also beyond a padded end
        levels.append(wide_sum(array, step, out))
    return levels
