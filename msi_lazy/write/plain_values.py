"""Values of a coordinate that are objects, bytes or an array of pandas, as numbers, dates or strings."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["plain_values"]

_WORDS = (str, bool, int, float, np.generic, date, time, timedelta, PurePath, UUID)
"""Types whose strings say what they are."""
_MISSING = ("NoneType", "NAType", "NaTType")


def plain_values(variable: xr.Variable) -> tuple[np.ndarray[Any, Any] | None, str]:
    """Convert the values of a variable of objects, bytes, or one of pandas' dtypes.

    Returns
    -------
    values
        Values of a dtype that Zarr has; objects where xarray stores them (strings, dates of other calendars); ``None``
        if there are none for all of them.
    became
        Words for what they became; empty if that is no change.
    """
    dtype: Any = variable.dtype
    if isinstance(dtype, np.dtype):
        values = np.asarray(variable.values, dtype=object)
    else:
        values = variable.to_index_variable().to_index().to_numpy(dtype=object)
        dtype = getattr(dtype, "numpy_dtype", np.dtype(object))
    items = [item.value if isinstance(item, Enum) else item for item in values.ravel().tolist()]
    there = [item for item in items if not _is_missing(item)]
    if there and all(type(item).__module__.partition(".")[0] == "cftime" for item in there):
        return variable.values, ""
    for convert in (_numbers, _texts, _moments, _words):
        found = convert(items, there, dtype) if there else None
        if found is not None:
            return found[0].reshape(values.shape), found[1]
    return None, ""


def _is_missing(item: Any) -> bool:
    return type(item).__name__ in _MISSING or (isinstance(item, float) and item != item)


def _numbers(items: list[Any], there: list[Any], dtype: np.dtype[Any]) -> tuple[np.ndarray[Any, Any], str] | None:
    if not all(isinstance(item, (bool, int, float, np.number, np.bool_)) for item in there):
        return None
    if len({isinstance(item, (bool, np.bool_)) for item in there}) == 2:
        return None  # no numbers, some of them
    if len(there) == len(items):
        found = np.array(items, None if dtype.kind == "O" else dtype)
        return (found, "") if found.dtype.kind in "biuf" else None
    whole = [np.nan if _is_missing(item) else item for item in items]
    return np.array(whole, float), "floats, NaN where one is missing"


def _texts(items: list[Any], there: list[Any], _: Any) -> tuple[np.ndarray[Any, Any], str] | None:
    if not all(isinstance(item, (str, bytes)) for item in there):
        return None
    encoded = any(isinstance(item, bytes) for item in there)
    try:
        words = [
            item.decode() if isinstance(item, bytes) else str(item) if isinstance(item, str) else "" for item in items
        ]
    except UnicodeDecodeError:
        return None
    became = "strings, empty where one is missing" if len(there) < len(items) else "strings" if encoded else ""
    return np.array(words, dtype=object), became


def _moments(items: list[Any], there: list[Any], _: Any) -> tuple[np.ndarray[Any, Any], str] | None:
    if not all(isinstance(item, date) for item in there):
        return None
    aware = {isinstance(item, datetime) and item.tzinfo is not None for item in there}
    if len(aware) == 2:
        return None  # some of them are moments, others are not
    moments = []
    for item in items:
        if _is_missing(item):
            moments.append(np.datetime64("NaT"))
        else:
            moments.append(np.datetime64(item.astimezone(UTC).replace(tzinfo=None) if aware == {True} else item))
    return np.array(moments).astype("datetime64[ns]"), "times in UTC" if aware == {True} else "times"


def _words(items: list[Any], there: list[Any], _: Any) -> tuple[np.ndarray[Any, Any], str] | None:
    def is_word(item: Any) -> bool:
        return isinstance(item, _WORDS) or type(item).__name__ in ("Period", "Interval")

    if not all(map(is_word, there)):
        return None
    words = ["" if _is_missing(item) else str(item) for item in items]
    return np.array(words, dtype=object), "strings"
