"""Write units: the shards of an array, or its chunks if it has none, each written as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.compat.zarr_stores import delete_key, key_exists
from msi_lazy.plan.grid import Grid, Index
from msi_lazy.plan.windows import slices

if TYPE_CHECKING:
    import zarr

    from msi_lazy.plan.windows import Window

__all__ = ["chunk_key", "is_stored", "unit_grid", "write_window"]

Array = np.ndarray[Any, Any]


def write_window(array: zarr.Array[Any], window: Window, samples: Array) -> None:
    """Write whole write units, also over damaged ones.

    Both pipelines read a unit that the array's end cuts before they write it: where that fails, it is removed first.
    """
    samples = samples.astype(array.dtype, copy=False)
    try:
        array[slices(window)] = samples
    except Exception:  # whatever a codec may raise
        cut = unit_grid(array).cut(window)
        if not cut:
            raise
        for unit in cut:
            delete_key(array.store, f"{array.path}/{chunk_key(array, unit)}")
        array[slices(window)] = samples


def unit_grid(array: zarr.Array[Any]) -> Grid:
    """Grid of the write units of an array."""
    return Grid(array.shape, tuple(max(n, 1) for n in array.shards or array.chunks))


def chunk_key(array: zarr.Array[Any], unit: Index) -> str:
    """Key of a write unit, below the array's path."""
    return str(array.metadata.encode_chunk_key(unit))


def is_stored(array: zarr.Array[Any], unit: Index) -> bool:
    """Tell whether a write unit is stored; one that is not is the fill value."""
    return key_exists(array.store, f"{array.path}/{chunk_key(array, unit)}")
