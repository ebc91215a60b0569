"""What an object reads from besides its own content: files, folders and stored arrays, however deep it keeps them."""

from __future__ import annotations

import inspect
import io
import os
import sys
from collections import deque
from enum import Enum
from functools import partial
from mmap import mmap
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from zarr.abc.store import Store
from zarr.storage import LocalStore

from msi_lazy.compat.dask_graphs import held_values, layers_of
from msi_lazy.source.memory_map import MappedFile, MemmapFile
from msi_lazy.source.opened_files import opened_file
from msi_lazy.source.tensors import TensorReader, is_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["held_sources"]

_DEEPEST = 12
"""Depth to which attributes and containers are searched."""
_MOST = 100_000
"""Objects that are searched at most."""
_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    bytes,
    range,
    slice,
    np.generic,
    np.dtype,
    np.ufunc,
    type,
    ModuleType,
    Enum,
)
_CLOSED = (
    "asyncio",
    "concurrent",
    "distributed",
    "logging",
    "multiprocessing",
    "numba",
    "queue",
    "threading",
    "weakref",
)
"""Libraries whose objects read no samples."""
_TRUSTED = {*sys.stdlib_module_names, "numpy", "dask", "pandas", *_CLOSED} - {"sqlite3", "mmap", "_io", "io", "ctypes"}
"""Libraries whose objects without attributes read nothing."""
_STORED = (zarr.Array, MappedFile, MemmapFile, TensorReader)


class _Opaque(Exception):
    """Something cannot be looked into."""


def held_sources(value: Any, seen: dict[int, Any] | None = None) -> list[Any] | None:
    """List the files and folders that ``value`` names, and the stored arrays that it holds; nothing is read.

    Objects in ``seen``, by their ``id``, were searched for another value: tasks of one graph share their reader.

    Returns
    -------
    list or None
        Paths, as strings, and arrays; ``None`` if something in it cannot be looked into, or there is too much.
    """
    found: list[Any] = []
    seen = {} if seen is None else seen  # which keeps them, so that no other gets their number
    most = len(seen) + _MOST
    waiting = deque([(value, 0)])
    try:
        while waiting:
            item, depth = waiting.popleft()
            if (isinstance(item, _PLAIN) and not isinstance(item, str)) or id(item) in seen:  # np.str_ is both
                continue
            seen[id(item)] = item
            if len(seen) > most or depth > _DEEPEST:
                return None
            source = _source_of(item)
            if source is None:
                waiting.extend((part, depth + 1) for part in _parts(item))
            else:
                found += source
    except Exception:  # objects of others may raise anything when they are looked at
        return None
    return found


def _source_of(value: Any) -> list[Any] | None:
    """Return a list of the one thing that ``value`` is stored in, empty for none; ``None`` if it has parts."""
    library = type(value).__module__.partition(".")[0]
    if isinstance(value, (str, os.PathLike)):
        return _named(value)
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OUT":
        mapped = MemmapFile.of(value)
        return [] if mapped is None else [mapped]
    if isinstance(value, _STORED) or (isinstance(value, xr.Variable) and value.chunks is None):
        return [value]
    if is_tensor(value):
        return [TensorReader(value)]
    if isinstance(value, io.IOBase):
        name = getattr(value, "name", None)
        return (_named(os.path.abspath(name)) if isinstance(name, str) else None) or _refuse()
    if library in ("h5py", "tifffile"):
        file = opened_file(value) or getattr(getattr(value, "filehandle", None), "path", None)
        if library == "h5py":
            return [value] if hasattr(value, "chunks") and file else [file or _refuse()]
        return _named(file) if isinstance(file, str) else None
    if library == "netCDF4" or isinstance(value, mmap):
        _refuse()
    if isinstance(value, Store) and not isinstance(value, LocalStore):
        _refuse()
    return [] if library in _CLOSED else None


def _refuse() -> Any:
    raise _Opaque


def _named(value: Any) -> list[str]:
    """Return the existing file or folder that ``value`` names; not any word, such as "mean"."""
    try:
        name = os.fspath(value)
        if isinstance(name, bytes) or not name.strip("./\\"):
            return []
        is_file = (os.sep in name or "." in name) and os.path.isfile(name)
        named = is_file or ((os.sep in name or not isinstance(value, str)) and os.path.isdir(name))
        return [os.path.realpath(name)] if named else []
    except (TypeError, ValueError):  # no path at all
        return []


def _parts(value: Any) -> Iterator[Any]:
    """Yield what ``value`` consists of.

    Raises
    ------
    _Opaque
        It has no attributes to be looked at, and nothing is known of its type.
    """
    if isinstance(value, np.ndarray):
        yield from value.flat
    elif isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        yield from value
    elif isinstance(value, partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, BuiltinMethodType):
        yield value.__self__  # a module, or the object that it is a method of
    elif isinstance(value, FunctionType):
        yield from inspect.getclosurevars(value).nonlocals.values() if value.__closure__ else ()
        yield from (value.__defaults__, value.__kwdefaults__)
    elif isinstance(value, xr.Dataset):
        yield from value.variables.values()
    elif isinstance(value, xr.DataArray):
        yield value.variable
    elif isinstance(value, xr.Variable):
        yield value.data
    elif hasattr(value, "__dask_graph__"):
        for layer in layers_of(value).values():
            yield from held_values(layer)
    else:
        yield from _attributes(value)


def _attributes(value: Any) -> list[Any]:
    slots = [
        name
        for kind in type(value).__mro__
        for stated in [kind.__dict__.get("__slots__")]
        if stated is not None
        for name in ((stated,) if isinstance(stated, str) else stated)
    ]
    has_slots = any("__slots__" in kind.__dict__ for kind in type(value).__mro__)
    named = getattr(value, "__dict__", None)
    if not isinstance(named, dict) and not has_slots and type(value).__module__.partition(".")[0] not in _TRUSTED:
        raise _Opaque
    held = list(named.values()) if isinstance(named, dict) else []
    for name in slots:
        private = name.startswith("__") and not name.endswith("__")
        kinds = [f"_{kind.__name__.lstrip('_')}{name}" for kind in type(value).__mro__] if private else [name]
        held += [
            getattr(value, full) for full in kinds if hasattr(value, full) and full not in ("__dict__", "__weakref__")
        ]
    return held
