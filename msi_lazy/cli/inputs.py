"""Opening what users have: zarr, NumPy files, TIFF, planes, pictures; lazily wherever the format allows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr

from msi_lazy.api import open_multiscale
from msi_lazy.axes import axis_coordinate, read_axes
from msi_lazy.cli.tiff import open_tiff
from msi_lazy.image import to_spatial_image

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["apply_geometry", "read_input"]


def read_input(source: str, dims: tuple[str, ...] | None = None) -> xr.DataArray:
    """Open ``source`` as an image.

    Parameters
    ----------
    source
        Path or URL of a zarr array or OME-Zarr image, path of a ``.npy``, TIFF or picture, or a
        glob of planes, which become ``z``.
    dims
        Names of the dimensions, in place of those that the source gives.

    Raises
    ------
    FileNotFoundError
        Nothing is there.
    ValueError
        It is there, but holds no image, or its dimensions cannot be named.
    """
    path = Path(source)
    if any(letter in source for letter in "*?[") and not path.exists():
        return _read_planes(source, dims)
    if "://" in source or path.is_dir():
        return _read_zarr(source, dims)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or directory {source!r}")
    if path.suffix.lower() == ".npy":
        return to_spatial_image(np.load(path, mmap_mode="r"), dims)
    if path.suffix.lower() in (".tif", ".tiff", ".btf", ".lsm"):
        return open_tiff(path, dims)
    return _read_picture(path, dims)


def apply_geometry(image: xr.DataArray, scale: Mapping[str, float], units: str | None) -> xr.DataArray:
    """``image`` with another spacing along the dimensions of ``scale``, and ``units`` on spatial ones."""
    unknown = [dim for dim in scale if dim not in image.dims]
    if unknown:
        raise ValueError(f"--scale names the dimension {unknown[0]!r}, but the image has {image.dims}")
    wrong = [dim for dim, spacing in scale.items() if not spacing > 0 or np.isinf(spacing)]
    if wrong:
        raise ValueError(f"--scale must be positive, not {scale[wrong[0]]} for {wrong[0]!r}")
    for axis in read_axes(image):
        attrs = dict(image[axis.name].attrs) if axis.name in image.coords else {}
        if units and axis.is_spatial:
            attrs["units"] = units
        if axis.name in scale:
            from dataclasses import replace

            grid = replace(axis, scale=scale[axis.name])
            image = image.assign_coords({axis.name: axis_coordinate(grid, attrs)})
        elif attrs:
            image = image.assign_coords({axis.name: (axis.name, image[axis.name].values, attrs)})
    return image


def _read_zarr(source: str, dims: tuple[str, ...] | None) -> xr.DataArray:
    try:
        node = zarr.open(source, mode="r")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no Zarr array or group at {source!r}") from None
    if isinstance(node, zarr.Array):
        named = getattr(node.metadata, "dimension_names", None) or node.attrs.get("_ARRAY_DIMENSIONS")
        complete = named is not None and all(named)
        return to_spatial_image(node, dims or (tuple(named) if complete else None))
    scale0 = open_multiscale(source).children["scale0"].to_dataset(inherit=False)
    (name,) = scale0.data_vars
    image = scale0[name]
    return image if dims is None else image.rename(dict(zip(image.dims, dims, strict=True)))


def _read_planes(pattern: str, dims: tuple[str, ...] | None) -> xr.DataArray:
    from dask_image.imread import imread

    try:
        planes = imread(pattern)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"no planes can be read from {pattern!r}: {error}") from None
    return to_spatial_image(planes, dims or _picture_dims("z", planes))


def _read_picture(path: Path, dims: tuple[str, ...] | None) -> xr.DataArray:
    import imageio.v3 as iio

    try:
        picture = iio.imread(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no picture that imageio reads: {error}") from None
    return to_spatial_image(picture, dims or _picture_dims("", picture))


def _picture_dims(leading: str, array: da.Array | np.ndarray[Any, Any]) -> tuple[str, ...]:
    """Dimensions of a picture, or of a stack of them: a last dimension of 3 or 4 is colour."""
    colour = array.ndim == len(leading) + 3 and array.shape[-1] in (2, 3, 4)
    names = (*leading, "y", "x", "c") if colour else (*leading, "y", "x")
    if array.ndim != len(names):
        raise ValueError(f"the picture has shape {array.shape}; name its dimensions with --dims")
    return names
