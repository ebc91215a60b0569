"""Where level 0 comes from: something that a block can cut its window out of, or a Dask array.

A Dask array that is only a view of something sliceable (``from_array``, ``from_zarr``, xarray's
chunked backends) is unwrapped, so that blocks read at their own size and not a task per stored chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import xarray as xr
import zarr
from dask.array.core import getter, getter_inline, getter_nofancy, normalize_chunks
from dask.blockwise import Blockwise
from dask.highlevelgraph import MaterializedLayer
from dask.task_spec import DataNode, TaskRef
from zarr.storage import LocalStore

from msi_lazy.graph.pipeline import reopen_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import dask.array as da
    from dask.highlevelgraph import Layer

    from msi_lazy.plan.windows import Window

__all__ = ["DaskSource", "WindowSource", "find_source", "local_sources"]

Chunks = tuple[tuple[int, ...], ...]
_GETTERS = (getter, getter_inline, getter_nofancy)


@dataclass(frozen=True)
class WindowSource:
    """Something sliceable: an array, a Zarr array, a lazy xarray variable, an HDF5 dataset."""

    array: Any
    """What is sliced."""
    token: str
    """Identifies the pixels in task names."""
    chunks: Chunks | None
    """Chunks it is stored in, per dimension, if it has any."""
    lock: Any = False
    """Lock to hold while reading, as Dask's ``from_array`` takes it."""

    def read(self, window: Window) -> np.ndarray[Any, Any]:
        """Samples of ``window``."""
        slices = tuple(slice(interval.start, interval.stop) for interval in window)
        if isinstance(self.array, xr.Variable):
            return np.asarray(self.array[slices].values)
        return np.asarray(getter(self.array, slices, lock=self.lock))


@dataclass(frozen=True)
class DaskSource:
    """A Dask array of unknown making: its blocks are rechunked."""

    array: da.Array
    """The array."""

    @property
    def token(self) -> str:
        """Identifies the pixels in task names."""
        return str(self.array.name)

    @property
    def chunks(self) -> Chunks:
        """Its own chunks."""
        return tuple(map(tuple, self.array.chunks))


def find_source(image: xr.DataArray) -> WindowSource | DaskSource:
    """Find what the pixels of ``image`` can be read from; nothing is read."""
    if image.chunks is not None:
        return _unwrap(image.data) or DaskSource(image.data)
    variable = image.variable
    if _is_in_memory(variable):
        return WindowSource(variable.values, uuid4().hex, None)
    stored = variable.encoding.get("preferred_chunks") or {}
    chunks = [stored.get(dim, n) for dim, n in variable.sizes.items()]
    return WindowSource(variable, uuid4().hex, normalize_chunks(chunks, variable.shape) if stored else None)


def _is_in_memory(variable: xr.Variable) -> bool:
    """Whether the pixels are in memory; xarray has no public question for a lazy backend array."""
    return bool(variable._in_memory)


def _unwrap(array: da.Array) -> WindowSource | None:
    """What ``array`` is a plain chunked view of, or ``None`` where that is not certain."""
    layers = array.dask.layers
    layer = layers.get(array.name)
    if not isinstance(layer, Blockwise) or layer.task.func not in _GETTERS:
        return None
    options = layer.task.kwargs
    if not options.get("asarray", True) or set(options) - {"asarray", "lock"}:
        return None
    wrapped = _wrapped_array(layer, layers)
    if wrapped is None or getattr(wrapped, "shape", None) != array.shape or wrapped.dtype != array.dtype:
        return None
    if isinstance(wrapped, zarr.Array):
        wrapped = reopen_array(wrapped)
    return WindowSource(wrapped, str(array.name), _stored_chunks(wrapped), options.get("lock", False))


def _wrapped_array(layer: Blockwise, layers: Any) -> Any:
    """The array-like that a layer of getters slices: a literal, or the value of another layer."""
    argument = layer.indices[0][0] if layer.indices and layer.indices[0][1] is None else None
    if isinstance(argument, TaskRef):
        origin = layers.get(argument.key)
        argument = origin.get(argument.key) if origin is not None else None
    if isinstance(argument, DataNode):
        argument = argument.value
    return argument if hasattr(argument, "shape") and hasattr(argument, "dtype") else None


def _stored_chunks(array: Any) -> Chunks | None:
    """Chunks (shards, where there are any) that ``array`` is stored in."""
    stored = getattr(array, "shards", None) or getattr(array, "chunks", None)
    if not isinstance(stored, tuple):
        return None
    return tuple(map(tuple, normalize_chunks(stored, array.shape)))


def local_sources(arrays: Sequence[da.Array]) -> list[Path]:
    """Directories and files that the graphs of ``arrays`` read from, as far as they show it."""
    found: dict[Path, None] = {}
    for array in arrays:
        for layer in array.dask.layers.values():
            for value in _held_values(layer):
                path = _local_path(value)
                if path is not None:
                    found[path.resolve()] = None
    return list(found)


def _held_values(layer: Layer) -> Iterator[Any]:
    """Array-likes that a layer holds."""
    if isinstance(layer, Blockwise):
        yield from (argument for argument, dims in layer.indices if dims is None)
    elif isinstance(layer, MaterializedLayer) and len(layer) == 1:
        (value,) = layer.values()
        yield value.value if isinstance(value, DataNode) else value


def _local_path(value: Any) -> Path | None:
    """Path that an array-like reads from, if it is a local one and says so."""
    if isinstance(value, WindowSource):
        return _local_path(value.array)
    if isinstance(value, xr.Variable):
        origin = value.encoding.get("source")
        if isinstance(origin, str) and "://" not in origin:
            return Path(origin)
        value = value._data  # the lazy backend array; ``data`` would load it
    value = _innermost(value)
    store = getattr(value, "store", None)
    if isinstance(store, LocalStore):
        return Path(store.root, str(value.path))
    while isinstance(value, np.ndarray):
        if isinstance(value, np.memmap) and value.filename is not None:
            return Path(str(value.filename))
        value = value.base
    return None


def _innermost(value: Any) -> Any:
    """Unwrap xarray's indexing adapters, which have no public way in."""
    while type(value).__module__.startswith("xarray.") and hasattr(value, "array"):
        value = value.array
    return getattr(value, "_array", value) if type(value).__module__.startswith("xarray.") else value
