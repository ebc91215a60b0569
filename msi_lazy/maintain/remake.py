"""A stored image whose levels can be made again, part by part, each from the stored samples of the finer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.graph.block_tasks import reduce_window
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.provenance import read_factors, read_method, read_nodata
from msi_lazy.plan.steps import Step
from msi_lazy.run.scheduler import crosses_processes
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.target import Target, find_target, image_block
from msi_lazy.storage.write_units import unit_grid

if TYPE_CHECKING:
    import zarr

    from msi_lazy.methods import Method
    from msi_lazy.plan.windows import Window
    from msi_lazy.storage.place import Place

__all__ = [
    "BLOCK_BYTES",
    "Making",
    "StoredPyramid",
    "find_image",
    "label_paths",
    "open_pyramid",
    "remake_window",
]

BLOCK_BYTES = 64 * 2**20
"""Most bytes of the finer level that a task reads, unless a single chunk or shard needs more."""

Array = np.ndarray[Any, Any]


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


def find_image(place: Place, writable: bool) -> Target:
    """Find the group of an image, opened for reading alone unless ``writable``.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group.
    ValueError
        A store in memory, which the worker processes in use cannot see.
    """
    if place.in_memory and crosses_processes():
        raise ValueError("a store in memory cannot be seen by worker processes; use a path, or compute on threads")
    return find_target(place) if writable else Target.of(place.open_group())


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
    group = target.child(path).open_group()
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
        labels = target.child("labels").open_group()
    except FileNotFoundError:
        return []
    names = image_block(labels).get("labels")
    return [f"labels/{name}" for name in names] if isinstance(names, list) else []


def remake_window(samples: Array, held: Window, output: Window, making: Making) -> Array:
    """Samples ``output`` of a level, from those of the finer level in ``held``, which are at least the ones needed."""
    step = making.step
    return reduce_window(samples, held, output, step.factors, step.finer, making.method, making.nodata)
