"""Recognition of a Dask array that is only a view of something sliceable.

``da.from_zarr(path)[3, ::-1, 100:].T`` is a graph of one read, one crop and one transposition per stored chunk.  Here
it is recognised as a view of the Zarr array, which blocks can read at their own size.  Every task of the graph is
checked; whatever is not recognised is left to Dask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any

from msi_lazy.compat.dask_graphs import array_reads, block_axes, block_cast, block_crops, layers_of
from msi_lazy.source.selection import Selection, join_ranges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import dask.array as da
    import numpy as np

    from msi_lazy.compat.dask_graphs import ArrayReads, Crop, Layers
    from msi_lazy.source.selection import Chunks

__all__ = ["View", "find_view"]


@dataclass(frozen=True)
class View:
    """A selection of a sliceable array, as the blocks of a Dask array see it."""

    array: Any
    """Sliceable array-like."""
    lock: Any
    """Lock to hold while reading, as Dask's ``from_array`` takes it."""
    plain: bool
    """Whether Dask converts what it reads to NumPy arrays."""
    reads: Chunks
    """Lengths of the parts of ``array`` that Dask would read, along each of its dimensions."""
    fixed: tuple[int | None, ...]
    """For each dimension of ``array``, its single position in the view, or ``None`` where the view has a range."""
    order: tuple[int | None, ...]
    """For each dimension of the view, the one of ``array`` that it is; ``None`` for one that ``array`` lacks."""
    blocks: tuple[tuple[range, ...], ...]
    """For each dimension of the view, the positions in ``array`` of each of its blocks."""
    casts: tuple[np.dtype[Any], ...] = ()
    """Dtypes that its samples are converted to, one after another."""

    @property
    def selection(self) -> Selection:
        """What the view keeps of ``array``."""
        found = dict(zip(self.order, map(join_ranges, self.blocks), strict=True))
        kept = (found.get(dim) if position is None else position for dim, position in enumerate(self.fixed))
        return Selection(tuple(range(0) if part is None else part for part in kept), self.order)


def find_view(array: da.Array) -> View | None:
    """Find the array-like that ``array`` is a view of; ``None`` if that is not certain."""
    view = _layer_view(array.name, layers_of(array))
    if view is None or tuple(sum(map(len, along)) for along in view.blocks) != array.shape:
        return None
    return view if (view.casts or (view.array.dtype,))[-1] == array.dtype else None


def _layer_view(name: str, layers: Layers) -> View | None:
    layer = layers.get(name)
    reads = array_reads(name, layers)
    if reads is not None:
        return _read_view(reads)
    transposed = block_axes(layer)
    if transposed is not None:
        return _transposed_view(_layer_view(transposed[0], layers), transposed[1])
    cast = block_cast(layer)
    if cast is not None:
        return _cast_view(_layer_view(cast[0], layers), cast[1])
    crops = block_crops(layer)
    return _sliced_view(crops, layers) if crops else None


def _read_view(reads: ArrayReads) -> View | None:
    """Convert a layer of reads, one per block, to a view."""
    if tuple(map(sum, reads.chunks)) != tuple(reads.array.shape):
        return None
    borders = (pairwise(accumulate(lengths, initial=0)) for lengths in reads.chunks)
    blocks = tuple(tuple(range(start, stop) for start, stop in along) for along in borders)
    order = tuple(range(len(blocks)))
    return View(reads.array, reads.lock, reads.plain, reads.chunks, (None,) * len(blocks), order, blocks)


def _transposed_view(below: View | None, axes: Sequence[int]) -> View | None:
    if below is None:
        return None
    order, blocks = (tuple(below.order[axis] for axis in axes), tuple(below.blocks[axis] for axis in axes))
    return replace(below, order=order, blocks=blocks)


def _cast_view(below: View | None, dtype: np.dtype[Any]) -> View | None:
    """Cast a view; a narrower dtype is left to Dask, as blocks would be read at many times their size."""
    if below is None or dtype.itemsize < (below.casts or (below.array.dtype,))[-1].itemsize:
        return None
    return replace(below, casts=(*below.casts, dtype))


def _sliced_view(crops: Sequence[Crop], layers: Layers) -> View | None:
    """Convert a layer of crops to a view, if together they are one basic slice of another view."""
    name, kinds = crops[0].source, _kinds(crops[0].key)
    below = _layer_view(name, layers)
    fixed: dict[int, set[int]] = {}
    blocks: dict[int, dict[int, range]] = {}
    if below is None:
        return None
    for crop in crops:
        if crop.source != name or _kinds(crop.key) != kinds or None in kinds:
            return None
        dims, places = iter(enumerate(crop.source_index)), iter(enumerate(crop.index))
        for part in crop.key:
            if part is None:
                next(places)
                continue
            dim, block = next(dims)
            positions = below.blocks[dim][block]
            if isinstance(part, slice):
                place, position = next(places)
                cut = positions[part]
                if blocks.setdefault(place, {}).setdefault(position, cut) != cut:
                    return None
            else:
                fixed.setdefault(dim, set()).add(positions[part])
    return _compose(below, kinds, fixed, blocks)


def _kinds(key: Sequence[Any]) -> tuple[str | None, ...]:
    """Tell what each part of a key does: keep a range, take one position, or add a dimension; ``None`` if neither."""
    known = {"range": slice, "position": Integral, "new": type(None)}
    return tuple(next((kind for kind, types in known.items() if isinstance(part, types)), None) for part in key)


def _compose(
    below: View, kinds: Sequence[str | None], fixed: Mapping[int, set[int]], blocks: Mapping[int, Mapping[int, range]]
) -> View | None:
    """Compose the view of a view, if its blocks follow one another without a gap."""
    positions = list(below.fixed)
    order: list[int | None] = []
    extents: list[tuple[range, ...]] = []
    dims = iter(range(len(below.order)))
    for kind in kinds:
        if kind == "new":
            order.append(None)
            extents.append((range(1),))
            continue
        dim = next(dims)
        array_dim = below.order[dim]
        if kind == "position":
            if len(fixed[dim]) != 1:
                return None
            if array_dim is not None:
                (positions[array_dim],) = fixed[dim]
            continue
        found = blocks[len(order)]
        along = tuple(found[number] for number in sorted(found))
        if sorted(found) != list(range(len(found))) or join_ranges(along) is None:
            return None
        order.append(array_dim)
        extents.append(along)
    return replace(below, fixed=tuple(positions), order=tuple(order), blocks=tuple(extents))
