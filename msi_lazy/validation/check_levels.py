"""Rules that compare the levels of an image."""

from __future__ import annotations

import itertools
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from msi_lazy.validation.metadata import as_float

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.validation.check_datasets import Level

__all__ = ["check_levels"]

_SUBSAMPLING = ("nearest", "subsampl", "stride", "decimat")
"""Parts of the names of methods that keep one sample of a window."""
_SCALE_TOLERANCE = 1e-3
"""Relative tolerance for a scale that was rounded."""
_COUNT_TOLERANCE = 1e-6
"""Tolerance, from the division, for the number of samples that a scale calls for."""
_SHIFT_TOLERANCE = 0.01
"""Tolerance for a translation that was rounded, in samples of level 0."""


def check_levels(levels: Sequence[Level], names: Sequence[str], method: str | None) -> None:
    """Check the levels of a multiscale image against each other.

    Parameters
    ----------
    levels
        Its levels, in the order in which they are listed.
    names
        Names of the axes.
    method
        Method of downsampling, if the metadata name it.

    Notes
    -----
    Levels are compared with level 0, so that one faulty level gives one finding.
    """
    for finer, coarser in itertools.pairwise(level for level in levels if level.array is not None):
        _check_order(finer, coarser)
    if not levels or levels[0].array is None:
        return
    for number, level in enumerate(levels[1:], start=1):
        _check_dtype(levels[0], level)
        _check_scale(levels[0], level, names, number)
        _check_begin(levels[0], level, names, number, method)


def _check_order(finer: Level, coarser: Level) -> None:
    assert finer.array is not None
    assert coarser.array is not None
    one, other = finer.array.shape, coarser.array.shape
    fault = (
        f"the array has shape {other}, and the dataset before it {one}; datasets are listed from the largest to the "
        f"smallest: put them in this order"
    )
    coarser.checks.hold("datasets-order", all(n <= m for n, m in zip(other, one, strict=False)), fault)


def _check_dtype(base: Level, level: Level) -> None:
    if base.array is None or level.array is None:
        return
    one, other = base.array.dtype, level.array.dtype
    fault = f"the array has dtype {other}, and that of level 0 {one}; write all levels with one dtype"
    level.checks.hold("dtype-same", (one.kind, one.itemsize) == (other.kind, other.itemsize), fault)


def _check_scale(base: Level, level: Level, names: Sequence[str], number: int) -> None:
    """Check that scale times samples is the same extent in both levels, but for trimming or padding."""
    if base.array is None or level.array is None or base.scale is None or level.scale is None:
        return
    contradictions, unlike = [], []
    for name, one, other, n, m in zip(
        names, base.scale, level.scale, base.array.shape, level.array.shape, strict=False
    ):
        factor, fine, coarse = other / one, as_float(n), as_float(m)
        text = f"{name!r}: {m} samples of {other:g} for {n} of {one:g}, a factor of {factor:g}"
        if not (0 < factor < inf and abs(coarse * factor - fine) <= factor + fine * _SCALE_TOLERANCE):
            contradictions.append(text)
        elif abs(coarse - fine / factor) >= 1 - _COUNT_TOLERANCE:  # neither rounded down nor up
            unlike.append(text)
    fault = (
        f"level {number} does not cover the extent of level 0 along {'; '.join(contradictions)}; write the scale of "
        f"level 0 times the factor by which the axis was downsampled"
    )
    if not level.checks.hold("scale-matches-shape", not contradictions, fault):
        return
    fault = (
        f"level {number} has a sample more or less than its scale calls for along {'; '.join(unlike)}; n samples "
        f"become n / factor, rounded down or up, unless the image was cropped: check the scale"
    )
    level.checks.hold("shape-windows", not unlike, fault)


def _check_begin(base: Level, level: Level, names: Sequence[str], number: int, method: str | None) -> None:
    """Check that a level begins where level 0 does, with its samples at the centres of their windows."""
    if base.scale is None or level.scale is None or base.translation is None or level.translation is None:
        return
    subsamples = method is not None and any(word in method.lower() for word in _SUBSAMPLING)
    astray, uncentred = [], []
    for name, one, other, first, begin in zip(
        names, base.scale, level.scale, base.translation, level.translation, strict=False
    ):
        centred, shift = (other - one) / 2, begin - first
        # coordinates may have been rounded to single precision
        tolerance = _SHIFT_TOLERANCE * one + float(np.finfo(np.float32).eps) * max(abs(begin), abs(first))
        text = f"{name!r}: {begin:.9g} instead of {first + centred:.9g}"
        if not abs(shift - centred) < other + tolerance:
            astray.append(text)
        elif abs(shift - centred) > tolerance and not (subsamples and abs(shift - centred) <= abs(centred) + tolerance):
            uncentred.append(text + (" (not shifted)" if abs(shift) <= tolerance else ""))
    fault = (
        f"level {number} begins more than one of its samples away from level 0, along {'; '.join(astray)}; a "
        f"translation is the position of the first sample's centre: write it so"
    )
    if not level.checks.hold("translation-aligned", not astray, fault):
        return
    fault = (
        f"the translation of level {number} is not that of windows whose first sample is level 0's, along "
        f"{'; '.join(uncentred)}; add (scale - scale of level 0) / 2 to that of level 0, unless the image was cropped "
        f"or each window's first sample kept, and then say so with the type 'nearest'"
    )
    level.checks.hold("translation-centred", not uncentred, fault)
