"""Selections: what a view keeps of each dimension of an array, and the order of its own dimensions.

::

    array          (z, y, x)
    array[3, ::-1, 10:90].T[None]
    kept           (3, range(n - 1, -1, -1), range(10, 90))      one for each dimension of the array
    order          (None, 2, 1)                                  one for each dimension of the view
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.methods.samples import as_plain, as_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Chunks", "Selection", "SlicedArray", "as_range", "cut_lengths", "join_ranges"]

Chunks = tuple[tuple[int, ...], ...]
"""Lengths of consecutive chunks, along each dimension."""


@dataclass(frozen=True)
class Selection:
    """What a view keeps of an array: one position or a range of each dimension, in any order."""

    kept: tuple[int | range, ...]
    """For each dimension of the array, its single position in the view, or a range, which may be descending."""
    order: tuple[int | None, ...]
    """For each dimension of the view, the array's dimension that it is; ``None`` for one that the array lacks."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the view."""
        return tuple(map(len, self.ranges))

    @property
    def ranges(self) -> tuple[range, ...]:
        """Positions that each dimension of the view keeps; those of one that the array lacks are ``range(1)``."""
        return tuple(range(1) if dim is None else _as_positions(self.kept[dim]) for dim in self.order)

    def is_whole(self, shape: tuple[int, ...]) -> bool:
        """Tell whether the view is an array of ``shape`` itself."""
        return self.order == tuple(range(len(shape))) and self.kept == tuple(map(range, shape))

    def chunks(self, stored: Chunks) -> Chunks:
        """Cut the lengths of the array's chunks to what lies in the view."""
        ranges = zip(self.order, self.ranges, strict=True)
        return tuple((1,) if dim is None else cut_lengths(stored[dim], positions) for dim, positions in ranges)

    def read(self, array: Any, key: Sequence[slice]) -> np.ndarray[Any, Any]:
        """Read the window ``key`` of the view; of ``array`` only ascending slices are asked for."""
        parts: list[range] = [range(k, k + 1) if isinstance(k, int) else k for k in self.kept]
        for dim, positions, part in zip(self.order, self.ranges, key, strict=True):
            if dim is not None:
                parts[dim] = positions[part]
        found = as_plain(array[tuple(map(_ascending, parts))])
        found = found[tuple(slice(None, None, -1) if part.step < 0 else slice(None) for part in parts)]
        ranged = [dim for dim in self.order if dim is not None]
        fixed = tuple(dim for dim in range(len(parts)) if dim not in ranged)
        found = np.squeeze(found.transpose(*ranged, *fixed), tuple(range(len(ranged), len(parts))))
        found = np.expand_dims(found, tuple(at for at, dim in enumerate(self.order) if dim is None))
        return np.ascontiguousarray(found)  # kernels and codecs take it several times


@dataclass(frozen=True)
class SlicedArray:
    """A view of a sliceable array, itself sliceable by windows."""

    array: Any
    """Sliceable array-like."""
    selection: Selection
    """What is kept of it."""
    casts: tuple[np.dtype[Any], ...] = ()
    """Dtypes that its samples are converted to, one after another."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the view."""
        return self.selection.shape

    @property
    def ndim(self) -> int:
        """Its number of dimensions."""
        return len(self.selection.order)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        found: np.dtype[Any] = self.casts[-1] if self.casts else self.array.dtype
        return found

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        found = self.selection.read(self.array, key)
        if self.casts:  # another dtype than declared would go unnoticed
            found = as_samples(found, self.array.dtype)
        for dtype in self.casts:
            found = found.astype(dtype, copy=False)
        return found


def _as_positions(kept: int | range) -> range:
    return range(kept, kept + 1) if isinstance(kept, int) else kept


def _ascending(positions: range) -> slice:
    """Return the ascending slice of the same positions."""
    if positions.step < 0:
        positions = positions[::-1]
    last = positions[-1] + 1 if len(positions) else positions.start
    return slice(positions.start, last) if positions.step == 1 else slice(positions.start, last, positions.step)


def cut_lengths(lengths: Sequence[int], positions: range | np.ndarray[Any, Any]) -> tuple[int, ...]:
    """Count the samples that each of consecutive chunks has among ``positions``; chunks without any are left out.

    Examples
    --------
    >>> cut_lengths((4, 4, 4), range(9, 1, -1)), cut_lengths((4, 4, 4), range(0, 12, 3))
    ((2, 4, 2), (2, 1, 1))
    """
    if not isinstance(positions, range):
        numbers = np.searchsorted(np.cumsum(lengths), positions, side="right")
        return tuple(len(list(samples)) for _, samples in groupby(numbers.tolist()))
    ascending = positions if positions.step > 0 else positions[::-1]
    cuts = [bisect_left(ascending, border) for border in accumulate(lengths, initial=0)]
    counts = [stop - start for start, stop in pairwise(cuts) if stop > start]
    return tuple(counts if positions.step > 0 else counts[::-1])


def join_ranges(parts: Sequence[range]) -> range | None:
    """Join ranges that follow one another; ``None`` if they do not make one range.

    Examples
    --------
    >>> join_ranges([range(9, 7, -1), range(7, 3, -1)]), join_ranges([range(3), range(4, 6)])
    (range(9, 3, -1), None)
    """
    known = [part for part in parts if len(part)]
    count = sum(map(len, known))
    if not count:
        return None
    heads = [position for part in known[:2] for position in part[:2]]
    step = heads[1] - heads[0] if len(heads) > 1 else 1
    if step == 0:
        return None
    joined = range(heads[0], heads[0] + count * step, step)
    starts = accumulate((len(part) for part in known), initial=0)
    whole = all(joined[start : start + len(part)] == part for start, part in zip(starts, known, strict=False))
    return joined if whole else None


def as_range(positions: np.ndarray[Any, Any]) -> range | None:
    """Convert positions to a range; ``None`` if they are not evenly spaced.

    Examples
    --------
    >>> as_range(np.array([7, 5, 3])), as_range(np.array([1, 2, 4]))
    (range(7, 1, -2), None)
    """
    first = int(positions[0])
    step = int(positions[1]) - first if len(positions) > 1 else 1
    return range(first, first + len(positions) * step, step) if step and (np.diff(positions) == step).all() else None
