"""Opening the arrays of a stored image, lazily."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from dask.array.core import normalize_chunks
from xarray.backends import ZarrStore
from zarr.errors import ContainsArrayError

from msi_lazy.arguments.nodata import STATED_NODATA
from msi_lazy.axes import Axis, axis_coordinate, axis_kind, axis_meaning
from msi_lazy.compat.dask_arrays import from_array
from msi_lazy.compat.xarray_backends import decode_fill_value
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.provenance import recorded_nodata
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.codecs import refuse_pickles
from msi_lazy.storage.target import quietly
from msi_lazy.storage.unfinished import naming_unfinished

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from msi_lazy.ngff.stored_image import StoredImage, StoredLevel
    from msi_lazy.storage.place import Place

__all__ = ["open_image"]

_BLOCK_BYTES = 64 * 2**20
_XARRAYS_OWN = ("_ARRAY_DIMENSIONS", "_FillValue", "coordinates")
_PIXELS = "biufc"
"""Dtype kinds of an image, as NumPy's letters."""
_LONGEST_AXIS = 2**24
"""Most samples along an axis: its coordinate is held in memory, and searched."""
_MOST_BYTES = 2**60
"""Most bytes of a level."""
_MOST_BLOCKS = 2**22
"""Most blocks along an axis: Dask lists the length of each."""


def open_image(place: Place) -> tuple[list[xr.DataArray], dict[str, Any]]:
    """Open the image in the group at a place: the image of every level, and the group's attributes.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group.
    UnfinishedImageError
        A write of the image was interrupted, or is still running.
    ValueError
        The group holds no OME-Zarr image, or one that contradicts itself, or cannot be read.
    """
    with naming_unfinished(place):
        group = _open_group(place)
        with _reading("the attributes of the group"):
            attributes = dict(group.attrs)
        stored = parse_image(attributes)
    dims = _tree_dims(stored)
    name = stored.name if stored.name and "/" not in stored.name and stored.name not in dims else "image"
    while name in dims:
        name += "_"
    return [_open_level(group, stored, level, name, dims) for level in stored.levels], attributes


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn whatever zarr, xarray and NumPy raise on a broken document into one error."""
    try:
        yield
    except OSError:  # the file or the network is at fault, not the document
        raise
    except Exception as error:
        raise ValueError(f"{what} cannot be read: {error!r}; repair it, or write the image again") from error


def _open_group(place: Place) -> zarr.Group:
    where = f"{place.group!r} in {place.given}" if place.group else place.given
    try:
        with _reading(f"the metadata of the group {where}" if place.group else f"the metadata of {where}"):
            return place.open_group(consolidated=True)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no Zarr group at {where}; give the path or URL of an OME-Zarr image"
        ) from None
    except ValueError as error:
        if not isinstance(error.__cause__, ContainsArrayError):
            raise
        raise ValueError(
            f"{where} is a Zarr array, not the group of an OME-Zarr image; "
            f"wrap it with to_spatial_image(zarr.open_array(...))"
        ) from None


def _tree_dims(stored: StoredImage) -> tuple[str, ...]:
    """Names of the dimensions in a tree: those stored, except where one would hide the axis's type."""
    dims = list(stored.dims)
    for kind, usual in (("time", "t"), ("channel", "c"), ("space", "zyx")):
        hidden = [i for i, stated in enumerate(stored.kinds) if stated == kind and axis_kind(dims[i]) != kind]
        taken = {axis_meaning(dim) for dim in dims}
        free = [name for name in usual if name not in taken]
        for position, name in zip(hidden[::-1], free[::-1], strict=False):  # two of space are y and x
            dims[position] = name
    return tuple(dims)


def _open_level(
    group: zarr.Group, stored: StoredImage, level: StoredLevel, name: str, dims: tuple[str, ...]
) -> xr.DataArray:
    path = "/".join(filter(None, (group.path, level.path)))
    try:
        with _reading(f"the metadata of level {level.path!r}"):
            array = open_array(group.store, path, mode="r")
            attrs = {key: value for key, value in array.attrs.items() if key not in _XARRAYS_OWN}
            attrs |= _fill_value(array, attrs, stored)
    except FileNotFoundError:
        raise ValueError(f"the image lists a level {level.path!r}, and there is no array at that path") from None
    _check_array(array, stored, level)
    with _reading(f"the chunks of level {level.path!r}"):
        shard = array.shards if prod(array.shards or ()) * array.dtype.itemsize <= _BLOCK_BYTES else None
        stored_in = shard or array.chunks
        chunks = normalize_chunks("auto", array.shape, _BLOCK_BYTES, array.dtype, previous_chunks=stored_in)
        data = from_array(array, chunks, inline_array=False)
    coords = _coordinates(group, stored, level, dims, array)
    coords.pop(name, None)  # the image has this name
    image = xr.DataArray(data, dims=dims, coords=coords, name=name, attrs=attrs)
    image.encoding["chunks"] = array.chunks
    nodata = recorded_nodata(stored)
    if nodata is not None:
        image.encoding["nodata"] = nodata
    return image


def _fill_value(array: zarr.Array[Any], others: Mapping[str, Any], stored: StoredImage) -> dict[str, Any]:
    """Attribute ``_FillValue`` of a level, if it is the user's: xarray gives all floats one of NaN."""
    value = decode_fill_value(array.attrs.get("_FillValue"))
    if value is None:
        return {}
    nodata = recorded_nodata(stored)
    by_xarray = value != value and (nodata is None or nodata == nodata or any(name in others for name in STATED_NODATA))
    return {} if by_xarray else {"_FillValue": value}


def _check_array(array: zarr.Array[Any], stored: StoredImage, level: StoredLevel) -> None:
    """Refuse an array that is no level of the image, or whose metadata claim more than can be handled."""
    refuse_pickles(array)
    if array.ndim != len(stored.dims):
        raise ValueError(
            f"level {level.path!r} has {array.ndim} dimensions, but the image lists the axes {stored.dims}"
        )
    if array.dtype.kind not in _PIXELS:
        raise ValueError(f"level {level.path!r} holds values of dtype {array.dtype}, and those of an image are numbers")
    if not all(0 < n <= _LONGEST_AXIS for n in array.shape):
        raise ValueError(
            f"level {level.path!r} has the shape {array.shape}; axes have from 1 to {_LONGEST_AXIS:,} samples"
        )
    nbytes = prod(array.shape) * array.dtype.itemsize
    if nbytes > _MOST_BYTES or min(max(array.shape), nbytes // _BLOCK_BYTES) > _MOST_BLOCKS:
        raise ValueError(f"level {level.path!r} has the shape {array.shape}, too large to be cut into blocks")


def _coordinates(
    group: zarr.Group, stored: StoredImage, level: StoredLevel, dims: tuple[str, ...], array: zarr.Array[Any]
) -> dict[Hashable, xr.Variable]:
    """Coordinates of a level: those that xarray stored next to its array, and grids where there are none."""
    lengths = dict(zip(dims, array.shape, strict=True))
    stored_coords: dict[Hashable, xr.Variable] = {}  # names, dates and attributes that OME-Zarr cannot hold
    if dims == stored.dims:
        stored_coords = _stored_coordinates(group, level.path, lengths)
    coords: dict[Hashable, xr.Variable] = {}
    for position, dim in enumerate(dims):
        unit = stored.units[position]
        kind = axis_kind(dim)
        axis = Axis(dim, kind, lengths[dim], level.scale[position], level.translation[position])
        grid = axis_coordinate(axis, {"units": unit} if unit else {})
        if axis.kind == "channel" and dim not in stored_coords and len(stored.channels) == axis.length:
            coords[dim] = xr.Variable((dim,), np.array(stored.channels, dtype=object))
            continue
        coords[dim] = stored_coords.pop(dim, grid)
        _warn_of_contradiction(coords[dim], grid, axis, level.path)
    return coords | {name: stored_coords[name] for name in sorted(stored_coords, key=str)}


def _warn_of_contradiction(coordinate: xr.Variable, grid: xr.Variable, axis: Axis, path: str) -> None:
    """Warn where a coordinate contradicts the OME-Zarr attributes, which other readers use."""
    if axis.kind != "space" or coordinate is grid or coordinate.dtype.kind not in "iuf":
        return
    if abs(float(coordinate.values[0]) - float(grid.values[0])) > axis.scale / 100:
        warnings.warn(
            f"level {path!r}: the coordinate {axis.name!r} begins at {coordinate.values[0]}, the OME-Zarr attributes "
            f"say {grid.values[0]}; the coordinate is used.  Was an edited tree written without pyramid.refresh()?",
            stacklevel=5,
        )


def _stored_coordinates(group: zarr.Group, path: str, lengths: Mapping[str, int]) -> dict[Hashable, xr.Variable]:
    """Coordinates in the group of the level's array, if it has one of its own; read only if they fit ``lengths``."""
    parent = path.rpartition("/")[0]
    if not parent:
        return {}
    where = "/".join(filter(None, (group.path, parent)))
    fault: Exception | None = None
    arrays: dict[str, zarr.Array[Any]] = {}
    with _reading(f"the group of level {path!r}"), quietly():
        try:
            opened = ZarrStore.open_group(group.store, mode="r", group=where, consolidated=False)
            arrays = {key: node for key, node in opened.members.items() if isinstance(node, zarr.Array)}
        except FileNotFoundError:
            return {}
        except (KeyError, ValueError) as error:
            fault = error
    if fault is not None:
        warnings.warn(f"the group of level {path!r} is ignored, with its coordinates: {fault}", stacklevel=6)
        return {}
    for array in arrays.values():
        refuse_pickles(array)
    others = [key for key, array in arrays.items() if not set(array.shape) <= set(lengths.values())]
    with _reading(f"the coordinates of level {path!r}"), quietly():
        try:
            dataset = xr.open_dataset(opened, chunks=None, drop_variables=others)
        except (KeyError, ValueError):  # a group of another tool, not an xarray dataset
            return {}
        fitting = {
            name: coordinate.variable
            for name, coordinate in dataset.coords.items()
            if all(lengths.get(str(dim)) == n for dim, n in coordinate.sizes.items())
            and (name not in lengths or coordinate.dims == (name,))
        }
        return {name: variable.load() if variable.ndim < 2 else variable for name, variable in fitting.items()}
