"""Chunks of what samples are read from: the parts that cost something to read, however little of them is asked for.

Views and xarray's adapters are looked through, down to the array that has chunks, and their indexing is followed by
position: names of dimensions may have changed since the array was opened.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate, product
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
import zarr
from dask.array.core import normalize_chunks

from msi_lazy.compat.xarray_backends import (
    adapter_key,
    backend_array,
    backend_layout,
    is_adapter,
    is_in_memory,
    replace_transposed,
    transposed_key,
    unwrap_adapters,
)
from msi_lazy.methods.samples import as_samples, check_shape
from msi_lazy.source.selection import Chunks, Selection, SlicedArray, as_range, cut_lengths
from msi_lazy.storage.arrays import decoded_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Stored", "WholeChunks", "decoded_bytes", "restore_order", "stored_chunks"]

Stored = Chunks | Literal["contiguous"] | None
"""Lengths of chunks, or ``"contiguous"`` where any part costs its own samples alone; ``None`` where that is unknown."""
_HDF5 = ("h5netcdf", "h5py", "pyfive")
"""Libraries in which a dataset whose ``chunks`` are ``None`` is contiguous."""


@dataclass(frozen=True)
class WholeChunks:
    """An array-like of which nothing is known: it is asked for the chunks that it was given to Dask in, and no others.

    It may decode a plane for a row of it, or ignore what part of a plane is asked for.
    """

    array: Any
    """Sliceable array-like."""
    chunks: Chunks
    """Lengths of the chunks, along each dimension."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(map(sum, self.chunks))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        found: np.dtype[Any] = self.array.dtype
        return found

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        wanted = [range(n)[part] for n, part in zip(self.shape, key, strict=True)]
        pieces = [_pieces(lengths, part) for lengths, part in zip(self.chunks, wanted, strict=True)]
        if all(len(along) == 1 for along in pieces):
            return self._read_piece([along[0] for along in pieces])
        joined = np.empty(tuple(map(len, wanted)), self.dtype)
        for parts in product(*pieces):
            joined[tuple(part.place for part in parts)] = self._read_piece(parts)
        return joined

    def _read_piece(self, parts: Sequence[_Piece]) -> np.ndarray[Any, Any]:
        """Read one chunk, and keep what is wanted of it."""
        return self._read(tuple(part.chunk for part in parts))[tuple(part.inside for part in parts)]

    def _read(self, window: tuple[range, ...]) -> np.ndarray[Any, Any]:
        """Read one chunk, and check it: assigned to others, it would be broadcast and cast without a word."""
        found = as_samples(self.array[tuple(slice(along.start, along.stop) for along in window)], self.dtype)
        check_shape(found, tuple(map(len, window)))
        return found


@dataclass(frozen=True)
class _Piece:
    """What one chunk has of the wanted positions, along one dimension."""

    chunk: range
    """Positions of the chunk."""
    inside: slice
    """Wanted ones, from its first."""
    place: slice
    """Their place among all that are wanted."""


def _pieces(lengths: Sequence[int], wanted: range) -> list[_Piece]:
    """Cut wanted positions, which may descend, by the chunks that have any; with a step, others may lie between."""
    borders = list(accumulate(lengths, initial=0))
    ends = (min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])) if wanted else (0, -1)
    first, last = (bisect_right(borders, position) - 1 for position in ends)
    ascending = wanted if wanted.step > 0 else wanted[::-1]
    found = []
    for chunk in (range(borders[number], borders[number + 1]) for number in range(first, last + 1)):
        low, high = bisect_left(ascending, chunk.start), bisect_left(ascending, chunk.stop)
        if low < high:
            place = slice(low, high) if wanted.step > 0 else slice(len(wanted) - high, len(wanted) - low)
            part = wanted[place]
            stop = part.stop - chunk.start
            inside = slice(part.start - chunk.start, stop if stop >= 0 else None, part.step)
            found.append(_Piece(chunk, inside, place))
    return found


def stored_chunks(array: Any, stated: tuple[int, ...] | None = None) -> Stored:
    """Find the chunks that an array-like is stored in, within what it shows of them; nothing is read.

    ``stated`` is the chunk shape that xarray was told of where nothing can be seen of it, in the order of the array.
    """
    if isinstance(array, WholeChunks):
        return array.chunks
    if isinstance(array, SlicedArray):
        below = stored_chunks(array.array)
        return array.selection.chunks(below) if isinstance(below, tuple) else below
    if isinstance(array, xr.Variable):
        return "contiguous" if is_in_memory(array) else stored_chunks(backend_array(array), _preferred_chunks(array))
    if isinstance(array, np.ndarray):
        return "contiguous"
    if isinstance(array, zarr.Array):
        return _normalized(decoded_chunks(array), array.shape)
    if is_adapter(array) and hasattr(array, "array"):
        return _adapted_chunks(array, stated)
    *_, opened = unwrap_adapters(array)
    found = _declared_chunks(array) if opened is array else stored_chunks(opened)
    return found or _normalized(stated, tuple(array.shape))


def decoded_bytes(array: Any) -> int:
    """Count the bytes of the largest chunk as it is decoded: also what a view of it leaves out; 0 if it is unknown."""
    while isinstance(array, SlicedArray):
        array = array.array
    if isinstance(array, xr.Variable):
        array = backend_array(array)
    *_, opened = unwrap_adapters(array)
    found = stored_chunks(opened)
    return prod(map(max, found)) * opened.dtype.itemsize if isinstance(found, tuple) else 0


def _adapted_chunks(adapter: Any, stated: tuple[int, ...] | None) -> Stored:
    """Find the chunks behind one of xarray's adapters, and cut them as it indexes what it adapts."""
    below, key = stored_chunks(adapter.array, stated), adapter_key(adapter)
    if not isinstance(below, tuple):
        return below
    if key is None:
        unchanged = not hasattr(adapter, "key") and tuple(adapter.shape) == tuple(adapter.array.shape)
        return below if unchanged else None
    terms = zip(below, adapter.array.shape, key, strict=True)
    return tuple(
        cut_lengths(lengths, range(n)[part] if isinstance(part, slice) else np.asarray(part))
        for lengths, n, part in terms
        if isinstance(part, slice) or np.ndim(part)
    )


def _declared_chunks(array: Any) -> Stored:
    """Find the chunks that an array-like declares as h5py, zarr or TensorStore do."""
    if is_adapter(array):
        return _normalized(backend_layout(array), array.shape)
    if hasattr(array, "chunk_layout"):
        return _normalized(getattr(array.chunk_layout.read_chunk, "shape", None), tuple(array.shape))
    unchunked = "contiguous" if type(array).__module__.partition(".")[0] in _HDF5 else None
    stated = getattr(array, "chunks", None)
    return _normalized(unchunked if stated is None else stated, tuple(array.shape))


def _preferred_chunks(variable: xr.Variable) -> tuple[int, ...] | None:
    """Return the chunk shape that a variable states, by name, of which one dimension may have another now."""
    stated = dict(variable.encoding.get("preferred_chunks") or {})
    renamed = [name for name in stated if name not in variable.dims]
    unnamed = [dim for dim in variable.dims if dim not in stated]
    if len(renamed) != len(unnamed) or len(renamed) > 1:
        return None
    stated |= {dim: stated[name] for name, dim in zip(renamed, unnamed, strict=True)}
    return tuple(stated[dim] for dim in variable.dims)


def _normalized(stated: Any, shape: Sequence[int]) -> Stored:
    """Convert a chunk shape, or lengths, to lengths that fit ``shape``; ``None`` for what is neither."""
    if stated is None or isinstance(stated, str):
        return "contiguous" if stated == "contiguous" else None
    try:
        if len(stated) != len(shape):
            return None
        lengths = [[along] if isinstance(along, (int, np.integer)) else list(along) for along in stated]
        if not all(length > 0 for along in lengths for length in along):
            return None
        found = normalize_chunks(tuple(n[0] if len(n) == 1 else tuple(n) for n in lengths), tuple(shape))
    except (TypeError, ValueError):  # of something else that goes by the name of chunks
        return None
    return tuple(tuple(map(int, along)) for along in found)


def restore_order(array: Any) -> Any:
    """Return an array-like that xarray has transposed lazily as a view of the same, not transposed; others as they are.

    xarray reads what it has transposed point by point.
    """
    data = backend_array(array) if isinstance(array, xr.Variable) else array
    key = transposed_key(data)
    if key is None:
        return array
    vectors = [_drop_repeats(positions) for positions in key]
    selection = _orthogonal(vectors, data.shape)
    if selection is None:
        return array
    untransposed = replace_transposed(data, [_as_slice(vector.ravel()) for vector in vectors])
    if isinstance(array, xr.Variable):
        names = {number: dim for number, dim in zip(selection.order, array.dims, strict=True) if number is not None}
        dims = [names.get(number, f"dim{number}") for number in range(len(key))]
        untransposed = xr.Variable(dims, untransposed, encoding=array.encoding)
    return SlicedArray(untransposed, selection)


def _drop_repeats(positions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Cut positions to one along each dimension that they do not change along."""
    for dim in range(positions.ndim):
        first = positions.take([0], dim)
        if (positions == first).all():
            positions = first
    return positions


def _orthogonal(key: Sequence[np.ndarray[Any, Any]], shape: tuple[int, ...]) -> Selection | None:
    """Convert positions to a selection, if each is along one dimension, and no two are along the same."""
    along = [[dim + len(shape) - at.ndim for dim, n in enumerate(at.shape) if n > 1] for at in key]
    used = [dim for dims in along for dim in dims]
    if any(len(dims) > 1 for dims in along) or len(set(used)) != len(used):
        return None
    order = tuple(next((number for number, dims in enumerate(along) if dim in dims), None) for dim in range(len(shape)))
    return Selection(tuple(range(shape[dims[0]]) if dims else 0 for dims in along), order)


def _as_slice(positions: np.ndarray[Any, Any]) -> slice | np.ndarray[Any, Any]:
    part = as_range(positions)
    return positions if part is None else slice(part.start, part.stop if part.stop >= 0 else None, part.step)
