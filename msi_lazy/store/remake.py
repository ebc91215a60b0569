"""A stored image whose levels can be made again, part by part, each from the stored samples of the finer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.core.sync import sync
from zarr.storage import LocalStore

from msi_lazy.graph.blocks import reduce_window
from msi_lazy.graph.locations import locate
from msi_lazy.graph.pipeline import open_array
from msi_lazy.ngff.making import read_factors, read_method, read_nodata
from msi_lazy.ngff.read import parse_image
from msi_lazy.plan.steps import Grid, Step
from msi_lazy.store.compute import crosses_processes
from msi_lazy.store.target import Target, as_store, find_target, is_in_memory

if TYPE_CHECKING:
    from msi_lazy.methods import Method
    from msi_lazy.plan.windows import Window

__all__ = [
    "BLOCK_BYTES",
    "Making",
    "StoredPyramid",
    "chunk_key",
    "cut_units",
    "find_image",
    "is_stored",
    "label_paths",
    "open_pyramid",
    "read_window",
    "remake_window",
    "slices",
    "unit_grid",
    "write_window",
]

BLOCK_BYTES = 64 * 2**20
"""Most bytes of the finer level that a task reads, unless a single chunk or shard needs more."""

Array = np.ndarray[Any, Any]
Index = tuple[int, ...]


@dataclass(frozen=True)
class Making:
    """How a level is made from the finer one."""

    step: Step
    """In integers."""
    method: Method
    """What reduces a window."""
    nodata: Any
    """Value left out of every reduction, or ``None``."""


@dataclass(frozen=True)
class StoredPyramid:
    """An image in a store, and how each of its levels is made."""

    path: str
    """Path of the image below the one that was asked for; empty for that one."""
    dims: tuple[str, ...]
    """Names of its dimensions."""
    arrays: tuple[zarr.Array[Any], ...]
    """Its levels."""
    paths: tuple[str, ...]
    """Their paths below the image that was asked for."""
    makings: tuple[Making, ...]
    """How each level but the first is made."""


def find_image(store: Any, group: str, options: Mapping[str, Any] | None, writable: bool) -> Target:
    """The group of an image, opened for reading alone unless ``writable``; local paths are made absolute for workers.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group.
    ValueError
        A store in memory, which the worker processes in use cannot see.
    """
    store = as_store(store)
    if is_in_memory(store) and crosses_processes():
        raise ValueError("a store in memory cannot be seen by worker processes; use a path, or compute on threads")
    if writable:
        return find_target(store, group, options)
    directory = locate(store).directory
    if isinstance(store, (str, Path)) and directory is not None and directory.is_dir():
        store, options = LocalStore(directory, read_only=True), None
    settings = dict(options) if options else None
    found = zarr.open_group(store, path=group or None, mode="r", storage_options=settings, use_consolidated=False)
    return Target(found.store, found.path, 2 if found.metadata.zarr_format == 2 else 3)


def open_pyramid(target: Target, path: str, method: Any, writable: bool) -> StoredPyramid:
    """Open the image at ``path`` below ``target``; no sample is read.

    Parameters
    ----------
    target
        Where the image is that was asked for.
    path
        Empty for that one.
    method
        What made its levels; ``None`` if its attributes tell.
    writable
        Whether its levels are opened for writing; level 0 never is.

    Raises
    ------
    ValueError
        Its levels cannot be made again: the method is not known, or the shapes contradict the factors.
    """
    group = zarr.open_group(target.store, path=target.below(path) or None, mode="r", use_consolidated=False)
    stored = parse_image(dict(group.attrs))
    paths = tuple("/".join(filter(None, (path, level.path))) for level in stored.levels)
    arrays = tuple(
        open_array(target.store, target.below(where), mode="r+" if writable and number else "r")
        for number, where in enumerate(paths)
    )
    for where, array in zip(paths, arrays, strict=True):
        if array.dtype.newbyteorder("=") != arrays[0].dtype.newbyteorder("="):
            raise ValueError(f"level {where!r} has dtype {array.dtype}, and the first level {arrays[0].dtype}")
    pyramid = StoredPyramid(path, stored.dims, arrays, paths, ())
    if len(arrays) == 1:
        return pyramid
    row = read_method(stored, method, arrays[0].dtype)
    nodata = read_nodata(stored, row, arrays[0].dtype)
    makings = []
    for level, factors in enumerate(read_factors(stored, [array.shape for array in arrays]), start=1):
        radii = tuple(row.radius(factor) if factor > 1 else 0 for factor in factors)
        step = Step(level, factors, radii, arrays[level - 1].shape, unit_grid(arrays[level]))
        makings.append(Making(step, row, nodata))
    return StoredPyramid(path, stored.dims, arrays, paths, tuple(makings))


def label_paths(target: Target) -> list[str]:
    """Paths of the label images that are listed below an image."""
    try:
        labels = zarr.open_group(target.store, path=target.below("labels"), mode="r", use_consolidated=False)
    except FileNotFoundError:
        return []
    attributes: dict[str, Any] = labels.attrs.asdict()
    block = attributes.get("ome", attributes)
    names = block.get("labels") if isinstance(block, Mapping) else None
    return [f"labels/{name}" for name in names] if isinstance(names, list) else []


def read_window(array: zarr.Array[Any], window: Window) -> Array:
    """Samples of ``window``, in native byte order."""
    samples = np.asarray(array[slices(window)])
    return samples.astype(samples.dtype.newbyteorder("="), copy=False)


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


def remake_window(samples: Array, held: Window, output: Window, making: Making) -> Array:
    """Samples ``output`` of a level, from those of the finer level in ``held``, which are at least the ones needed."""
    step = making.step
    return reduce_window(samples, held, output, step.factors, step.finer, making.method, making.nodata)


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
