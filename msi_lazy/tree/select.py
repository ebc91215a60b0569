"""Selection by physical positions: the level with a given spacing, and a window of its samples."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, inf, isfinite, isnan, nan
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.numbers import is_real
from msi_lazy.axes import rename_advice, unit_sizes
from msi_lazy.tree.read_plan import level_images, read_plan

if TYPE_CHECKING:
    import xarray as xr

    from msi_lazy.axes import Axis
    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan

__all__ = ["fitting_level", "level_for", "select_window"]

_ROUNDING = 1e-6
"""Fraction of a sample by which equal positions and spacings may differ."""


def level_for(tree: xr.DataTree, spacing: float | Mapping[str, float]) -> str:
    """Choose the coarsest level whose samples lie no wider apart than ``spacing``; no pixel is read.

    Parameters
    ----------
    tree
        A pyramid.
    spacing
        Distance between neighbouring samples: a number for all spatial dimensions, in the unit of the last of them, or
        one for each that matters, in its own unit, as in ``{"x": 0.5}``.

    Returns
    -------
    str
        Name of the level, such as ``"scale2"``; the finest, ``"scale0"``, if even that is coarser.

    Raises
    ------
    TypeError
        ``spacing`` is neither a number nor a mapping of numbers by dimension.
    ValueError
        It is not positive and finite, or names a dimension that is not spatial; or the tree is not a pyramid.

    Examples
    --------
    >>> import numpy as np
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> image = to_spatial_image(np.zeros((64, 64), np.uint8), scale={"y": 0.5, "x": 0.5})
    >>> level_for(to_multiscale(image, [2, 2, 2]), 2.5)
    'scale2'
    """
    plan = read_plan(tree)
    return plan.levels[fitting_level(plan, _parse_spacing(plan, spacing))].name


def select_window(
    tree: xr.DataTree,
    /,
    indexers: Mapping[Any, Any] | None = None,
    *,
    spacing: float | Mapping[str, float] | None = None,
    **indexers_by_name: Any,
) -> xr.DataArray:
    """Select a window, by physical positions, of the level that is fine enough for ``spacing``; no pixel is read.

    Parameters
    ----------
    tree
        A pyramid.
    indexers, **indexers_by_name
        Selection along each dimension, as a dict or by name.  Along spatial dimensions a slice takes every sample
        that reaches into it, half the spacing to either side of its centre, and a position takes the sample that it
        lies in: whatever the level, the result covers the window (xarray's ``sel`` takes the centres inside, and of
        a coarse level perhaps none).  Along other dimensions, such as ``c``, xarray selects.
    spacing
        The coarsest level no coarser than this is taken, see :meth:`level_for`; ``None`` takes the finest.

    Returns
    -------
    xarray.DataArray
        The image of that level, lazily, with its coordinates.

    Raises
    ------
    KeyError
        A channel or a time that does not exist.
    TypeError, ValueError
        An invalid position or spacing, a window outside the image, or an unknown dimension.

    Examples
    --------
    >>> import numpy as np
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> tree = to_multiscale(to_spatial_image(np.zeros((64, 64), np.uint8), scale={"y": 0.5, "x": 0.5}), [2, 2])
    >>> window = tree.pyramid.sel(x=slice(10, 20), y=slice(None, 4), spacing=1)
    >>> window.shape, window.x.values[[0, -1]]
    ((5, 11), array([10.25, 20.25]))
    """
    plan = read_plan(tree)
    number = 0 if spacing is None else fitting_level(plan, _parse_spacing(plan, spacing))
    chosen = _merge(indexers, indexers_by_name)
    unknown = [name for name in chosen if name not in plan.dims]
    if unknown:
        raise ValueError(f"the image has no dimension {unknown[0]!r}; it has {plan.dims}")
    image = level_images(tree)[number]
    level = plan.levels[number]
    spatial, others = {}, {}
    for name, wanted in chosen.items():
        dim = plan.dims.index(name)
        if plan.axes[dim].is_spatial:
            spatial[name] = _find_samples(plan.axes[dim], level, dim, wanted)
        else:
            others[name] = wanted
    return _select_others(image, others).isel(spatial)


def _merge(indexers: Mapping[Any, Any] | None, by_name: Mapping[str, Any]) -> dict[Any, Any]:
    if indexers is None:
        return dict(by_name)
    if not isinstance(indexers, Mapping):
        raise TypeError(f"indexers must be a dict by dimension, such as {{'x': slice(0, 10)}}, not {indexers!r}")
    twice = [name for name in indexers if name in by_name]
    if twice:
        raise ValueError(f"the selection along {twice[0]!r} is given twice: in indexers, and by name; give one")
    return {**indexers, **by_name}


def fitting_level(plan: PyramidPlan, spacing: Mapping[int, float], finest: int = 0) -> int:
    """Find the coarsest level, from ``finest`` on, within ``spacing`` by dimension number; ``finest`` if none is."""
    fine = [
        level.number
        for level in plan.levels[finest:]
        if all(level.scale[dim] <= most * (1 + _ROUNDING) for dim, most in spacing.items())
    ]
    return max(fine, default=finest)


def _parse_spacing(plan: PyramidPlan, spacing: Any) -> dict[int, float]:
    """Check a spacing, and return it by dimension number."""
    space = {axis.name: number for number, axis in enumerate(plan.axes) if axis.is_spatial}
    sizes = (1.0,) * len(plan.axes)  # of the units of ``spacing``
    if not space:
        raise ValueError(
            f"spacing is that of space, and none of the dimensions {plan.dims} is known to be; rename them, as in "
            f"{rename_advice(plan.axes)}, and build the pyramid again"
        )
    if not isinstance(spacing, Mapping):
        spacing, sizes = dict.fromkeys(space, spacing), unit_sizes(plan.axes)
    elif not spacing:
        raise ValueError(f"spacing names no dimension; name some of {tuple(space)}, or give one number for all")
    found = {}
    for name, most in spacing.items():
        if name not in space:
            raise ValueError(f"spacing has {name!r}, which is no spatial dimension of the image; it has {tuple(space)}")
        if not is_real(most):
            raise TypeError(f"spacing must be a number, or a dict of numbers by dimension, not {most!r}")
        found[space[name]] = _to_float(most) / sizes[space[name]]
        if not (isfinite(found[space[name]]) and found[space[name]] > 0):
            raise ValueError(f"spacing must be positive and finite, not {_short(most)}")
    return found


def _find_samples(axis: Axis, level: LevelPlan, dim: int, wanted: Any) -> int | slice:
    """Find the samples of ``level`` along a spatial dimension that overlap a position or slice."""
    scale, length = level.scale[dim], level.shape[dim]
    begin, end = level.extent(dim)
    unit = f" {axis.unit}" if axis.unit else ""
    extent = f"the image reaches from {begin:g} to {end:g}{unit} along {axis.name!r} on {level.name}"
    if not isinstance(wanted, slice):
        position = (_parse_position(axis, wanted) - begin) / scale
        if not -_ROUNDING <= position <= length + _ROUNDING:
            raise ValueError(f"{axis.name}={wanted!r} is outside of the image: {extent}")
        return min(max(floor(position), 0), length - 1)
    if wanted.step is not None:
        raise ValueError(f"{axis.name}={wanted!r} has a step, which is not supported; give spacing for a coarser level")
    low = begin if wanted.start is None else _parse_position(axis, wanted.start)
    high = end if wanted.stop is None else _parse_position(axis, wanted.stop)
    if wanted.start is not None and wanted.stop is not None and low > high:
        raise ValueError(f"{axis.name}={wanted!r} ends before it begins; coordinates ascend")
    first = floor((low - begin) / scale + _ROUNDING)
    stop = ceil((high - begin) / scale - _ROUNDING)
    if (
        wanted.start is not None and wanted.stop is not None
    ):  # narrower than the rounding: take the sample in which it begins
        first = min(first, length - 1) if (high - begin) / scale <= length + _ROUNDING else first
        stop = max(stop, first + 1)
    first, stop = max(first, 0), min(stop, length)
    if first >= stop:
        raise ValueError(f"{axis.name}={wanted!r} is outside of the image: {extent}")
    return slice(first, stop)


def _parse_position(axis: Axis, value: Any) -> float:
    position = _to_float(value) if is_real(value) else nan
    if isnan(position):
        raise TypeError(
            f"{axis.name} is space: give a position or a slice of positions, such as slice(10, 20.5), not {value!r}"
        )
    if not isfinite(position):
        raise ValueError(f"{axis.name} must be finite, not {_short(value)}; leave an end of a slice open with None")
    return position


def _to_float(value: Any) -> float:
    """Convert a real number; one too large for a float becomes infinite."""
    try:
        return float(value)
    except OverflowError:
        return inf


def _short(value: Any) -> str:
    """Format a number for a message: Python refuses to format long integers."""
    return f"a number of {value.bit_length()} bits" if isinstance(value, int) else repr(value)


def _select_others(image: xr.DataArray, chosen: Mapping[str, Any]) -> xr.DataArray:
    for name, wanted in chosen.items():
        try:
            image = image.sel({name: wanted})
        except (KeyError, IndexError, TypeError, ValueError) as error:
            there = image[name].values.tolist() if name in image.coords else f"numbers below {image.sizes[name]}"
            raise KeyError(f"there is no {wanted!r} along {name!r}; it has {there}") from error
    return image
