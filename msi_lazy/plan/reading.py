"""What reading the source costs: samples, chunks, tasks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msi_lazy.plan.stages import StagePlan

__all__ = ["Reading"]

Chunks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Reading:
    """How level 0 is read, in all."""

    by_window: bool
    """Whether each block reads its own window, halo included, straight from the source."""
    samples: int
    """Samples read."""
    chunks: int | None
    """Chunks of the source decoded, each as often as it is touched; ``None`` if it has none."""
    source_chunks: int | None
    """Chunks the source has."""
    extra_tasks: int
    """Tasks beside those of the blocks (the source's own, and a rechunk's)."""

    @classmethod
    def of_stage(cls, stage: StagePlan, chunks: Chunks | None, by_window: bool) -> Reading:
        """Reading of the first stage from a source in ``chunks``.

        A window per dimension depends on the block's position along that dimension alone, so
        sums over all blocks are products of sums along the dimensions.
        """
        count = None if chunks is None else prod(map(len, chunks))
        if not by_window:
            samples = prod(stage.extents[0])
            return cls(False, samples, count, count, (count or 0) + stage.blocks)
        samples, decoded = 1, 1
        for dim in range(len(stage.edges)):
            borders = list(accumulate(chunks[dim])) if chunks is not None else None
            lengths, touched = 0, 0
            for interval in _intervals(stage, dim):
                lengths += interval[1] - interval[0]
                if borders is not None:
                    touched += bisect_left(borders, interval[1]) - bisect_right(borders, interval[0]) + 1
            samples *= lengths
            decoded *= touched
        return cls(True, samples, None if chunks is None else decoded, count, 0)


def _intervals(stage: StagePlan, dim: int) -> list[tuple[int, int]]:
    """Intervals of the input level that the blocks along ``dim`` read."""
    found = []
    for position in range(stage.counts[dim]):
        index = tuple(position if other == dim else 0 for other in range(len(stage.edges)))
        interval = stage.needed(index)[0][dim]
        found.append((interval.start, interval.stop))
    return found
