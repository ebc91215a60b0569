"""Layer of a later stage: tasks that merge carries, written out only when they are asked for."""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.task_spec import GraphNode, List, Task, TaskRef

from msi_lazy.compat.dask_graphs import DatalessLayer
from msi_lazy.graph.block_tasks import merge_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from dask.typing import Key

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.plan.stages import StagePlan

__all__ = ["MergeLayer", "touched_blocks"]

Index = tuple[int, ...]


def touched_blocks(recipe: StageRecipe, before: StagePlan, index: Index) -> Iterator[Index]:
    """List the blocks of stage ``before`` whose carries block ``index`` of ``recipe`` needs, in C order."""
    return product(*before.touching(recipe.stage.first, recipe.stage.needed(index)[0]))


class MergeLayer(DatalessLayer):
    """Tasks of a stage whose blocks are merged from the carries of the stage before.

    A petabyte's pyramid has very many of them, and planning or plotting it needs none.
    """

    def __init__(self, name: str, carries: str, recipe: StageRecipe, before: StagePlan) -> None:
        super().__init__()
        self.name, self.carries, self.recipe, self.before = name, carries, recipe, before

    @cached_property
    def _tasks(self) -> dict[Key, GraphNode]:
        tasks: dict[Key, GraphNode] = {}
        for index in np.ndindex(*self.recipe.stage.counts):
            touched = touched_blocks(self.recipe, self.before, index)
            carries = List(*(TaskRef((self.carries, *position)) for position in touched))
            key = (self.name, *index)
            tasks[key] = Task(key, merge_block, carries, index, recipe=self.recipe, before=self.before)
        return tasks

    def is_materialized(self) -> bool:
        """Tell whether the tasks have been written out."""
        return "_tasks" in self.__dict__

    def get_output_keys(self) -> Set[Key]:
        """Return the keys of all blocks."""
        return {(self.name, *index) for index in np.ndindex(*self.recipe.stage.counts)}

    def __getitem__(self, key: Any) -> GraphNode:
        return self._tasks[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return self.recipe.stage.blocks
