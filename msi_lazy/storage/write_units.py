"""What is written as a whole: shards, or chunks where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.core.sync import sync

from msi_lazy.plan.steps import Grid

if TYPE_CHECKING:
    import zarr

    from msi_lazy.plan.windows import Window

__all__ = ["chunk_key", "cut_units", "is_stored", "slices", "unit_grid", "write_window"]

Array = np.ndarray[Any, Any]
Index = tuple[int, ...]


def write_window(array: zarr.Array[Any], window: Window, samples: Array) -> None:
    """Write whole units, whatever is in the store in their place.

    Those that the array's end cuts are read before they are written, by both pipelines: where that fails, as they are
    damaged, they are removed first.
    """
    samples = samples.astype(array.dtype, copy=False)
    try:
        array[slices(window)] = samples
    except Exception:  # whatever a codec may raise
        cut = cut_units(array, window)
        if not cut:
            raise
        for unit in cut:
            sync(array.store.delete(f"{array.path}/{chunk_key(array, unit)}"))
        array[slices(window)] = samples


def slices(window: Window) -> tuple[slice, ...]:
    """A window as an array is indexed by it."""
    return tuple(slice(*interval) for interval in window)


def unit_grid(array: zarr.Array[Any]) -> Grid:
    """A level in what is written as a whole: shards, or chunks where there are none."""
    return Grid(array.shape, tuple(max(n, 1) for n in array.shards or array.chunks))


def cut_units(array: zarr.Array[Any], window: Window) -> list[Index]:
    """Indices of the units in ``window`` that the array's end cuts, so that a part of them is read and written."""
    units = unit_grid(array)
    terms = zip(window, units.extents, units.part, strict=True)
    if not any(interval.stop == n and n % part for interval, n, part in terms):
        return []
    sides = zip(units.counts, units.extents, units.part, strict=True)
    last = [count - 1 if n % part else -1 for count, n, part in sides]
    return [unit for unit in units.touching(window) if any(i == end for i, end in zip(unit, last, strict=True))]


def chunk_key(array: zarr.Array[Any], unit: Index) -> str:
    """Key, below the array's path, of what is written as a whole: a shard, or a chunk where there are none."""
    return str(array.metadata.encode_chunk_key(unit))


def is_stored(array: zarr.Array[Any], unit: Index) -> bool:
    """Whether a chunk or shard is in the store; one that is not is the fill value."""
    return bool(sync(array.store.exists(f"{array.path}/{chunk_key(array, unit)}")))
