"""Value that marks samples without data."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.errors import warn_user

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["STATED_NODATA", "find_nodata", "is_auto", "parse_nodata", "same_nodata"]

STATED_NODATA = ("_FillValue", "missing_value", "nodata", "nodatavals")
"""Attributes, and settings of an encoding, that state the value of samples without data."""
_MASKED = ("_FillValue", "missing_value")
"""Those that xarray decodes: floats of such an encoding have NaN in place of the value."""


def is_auto(nodata: Any) -> bool:
    """Tell whether ``nodata`` asks for what the image itself states."""
    return isinstance(nodata, str) and nodata == "auto"


def same_nodata(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, or both NaN."""
    return bool(one == other or (one != one and other != other))


def find_nodata(attrs: Mapping[Any, Any], encoding: Mapping[Any, Any], dtype: np.dtype[Any], takes_nodata: bool) -> Any:
    """Find the value of samples without data that an image states; warn of one that cannot be used.

    Parameters
    ----------
    attrs, encoding
        Attributes and encoding of the image.  Floats that xarray decoded hold NaN in place of the encoding's value.
        ``nodata`` in the encoding, which a pyramid gives its levels, goes before all others.
    dtype
        Dtype of the image.
    takes_nodata
        Whether the method can leave samples out.

    Returns
    -------
    scalar or None
        Value of the image's dtype; ``None`` if none is stated, or the image states several, or one that it cannot hold.

    Examples
    --------
    >>> find_nodata({"_FillValue": 0}, {}, np.dtype("u1"), True)
    np.uint8(0)
    >>> find_nodata({}, {"_FillValue": -9999, "dtype": "i2"}, np.dtype("f4"), True)
    np.float32(nan)
    """
    if encoding.get("nodata") is not None:
        attrs, encoding = {}, {"nodata": encoding["nodata"]}
    masks = {} if dtype.kind != "f" else {name: encoding[name] for name in _MASKED if encoding.get(name) is not None}
    stated = {f"attrs[{name!r}]": attrs[name] for name in STATED_NODATA if attrs.get(name) is not None}
    if masks:
        replaced = [_plain(value) for value in masks.values()]
        stated = {k: v for k, v in stated.items() if not any(same_nodata(_plain(v), other) for other in replaced)}
        stated |= {f"encoding[{name!r}]": np.nan for name in masks}
    names = [name for name in STATED_NODATA if name not in masks and encoding.get(name) is not None]
    stated |= {f"encoding[{name!r}]": encoding[name] for name in names}
    found: list[Any] = []
    for name, value in stated.items():
        try:
            scalar = parse_nodata(_plain(value), dtype)
        except ValueError:
            warn_user(f"{name} = {value!r} is no value of the image's dtype {dtype}, and not used as nodata")
            continue
        if not any(same_nodata(scalar, other) for other in found):
            found.append(scalar)
    if len(found) > 1:
        several = ", ".join(f"{name} = {value!r}" for name, value in stated.items())
        warn_user(f"the image states several values without data, {several}: none is left out; give one as nodata=...")
        return None
    nodata = found[0] if found else None
    if nodata is None or takes_nodata or nodata != nodata:
        return nodata if takes_nodata else None  # NaN reaches a function in any case
    warn_user(
        f"the image states that {nodata!r} stands for no data, and the method, a function of (array, factors) only, "
        f"cannot leave it out: it is reduced like other values; handle it in the function"
    )
    return None


def _plain(value: Any) -> Any:
    """Unwrap a value that is stored as an array of one, or of equal ones; and the word for a number that JSON lacks."""
    try:
        values = np.ravel(value)
        if values.size and values.dtype.kind != "O" and all(same_nodata(values[0], other) for other in values):
            value = values[0]
        if isinstance(value, str) and not isfinite(float(value)):
            return float(value)
    except (TypeError, ValueError):
        pass
    return value


def parse_nodata(nodata: Any, dtype: np.dtype[Any]) -> Any:
    """Convert ``nodata`` to a scalar of the image's dtype.

    Raises
    ------
    ValueError
        The dtype cannot hold it.
    """
    if nodata is None:
        return None
    try:
        if isinstance(nodata, (bool, np.bool_)) and dtype.kind != "b":
            raise TypeError  # True is not meant as the number 1
        with np.errstate(invalid="ignore"):
            scalar = np.asarray(nodata).astype(dtype)[()]
        same = np.ndim(nodata) == 0 and (scalar == nodata or (scalar != scalar and nodata != nodata))
    except (TypeError, ValueError, OverflowError):
        same = False
    if not same:
        raise ValueError(f"nodata {nodata!r} is not a value of the image's dtype {dtype}")
    return scalar
