"""Stored images whose levels can be recomputed, block by block, each from the stored finer one."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.graph.block_tasks import reduce_window
from msi_lazy.maintain.findings import BlockFinding
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.provenance import read_factors, read_method, read_nodata
from msi_lazy.ngff.settle_geometry import settle_geometry
from msi_lazy.plan.steps import Step, plan_blocks
from msi_lazy.run.scheduler import crosses_processes
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.checked_read import try_read
from msi_lazy.storage.manifest import read_manifest
from msi_lazy.storage.target import Target, find_target
from msi_lazy.storage.write_units import chunk_key, unit_grid

if TYPE_CHECKING:
    import zarr

    from msi_lazy.maintain.findings import Kind
    from msi_lazy.methods import Method
    from msi_lazy.plan.grid import Grid, Index
    from msi_lazy.plan.windows import Window
    from msi_lazy.storage.place import Place

__all__ = [
    "BLOCK_BYTES",
    "DownsamplingStep",
    "LevelArray",
    "StoredPyramid",
    "cut_blocks",
    "find_image",
    "open_labels",
    "open_pyramid",
    "unreduced",
]

BLOCK_BYTES = 64 * 2**20
"""Most bytes of the finer level that a task reads, unless a single chunk or shard needs more."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class DownsamplingStep(Step):
    """Computation of the samples of a level from those of the finer one."""

    method: Method
    """Downsampling method."""
    nodata: Any
    """Value that every reduction leaves out, or ``None``."""

    def compute(self, samples: Array, held: Window, output: Window) -> Array:
        """Compute ``output`` of the level from samples of the finer one in ``held``, at least those needed."""
        return reduce_window(samples, held, output, self.factors, self.finer, self.method, self.nodata)


@dataclass(frozen=True)
class LevelArray:
    """A level in a store."""

    number: int
    """Number of the level; 0 for the image itself."""
    path: str
    """Path of its array below the image that is verified or updated."""
    array: zarr.Array[Any]
    """Array of its samples."""
    manifest: Array | None = None
    """Bytes and digest of each write unit as it was stored; ``None`` if that is not known."""

    @property
    def units(self) -> Grid:
        """Grid of its write units."""
        return unit_grid(self.array)

    def fault(self, unit: Index, kind: Kind, note: str = "") -> BlockFinding:
        """Describe a fault of all samples of a write unit."""
        window, key = self.units.window(unit), chunk_key(self.array, unit)
        samples = prod(side.length for side in window)
        return BlockFinding(self.number, self.path, unit, key, window, kind, samples, note=note)

    def read(self, window: Window) -> Array | Exception:
        """Read a window; return the error if that fails."""
        return try_read(self.array, window, self.units)


@dataclass(frozen=True)
class StoredPyramid:
    """An image in a store, and the computation of each of its levels."""

    levels: tuple[LevelArray, ...]
    """Levels from the image to the coarsest."""
    steps: tuple[DownsamplingStep, ...]
    """Computation of each level but the first."""
    place: Target
    """Group that is verified or updated, which the paths of levels are below."""


def find_image(place: Place, writable: bool) -> Target:
    """Open the group of an image, read-only unless ``writable``.

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
        Group of the image that is verified or updated.
    path
        Empty for that image, or the path of a label image.
    method
        Method of its levels; ``None`` if its attributes name it.
    writable
        Whether its levels are opened for writing; level 0 never is.

    Raises
    ------
    ValueError
        Its levels cannot be recomputed: the method is not known, or the shapes contradict the factors.
    """
    group = target.child(path).open_group()
    stored = parse_image(dict(group.attrs))
    shapes = [target.child(path).child(level.path).open_array().shape for level in stored.levels]
    stored, _ = settle_geometry(stored, shapes)
    paths = tuple("/".join(filter(None, (path, level.path))) for level in stored.levels)
    arrays = tuple(
        open_array(target.store, target.below(where), mode="r+" if writable and number else "r")
        for number, where in enumerate(paths)
    )
    for where, array in zip(paths, arrays, strict=True):
        if array.dtype.newbyteorder("=") != arrays[0].dtype.newbyteorder("="):
            raise ValueError(f"level {where!r} has dtype {array.dtype}, and the first level {arrays[0].dtype}")
    manifests = [read_manifest(target.child(where)) for where in paths]
    levels = tuple(map(LevelArray, range(len(arrays)), paths, arrays, manifests))
    if len(levels) == 1:
        return StoredPyramid(levels, (), target)
    row = read_method(stored, method, arrays[0].dtype)
    nodata = read_nodata(stored, row, arrays[0].dtype)
    steps = []
    for level, factors in zip(levels[1:], read_factors(stored, [array.shape for array in arrays]), strict=True):
        radii = tuple(row.radius(factor) if factor > 1 else 0 for factor in factors)
        finer = arrays[level.number - 1].shape
        steps.append(DownsamplingStep(level.number, factors, radii, finer, level.units, row, nodata))
    return StoredPyramid(levels, tuple(steps), target)


def open_labels(target: Target, path: str, writable: bool) -> StoredPyramid:
    """Open a label image below ``target``; see :func:`open_pyramid`.

    Raises
    ------
    ValueError
        It cannot be verified; names it.
    """
    try:
        return open_pyramid(target, path, None, writable)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(
            f"label image {path!r}: {error}; or verify it by itself, with group={target.below(path)!r}, and the image "
            f"with labels=False"
        ) from error


def unreduced(level: LevelArray) -> Step:
    """Step from a level to itself, for blocks of a level that is not recomputed."""
    ndim = level.array.ndim
    return Step(level.number, (1,) * ndim, (0,) * ndim, level.array.shape, level.units)


def cut_blocks(step: Step, itemsize: int, block_bytes: float = inf) -> Grid:
    """Cut a level into blocks, one per task, whose finer samples take at most ``block_bytes``."""
    return plan_blocks(step, itemsize, min(BLOCK_BYTES, block_bytes))
