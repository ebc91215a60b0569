"""Blocks that remain in a resumed write, and how the carries of finished ones are obtained."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from msi_lazy.graph.merge import touched_blocks
from msi_lazy.plan.memory import finer_window

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from msi_lazy.graph.block_tasks import StageRecipe
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
    done: Sequence[Set[Index]],
    returns_carry: Sequence[bool],
    lossless: bool,
) -> list[RemainingBlocks]:
    """Find the blocks of each stage that have a task, if those in ``done`` are stored.

    Parameters
    ----------
    recipes
        The stages.
    stages
        The same in the blocks that their tasks compute.
    done
        Blocks of each that are stored.
    returns_carry
        Whether the tasks of each return their carry; else the next stage reads back what they stored.
    lossless
        Whether what is read back is what was stored.
    """
    remaining: list[RemainingBlocks] = []
    wanted: Set[Index] = frozenset()
    for number in range(len(stages) - 1, -1, -1):
        stored = frozenset(np.ndindex(*stages[number].counts)) - done[number]
        carried = wanted - stored
        restored = frozenset(
            index for index in carried if lossless and is_restorable(stages[number], index, done[number])
        )
        remaining.insert(0, RemainingBlocks(stored, carried - restored, restored))
        wanted = frozenset()
        if number > 0 and returns_carry[number - 1] and done[number - 1]:  # else every block has a task anyway
            computed = remaining[0].computed
            wanted = frozenset(
                at for index in computed for at in touched_blocks(recipes[number], stages[number - 1], index)
            )
    return remaining


def is_restorable(stage: StagePlan, index: Index, done: Set[Index]) -> bool:
    """Tell whether everything that the carry of a block is computed from is stored, in blocks that are done."""
    assert stage.carry is not None
    finer = finer_window(stage, stage.carry, stage.owned(stage.carry, index))
    return all(at in done for at in product(*stage.touching(stage.written[-1], finer)))
