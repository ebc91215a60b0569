"""A thumbnail of a tree, as an array of colours."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

from msi_lazy.show.pictures.display_settings import read_display_settings
from msi_lazy.show.pictures.planes import Frame, compute_planes, fit_axis
from msi_lazy.tree.read_plan import level_images, read_plan

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["make_thumbnail"]


def make_thumbnail(tree: xr.DataTree, max_size: int = 256) -> np.ndarray[Any, Any]:
    """Thumbnail of a pyramid; see :meth:`msi_lazy.PyramidAccessor.thumbnail`."""
    longest = _parse_size(max_size)
    plan, images = read_plan(tree), level_images(tree)
    frame, display = Frame(plan), read_display_settings(tree, images[0], plan)
    level = plan.levels[frame.choose_level(max(frame.size(plan.levels[0])) / longest)]
    # the level's own size, which may lack a part of a window at the end; and a small image is not enlarged
    pixel = max(max(frame.size(level)) / longest, min(frame.spacing(plan.levels[0])))
    plane = frame.plane(images[level.number], level, display, pixel)
    samples = compute_planes([plane])[0]
    for axis, size, length in zip((1, 2), frame.size(level), plane.lengths, strict=True):
        pixels = min(max(round(size / pixel), 1), longest)
        samples = fit_axis(samples, axis, length, pixels, nearest=display.labels is not None)
    return display.paint(samples, display.measured(samples))


def _parse_size(max_size: Any) -> int:
    if isinstance(max_size, bool) or not isinstance(max_size, Integral):
        raise TypeError(f"max_size is a number of pixels, an integer, not {max_size!r}")
    if max_size < 1:
        raise ValueError(f"max_size is a number of pixels, at least 1, not {max_size}")
    return int(max_size)
