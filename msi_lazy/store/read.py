"""Opening the arrays of a stored image, lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import xarray as xr
import zarr

from msi_lazy.axes import Axis, axis_coordinate
from msi_lazy.graph.pipeline import open_array
from msi_lazy.ngff.read import StoredImage, StoredLevel, parse_image

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

__all__ = ["open_image"]


def open_image(
    store: Any, storage_options: Mapping[str, Any] | None = None
) -> tuple[list[xr.DataArray], dict[str, Any]]:
    """Open the image in a group: the image of every level, and the group's attributes.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group at ``store``.
    ValueError
        The group holds no OME-Zarr image, or one that contradicts itself.
    """
    options = dict(storage_options) if storage_options else None
    group = store if isinstance(store, zarr.Group) else zarr.open_group(store, mode="r", storage_options=options)
    attributes = dict(group.attrs)
    stored = parse_image(attributes)
    name = stored.name if stored.name and "/" not in stored.name else "image"
    return [_open_level(group, stored, level, name) for level in stored.levels], attributes


def _open_level(group: zarr.Group, stored: StoredImage, level: StoredLevel, name: str) -> xr.DataArray:
    path = "/".join(filter(None, (group.path, level.path)))
    try:
        array = open_array(group.store, path, mode="r")
    except (FileNotFoundError, KeyError):
        raise ValueError(f"the image lists a level {level.path!r}, and there is no array at that path") from None
    if array.ndim != len(stored.dims):
        raise ValueError(
            f"level {level.path!r} has {array.ndim} dimensions, but the image lists the axes {stored.dims}"
        )
    beside = _coordinates_beside(group, level.path)
    coords: dict[Hashable, xr.Variable] = {}
    for dim, axis_name in enumerate(stored.dims):
        own = beside.get(axis_name)
        if own is not None and own.shape == (array.shape[dim],) and own.dims == (axis_name,):
            coords[axis_name] = own  # names, dates and descriptions that the attributes cannot hold
        else:
            grid = Axis(axis_name, None, array.shape[dim], level.scale[dim], level.translation[dim])
            coords[axis_name] = axis_coordinate(grid, {"units": stored.units[dim]} if stored.units[dim] else {})
    data = da.from_array(array, chunks="auto", inline_array=False)
    image = xr.DataArray(data, coords=coords, dims=stored.dims, name=name)
    image.encoding["chunks"] = array.chunks
    return image


def _coordinates_beside(group: zarr.Group, path: str) -> dict[Hashable, xr.Variable]:
    """Coordinates that xarray stored in the group of the level's array, if it has a group of its own."""
    parent, _, leaf = path.rpartition("/")
    if not parent:
        return {}
    where = "/".join(filter(None, (group.path, parent)))
    try:
        dataset = xr.open_zarr(group.store, group=where, chunks=None, consolidated=False, drop_variables=[leaf])
    except (KeyError, ValueError):  # another tool's group, which is no xarray dataset
        return {}
    return {name: coord.variable.load() for name, coord in dataset.coords.items()}
