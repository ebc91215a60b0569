"""Opening the arrays of a stored image, lazily."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import xarray as xr
from dask.array.core import normalize_chunks
from zarr.errors import ContainsArrayError

from msi_lazy.arguments.nodata import STATED_NODATA
from msi_lazy.arguments.store_names import is_storable_name
from msi_lazy.axes import axis_kind
from msi_lazy.compat.dask_arrays import from_array
from msi_lazy.compat.xarray_backends import decode_fill_value
from msi_lazy.errors import warn_user
from msi_lazy.ngff.axis_names import tree_dims
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.provenance import recorded_nodata
from msi_lazy.ngff.settle_geometry import settle_geometry
from msi_lazy.ngff.specifications import describe_absence, holds_image, specification_of, specifications_at
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.broken_documents import reading
from msi_lazy.storage.codecs import refuse_pickles
from msi_lazy.storage.inside import describe_inside, describe_level
from msi_lazy.storage.separators import check_separator
from msi_lazy.storage.stored_coordinates import CoordinateReader
from msi_lazy.storage.stored_matrices import inline_matrices
from msi_lazy.storage.unfinished import naming_unfinished
from msi_lazy.storage.update_notes import describe_unfinished

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import zarr

    from msi_lazy.ngff.stored_image import StoredImage, StoredLevel
    from msi_lazy.storage.place import Place

__all__ = ["XARRAYS_OWN", "OpenedImage", "open_image"]

_BLOCK_BYTES = 64 * 2**20
XARRAYS_OWN = ("_ARRAY_DIMENSIONS", "_FillValue", "coordinates")
"""Attributes that xarray writes next to an array, for itself."""
_PIXELS = "biufc"
"""Dtype kinds of an image, as NumPy's letters."""
_LONGEST_AXIS = 2**24
"""Most samples along an axis: its coordinate is held in memory, and searched."""
_MOST_BYTES = 2**60
"""Most bytes of a level."""
_MOST_BLOCKS = 2**22
"""Most blocks along an axis: Dask lists the length of each."""


@dataclass(frozen=True)
class OpenedImage:
    """A stored image: what its attributes say, and its levels as lazy arrays."""

    images: list[xr.DataArray]
    """Image of every level, the largest first."""
    attributes: dict[str, Any]
    """Attributes of its group, as they are stored."""
    stored: StoredImage
    """The image as its attributes describe it, with levels in the same order, and a geometry that fits them."""


def open_image(place: Place, *, maintained: bool = False) -> OpenedImage:
    """Open the image in the group at a place; what its attributes state and cannot be so is warned of, once.

    So are updates that have not finished, unless it is ``maintained``, that is, opened to be verified or updated.

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
        group = open_image_group(place)
        with reading("the attributes of the group"):
            attributes = dict(group.attrs)
        if not holds_image(attributes):
            if specifications_at(attributes):
                specification_of(attributes)  # which names a version that cannot be read
            found = describe_inside(place)
            raise ValueError(f"the group {place.named} holds no OME-Zarr image{found}" if found else describe_absence())
        attributes = inline_matrices(group, attributes)
        stored = parse_image(attributes)
    arrays = [_open_array(group, stored, level) for level in stored.levels]
    if not specification_of(attributes).has_transformations:  # of old versions, whose writers were not all of one mind
        for array in arrays:
            check_separator(array)
    stored, order = settle_geometry(stored, [array.shape for array in arrays])
    dims, renamed = tree_dims(stored)
    name, notes = _tree_name(stored, dims)
    coordinates = CoordinateReader(group, stored, dims)
    images = [
        _level_image(arrays[number], coordinates.read(level, arrays[number]), name, dims, stored)
        for number, level in zip(order, stored.levels, strict=True)
    ]
    notes = [*stored.notes, *renamed, *notes, *coordinates.notes, *_count_channels(stored, images[0])]
    if not maintained:
        notes += filter(None, [describe_unfinished(place, stored.dims)])
    _warn(place, notes, list(coordinates.differences.values()))
    return OpenedImage(images, attributes, stored)


def _warn(place: Place, notes: Sequence[str], differences: Sequence[str]) -> None:
    """Warn of all that is not as the attributes, or the coordinates stored besides, say."""
    if differences:
        listed = "; ".join(differences)
        notes = [
            *notes,
            f"its OME-Zarr attributes differ from the coordinates stored next to the arrays, and are used ({listed}). "
            f"If the coordinates are right, as of an edited tree that was stored without pyramid.refresh(), open them "
            f"with xarray.open_datatree, and write that",
        ]
    if notes:
        warn_user(f"the image {place.named}: {'; '.join(notes)}")


def _count_channels(stored: StoredImage, image: xr.DataArray) -> list[str]:
    """Remark on display settings of more or fewer channels than there are."""
    channels = [n for dim, n in image.sizes.items() if axis_kind(str(dim)) == "channel"]
    count = channels[0] if channels else 1
    if stored.channel_count in (None, 0, count):
        return []
    return [f"its attributes describe {stored.channel_count} channels, and it has {count}: their names are not used"]


def open_image_group(place: Place) -> zarr.Group:
    where = place.named
    try:
        with reading(f"the metadata of the group {where}" if place.group else f"the metadata of {where}"):
            return place.open_group()
    except FileNotFoundError:
        if place.open_node() is None:
            inside = describe_inside(place) if place.in_archive else ""
            advice = inside or "; give the path or URL of an OME-Zarr image"
            raise FileNotFoundError(f"there is no Zarr group at {where}{advice}") from None
    except ValueError as error:
        if not isinstance(error.__cause__, ContainsArrayError):
            raise
    raise ValueError(
        f"{where} is a Zarr array, not the group of an OME-Zarr image; "
        f"wrap it with to_spatial_image(zarr.open_array(...)){describe_level(place)}"
    )


def _tree_name(stored: StoredImage, dims: tuple[str, ...]) -> tuple[str, list[str]]:
    """Name of the variable in a tree, and a remark if it is another one than the image's.

    Some tools name an image by its path in the store, such as ``/labels/cells``.
    """
    name = stored.name or "image"
    if name.startswith("/"):
        name = name.rpartition("/")[2] or "image"
    usable = is_storable_name(name) and name not in dims
    if not usable:
        other = "image"
        while other in dims:
            other += "_"
        return other, [f"its name {stored.name!r} cannot be that of a variable and a path, and it is called {other!r}"]
    return name, []


def _open_array(group: zarr.Group, stored: StoredImage, level: StoredLevel) -> zarr.Array[Any]:
    path = "/".join(filter(None, (group.path, level.path)))
    try:
        with reading(f"the metadata of level {level.path!r}"):
            array = open_array(group.store, path, mode="r")
    except FileNotFoundError:
        raise ValueError(f"the image lists a level {level.path!r}, and there is no array at that path") from None
    _check_array(array, level)
    return array


def _level_image(
    array: zarr.Array[Any], coords: dict[Hashable, xr.Variable], name: str, dims: tuple[str, ...], stored: StoredImage
) -> xr.DataArray:
    """Compose the lazy image of a level."""
    with reading(f"the attributes and chunks of the array {array.path!r}"):
        attrs = {key: value for key, value in array.attrs.items() if key not in XARRAYS_OWN}
        attrs |= _fill_value(array, attrs, stored)
        shard = array.shards if prod(array.shards or ()) * array.dtype.itemsize <= _BLOCK_BYTES else None
        stored_in = shard or array.chunks
        chunks = normalize_chunks("auto", array.shape, _BLOCK_BYTES, array.dtype, previous_chunks=stored_in)
        data = from_array(array, chunks, name=False, inline_array=False)  # no hash: what is stored may change
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


def _check_array(array: zarr.Array[Any], level: StoredLevel) -> None:
    """Refuse an array that is no level of the image, or whose metadata claim more than can be handled."""
    refuse_pickles(array)
    if array.dtype.kind not in _PIXELS:
        raise ValueError(f"level {level.path!r} holds values of dtype {array.dtype}, and those of an image are numbers")
    if not all(0 < n <= _LONGEST_AXIS for n in array.shape):
        raise ValueError(
            f"level {level.path!r} has the shape {array.shape}; axes have from 1 to {_LONGEST_AXIS:,} samples"
        )
    nbytes = prod(array.shape) * array.dtype.itemsize
    if nbytes > _MOST_BYTES or min(max(array.shape), nbytes // _BLOCK_BYTES) > _MOST_BLOCKS:
        raise ValueError(f"level {level.path!r} has the shape {array.shape}, too large to be cut into blocks")
