"""Recognition of a Dask array that is only a view of something sliceable, through any basic slicing.

``da.from_zarr(path)[3, :, 100:]`` is a graph of one read and one crop per stored chunk.  Here it is recognised as
a window of the Zarr array, which blocks can read at their own size.  Every task of the graph is checked; whatever is
not recognised is left to Dask.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from dask.array.core import normalize_chunks

from msi_lazy.compat.dask_graphs import array_reads, block_crops, layers_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dask.array as da
    import numpy as np

    from msi_lazy.compat.dask_graphs import ArrayReads, Crop, Layers

__all__ = ["CroppedArray", "View", "find_view"]

Chunks = tuple[tuple[int, ...], ...]
Extent = tuple[int, int]


@dataclass(frozen=True)
class View:
    """A rectangle of a sliceable array, as the blocks of a Dask array see it."""

    array: Any
    """Sliceable array-like."""
    lock: Any
    """Lock to hold while reading, as Dask's ``from_array`` takes it."""
    plain: bool
    """Whether Dask converts what it reads to NumPy arrays."""
    fixed: tuple[int | None, ...]
    """For each dimension of ``array``, its single position in the view, or ``None`` where the view has a range."""
    blocks: tuple[tuple[Extent, ...], ...]
    """For each dimension of the view, the extents of its blocks in ``array``."""

    @property
    def crop(self) -> tuple[int | Extent, ...]:
        """Position or range of the view along each dimension of ``array``."""
        ranges = iter((extents[0][0], extents[-1][1]) for extents in self.blocks)
        return tuple(next(ranges) if position is None else position for position in self.fixed)

    @property
    def stored_chunks(self) -> Chunks | None:
        """Lengths of the stored chunks (shards, where there are any) within the view, per dimension."""
        stored = getattr(self.array, "shards", None) or getattr(self.array, "chunks", None)
        if not isinstance(stored, tuple):
            return None
        cut = []
        for lengths, crop in zip(normalize_chunks(stored, self.array.shape), self.crop, strict=True):
            if isinstance(crop, tuple):
                cut.append(_cut_lengths(lengths, crop))
        return tuple(cut)


@dataclass(frozen=True)
class CroppedArray:
    """A sliceable array's rectangle, itself sliceable."""

    array: Any
    """Sliceable array-like."""
    crop: tuple[int | Extent, ...]
    """Position or range that is kept along each dimension of ``array``."""

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        windows = iter(key)
        found: np.ndarray[Any, Any] = self.array[tuple(_absolute(crop, windows) for crop in self.crop)]
        return found


def _absolute(crop: int | Extent, windows: Any) -> int | slice:
    if isinstance(crop, int):
        return crop
    window = next(windows)
    return slice(crop[0] + window.start, crop[0] + window.stop)


def _cut_lengths(lengths: Sequence[int], crop: Extent) -> tuple[int, ...]:
    """Cut the lengths of consecutive chunks to what lies within ``crop``."""
    cut, start = [], 0
    for length in lengths:
        part = min(start + length, crop[1]) - max(start, crop[0])
        if part > 0:
            cut.append(part)
        start += length
    return tuple(cut)


def find_view(array: da.Array) -> View | None:
    """Find the array-like that ``array`` is a view of; ``None`` if that is not certain."""
    view = _layer_view(array.name, layers_of(array))
    if view is None or tuple(sum(stop - start for start, stop in extents) for extents in view.blocks) != array.shape:
        return None
    return view if view.array.dtype == array.dtype else None


def _layer_view(name: str, layers: Layers) -> View | None:
    reads = array_reads(name, layers)
    if reads is not None:
        return _read_view(reads)
    crops = block_crops(layers.get(name))
    return _sliced_view(crops, layers) if crops else None


def _read_view(reads: ArrayReads) -> View | None:
    """Convert a layer of reads, one per block, to a view."""
    if tuple(map(sum, reads.chunks)) != tuple(reads.array.shape):
        return None
    blocks = tuple(tuple(pairwise(accumulate(lengths, initial=0))) for lengths in reads.chunks)
    return View(reads.array, reads.lock, reads.plain, (None,) * len(blocks), blocks)


def _sliced_view(crops: Sequence[Crop], layers: Layers) -> View | None:
    """Convert a layer of crops to a view, if together they are one basic slice of another view."""
    name = crops[0].source
    below = _layer_view(name, layers)
    fixed: dict[int, set[int]] = {}
    blocks: dict[int, dict[int, Extent]] = {}
    if below is None:
        return None
    for crop in crops:
        if crop.source != name:
            return None
        positions = iter(crop.index)
        for dim, (block, part) in enumerate(zip(crop.source_index, crop.key, strict=True)):
            start, stop = below.blocks[dim][block]
            if isinstance(part, int) and part >= 0:
                fixed.setdefault(dim, set()).add(start + part)
            elif isinstance(part, slice) and part.step in (None, 1) and (part.start or 0) >= 0:
                end = stop if part.stop is None else start + part.stop
                extent = (start + (part.start or 0), end)
                if part.stop is not None and part.stop < 0:
                    return None
                if blocks.setdefault(dim, {}).setdefault(next(positions, -1), extent) != extent:
                    return None
            else:
                return None
    return _compose(below, fixed, blocks)


def _compose(below: View, fixed: Mapping[int, set[int]], blocks: Mapping[int, Mapping[int, Extent]]) -> View | None:
    """Compose the view of a view, if its blocks follow one another without a gap."""
    composed, extents = list(below.fixed), []
    ranged = [dim for dim, position in enumerate(below.fixed) if position is None]
    for dim, array_dim in enumerate(ranged):
        if (dim in fixed) == (dim in blocks):
            return None
        if dim in fixed:
            if len(fixed[dim]) != 1:
                return None
            (composed[array_dim],) = fixed[dim]
            continue
        found = [blocks[dim].get(position) for position in range(len(blocks[dim]))]
        along = [extent for extent in found if extent is not None]
        if len(along) != len(found) or any(a[1] != b[0] for a, b in pairwise(along)):
            return None
        extents.append(tuple(along))
    return View(below.array, below.lock, below.plain, tuple(composed), tuple(extents))
