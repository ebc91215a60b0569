"""Images from pyimagej."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["from_pyimagej"]

_DIMS = {"row": "y", "col": "x", "pln": "z", "ch": "c"}


def from_pyimagej(image: xr.DataArray) -> xr.DataArray:
    """Rename the dimensions of an image from pyimagej as OME-Zarr has them; nothing is read.

    Parameters
    ----------
    image
        An ImageJ dataset, as ``ij.py.from_java`` returns it: with the dimensions ``t``, ``pln``, ``row``, ``col`` and
        ``ch``, and Java objects among its attributes.

    Returns
    -------
    xarray.DataArray
        A new image with the dimensions ``t``, ``z``, ``y``, ``x``, ``c`` in the same order, to be given to
        :func:`msi_lazy.to_multiscale`.  An image that has them already only loses the attributes that cannot be stored.

    Warns
    -----
    UserWarning
        Attributes are dropped because JSON, and so Zarr, cannot hold them; all are named.

    Raises
    ------
    TypeError
        ``image`` is no ``xarray.DataArray``.
    ValueError
        It has one dimension under both names.

    Examples
    --------
    >>> dataset = xr.DataArray(np.zeros((4, 6, 3)), dims=("row", "col", "ch"), attrs={"title": "blobs"})
    >>> from_pyimagej(dataset).dims
    ('y', 'x', 'c')
    """
    if not isinstance(image, xr.DataArray):
        raise TypeError(f"image must be an xarray.DataArray, as ij.py.from_java returns it, not {type(image).__name__}")
    renamed = {old: new for old, new in _DIMS.items() if old in image.dims}
    for old, new in renamed.items():
        if new in image.dims or new in image.coords:
            raise ValueError(f"the image has both {old!r} and {new!r}; rename or drop one of them")
    normal = image.rename(renamed).copy(deep=False)
    normal.encoding = _renamed_chunks(image.encoding, renamed)
    dropped: list[str] = []
    normal.attrs = _storable(image.attrs, "", dropped)
    for coordinate in normal.coords.values():
        coordinate.attrs = _storable(coordinate.attrs, f"{coordinate.name}.", dropped)
    if dropped:
        warnings.warn(f"attributes that JSON cannot hold are dropped: {', '.join(dropped)}", stacklevel=2)
    return normal


def _renamed_chunks(encoding: Mapping[Any, Any], renamed: Mapping[str, str]) -> dict[Any, Any]:
    """Rename the dimensions of the chunks in ``encoding``, which xarray does not."""
    if "preferred_chunks" not in encoding:
        return dict(encoding)
    chunks = {renamed.get(dim, dim): length for dim, length in encoding["preferred_chunks"].items()}
    return {**encoding, "preferred_chunks": chunks}


def _storable(attributes: Mapping[Any, Any], prefix: str, dropped: list[str]) -> dict[Any, Any]:
    """Keep the attributes that JSON can hold; add the names of the others to ``dropped``."""
    kept: dict[Any, Any] = {}
    for key, value in attributes.items():
        if isinstance(value, Mapping) and isinstance(key, str):
            kept[key] = _storable(value, f"{prefix}{key}.", dropped)
        elif isinstance(key, str) and _is_json(value):
            kept[key] = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
        else:
            dropped.append(f"{prefix}{key}")
    return kept


def _is_json(value: Any) -> bool:
    plain = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    try:
        json.dumps(plain)
    except (TypeError, ValueError):
        return False
    return True
