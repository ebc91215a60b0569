"""One level from the finer one, outside any pyramid: the samples that a block needs, and those that a change reaches.

::

    level k      0 . . . s=====e . . n          factor 2, radius 1
    changed      every output whose needed interval [a*f-r, a*f+f+r), clipped to [0, n), touches [s, e)
    level k+1         . [a ... b) .
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.plan.grid import Grid
from msi_lazy.plan.windows import Interval, Window, needed_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Step", "changed_interval", "choose_blocks", "plan_blocks"]

Extents = tuple[int, ...]


def changed_interval(changed: Interval, factor: int, radius: int, extent: int) -> Interval:
    """Find the samples of the coarser level, ``extent`` long, that are computed from any sample of ``changed``.

    The inverse of :func:`needed_interval`.  What an edge repeats or reflects lies within reach of the edge,
    and so changes nothing here; samples that no window takes in change nothing at all.

    Examples
    --------
    >>> changed_interval(Interval(3, 9), factor=2, radius=1, extent=50)
    Interval(start=1, stop=5)
    >>> changed_interval(Interval(6, 7), factor=2, radius=0, extent=3)  # left out by trim
    Interval(start=3, stop=3)
    """
    if changed.length <= 0:
        return Interval(0, 0)
    start = max((changed.start - radius) // factor, 0)
    stop = min(-((changed.stop + radius) // -factor), extent)
    return Interval(min(start, extent), max(stop, min(start, extent)))


@dataclass(frozen=True)
class Step:
    """Geometry of computing a level from the finer one, in integers."""

    level: int
    """Number of the level that is computed."""
    factors: Extents
    """Factor along each dimension."""
    radii: Extents
    """Samples beyond its window, on either side, that a sample is computed from."""
    finer: Extents
    """Shape of the finer level."""
    units: Grid
    """Write units of the level: shards, or chunks where there are none."""

    @property
    def extents(self) -> Extents:
        """Shape of the level that is computed."""
        return self.units.extents

    def needed(self, output: Window) -> Window:
        """Find the samples of the finer level that ``output`` is computed from."""
        terms = zip(output, self.factors, self.radii, self.finer, strict=True)
        return tuple(needed_interval(*term) for term in terms)

    def covering(self, output: Window) -> Window:
        """Find the samples that ``output`` needs, and those beyond the last window, which nothing is computed from."""
        terms = zip(self.needed(output), output, self.extents, self.finer, strict=True)
        return tuple(Interval(w.start, end if out.stop == n else w.stop) for w, out, n, end in terms)

    def changed(self, window: Window) -> Window:
        """Find the samples that change with those in ``window`` of the finer level."""
        terms = zip(window, self.factors, self.radii, self.extents, strict=True)
        return tuple(changed_interval(*term) for term in terms)


def plan_blocks(step: Step, itemsize: int, block_bytes: float) -> Grid:
    """Cut a level into blocks of whole units whose finer windows take at most ``block_bytes``; a unit may take more.

    Blocks grow where they are thinnest, and first along the dimensions that are reduced, where they have halos.

    Examples
    --------
    >>> step = Step(1, (2, 2, 2), (0, 0, 0), (1024, 1024, 1024), Grid((512, 512, 512), (64, 64, 64)))
    >>> plan_blocks(step, itemsize=2, block_bytes=64 * 2**20).part
    (128, 128, 256)
    """
    counts, block = step.units.counts, [1] * len(step.factors)  # in units

    def finer_bytes(sizes: Sequence[int]) -> int:
        lengths = zip(sizes, step.units.part, step.factors, step.radii, step.finer, strict=True)
        return itemsize * prod(min(size * unit * f + 2 * r, n) for size, unit, f, r, n in lengths)

    growing = set(range(len(block)))
    while growing:
        dim = min(growing, key=lambda d: (step.factors[d] == 1, block[d] * step.units.part[d] * step.factors[d], -d))
        grown = [*block[:dim], min(2 * block[dim], counts[dim]), *block[dim + 1 :]]
        if grown == block or finer_bytes(grown) > block_bytes:
            growing.discard(dim)
        else:
            block = grown
    return Grid(step.extents, tuple(size * unit for size, unit in zip(block, step.units.part, strict=True)))


def choose_blocks(count: int, sample: float, seed: int) -> Sequence[int]:
    """Choose the numbers of the blocks to check: a fraction of ``count``, at least one, or all of them.

    Examples
    --------
    >>> choose_blocks(4, 1.0, seed=0), len(choose_blocks(1000, 0.01, seed=0))
    (range(0, 4), 10)
    """
    wanted = max(round(sample * count), 1)
    if wanted >= count:
        return range(count)
    return sorted(random.Random(seed).sample(range(count), wanted))
