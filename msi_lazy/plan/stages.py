"""A stage: the run of levels computed inside one block, and the blocks that own their samples.

Along every dimension a stage cuts its input level into blocks at the multiples of an
*edge*; a trailing remainder too short to give a sample of the stage's deepest level belongs
to the last block.  The same cuts, divided by the cumulative factor, are the block borders on
every level of the stage, so no two blocks share a sample or a chunk of any level::

    input level   |--------edge--------|--------edge--------|---tail---|
    next level    |---edge/2-|---edge/2-|--tail/2-|
    carry         |-edge/4-|...
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import prod
from operator import mul
from typing import TYPE_CHECKING

from msi_lazy.plan.windows import Interval, Window, hull, needed_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["StagePlan", "compose_halo"]

Index = tuple[int, ...]


@dataclass(frozen=True)
class StagePlan:
    """Geometry of one stage, in integers.

    Levels are absolute numbers (0 is the image itself); sequences over levels start at
    ``first``.
    """

    first: int
    """Level that a block is cut from."""
    extents: tuple[tuple[int, ...], ...]
    """Shape of each level from ``first`` to the deepest one computed."""
    factors: tuple[tuple[int, ...], ...]
    """Factors from each level to the next; one entry fewer than ``extents``."""
    radii: tuple[tuple[int, ...], ...]
    """Kernel radius of each such step, in samples beyond the window on either side."""
    edges: tuple[int, ...]
    """Edge of a block at level ``first``."""
    written: tuple[int, ...]
    """Levels of the tree that this stage computes."""
    carry: int | None
    """Level that this stage passes on to the next one, if there is one."""

    @property
    def deepest(self) -> int:
        """Coarsest level computed."""
        return self.first + len(self.factors)

    @property
    def carries_input(self) -> bool:
        """True if what it passes on is what a block is cut from: it only stores the image."""
        return self.carry == self.first

    @property
    def outputs(self) -> tuple[int, ...]:
        """Levels in the tuple that one block returns: the written ones, then the carry."""
        return self.written if self.carry is None else (*self.written, self.carry)

    @cached_property
    def cumulative(self) -> tuple[tuple[int, ...], ...]:
        """Factor of each level relative to ``first``."""
        ones = (1,) * len(self.edges)
        steps = accumulate(self.factors, lambda one, other: tuple(map(mul, one, other)), initial=ones)
        return tuple(steps)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each dimension."""
        smallest = tuple(map(max, self.cumulative[-1], self.halo))
        return tuple(map(_block_count, self.extents[0], self.edges, smallest))

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return prod(self.counts)

    @cached_property
    def halo(self) -> tuple[int, ...]:
        """Samples of level ``first`` that a block reads beyond its own, at most, on either side."""
        return compose_halo(self.factors, self.radii, len(self.edges))

    def along(self, dim: int) -> Iterator[Index]:
        """List the indices of the blocks along ``dim``, the first one of every other dimension."""
        return (tuple(i if other == dim else 0 for other in range(len(self.edges))) for i in range(self.counts[dim]))

    def line(self, dim: int) -> StagePlan:
        """Return the geometry along one dimension, on which what a block owns and needs there depends alone."""
        levels = (self.extents, self.factors, self.radii)
        extents, factors, radii = (tuple((level[dim],) for level in of_levels) for of_levels in levels)
        edges = (self.edges[dim],)
        return replace(self, extents=extents, factors=factors, radii=radii, edges=edges, written=(), carry=None)

    def owned(self, level: int, index: Index) -> Window:
        """Return the samples of ``level`` that block ``index`` owns."""
        step = level - self.first
        return tuple(
            self._owned_interval(dim, self.extents[step][dim], self.cumulative[step][dim], position)
            for dim, position in enumerate(index)
        )

    def _owned_interval(self, dim: int, extent: int, factor: int, position: int) -> Interval:
        if position == self.counts[dim] - 1:
            return Interval(position * self.edges[dim] // factor, extent)
        return Interval(position * self.edges[dim] // factor, (position + 1) * self.edges[dim] // factor)

    def needed(self, index: Index) -> tuple[Window, ...]:
        """Compute the windows of each level, ``first`` to deepest, that block ``index`` computes.

        From the deepest level back, a level's window holds the block's own samples of it and all that the coarser
        level's window is computed from.
        """
        windows = [self.owned(self.deepest, index)]
        for step in range(len(self.factors) - 1, -1, -1):
            owned = self.owned(self.first + step, index)
            below = zip(windows[0], self.factors[step], self.radii[step], self.extents[step], strict=True)
            windows.insert(0, tuple(map(hull, owned, (needed_interval(*terms) for terms in below))))
        return tuple(windows)

    def reach(self, index: Index) -> Window:
        """Return the samples of level ``first`` within a whole halo of what block ``index`` owns."""
        owned = zip(self.owned(self.first, index), self.halo, self.extents[0], strict=True)
        return tuple(
            Interval(max(interval.start - halo, 0), min(interval.stop + halo, extent))
            for interval, halo, extent in owned
        )

    def block_chunks(self, level: int) -> tuple[tuple[int, ...], ...]:
        """List the lengths of the blocks of ``level`` along each dimension, as Dask writes chunks."""
        step = level - self.first
        return tuple(
            tuple(
                self._owned_interval(dim, self.extents[step][dim], self.cumulative[step][dim], i).length
                for i in range(count)
            )
            for dim, count in enumerate(self.counts)
        )

    def touching(self, level: int, window: Window) -> tuple[range, ...]:
        """Find the block positions, per dimension, that own some sample of ``window`` on ``level``."""
        factors = self.cumulative[level - self.first]
        return tuple(
            range(
                min(interval.start * factor // edge, count - 1),
                min((interval.stop * factor - 1) // edge, count - 1) + 1,
            )
            for interval, factor, edge, count in zip(window, factors, self.edges, self.counts, strict=True)
        )


def compose_halo(factors: tuple[Index, ...], radii: tuple[Index, ...], ndim: int) -> tuple[int, ...]:
    """Compute the reach of a chain of kernels, in samples of its input, along each of ``ndim`` dimensions.

    Examples
    --------
    >>> compose_halo(((2,), (2,)), ((3,), (3,)), 1)
    (9,)
    """
    widths = [0] * ndim
    for step_factors, step_radii in zip(reversed(factors), reversed(radii), strict=True):
        widths = [w * factor + radius for w, factor, radius in zip(widths, step_factors, step_radii, strict=True)]
    return tuple(widths)


def _block_count(extent: int, edge: int, smallest: int) -> int:
    """Count the blocks of ``edge`` in ``extent``; a tail shorter than ``smallest`` is the last block's."""
    full, tail = divmod(extent, edge)
    return max(full + (tail >= smallest and tail > 0), 1)
