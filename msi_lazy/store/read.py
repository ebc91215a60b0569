"""Opening the arrays of a stored image, lazily."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from dask.array.core import normalize_chunks
from zarr.errors import ContainsArrayError

from msi_lazy.axes import Axis, axis_coordinate, axis_kind
from msi_lazy.graph.pipeline import open_array
from msi_lazy.ngff.read import StoredImage, StoredLevel, parse_image

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

__all__ = ["open_image"]

_BLOCK_BYTES = 64 * 2**20
_XARRAYS_OWN = ("_ARRAY_DIMENSIONS", "_FillValue", "coordinates")


def open_image(
    store: Any, storage_options: Mapping[str, Any] | None = None, path: str = ""
) -> tuple[list[xr.DataArray], dict[str, Any]]:
    """Open the image in the group at ``path``: the image of every level, and the group's attributes.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group at ``store``.
    ValueError
        The group holds no OME-Zarr image, or one that contradicts itself.
    """
    options = dict(storage_options) if storage_options else None
    try:
        group = _open_group(store, path, options)
    except ContainsArrayError:
        raise ValueError(
            f"{store} is a Zarr array, not the group of an OME-Zarr image; "
            f"wrap it with to_spatial_image(zarr.open_array(...))"
        ) from None
    attributes = dict(group.attrs)
    stored = parse_image(attributes)
    dims = _tree_dims(stored)
    name = stored.name if stored.name and "/" not in stored.name and stored.name not in dims else "image"
    return [_open_level(group, stored, level, name, dims) for level in stored.levels], attributes


def _open_group(store: Any, path: str, options: dict[str, Any] | None) -> zarr.Group:
    if isinstance(store, zarr.Group):
        if not path:
            return store
        store = store.store_path
    return zarr.open_group(store, path=path or None, mode="r", storage_options=options)


def _tree_dims(stored: StoredImage) -> tuple[str, ...]:
    """Names of the dimensions in a tree: those stored, but where the name would hide the axis's type."""
    dims = list(stored.dims)
    for position, kind in enumerate(stored.kinds):
        if kind is None or axis_kind(dims[position], dims) == kind:
            continue
        usual = {"time": ("t",), "channel": ("c",), "space": ("z", "y", "x")}.get(kind, ())
        free = [name for name in usual if name not in dims]
        if free:
            dims[position] = free[0]
    return tuple(dims)


def _open_level(
    group: zarr.Group, stored: StoredImage, level: StoredLevel, name: str, dims: tuple[str, ...]
) -> xr.DataArray:
    path = "/".join(filter(None, (group.path, level.path)))
    try:
        array = open_array(group.store, path, mode="r")
    except (FileNotFoundError, KeyError):
        raise ValueError(f"the image lists a level {level.path!r}, and there is no array at that path") from None
    if array.ndim != len(stored.dims):
        raise ValueError(
            f"level {level.path!r} has {array.ndim} dimensions, but the image lists the axes {stored.dims}"
        )
    attrs = {key: value for key, value in array.attrs.items() if key not in _XARRAYS_OWN}
    stored_in = array.shards or array.chunks
    chunks = normalize_chunks("auto", array.shape, _BLOCK_BYTES, array.dtype, previous_chunks=stored_in)
    data = da.from_array(array, chunks=chunks, inline_array=False)
    image = xr.DataArray(
        data, dims=dims, coords=_coordinates(group, stored, level, dims, array), name=name, attrs=attrs
    )
    image.encoding["chunks"] = array.chunks
    return image


def _coordinates(
    group: zarr.Group, stored: StoredImage, level: StoredLevel, dims: tuple[str, ...], array: zarr.Array[Any]
) -> dict[Hashable, xr.Variable]:
    """Coordinates of a level: what xarray stored beside its array, and grids where there is none."""
    lengths = dict(zip(dims, array.shape, strict=True))
    beside = {  # names, dates and attributes that OME-Zarr cannot hold
        name: variable
        for name, variable in _coordinates_beside(group, level.path).items()
        if dims == stored.dims and all(lengths.get(str(dim)) == n for dim, n in variable.sizes.items())
    }
    coords: dict[Hashable, xr.Variable] = {}
    for position, dim in enumerate(dims):
        unit = stored.units[position]
        kind = axis_kind(dim, dims)
        axis = Axis(dim, kind, lengths[dim], level.scale[position], level.translation[position])
        grid = axis_coordinate(axis, {"units": unit} if unit else {})
        if axis.kind == "channel" and dim not in beside and len(stored.channels) == axis.length:
            coords[dim] = xr.Variable((dim,), np.array(stored.channels, dtype=object))
            continue
        coords[dim] = beside.pop(dim, grid)
        _warn_of_contradiction(coords[dim], grid, axis, level.path)
    return coords | {name: beside[name] for name in sorted(beside, key=str)}


def _warn_of_contradiction(coordinate: xr.Variable, grid: xr.Variable, axis: Axis, path: str) -> None:
    """Warn where a level's coordinate is not where the OME-Zarr attributes say: other readers go by those."""
    if axis.kind != "space" or coordinate is grid or coordinate.dtype.kind not in "iuf":
        return
    if abs(float(coordinate.values[0]) - float(grid.values[0])) > axis.scale / 100:
        warnings.warn(
            f"level {path!r}: the coordinate {axis.name!r} begins at {coordinate.values[0]}, the OME-Zarr attributes "
            f"say {grid.values[0]}; the coordinate is used.  Was an edited tree written without pyramid.refresh()?",
            stacklevel=5,
        )


def _coordinates_beside(group: zarr.Group, path: str) -> dict[Hashable, xr.Variable]:
    """Coordinates that xarray stored in the group of the level's array, if it has a group of its own."""
    parent = path.rpartition("/")[0]
    if not parent:
        return {}
    where = "/".join(filter(None, (group.path, parent)))
    try:
        dataset = xr.open_zarr(group.store, group=where, chunks=None, consolidated=False)
    except (KeyError, ValueError):  # another tool's group, which is no xarray dataset
        return {}
    return {name: c.variable.load() if c.ndim < 2 else c.variable for name, c in dataset.coords.items()}
