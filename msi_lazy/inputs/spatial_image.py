"""Images: arrays with named dimensions and physical coordinates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from math import inf, isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from dask.base import is_dask_collection, tokenize
from zarr.storage import LocalStore

from msi_lazy.arguments.image_kinds import advice_on, check_held, shortly
from msi_lazy.arguments.numbers import is_real
from msi_lazy.axes import axis_kind, axis_meaning
from msi_lazy.compat.dask_arrays import classic_array, from_array, meta_of
from msi_lazy.methods.samples import as_plain
from msi_lazy.source.sources import UnknownChunks
from msi_lazy.source.stored_chunks import stored_chunks
from msi_lazy.source.tensors import TensorReader, is_tensor

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["to_spatial_image"]

_PIXELS = "biufc"
"""Dtype kinds (NumPy's letters) of an image."""
_COORDINATES = {"t": ("iufmM", "numbers or dates"), "c": ("biufSU", "names or numbers")}
"""Dtype kinds of given coordinates, and words for them."""


def to_spatial_image(
    array: Any,
    dims: Sequence[str] | None = None,
    *,
    scale: Mapping[str, float] | None = None,
    translation: Mapping[str, float] | None = None,
    name: str = "image",
    axis_names: Mapping[str, str] | None = None,
    axis_units: Mapping[str, str] | None = None,
    t_coords: Sequence[Any] | None = None,
    c_coords: Sequence[Any] | None = None,
) -> xr.DataArray:
    """Wrap an array as an image with physical coordinates.

    Parameters
    ----------
    array
        NumPy, Dask or Zarr array, one of TensorStore, or anything sliceable with a shape and a dtype, 1D to 5D.
        None but NumPy's are read before they are needed.
    dims
        Dimension names, as a tuple or as one string of letters.  Default: the last of ``z, y, x``;
        ``zyxc`` in 4D, ``tzyxc`` in 5D.  :func:`msi_lazy.to_multiscale` lists the names that are known.
    scale, translation
        Spacing, and position of the first sample's centre, per dimension.  Missing entries are 1 and 0.
    name
        Name of the image.
    axis_names, axis_units
        ``long_name`` and ``units`` of the coordinates.
    t_coords, c_coords
        Coordinates of the dimension of time (numbers or dates) and of channels (names or numbers), ``t`` and ``c`` in
        any known spelling, in place of a grid.

    Returns
    -------
    xarray.DataArray
        A spatial-image, as the ``spatial-image`` library builds it.  That library refuses some
        orders of dimensions (``zcyx``, ``yxz``); for those the same DataArray is built here.

    Raises
    ------
    ValueError, TypeError
        Dimensions that do not fit the array, spacings that are not positive numbers.

    Examples
    --------
    >>> import numpy as np
    >>> image = to_spatial_image(np.zeros((3, 4)), scale={"x": 0.5}, axis_units={"x": "micrometer"})
    >>> image.x.values
    array([0. , 0.5, 1. , 1.5])
    """
    if isinstance(array, xr.DataArray):
        raise TypeError("to_spatial_image wraps an array, and was given a DataArray: pass it to to_multiscale as it is")
    advice = advice_on(array)
    if advice is not None:
        raise TypeError(f"to_spatial_image wraps an array, and was given {shortly(array)}: {advice}")
    array = _keep_lazy(array)
    if array.dtype.kind not in _PIXELS:
        raise TypeError(
            f"the array has dtype {array.dtype}, and the samples of an image are numbers; convert it, e.g. with "
            f"array.astype('float32')"
        )
    if any(np.isnan(length) for length in array.shape):
        raise ValueError("the Dask array has chunks of unknown length; call its compute_chunk_sizes() first")
    if not array.ndim:
        raise ValueError(f"the array has no dimensions; an image has one to five, and not the single value {array!r}")
    if 0 in array.shape:
        raise ValueError(f"the array of shape {array.shape} is empty")
    dims = _check_dims(dims, array.ndim)
    _check_name(name, dims)
    given = {"t": t_coords, "c": c_coords}
    wanted = _Wanted(
        dims=dims,
        scale=_check_numbers("scale", scale, dims),
        translation=_check_numbers("translation", translation, dims),
        name=name,
        axis_names=_check_strings("axis_names", axis_names, dims),
        axis_units=_check_strings("axis_units", axis_units, dims),
        coords={_dim_of(one, dims): values for one, values in given.items() if values is not None},
    )
    _check_coords(wanted, array.shape)
    image = _from_library(array, wanted) if _library_knows(dims) else _from_parts(array, wanted)
    for dim in dims:
        attrs = image[dim].attrs
        if not attrs.get("units"):
            attrs.pop("units", None)  # OME-Zarr has no empty unit
        if image.sizes[dim] == 1 and wanted.scale.get(dim, 1.0) != 1.0:
            attrs["spacing"] = wanted.scale[dim]  # a single coordinate has no spacing
    return image


@dataclass(frozen=True)
class _Wanted:
    """Checked arguments of :func:`to_spatial_image`."""

    dims: tuple[str, ...]
    scale: Mapping[str, float]
    translation: Mapping[str, float]
    name: str
    axis_names: Mapping[str, str]
    axis_units: Mapping[str, str]
    coords: Mapping[str, Sequence[Any]]

    def grid(self, dim: str, length: int) -> np.ndarray[Any, Any]:
        """Return an evenly spaced coordinate."""
        return np.arange(length) * self.scale.get(dim, 1.0) + self.translation.get(dim, 0.0)


def _keep_lazy(array: Any) -> Any:
    """Keep an array that xarray leaves as it is; wrap any other in a Dask array."""
    if isinstance(array, np.ndarray):
        return as_plain(array)  # xarray makes floats of masked integers
    if is_dask_collection(array):
        check_held(meta_of(array))
        return classic_array(array)
    if is_tensor(array):
        return from_array(TensorReader(array), "auto")
    sliceable = hasattr(array, "shape") and hasattr(array, "__getitem__")
    if not (sliceable and isinstance(getattr(array, "dtype", None), np.dtype)):
        try:
            return np.asarray(array)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the given {type(array).__name__} cannot be converted to an array: {error}") from error
    if isinstance(array, zarr.Array) and isinstance(array.store, LocalStore):
        return _name_stored(array, array.store)
    # whole multiples of the stored chunks or shards, where there are any
    return from_array(UnknownChunks(array) if stored_chunks(array) is None else array, "auto")


def _name_stored(array: zarr.Array[Any], store: LocalStore) -> da.Array:
    """Wrap an array in local files, with a name from its path and metadata.

    Dask's own name would also depend on the state of zarr in the process, and so differ when a write is resumed.
    """
    chunks = from_array(array, "auto", name=False).chunks  # whole multiples of the stored chunks or shards
    metadata = json.dumps(array.metadata.to_dict(), default=str, sort_keys=True)
    token = tokenize(str(store.root.resolve()), array.path, metadata, chunks)
    return from_array(array, chunks, name=f"zarr-{token}")


def _check_dims(dims: Sequence[str] | None, ndim: int) -> tuple[str, ...]:
    if dims is None:
        if not 1 <= ndim <= 5:
            raise ValueError(f"an array of {ndim} dimensions has no default dims; name them with dims=(...)")
        return {4: ("z", "y", "x", "c"), 5: ("t", "z", "y", "x", "c")}.get(ndim, ("z", "y", "x")[-ndim:])
    if not isinstance(dims, Sequence):
        raise TypeError(f"dims must be a sequence of names, such as ('y', 'x') or 'yx', not {dims!r}")
    if not all(isinstance(dim, str) and dim and "/" not in dim for dim in dims):
        raise ValueError(f"dims must be names, without '/', such as ('y', 'x'), not {dims!r}")
    if len(dims) != ndim or len(set(dims)) != len(dims):
        raise ValueError(
            f"dims must be {ndim} different names, one per dimension of the array, such as "
            f"{('t', 'c', 'z', 'y', 'x')[-ndim:]}, not {dims!r}"
        )
    return tuple(dims)


def _check_name(name: Any, dims: tuple[str, ...]) -> None:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")
    if name is not None and (not name or "/" in name or "\0" in name or name in dims):
        raise ValueError(f"name must be one that no dimension has, without '/', such as 'image', not {name!r}")


def _check_strings(what: str, mapping: Mapping[str, Any] | None, dims: tuple[str, ...]) -> dict[str, str]:
    _check_known(what, mapping, dims)
    checked = {dim: value for dim, value in (mapping or {}).items() if value is not None}
    for dim, value in checked.items():
        if not isinstance(value, str):
            raise TypeError(f"{what} must be strings; dimension {dim!r} has {value!r}")
    return checked


def _check_known(what: str, mapping: Mapping[str, Any] | None, dims: tuple[str, ...]) -> None:
    if mapping is not None and not hasattr(mapping, "items"):
        raise TypeError(f"{what} must be a dict by dimension, such as {{{dims[-1]!r}: ...}}, not {mapping!r}")
    unknown = [dim for dim in mapping or {} if dim not in dims]
    if unknown:
        raise ValueError(f"{what} names the dimension {unknown[0]!r}, but the image has {dims}")


def _check_numbers(what: str, mapping: Mapping[str, Any] | None, dims: tuple[str, ...]) -> dict[str, float]:
    """Check finite numbers by dimension; a scale must be positive."""
    _check_known(what, mapping, dims)
    checked: dict[str, float] = {}
    for dim, value in (mapping or {}).items():
        if not is_real(value):
            raise TypeError(f"the {what} of dimension {dim!r} must be a number, not {value!r}")
        try:
            number = float(value)
        except OverflowError:
            number = inf
        if not isfinite(number) or (what == "scale" and number <= 0):
            must = "finite and positive" if what == "scale" else "finite"
            raise ValueError(f"the {what} of dimension {dim!r} must be {must}, not {value!r}")
        checked[dim] = number
    return checked


def _check_coords(wanted: _Wanted, shape: tuple[int, ...]) -> None:
    """Refuse coordinates that do not fit the array, or contradict a scale or translation."""
    for dim, values in wanted.coords.items():
        meaning = axis_meaning(dim) or dim
        if dim not in wanted.dims:
            raise ValueError(f"{dim}_coords are given, but the image has no dimension {dim!r}, only {wanted.dims}")
        _check_values(meaning, values)
        if len(values) != shape[wanted.dims.index(dim)]:
            raise ValueError(f"{meaning}_coords has {len(values)} entries for {shape[wanted.dims.index(dim)]} samples")
    for what, numbers in (("scale", wanted.scale), ("translation", wanted.translation)):
        for dim in numbers:
            if axis_kind(dim) == "channel":
                raise ValueError(f"channels have names and no position: leave {dim!r} out of {what}, or give c_coords")
            if dim in wanted.coords:
                raise ValueError(f"t_coords already gives the times: leave {dim!r} out of {what}")


def _dim_of(meaning: str, dims: tuple[str, ...]) -> str:
    """Find the dimension that means ``t`` or ``c``: of two, the one whose name is nearest, as ``c`` is to ``C``."""
    found = [dim for dim in dims if axis_meaning(dim) == meaning]
    return min(found, key=lambda dim: (not dim.lower().startswith(meaning), dims.index(dim)), default=meaning)


def _check_values(dim: str, values: Any) -> None:
    """Refuse anything but a sequence of numbers, dates or names; a single string is not one."""
    kinds, words = _COORDINATES[dim]
    if isinstance(values, (str, bytes, Mapping, Set)) or not hasattr(values, "__len__"):
        raise TypeError(f"{dim}_coords must be a sequence of {words}, not {values!r}")
    try:
        found = xr.Variable((dim,), list(values)) if isinstance(values, (list, tuple)) else xr.Variable((dim,), values)
    except ValueError as error:
        raise ValueError(f"{dim}_coords must be a flat sequence of {words}, not {values!r}: {error}") from error
    objects = tuple(values) if found.dtype.kind == "O" else ()
    named = all(hasattr(value, "isoformat") if dim == "t" else isinstance(value, (str, Real)) for value in objects)
    if not named or (found.dtype.kind != "O" and found.dtype.kind not in kinds):
        raise TypeError(f"{dim}_coords must be {words}, not {values!r}")


def _library_knows(dims: tuple[str, ...]) -> bool:
    from spatial_image import SpatialImageDataClasses

    return dims in SpatialImageDataClasses


def _from_library(array: Any, wanted: _Wanted) -> xr.DataArray:
    """Build the image with the ``spatial-image`` library, which needs every entry of every mapping."""
    from spatial_image import to_spatial_image as library_function

    gridded = [dim for dim in wanted.dims if dim != "c"]
    coords = dict(wanted.coords)
    if "t" in wanted.dims:  # the library has no scale for it
        coords.setdefault("t", wanted.grid("t", array.shape[wanted.dims.index("t")]))  # type: ignore[arg-type]
    image: xr.DataArray = library_function(
        array,
        dims=wanted.dims,
        scale={dim: wanted.scale.get(dim, 1.0) for dim in gridded},
        translation={dim: wanted.translation.get(dim, 0.0) for dim in gridded},
        name=wanted.name,
        axis_names={dim: wanted.axis_names.get(dim, dim) for dim in wanted.dims},
        axis_units={dim: wanted.axis_units.get(dim, "") for dim in wanted.dims},
        **{f"{dim}_coords": values for dim, values in coords.items()},
    )
    return image


def _from_parts(array: Any, wanted: _Wanted) -> xr.DataArray:
    """Build the same image for orders of dimensions that the library refuses."""
    variables = {}
    for dim, length in zip(wanted.dims, array.shape, strict=True):
        usual = np.arange(length) if axis_kind(dim) == "channel" else wanted.grid(dim, length)
        values = np.asarray(wanted.coords.get(dim, usual))
        attrs = {"long_name": wanted.axis_names.get(dim, dim), "units": wanted.axis_units.get(dim, "")}
        variables[dim] = xr.Variable((dim,), values, attrs)
    return xr.DataArray(array, dims=wanted.dims, coords=variables, name=wanted.name)
