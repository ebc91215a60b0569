"""A very large write in slabs: which blocks each of its graphs stores."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from msi_lazy.graph.write_graph import number_images
from msi_lazy.plan.slabs import SLAB_BLOCKS, cut_slabs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.graph.write_graph import LevelArrays
    from msi_lazy.plan.slabs import BlockFlags

__all__ = ["cut_write"]


def cut_write(images: Sequence[LevelArrays]) -> Iterator[BlockFlags]:
    """Cut a write into slabs; yield for each which blocks, by number, belong to it.

    Only what is read by windows, unedited, and stored without loss can be cut: between slabs, carries are read back.
    """
    numbered = list(number_images(images))
    count = sum(prod(grid.counts) for _, grids in numbered for grid in grids)
    slab = np.zeros(count, bool)
    for image, grids in numbered:
        first, last = grids[0].first, grids[-1].first + prod(grids[-1].counts)
        for part in _parts(image, last - first):
            if slab.any() and np.count_nonzero(slab) + np.count_nonzero(part) > SLAB_BLOCKS:
                yield slab
                slab = np.zeros(count, bool)
            slab[first:last] |= part
    yield slab


def _parts(image: LevelArrays, count: int) -> Iterator[BlockFlags]:
    stages = image.levels.stages
    if not image.levels.is_whole or stages[0].chunks is not None or not image.lossless:
        yield np.ones(count, bool)
        return
    for flags in cut_slabs([layer.task_stage for layer in stages], image.read_back):
        yield np.concatenate([stage.ravel() for stage in flags])
