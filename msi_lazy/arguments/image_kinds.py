"""Kinds of things that users give for an image, and what to do with those that are none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.methods.samples import as_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

__all__ = ["advice_on", "check_dims", "check_held", "shortly"]


def _name_of(kind: type) -> str:
    """Return the name of a type with its library: ``"torch.Tensor"``."""
    library = kind.__module__.partition(".")[0]
    return kind.__qualname__ if library == "builtins" else f"{library}.{kind.__qualname__}"


def _list_variables(dataset: Any) -> str:
    names = [name for name, variable in dataset.data_vars.items() if variable.ndim > 1] or list(dataset.data_vars)
    if not names:
        return "it has no variables"
    others = "" if len(names) == 1 else f" (it has {', '.join(map(repr, names))})"
    return f"take one of its variables: dataset[{names[0]!r}]{others}"


def _list_arrays(group: Any) -> str:
    names = sorted(group.array_keys())
    if not names:
        return "take one of its arrays, group['...'], or open an OME-Zarr image with open_multiscale(...)"
    return f"take one of its arrays, group[{names[0]!r}], of {names}; an OME-Zarr image opens with open_multiscale(...)"


_FRAMES = (
    "its frames are read one by one: da.stack([da.from_delayed(dask.delayed(frames.__getitem__)(i), "
    "frames.frame_shape, frames.dtype) for i in range(len(frames))]), with import dask, dask.array as da; files of "
    "planes open with dask_image.imread.imread('*.tif')"
)
_OPEN_TIFF = "take zarr.open_array(series.aszarr(level=0), mode='r'), which is read lazily, or series.asarray()"
_ADVICE: dict[str, str | Callable[[Any], str]] = {
    "xarray.Dataset": _list_variables,
    "xarray.DataTree": lambda tree: (
        "it is a pyramid already; its finest level is tree['scale0']"
        if "scale0" in tree.children
        else "take a variable of one of its nodes: tree['node/variable']"
    ),
    "xarray.Variable": "give its dimensions with it: xarray.DataArray(variable)",
    "zarr.Group": _list_arrays,
    "dask.Delayed": "say what it returns: dask.array.from_delayed(delayed, shape=..., dtype=...)",
    "tifffile.TiffFile": "take one of its series: file.series[0]",
    "tifffile.TiffPageSeries": _OPEN_TIFF,
    "tifffile.TiffPage": "take page.asarray()",
    "tifffile.ZarrTiffStore": "open it: zarr.open_array(store, mode='r')",
    "h5py.File": "take one of its datasets: file['...']",
    "h5py.Group": "take one of its datasets: group['...']",
    "dask.Bag": "turn it into an array first: dask.array.stack(...) of arrays with known shapes",
    "dask.DataFrame": "turn it into an array first: frame.to_dask_array(lengths=True)",
    "dask.Series": "turn it into an array first: series.to_dask_array(lengths=True)",
    "generator": "collect what it yields: np.stack(list(generator))",
}
"""What to do with a kind of value, by the name of its type."""


def advice_on(value: Any) -> str | None:
    """Say what to give in place of a value that is no array; ``None`` where it may be one.

    Examples
    --------
    >>> advice_on((value for value in "abc")), advice_on([1, 2])
    ('collect what it yields: np.stack(list(generator))', None)
    """
    if isinstance(value, (str, bytes, os.PathLike)):
        return (
            "it names a file: open that first, e.g. zarr.open_array(...) or tifffile.imread(...); the command line "
            "opens files itself: msi-lazy convert"
        )
    names = [_name_of(kind) for kind in type(value).__mro__]
    found = next((_ADVICE[name] for name in names if name in _ADVICE), None)
    if found is not None:
        return found(value) if callable(found) else found
    if hasattr(value, "frame_shape") and hasattr(value, "__getitem__"):  # pims
        return _FRAMES
    if names[0].startswith("zarr.") and names[0].endswith(("Store", "StorePath")):
        return "open it: zarr.open_array(store, mode='r')"
    if names[0].startswith("cubed."):
        return "compute it, array.compute(), or store it, cubed.to_zarr(array, 'a.zarr'), and give zarr.open_array(...)"
    if hasattr(value, "magnitude") and hasattr(value, "units"):  # pint
        return "take its numbers, array.magnitude; units are those of coordinates, e.g. axis_units={'x': 'micrometer'}"
    if hasattr(value, "todense"):  # sparse, scipy.sparse
        return "make it dense: array.todense(), or array.map_blocks(lambda block: block.todense()) of a Dask array"
    return None


def shortly(value: Any) -> str:
    """Describe a value in a few words: a path as it is, anything else by the name of its type."""
    return repr(value) if isinstance(value, (str, bytes, os.PathLike)) else f"a {_name_of(type(value))}"


def check_held(held: Any) -> None:
    """Refuse an array, or the meta of a Dask array, that an image holds and no samples can be read from.

    Raises
    ------
    TypeError
        An array of another library that NumPy does not convert; one of masked samples.
    """
    if type(held) is np.ndarray:
        return
    advice = advice_on(held)
    if isinstance(held, np.ma.MaskedArray):
        advice = (
            "OME-Zarr has no mask: fill it, e.g. image.copy(data=image.data.map_blocks(np.ma.filled, 0, "
            "dtype=image.dtype)), and pass nodata=0"
        )
    if advice is None:
        try:
            as_plain(held[(slice(0, 0),) * held.ndim])
        except (TypeError, ValueError) as error:
            advice = f"NumPy does not convert it ({error.__cause__ or error}); give a Dask, Zarr or NumPy array"
    if advice is not None:
        raise TypeError(f"the image holds a {_name_of(type(held))}: {advice}; then image.copy(data=...)")


def check_dims(dims: Sequence[Hashable]) -> None:
    """Refuse dimensions that have no names.

    Raises
    ------
    TypeError
        A dimension is not a string.
    """
    if all(isinstance(dim, str) for dim in dims):
        return
    free = [name for name in ("x", "y", "z", "c", "t") if name not in dims]
    renamed = {dim: free.pop(0) if free else "..." for dim in reversed(dims) if not isinstance(dim, str)}
    raise TypeError(
        f"the dimensions of the image must be strings, not {tuple(dims)!r}; rename them: "
        f"image.rename({dict(reversed(renamed.items()))})"
    )
