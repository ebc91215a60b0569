"""Regions of an image, as slices and indices."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msi_lazy.plan.windows import Interval

if TYPE_CHECKING:
    from msi_lazy.plan.windows import Window

__all__ = ["parse_region"]


def parse_region(region: Any, dims: Sequence[str], shape: Sequence[int]) -> Window:
    """Convert slices and indices to the window of an array with dimensions ``dims`` and this ``shape``.

    Raises
    ------
    TypeError
        Neither a mapping nor a sequence of slices and integers.
    ValueError
        An unknown dimension, another number of them, a step, or no samples.
    IndexError
        Samples that the array does not have.

    Examples
    --------
    >>> parse_region({"x": slice(-10, None)}, ["y", "x"], (50, 60))
    (Interval(start=0, stop=50), Interval(start=50, stop=60))
    >>> parse_region((3, slice(5, 7)), ["y", "x"], (50, 60))
    (Interval(start=3, stop=4), Interval(start=5, stop=7))
    """
    form = "region is a dict {dim: slice or integer}, or one slice or integer per dimension"
    if isinstance(region, Mapping):
        unknown = [dim for dim in region if dim not in dims]
        if unknown:
            raise ValueError(f"region names the dimension {unknown[0]!r}, but the image has {tuple(dims)}")
        parts = [region.get(dim, slice(None)) for dim in dims]
    elif isinstance(region, Sequence) and not isinstance(region, (str, bytes)):
        if len(region) != len(dims):
            raise ValueError(f"region has {len(region)} entries, but the image has the dimensions {tuple(dims)}")
        parts = list(region)
    else:
        raise TypeError(f"{form}, not {region!r}")
    return tuple(_parse_side(part, dim, n, form) for part, dim, n in zip(parts, dims, shape, strict=True))


def _parse_side(part: Any, dim: str, n: int, form: str) -> Interval:
    if not isinstance(part, slice):
        start = _parse_bound(part, dim, n, form)
        if start == n:
            raise IndexError(f"region: dimension {dim!r} has no sample {part}; it has {n}")
        return Interval(start, start + 1)
    if part.step not in (None, 1):
        raise ValueError(f"region: dimension {dim!r} has a step of {part.step!r}; give a slice without one")
    start = 0 if part.start is None else _parse_bound(part.start, dim, n, form)
    stop = n if part.stop is None else _parse_bound(part.stop, dim, n, form)
    if start >= stop:
        raise ValueError(f"region: {part} of dimension {dim!r}, which has {n} samples, is empty")
    return Interval(start, stop)


def _parse_bound(value: Any, dim: str, n: int, form: str) -> int:
    """Check an index from 0 to ``n``; negative ones count from the end."""
    try:
        index = operator.index(value)
    except TypeError:
        index = None
    if index is None or isinstance(value, bool):
        raise TypeError(f"{form}; dimension {dim!r} has {value!r}")
    if not -n <= index <= n:
        raise IndexError(f"region: dimension {dim!r} has {n} samples, and {index} is not among them")
    return index + n if index < 0 else index
