"""Which places a graph reads from: what a write must not destroy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr

from msi_lazy.compat.dask_graphs import held_values, layers_of
from msi_lazy.source.sources import ChunkReader, MemmapFile, WindowSource
from msi_lazy.source.views import CroppedArray
from msi_lazy.storage.place import Location, locate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array as da

__all__ = ["innermost_array", "origin_of", "origins"]


def origins(arrays: Sequence[da.Array]) -> list[Location]:
    """Places that the graphs of ``arrays`` read from, as far as they show it."""
    found: dict[Location, None] = {}
    seen: set[int] = set()
    for array in arrays:
        for layer in layers_of(array).values():
            if id(layer) not in seen:
                seen.add(id(layer))
                for value in held_values(layer):
                    location = None if id(value) in seen else origin_of(value)
                    seen.add(id(value))
                    if location is not None:
                        found[location] = None
    return list(found)


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
