"""Samples as everything here takes them: plain NumPy arrays of the dtype that was declared, in native byte order."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["as_native", "as_plain", "as_samples", "check_shape"]

Array = np.ndarray[Any, Any]
_NUMBERS = "biufc"


def as_plain(block: Any) -> Array:
    """Convert what a source returns to a plain NumPy array; of a masked one nothing may be masked.

    Raises
    ------
    TypeError
        NumPy cannot convert it.
    ValueError
        Samples are masked.
    """
    if isinstance(block, np.ma.MaskedArray):
        if np.ma.is_masked(block):
            raise ValueError(
                "samples are masked, and OME-Zarr has no mask: fill them, e.g. image.copy(data=image.data.map_blocks("
                "np.ma.filled, 0, dtype=image.dtype)) for a Dask array, and pass nodata=0 to leave them out"
            )
        block = np.ma.getdata(block)
    try:
        return np.asarray(block)
    except Exception as error:  # each kind of array has an error of its own
        kind = f"{type(block).__module__}.{type(block).__qualname__}"
        raise TypeError(
            f"samples are a {kind}, which NumPy does not convert ({error}); convert them first, e.g. "
            f"image.copy(data=image.data.map_blocks(lambda block: block.{_conversion(block)}, dtype=image.dtype))"
        ) from error


def _conversion(block: Any) -> str:
    """Return the call by which the usual kinds of array are converted to NumPy's."""
    known = {"todense": "todense()", "get": "get()", "numpy": "numpy()"}
    return next((call for name, call in known.items() if hasattr(block, name)), "__array__()")


def as_samples(block: Any, dtype: np.dtype[Any]) -> Array:
    """Convert a block to a plain NumPy array of ``dtype``, which it must have, but for the order of its bytes.

    Raises
    ------
    TypeError
        It has another dtype; or as of :func:`as_plain`.
    ValueError
        As of :func:`as_plain`.

    Examples
    --------
    >>> as_samples(np.array([1, 2], ">u2"), np.dtype("u2"))
    array([1, 2], dtype=uint16)
    """
    samples = as_native(as_plain(block))
    if samples.dtype != dtype.newbyteorder("="):
        wide = dtype
        if samples.dtype.kind in _NUMBERS and dtype.kind in _NUMBERS:
            wide = np.result_type(samples, dtype)
        raise TypeError(
            f"a block has dtype {samples.dtype}, but the image's metadata says {dtype}; the source returns other "
            f"blocks than it declares: declare what all of them fit, e.g. image.copy(data=image.data.map_blocks("
            f"lambda block: block.astype('{wide}'), dtype='{wide}')) for a Dask array"
        )
    return samples


def check_shape(samples: Array, shape: tuple[int, ...]) -> None:
    """Refuse a block of another shape than declared: joined with others, it would be broadcast without a word.

    Raises
    ------
    ValueError
        It has another shape.
    """
    if samples.shape != shape:
        raise ValueError(
            f"a block has shape {samples.shape}, but the image's metadata says {shape}; the source returns other "
            f"blocks than it declares"
        )


def as_native(array: Any) -> Array:
    """Convert to native byte order, the only one that compiled kernels take."""
    samples: Array = np.asarray(array)
    return samples if samples.dtype.isnative else samples.astype(samples.dtype.newbyteorder("="))
