"""Slabs: parts of a very large write, each a graph that a scheduler can take, computed one after another.

A slab is some consecutive blocks of the second stage, and the blocks of the first that these are computed from; the
last slab has the later stages too, which are small.  What a slab needs of an earlier one it reads back from the store::

    stage 2                                   [=]
    stage 1   [==][==]  [==][==]  [==][==]  [==][==]
    stage 0   [======]  [======]  [======]  [======]
               slab 1    slab 2    slab 3    slab 4
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from msi_lazy.plan.memory import finer_window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.plan.stages import StagePlan

__all__ = ["SLAB_BLOCKS", "BlockFlags", "count_slabs", "cut_slabs"]

BlockFlags = npt.NDArray[np.bool_]
"""A flag for each block of a stage."""

SLAB_BLOCKS = 250_000
"""Most blocks of a first stage in a slab: Dask's schedulers need about a minute and a GiB or two for so many tasks."""


def count_slabs(stages: Sequence[StagePlan], most: int | None = None) -> int:
    """Count the slabs of a write of ``stages``, 1 if it is not cut; arguments as of :func:`cut_slabs`."""
    number, at_once = _cut(stages, most or SLAB_BLOCKS)
    return 1 if number is None else -(-stages[number].blocks // at_once)


def cut_slabs(
    stages: Sequence[StagePlan], read_back: Sequence[bool] = (), most: int | None = None
) -> Iterator[list[BlockFlags]]:
    """Cut a write into slabs; yield, for each, the blocks of each stage that belong to it.

    Parameters
    ----------
    stages
        Stages, in the blocks that tasks compute.
    read_back
        Whether each stage reads what the one before stored, instead of its carries.
    most
        Most blocks of the first stage in a slab, about: :data:`SLAB_BLOCKS` if not given.
    """
    number, at_once = _cut(stages, most or SLAB_BLOCKS)
    left = [np.ones(stage.counts, bool) for stage in stages]
    if number is not None:
        for start in range(0, stages[number].blocks - at_once, at_once):
            slab = [np.zeros(stage.counts, bool) for stage in stages]
            slab[number].flat[start : start + at_once] = True
            if number:
                _flag_needed(stages, slab, any(read_back[1:2]))
            slab = [flags & others for flags, others in zip(slab, left, strict=True)]
            left = [others & ~flags for flags, others in zip(slab, left, strict=True)]
            yield slab
    yield left


def _cut(stages: Sequence[StagePlan], most: int) -> tuple[int | None, int]:
    """Choose the stage that is cut, the second one if its blocks are small enough, and how many of its blocks at once.

    Blocks of a coarser stage are few, and slabs of them uneven.
    """
    first = stages[0].blocks if stages else 0
    if first <= most:
        return None, 0
    number = 1 if len(stages) > 1 and first <= most * stages[1].blocks else 0
    return number, most * stages[number].blocks // first


def _flag_needed(stages: Sequence[StagePlan], slab: Sequence[BlockFlags], back: bool) -> None:
    """Flag the blocks of the first stage that the flagged blocks of the second are computed from, or read ``back``."""
    before, stage = stages[:2]
    for index in map(tuple, np.argwhere(slab[1]).tolist()):
        window, level = stage.needed(index)[0], stage.first
        if back:
            window, level = finer_window(before, level, window), before.written[-1]
        slab[0][tuple(slice(at.start, at.stop) for at in before.touching(level, window))] = True
