"""Attributes of an image as they are true of a coarser level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan

__all__ = ["level_attributes"]

_TRANSFORMS = {
    "geotransform": (1, 2, 0, 4, 5, 3),
    "transform": (0, 1, 2, 3, 4, 5),
    "spatial:transform": (0, 1, 2, 3, 4, 5),
    "proj:transform": (0, 1, 2, 3, 4, 5),
}
"""Names, in lower case, of transforms from columns and rows to x and y, whose origin is the corner of the first sample;
and the places in them of a, b, c, d, e, f: ``x = a·col + b·row + c``, ``y = d·col + e·row + f``."""
_OF_LEVEL_0 = (
    *("res", "affine", "shape", "width", "height", "actual_range"),
    *("pixel_size", "pixelsize", "voxel_size", "voxelsize", "pixelwidth", "pixelheight", "voxeldepth"),
    *("physicalsizex", "physicalsizey", "physicalsizez", "xresolution", "yresolution"),
    *("spatial:shape", "spatial:bbox", "proj:shape", "proj:bbox"),
)
"""Names, in lower case, of other numbers that describe the grid or the samples of level 0 alone."""
_OF_GRIDS = ("resolution", "scale", "spacing", "origin")
"""Names of such numbers if there is one for each of several dimensions; a single one of an image may be anything."""


def level_attributes(
    attrs: Mapping[Any, Any], plan: PyramidPlan, level: LevelPlan, several: bool = True
) -> dict[Any, Any]:
    """Select the attributes of an image, or of a coordinate of it, that are true of a level; transforms are adapted.

    They are of ``several`` dimensions, or, as those of a coordinate, of one.

    Examples
    --------
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> image = to_spatial_image(np.zeros((8, 8)))
    >>> image.attrs = {"GeoTransform": "100 10 0 500 0 -10", "res": (10, 10), "by": "me"}
    >>> to_multiscale(image, [2])["scale1"].image.attrs
    {'GeoTransform': '100.0 20.0 0.0 500.0 0.0 -20.0', 'by': 'me'}
    """
    factors = [spacing / axis.scale for axis, spacing in zip(plan.axes, level.scale, strict=True)]
    if all(factor == 1 for factor, axis in zip(factors, plan.axes, strict=True) if axis.is_spatial):
        return dict(attrs)
    found = {}
    for name, value in attrs.items():
        known = name.lower() if isinstance(name, str) else ""
        numbers = _numbers(value) if known in (*_TRANSFORMS, *_OF_LEVEL_0, *_OF_GRIDS) else None
        if numbers is None or (known in _OF_GRIDS and several and len(numbers) < 2):
            found[name] = value
        elif known in _TRANSFORMS and len(numbers) in (6, 9):
            adapted = _adapt(numbers, _TRANSFORMS[known], plan, level)
            if adapted is not None:
                found[name] = " ".join(map(str, adapted)) if isinstance(value, str) else adapted
    return found


def _numbers(value: Any) -> list[float] | None:
    """Numbers of a value: one, a sequence, or a string of them; ``None`` for anything else."""
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        numbers = np.asarray(words, dtype=float).ravel().tolist()
    except (TypeError, ValueError):
        return None
    return numbers or None


def _adapt(numbers: list[float], places: tuple[int, ...], plan: PyramidPlan, level: LevelPlan) -> list[float] | None:
    """Adapt a transform to the spacing of a level, and to its corner, where that lies elsewhere (``nearest``)."""
    steps, shifts = {}, {}
    for axis, spacing, origin in zip(plan.axes, level.scale, level.translation, strict=True):
        steps[axis.meaning] = spacing / axis.scale
        shifts[axis.meaning] = (origin - axis.translation) / axis.scale - (steps[axis.meaning] - 1) / 2
    if "x" not in steps or "y" not in steps:
        return None
    a, b, c, d, e, f = (numbers[place] for place in places)
    c += a * shifts["x"] + b * shifts["y"]
    f += d * shifts["x"] + e * shifts["y"]
    adapted = list(numbers)
    for place, number in zip(
        places, (a * steps["x"], b * steps["y"], c, d * steps["x"], e * steps["y"], f), strict=True
    ):
        adapted[place] = number
    return adapted
