"""Inputs in files: zarr, NumPy, TIFF, planes, pictures; opened lazily wherever the format allows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from msi_lazy.api.build import open_multiscale
from msi_lazy.axes import axis_coordinate, read_axes
from msi_lazy.inputs.spatial_image import to_spatial_image
from msi_lazy.inputs.tiff import open_tiff
from msi_lazy.storage.place import Place
from msi_lazy.storage.regular_files import check_regular
from msi_lazy.units import ngff_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    import dask.array as da
    import xarray as xr

    from msi_lazy.axes import Axis

__all__ = ["Reader", "apply_geometry", "identify_input", "list_inputs", "read_input"]


Dims = tuple[str, ...] | None
"""Names of dimensions, where they are given."""


@dataclass(frozen=True)
class Reader:
    """A kind of input."""

    what: str
    """Name of the kind, for messages."""
    recognises: Callable[[str], bool]
    """Test whether an input, as it was given, is of this kind."""
    read: Callable[[str, Dims], xr.DataArray]
    """Function that opens a URL or an absolute path, with the names of its dimensions if they were given."""


def read_input(source: str, dims: Dims = None, group: str = "") -> xr.DataArray:
    """Open ``source`` as an image.

    Parameters
    ----------
    source
        Path or URL of a zarr array or OME-Zarr image, path of a ``.npy``, TIFF or picture, or a
        glob of planes, which become ``z``; a glob that matches one file is that file.
    dims
        Names of the dimensions, in place of those that the source gives.
    group
        Path of the image in a Zarr store, if it is one of several.

    Raises
    ------
    FileNotFoundError
        There is no such input.
    ValueError
        It holds no image, or its dimensions cannot be named.
    """
    for reader in _READERS:
        if reader.recognises(source):
            path = source if _is_url(source) else str(Path(source).absolute())
            if not _is_zarr(source):
                check_regular(path)
            if not group:
                return reader.read(path, dims)
            if reader.read is _read_zarr:
                return _read_zarr(path, dims, group)
            raise ValueError(f"--group {group} is the path of an image in a Zarr store, and {source!r} is none")
    raise FileNotFoundError(f"there is no file or directory {source!r}; an input is {list_inputs()}")


def list_inputs() -> str:
    """List the kinds of input that can be read.

    Examples
    --------
    >>> print(list_inputs())
    a Zarr array or OME-Zarr image, a quoted glob of planes, a .npy file, a TIFF or OME-TIFF, or a picture
    """
    *others, last = (reader.what for reader in _READERS)
    return f"{', '.join(others)}, or {last}"


def identify_input(source: str) -> str | None:
    """Fingerprint the files of ``source``, to resume a conversion; ``None`` for Zarr, which needs none."""
    path = Path(source).absolute()
    if _is_zarr(source):
        return None
    files = [path] if path.exists() else sorted(map(Path, glob(str(path))))
    states = [f"{file.resolve()} {file.stat().st_mtime_ns} {file.stat().st_size}" for file in files]
    return states[0] if len(states) == 1 else f"{path}: {len(states)} files {sha256(repr(states).encode()).hexdigest()}"


def apply_geometry(
    image: xr.DataArray, scale: Mapping[str, float], units: str | Mapping[str, str] | None
) -> xr.DataArray:
    """Replace the spacing along the dimensions of ``scale``, and units: of all spatial ones, or by dimension.

    The unit ``none``, or an empty one, is removed.
    """
    axes = read_axes(image)
    if not isinstance(units, Mapping):
        units = {} if units is None else {axis.name: units for axis in axes if axis.is_spatial}
    for option, named in (("--scale", scale), ("--units", units)):
        unknown = [dim for dim in named if dim not in image.dims]
        if unknown:
            raise ValueError(f"{option} names the dimension {unknown[0]!r}, but the image has {image.dims}")
    wrong = [dim for dim, spacing in scale.items() if not spacing > 0 or np.isinf(spacing)]
    if wrong:
        raise ValueError(f"--scale must be positive, not {scale[wrong[0]]} for {wrong[0]!r}")
    for axis in axes:
        attrs = dict(image[axis.name].attrs) if axis.name in image.coords else {}
        bare = not attrs
        if axis.name in units:
            attrs |= {"units": _parse_unit(units[axis.name], axis)}
            attrs = {key: value for key, value in attrs.items() if value is not None}
        if axis.name in scale:
            if axis.kind == "channel":
                raise ValueError(f"--scale names {axis.name!r}, but channels have names and no spacing")
            grid = replace(axis, scale=scale[axis.name])
            image = image.assign_coords({axis.name: axis_coordinate(grid, attrs)})
        elif not (bare and not attrs):
            image = image.assign_coords({axis.name: (axis.name, image[axis.name].values, attrs)})
    return image


def _parse_unit(unit: str, axis: Axis) -> str | None:
    """UDUNITS name of a unit, ``None`` for ``none``; one that is not known is kept, and warned of on writing.

    Raises
    ------
    ValueError
        Channels have no unit.
    """
    if unit.strip().lower() in ("", "none"):
        return None
    if axis.kind == "channel":
        raise ValueError(f"--units names {axis.name!r}, but channels have names and no unit")
    return ngff_unit(unit, axis.kind) or unit.strip()


def _is_url(source: str) -> bool:
    return "://" in source


def _is_zarr(source: str) -> bool:
    if _is_url(source) or Path(source).is_dir():
        return True
    path = Path(source)
    return path.is_file() and path.suffix.lower() != ".npy" and Place.parse(source).in_archive


def _is_glob(source: str) -> bool:
    return any(letter in source for letter in "*?[") and not Path(source).exists()


def _is_file(source: str) -> bool:
    return Path(source).exists()


def _has_suffix(*suffixes: str) -> Callable[[str], bool]:
    """Recognise files by the ends of their names, in lower case."""
    return lambda source: _is_file(source) and Path(source).suffix.lower() in suffixes


def _read_zarr(source: str, dims: Dims, group: str = "") -> xr.DataArray:
    try:
        place = Place.parse(source, group)
        node = place.open_node()
    except Exception as error:  # each file system behind a URL has exceptions of its own
        raise ValueError(f"{source!r} cannot be opened as Zarr: {error}") from error
    if node is None:
        hint = f"; for a directory of planes give a quoted glob, '{source}/*.tif'" if Path(source).is_dir() else ""
        where = f"{group!r} in {source!r}" if group else repr(source)
        raise FileNotFoundError(f"there is no Zarr array or group at {where}{'' if group else hint}")
    if isinstance(node, zarr.Array):
        named: Any = getattr(node.metadata, "dimension_names", None) or node.attrs.get("_ARRAY_DIMENSIONS")
        complete = named is not None and all(named)
        return to_spatial_image(node, dims or (tuple(named) if complete else _usual_dims(source, node)))
    scale0 = open_multiscale(source, group=group).children["scale0"].to_dataset(inherit=False)
    (name,) = scale0.data_vars
    image = scale0[name]
    if dims is None:
        return image
    if len(dims) != image.ndim or len(set(dims)) != len(dims):
        raise ValueError(f"--dims must be {image.ndim} different names in place of {image.dims}, not {dims}")
    return image.rename(dict(zip(image.dims, dims, strict=True)))


def _read_npy(source: str, dims: Dims) -> xr.DataArray:
    path = Path(source)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # NumPy parses the header as Python
        raise ValueError(f"{path.name} cannot be opened as .npy: {error}") from None
    return to_spatial_image(array, dims or _usual_dims(path.name, array))


def _usual_dims(source: str, array: Any) -> tuple[str, ...] | None:
    """Leave up to three dimensions to be the last of z, y, x; refuse to guess the names of more."""
    if array.ndim <= 3:
        return None
    example = "tczyx"[-array.ndim :]
    raise ValueError(f"{source} has {array.ndim} dimensions {array.shape} without names; give them: --dims {example}")


def _read_planes(pattern: str, dims: Dims) -> xr.DataArray:
    from dask_image.imread import imread

    files = glob(pattern)
    if not files:
        raise FileNotFoundError(f"no file matches {pattern!r}")
    if len(files) == 1:
        return read_input(files[0], dims)
    for file in files:
        check_regular(file)
    try:
        with warnings.catch_warnings():  # it passes a deprecated argument to scikit-image
            warnings.simplefilter("ignore", FutureWarning)
            planes = imread(pattern)
    except Exception as error:  # each reader behind it has exceptions of its own
        raise ValueError(f"the planes {pattern!r} cannot be read: {error}") from error
    checked = planes.map_blocks(_check_plane, like=planes.shape[1:], dtype=planes.dtype, meta=planes._meta)
    return to_spatial_image(checked, dims or _picture_dims("z", planes))


def _check_plane(plane: np.ndarray[Any, Any], like: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Refuse a plane of another shape than the first, which alone was opened to plan the stack."""
    if plane.shape[1:] != like:
        raise ValueError(f"the planes differ: the first has shape {like}, another {plane.shape[1:]}")
    return plane


def _read_picture(source: str, dims: Dims) -> xr.DataArray:
    import imageio.v3 as iio

    path = Path(source)
    hint: Any = path.suffix or None
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the readers that it tries
            picture = iio.imread(file, extension=hint)
    except Exception as error:  # each of these readers has exceptions of its own
        raise ValueError(
            f"{path.name} is no picture that imageio reads: {error}; an input is {list_inputs()}"
        ) from error
    return to_spatial_image(picture, dims or _picture_dims("", picture))


def _picture_dims(leading: str, array: da.Array | np.ndarray[Any, Any]) -> tuple[str, ...]:
    """Dimensions of a picture, or of a stack of them: a last dimension of 3 or 4 is colour."""
    colour = array.ndim == len(leading) + 3 and array.shape[-1] in (2, 3, 4)
    names = (*leading, "y", "x", "c") if colour else (*leading, "y", "x")
    if array.ndim != len(names):
        raise ValueError(f"the picture has shape {array.shape}; name its dimensions with --dims")
    return names


_READERS = (
    Reader("a Zarr array or OME-Zarr image", _is_zarr, _read_zarr),
    Reader("a quoted glob of planes", _is_glob, _read_planes),
    Reader("a .npy file", _has_suffix(".npy"), _read_npy),
    Reader("a TIFF or OME-TIFF", _has_suffix(".tif", ".tiff", ".btf", ".lsm"), open_tiff),
    Reader("a picture", _is_file, _read_picture),
)
"""Kinds of input; the first one that recognises an input reads it."""
