"""Blocks that remain in a resumed write, and how the carries of finished ones are obtained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from msi_lazy.graph.merge import touched_blocks
from msi_lazy.plan.memory import finer_window

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.plan.slabs import BlockFlags
    from msi_lazy.plan.stages import StagePlan

__all__ = ["RemainingBlocks", "is_restorable", "remaining_blocks"]

Index = tuple[int, ...]


@dataclass(frozen=True)
class RemainingBlocks:
    """Blocks of one stage that have a task."""

    stored: Set[Index]
    """Blocks to compute and store."""
    recomputed: Set[Index] = frozenset()
    """Blocks stored before, but recomputed, as their carry cannot be restored."""
    restored: Set[Index] = frozenset()
    """Blocks stored before, whose carry is restored from the store."""

    @property
    def computed(self) -> Set[Index]:
        """Blocks computed from the source or from carries."""
        return self.stored | self.recomputed


def remaining_blocks(
    recipes: Sequence[StageRecipe],
    stages: Sequence[StagePlan],
    done: Sequence[BlockFlags],
    returns_carry: Sequence[bool],
    lossless: bool,
    slab: Sequence[BlockFlags] | None = None,
) -> list[RemainingBlocks]:
    """Find the blocks of each stage that have a task.

    Parameters
    ----------
    recipes
        The stages.
    stages
        The same in the blocks that their tasks compute.
    done
        Which blocks of each are stored.
    returns_carry
        Whether the tasks of each return their carry; else the next stage reads back what they stored.
    lossless
        Whether what is read back is what was stored.
    slab
        Which blocks of each are to be stored now, if not all; what these need and is not, is stored.
    """
    remaining: list[RemainingBlocks] = []
    wanted: Set[Index] = frozenset()
    for number in range(len(stages) - 1, -1, -1):
        stored = _indices(~done[number] if slab is None else slab[number] & ~done[number])
        carried = wanted - stored
        restored = frozenset(
            index for index in carried if lossless and is_restorable(stages[number], index, done[number])
        )
        remaining.insert(0, RemainingBlocks(stored, carried - restored, restored))
        wanted = frozenset()
        if number > 0 and returns_carry[number - 1] and done[number - 1].any():  # else every block has a task anyway
            computed = remaining[0].computed
            wanted = frozenset(
                at for index in computed for at in touched_blocks(recipes[number], stages[number - 1], index)
            )
    return remaining


def _indices(flags: BlockFlags) -> frozenset[Index]:
    return frozenset(map(tuple, np.argwhere(flags).tolist()))


def is_restorable(stage: StagePlan, index: Index, done: BlockFlags) -> bool:
    """Tell whether everything that the carry of a block is computed from is stored, in blocks that are done."""
    assert stage.carry is not None
    finer = finer_window(stage, stage.carry, stage.owned(stage.carry, index))
    return bool(done[tuple(slice(at.start, at.stop) for at in stage.touching(stage.written[-1], finer))].all())
