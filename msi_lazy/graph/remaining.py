"""What is left of a write: which blocks of each stage are made, and where carries of finished ones come from."""

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
    """Those that are made and stored."""
    again: Set[Index] = frozenset()
    """Stored before, but made again, for their carry cannot be restored."""
    restored: Set[Index] = frozenset()
    """Stored before; their carry is made from what is stored."""

    @property
    def made(self) -> Set[Index]:
        """Those that are made, from the source or from carries."""
        return self.stored | self.again


def remaining_blocks(
    recipes: Sequence[StageRecipe],
    stages: Sequence[StagePlan],
    done: Sequence[Set[Index]],
    handed_on: Sequence[bool],
    lossless: bool,
) -> list[RemainingBlocks]:
    """Which blocks of each stage have a task, if those in ``done`` are stored.

    Parameters
    ----------
    recipes
        The stages.
    stages
        The same in the blocks that their tasks make.
    done
        Blocks of each that are stored.
    handed_on
        Whether the tasks of each hand on their carry; else the next stage reads back what they stored.
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
        if number > 0 and handed_on[number - 1] and done[number - 1]:  # else every block has a task anyway
            made = remaining[0].made
            wanted = frozenset(
                at for index in made for at in touched_blocks(recipes[number], stages[number - 1], index)
            )
    return remaining


def is_restorable(stage: StagePlan, index: Index, done: Set[Index]) -> bool:
    """Whether all that the carry of a block is made from is stored, in blocks that are done."""
    assert stage.carry is not None
    finer = finer_window(stage, stage.carry, stage.owned(stage.carry, index))
    return all(at in done for at in product(*stage.touching(stage.written[-1], finer)))
