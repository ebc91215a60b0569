"""Coordinates of the levels of a pyramid, from those of its image; nothing that is lazy is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from msi_lazy.axes import axis_coordinate, storable_coordinate
from msi_lazy.compat.xarray_backends import is_in_memory
from msi_lazy.errors import warn_user
from msi_lazy.tree.level_attributes import level_attributes

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Iterable

    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan

__all__ = ["level_coordinates", "warn_of_lost_coordinates"]


def level_coordinates(plan: PyramidPlan, level: LevelPlan, image: xr.DataArray) -> dict[Hashable, xr.Variable]:
    """Coordinates of one level: the image's own where no sample moved, else its grid, or interpolated ones."""
    fixed = {
        axis.name for axis, n in zip(plan.axes, level.shape, strict=True) if n == axis.length
    }  # a factor above 1 always shortens an axis
    coords: dict[Hashable, xr.Variable] = {
        name: storable_coordinate(coord.variable) for name, coord in image.coords.items() if set(coord.dims) <= fixed
    }
    for dim, axis in enumerate(plan.axes):
        attrs = image.coords[axis.name].attrs if axis.name in image.coords else {}
        if axis.regular and not (axis.name in fixed and axis.name in coords):
            grid = replace(axis, length=level.shape[dim], scale=level.scale[dim], translation=level.translation[dim])
            coords[axis.name] = axis_coordinate(grid, attrs)
    for name, coord in image.coords.items():
        names_channels = any(axis.name == name and axis.kind == "channel" for axis in plan.axes)
        if name not in coords and not names_channels and _has_means(coord):  # names, also numbers, have no mean
            coords[name] = _interpolate_all(coord.variable, plan, level, fixed)
    for name, coord in coords.items():
        if coord.dims and set(coord.dims) <= fixed:  # without dimensions, it may hold the transform of the grid
            continue
        attrs = level_attributes(coord.attrs, plan, level, several=len(coord.dims) != 1)
        if "spacing" in coord.attrs and name in image.dims:  # of a single coordinate, by :func:`axis_coordinate`
            attrs["spacing"] = coord.attrs["spacing"]
        coords[name] = coord.copy(deep=False)
        coords[name].attrs = attrs
    return coords


def warn_of_lost_coordinates(image: xr.DataArray, coarsest: Container[Hashable]) -> None:
    """Warn, once, of coordinates that the ``coarsest`` level does not have."""
    lost = [name for name in image.coords if name not in coarsest and _says_something(image, name)]
    if lost:
        warn_user(
            f"the coordinate {', '.join(map(repr, lost))} holds names, which have no mean: the levels that are reduced "
            f"along it go without"
        )


def _says_something(image: xr.DataArray, name: Hashable) -> bool:
    """Tell whether a coordinate says more of the samples than their numbers do."""
    return name not in image.dims or not np.array_equal(image.coords[name].values, np.arange(image.sizes[name]))


def _has_means(coordinate: xr.DataArray) -> bool:
    """Tell whether a coordinate holds numbers, durations or dates, those of other calendars (cftime) too."""
    dtype: Any = coordinate.dtype
    if not isinstance(dtype, np.dtype):  # of pandas: categories, time zones
        return False
    if coordinate.dtype.kind in "iufcmM":
        return True
    in_memory = coordinate.ndim == 1 and is_in_memory(coordinate.variable)
    return in_memory and isinstance(coordinate.variable.to_index_variable().to_index(), xr.CFTimeIndex)


def _interpolate_all(
    variable: xr.Variable, plan: PyramidPlan, level: LevelPlan, fixed: Iterable[Hashable]
) -> xr.Variable:
    """Interpolate a coordinate along all dimensions in which the level's samples are others than the image's."""
    dims = [dim for dim in variable.dims if dim not in fixed]
    if not is_in_memory(variable) and variable.chunks is None:
        variable = variable.chunk("auto")
    found = variable.to_base_variable()
    for dim in dims:
        found = _interpolate(found, dim, _positions(plan, level, plan.dims.index(str(dim))))
    if variable.ndim > 1 and variable.dtype.kind == "f":
        found = found.astype(variable.dtype)
    found.attrs, found.encoding = dict(variable.attrs), {}
    return found


def _positions(plan: PyramidPlan, level: LevelPlan, dim: int) -> np.ndarray[Any, Any]:
    """Positions of the samples of ``level`` along ``dim``, in samples of level 0."""
    axis = plan.axes[dim]
    start = (level.translation[dim] - axis.translation) / axis.scale
    return start + np.arange(level.shape[dim]) * (level.scale[dim] / axis.scale)


def _interpolate(values: xr.Variable, dim: Hashable, positions: np.ndarray[Any, Any]) -> xr.Variable:
    """Interpolate numbers or dates linearly at fractional positions along ``dim``."""
    if values.dtype.kind in "iu":
        values = values.astype(float)  # differences of unsigned integers would wrap
    if values.dtype.kind in "mM" and np.datetime_data(values.dtype)[0] in ("s", "ms"):
        values = values.astype(f"{values.dtype.kind}8[us]")  # else half a second would be none
    last = values.sizes[dim] - 1
    lower = np.floor(positions).astype(int).clip(0, last)
    upper = (lower + 1).clip(0, last)
    first, second = values.isel({dim: lower}), values.isel({dim: upper})
    if values.dtype.kind == "O":  # dates of other calendars, whose differences xarray would take for durations of NumPy
        between = (second.values - first.values) * (positions - lower)
        return xr.Variable((dim,), first.values + between)
    return first + (second - first) * xr.Variable((dim,), positions - lower)
