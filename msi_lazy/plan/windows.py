"""Interval algebra: the samples of one level that a window of the coarser one is computed from.

All intervals are half-open, in samples of their own level.  One dimension at a time; a
window of an image is a tuple of intervals.

::

    level k      0 . . . . . . . . . n          factor 2, radius 1
    needed         [a*f-r ....... b*f+r)        clipped to [0, n)
    level k+1          [a ... b)
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = [
    "Boundary",
    "Interval",
    "Window",
    "hull",
    "intersect",
    "level_extent",
    "needed_interval",
    "relative_slices",
    "slices",
]

Boundary = Literal["trim", "pad", "exact"]


class Interval(NamedTuple):
    """A half-open range of samples along one dimension."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Number of samples."""
        return self.stop - self.start


Window = tuple[Interval, ...]


def level_extent(extent: int, factor: int, boundary: Boundary) -> int:
    """Compute the length of a dimension of ``extent`` samples after downsampling by ``factor``.

    Examples
    --------
    >>> level_extent(7, 2, "trim"), level_extent(7, 2, "pad")
    (3, 4)
    """
    return -(-extent // factor) if boundary == "pad" else extent // factor


def needed_interval(output: Interval, factor: int, radius: int, extent: int) -> Interval:
    """Find the samples of the finer level, ``extent`` long, that ``output`` is computed from.

    Examples
    --------
    >>> needed_interval(Interval(2, 4), factor=2, radius=1, extent=100)
    Interval(start=3, stop=9)
    >>> needed_interval(Interval(0, 4), factor=2, radius=1, extent=7)
    Interval(start=0, stop=7)
    """
    return Interval(max(output.start * factor - radius, 0), min(output.stop * factor + radius, extent))


def hull(one: Interval, other: Interval) -> Interval:
    """Find the smallest interval that contains both."""
    return Interval(min(one.start, other.start), max(one.stop, other.stop))


def intersect(one: Window, other: Window) -> Window | None:
    """Find the common part of two windows; ``None`` if there is none.

    Examples
    --------
    >>> intersect((Interval(0, 4),), (Interval(2, 9),))
    (Interval(start=2, stop=4),)
    """
    common = tuple(Interval(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return common if all(interval.length > 0 for interval in common) else None


def slices(window: Window) -> tuple[slice, ...]:
    """Return the slices that cut ``window`` out of a whole array.

    Examples
    --------
    >>> slices((Interval(4, 6),))
    (slice(4, 6, None),)
    """
    return tuple(slice(*interval) for interval in window)


def relative_slices(window: Window, origin: Window) -> tuple[slice, ...]:
    """Return the slices that cut ``window`` out of an array holding ``origin``.

    Examples
    --------
    >>> relative_slices((Interval(4, 6),), (Interval(3, 9),))
    (slice(1, 3, None),)
    """
    return tuple(slice(w.start - o.start, w.stop - o.start) for w, o in zip(window, origin, strict=True))
