"""Building an ``xarray.DataTree`` from a plan and arrays, with coordinates and attributes of every level."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from msi_lazy.axes import axis_coordinate, storable_coordinate
from msi_lazy.errors import warn_user
from msi_lazy.ngff.kept_members import keep_members
from msi_lazy.ngff.specifications import IN_MEMORY, foreign_attributes, image_members
from msi_lazy.tree.read_plan import level_images, read_plan
from msi_lazy.tree.root_attributes import channel_block, root_attributes

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from msi_lazy.ngff.stored_image import StoredImage
    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan
    from msi_lazy.storage.open_image import OpenedImage

__all__ = ["ROOT_NAME", "build_tree", "refresh", "stack_levels", "transpose_tree"]

ROOT_NAME = "multiscales"


def build_tree(plan: PyramidPlan, arrays: Sequence[Any], image: xr.DataArray) -> xr.DataTree:
    """Build the tree of ``plan`` from ``arrays``, with the coordinates and attributes of ``image``."""
    nodes = {"/": xr.Dataset(attrs=root_attributes(plan, channel_block({}, image, plan)))}
    for level, array in zip(plan.levels, arrays, strict=True):
        coords = _level_coords(plan, level, image)
        encoding = {"chunks": level.chunks} | ({} if plan.nodata is None else {"nodata": plan.nodata.item()})
        variable = xr.Variable(image.dims, array, dict(image.attrs), encoding)
        nodes[level.name] = xr.Dataset({plan.name: variable}, coords, dict(image.attrs))
    lost = [axis.name for axis in plan.axes if axis.name not in coords and _has_names(image, axis.name)]
    if lost:
        warn_user(
            f"the coordinate {', '.join(map(repr, lost))} holds names, which have no mean: the levels that are reduced "
            f"along it go without"
        )
    return xr.DataTree.from_dict(nodes, name=ROOT_NAME)


def stack_levels(opened: OpenedImage) -> xr.DataTree:
    """Build the tree of a stored image from its levels and the attributes of its group."""
    nodes = {"/": xr.Dataset(attrs=opened.attributes)}
    nodes |= {f"scale{number}": image.to_dataset(promote_attrs=True) for number, image in enumerate(opened.images)}
    return _stamp(xr.DataTree.from_dict(nodes, name=ROOT_NAME), opened.stored)


def refresh(tree: xr.DataTree) -> xr.DataTree:
    """Update the root attributes of a copy of a tree after edits, for xarray's own writer; others are kept."""
    return _stamp(tree, None)


def _stamp(tree: xr.DataTree, stored: StoredImage | None) -> xr.DataTree:
    """Update the root attributes of a copy of a tree; ``stored`` describes its image better than they do."""
    plan = read_plan(tree, check_nesting=False, stored=stored)
    stamped = root_attributes(plan, channel_block(tree.attrs, level_images(tree)[0], plan))
    if stamped:
        stamped = keep_members(stamped, tree.attrs, [level.path for level in stored.levels] if stored else None)
        stamped = IN_MEMORY.place({**image_members(tree.attrs), **IN_MEMORY.block_of(stamped)})
    stamped_tree = tree.copy(deep=False)
    stamped_tree.attrs = {**foreign_attributes(tree.attrs), **stamped}
    return stamped_tree


def _level_coords(plan: PyramidPlan, level: LevelPlan, image: xr.DataArray) -> dict[Hashable, xr.Variable]:
    """Coordinates of one level: the image's own where no sample moved, else the level's grid."""
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
        elif axis.kind == "channel":
            continue  # names, also in the form of numbers, have no mean
        elif axis.name not in fixed and _has_means(image.coords[axis.name]):
            positions = _positions(plan, level, dim)
            coords[axis.name] = xr.Variable(
                (axis.name,), _interpolate(image.coords[axis.name].values, positions), attrs
            )
    return coords


def _has_names(image: xr.DataArray, dim: str) -> bool:
    """Tell whether the samples along ``dim`` have labels other than their numbers."""
    return dim in image.coords and not np.array_equal(image.coords[dim].values, np.arange(image.sizes[dim]))


def _has_means(coordinate: xr.DataArray) -> bool:
    """Tell whether a coordinate holds numbers, durations or dates, those of other calendars (cftime) too."""
    return coordinate.dtype.kind in "iufmM" or isinstance(coordinate.to_index(), xr.CFTimeIndex)


def _positions(plan: PyramidPlan, level: LevelPlan, dim: int) -> np.ndarray[Any, Any]:
    """Positions of the samples of ``level`` along ``dim``, in samples of level 0."""
    axis = plan.axes[dim]
    start = (level.translation[dim] - axis.translation) / axis.scale
    return start + np.arange(level.shape[dim]) * (level.scale[dim] / axis.scale)


def _interpolate(values: np.ndarray[Any, Any], positions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Interpolate uneven numbers or dates linearly at fractional positions."""
    if values.dtype.kind in "iu":
        values = values.astype(float)  # differences of unsigned integers would wrap
    if values.dtype.kind in "mM" and np.datetime_data(values.dtype)[0] in ("s", "ms"):
        values = values.astype(f"{values.dtype.kind}8[us]")  # else half a second would be none
    lower = np.floor(positions).astype(int).clip(0, len(values) - 1)
    upper = (lower + 1).clip(0, len(values) - 1)
    interpolated: np.ndarray[Any, Any] = values[lower] + (values[upper] - values[lower]) * (positions - lower)
    return interpolated


def transpose_tree(tree: xr.DataTree, dims: Sequence[str]) -> xr.DataTree:
    """Transpose every image of a tree lazily."""
    nodes = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
    for number, image in enumerate(level_images(tree)):
        path = f"/scale{number}"
        nodes[path] = nodes[path].assign({image.name: image.transpose(*dims)})
    return xr.DataTree.from_dict(nodes, name=tree.name)
