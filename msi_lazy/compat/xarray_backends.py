"""Private parts of xarray: lazily opened files, and the encoding of what it writes."""

from __future__ import annotations

import base64
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from xarray.backends import ZarrStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

__all__ = ["PlainZarrStore", "backend_array", "decode_fill_value", "is_adapter", "is_in_memory", "unwrap_adapters"]


class PlainZarrStore(ZarrStore):
    """Zarr group in which booleans are stored as such.

    xarray before 2026.9 stores them as int8 with an attribute, which no other reader knows: assumes that
    ``dump_to_store`` calls ``encode_variable`` for each variable.
    """

    def encode_variable(self, variable: xr.Variable, name: Any = None) -> xr.Variable:
        """Encode a variable, unless it is boolean."""
        encoded: xr.Variable = variable if variable.dtype == bool else ZarrStore.encode_variable(self, variable, name)
        return encoded


def decode_fill_value(value: Any) -> Any:
    """Decode the attribute ``_FillValue`` of an array that xarray stored; ``None`` if it is no number.

    Assumes that xarray stores that of floats in Zarr v3 as a little-endian double in base64, and any other as it is.
    """
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)  # "NaN"
        with suppress(ValueError, struct.error):
            return struct.unpack("<d", base64.standard_b64decode(value))[0]
        return None
    return value if isinstance(value, (bool, int, float)) else None


def is_in_memory(variable: xr.Variable) -> bool:
    """Tell whether the samples are in memory: assumes ``Variable._in_memory``."""
    return bool(variable._in_memory)


def backend_array(variable: xr.Variable) -> Any:
    """Return the array that a variable holds, not loaded: assumes ``Variable._data``, as ``data`` would load it."""
    return variable._data


def is_adapter(value: Any) -> bool:
    """Tell whether ``value`` is one of xarray's own arrays: assumes that these are defined in its package."""
    return type(value).__module__.startswith("xarray.")


def unwrap_adapters(value: Any) -> Iterator[Any]:
    """Yield ``value``, and what lies behind each of xarray's adapters, down to what a library opened.

    Assumes that an adapter holds what it adapts as ``array``, and that a backend's array, the last one, keeps what its
    library opened as ``_array``, if it does.
    """
    yield value
    while is_adapter(value) and hasattr(value, "array"):
        value = value.array
        yield value
    if is_adapter(value) and hasattr(value, "_array"):
        yield value._array
