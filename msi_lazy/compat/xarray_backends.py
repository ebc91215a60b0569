"""Private parts of xarray: lazily opened files, and the encoding of what it writes."""

from __future__ import annotations

import base64
import struct
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from xarray.backends import ZarrStore
from xarray.core.indexing import LazilyIndexedArray, LazilyVectorizedIndexedArray, OuterIndexer
from zarr.buffer import default_buffer_prototype

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import xarray as xr

__all__ = [
    "PlainZarrStore",
    "adapter_key",
    "backend_array",
    "backend_layout",
    "decode_fill_value",
    "is_adapter",
    "is_in_memory",
    "opened_by_backend",
    "replace_transposed",
    "transposed_key",
    "unwrap_adapters",
]


class _GroupInCOrder(zarr.Group):
    """Group whose arrays are created in C order, also in Zarr v2, where zarr's setting ``array.order`` is stored."""

    def create(self, name: str, **settings: Any) -> zarr.Array[Any]:
        """Create an array."""
        if ".zgroup" in self.metadata.to_buffer_dict(default_buffer_prototype()):  # v3 has no such setting
            settings["order"] = "C"
        return super().create(name, **settings)


class PlainZarrStore(ZarrStore):
    """Zarr group in which booleans are stored as such, and everything in C order.

    xarray before 2026.9 stores booleans as int8 with an attribute, which no other reader knows: assumes that
    ``dump_to_store`` calls ``encode_variable`` for each variable, and creates its array by ``zarr_group.create``.
    """

    def __init__(self, zarr_group: zarr.Group, *args: Any, **options: Any) -> None:
        super().__init__(_GroupInCOrder(zarr_group._async_group), *args, **options)

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


def adapter_key(adapter: Any) -> tuple[Any, ...] | None:
    """Return how an adapter indexes what it adapts; ``None`` if it does not, or point by point.

    Assumes that its ``key`` is an indexer with a ``tuple``, which of any other kind than a vectorized one has an
    integer, a slice or a vector of positions for each dimension.
    """
    key = getattr(getattr(adapter, "key", None), "tuple", None)
    return None if key is None or isinstance(adapter, LazilyVectorizedIndexedArray) else key


def transposed_key(data: Any) -> tuple[np.ndarray[Any, Any], ...] | None:
    """Return the positions by which xarray transposes what it opened lazily, along each dimension of the latter.

    Assumes that a lazy array becomes a vectorized one by transposing, whose positions are arrays of as many dimensions
    as the result has, or broadcast to them.
    """
    found = [layer for layer in unwrap_adapters(data) if isinstance(layer, LazilyVectorizedIndexedArray)]
    return tuple(map(np.asarray, found[0].key.tuple)) if len(found) == 1 else None


def replace_transposed(data: Any, key: Sequence[int | slice | np.ndarray[Any, Any]]) -> Any:
    """Return ``data`` with its vectorized adapter replaced by one that indexes each dimension by its own part of key.

    Point by point, backends are slow, and need many times the memory of the samples.  Assumes that adapters can be
    copied, and hold what they adapt as ``array``.
    """
    if isinstance(data, LazilyVectorizedIndexedArray):
        return LazilyIndexedArray(data.array, OuterIndexer(tuple(key)))
    changed = copy(data)
    changed.array = replace_transposed(data.array, key)
    return changed


def backend_layout(backend: Any) -> Any:
    """Return the shape of the chunks of a netCDF variable, ``"contiguous"`` if it has none, ``None`` if unknown.

    Assumes that a backend's array gives the variable of netCDF4 or h5netcdf by ``get_array``, and that SciPy's reader,
    which has no ``get_array``, knows netCDF 3 alone, where nothing is in chunks.
    """
    if type(backend).__module__ == "xarray.backends.scipy_":
        return "contiguous"
    if not hasattr(backend, "get_array"):
        return None
    variable = backend.get_array()
    if hasattr(variable, "chunking"):
        return variable.chunking() or "contiguous"
    return getattr(variable, "chunks", None) or "contiguous"


def opened_by_backend(array: Any) -> tuple[Any, str]:
    """Return what a backend opened to read ``array``, its innermost one, and the group in it; ``None`` if unknown.

    Assumes that the array keeps its store as ``datastore``, the store its file manager as ``_manager`` and its group
    as ``_group``, and that the first of the manager's ``_args`` is what was opened.  Arrays of rioxarray keep the
    manager itself, as ``manager``.
    """
    store = getattr(array, "datastore", None)
    manager = getattr(store, "_manager", getattr(array, "manager", None))
    opened = getattr(manager, "_args", None)
    return (opened[0] if isinstance(opened, tuple) and opened else None), str(getattr(store, "_group", None) or "")
