"""Which places a graph reads from: what a write must not destroy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from dask.blockwise import Blockwise
from dask.task_spec import DataNode, GraphNode, Task

from msi_lazy.source.sources import ChunkReader, MemmapFile, WindowSource
from msi_lazy.source.views import CroppedArray
from msi_lazy.storage.place import Location, locate

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["held_values", "innermost_array", "origin_of", "origins"]


def origins(arrays: Sequence[da.Array]) -> list[Location]:
    """Places that the graphs of ``arrays`` read from, as far as they show it."""
    found: dict[Location, None] = {}
    seen: set[int] = set()
    for array in arrays:
        for layer in array.dask.layers.values():
            if id(layer) not in seen:
                seen.add(id(layer))
                for value in held_values(layer):
                    location = None if id(value) in seen else origin_of(value)
                    seen.add(id(value))
                    if location is not None:
                        found[location] = None
    return list(found)


def held_values(layer: Any) -> Iterator[Any]:
    """Everything that a layer's tasks hold."""
    if isinstance(layer, Blockwise):
        yield from _held_by(layer.task)
        for argument, dims in layer.indices:
            if dims is None:
                yield from _held_by(argument)
    elif not hasattr(layer, "work"):  # the layers of later stages hold none
        for value in layer.values():
            yield from _held_by(value)


def _held_by(value: Any, depth: int = 0) -> Iterator[Any]:
    if isinstance(value, DataNode):
        value = value.value
    if isinstance(value, Task):
        value = (*value.args, *value.kwargs.values())
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)) and depth < 5:
        for item in value:
            yield from _held_by(item, depth + 1)
    elif not isinstance(value, (str, int, float, slice, GraphNode)):
        yield value


def origin_of(value: Any) -> Location | None:
    """Where an array-like reads from, if it says so."""
    if isinstance(value, (ChunkReader, CroppedArray, WindowSource)):
        return origin_of(value.array)
    if isinstance(value, MemmapFile):
        return locate(Path(value.filename))
    if isinstance(value, xr.Variable):
        source = value.encoding.get("source")
        if isinstance(source, str):
            return locate(source)
    value = innermost_array(value)
    if isinstance(value, zarr.Array):
        return locate(value)
    while isinstance(value, np.ndarray):
        if isinstance(value, np.memmap) and value.filename is not None:
            return locate(Path(str(value.filename)))
        value = value.base
    filename = getattr(getattr(value, "file", None), "filename", None)  # h5py
    return locate(Path(filename)) if isinstance(filename, str) else None


def innermost_array(value: Any) -> Any:
    """Unwrap our own readers, and xarray's indexing adapters, which have no public way in."""
    while isinstance(value, (ChunkReader, CroppedArray, WindowSource)):
        value = value.array
    if isinstance(value, xr.Variable):
        value = value._data  # the lazy backend array; ``data`` would load it
    while type(value).__module__.startswith("xarray.") and hasattr(value, "array"):
        value = value.array
    return getattr(value, "_array", value) if type(value).__module__.startswith("xarray.") else value
