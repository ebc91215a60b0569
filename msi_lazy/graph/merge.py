"""The layer of a later stage: tasks that merge shares, written out only when they are asked for."""

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

    from msi_lazy.graph.block_tasks import StageWork
    from msi_lazy.plan.stages import StagePlan

__all__ = ["MergeLayer", "touched_blocks"]

Index = tuple[int, ...]


def touched_blocks(work: StageWork, before: StagePlan, index: Index) -> Iterator[Index]:
    """Blocks of stage ``before`` whose shares block ``index`` of ``work`` needs, in C order."""
    return product(*before.touching(work.stage.first, work.stage.needed(index)[0]))


class MergeLayer(DatalessLayer):
    """Tasks of a stage whose blocks are merged from the shares of the stage before.

    A petabyte's pyramid has a great many of them, and planning or plotting it needs none.
    """

    def __init__(self, name: str, shares: str, work: StageWork, before: StagePlan) -> None:
        super().__init__()
        self.name, self.shares, self.work, self.before = name, shares, work, before

    @cached_property
    def _tasks(self) -> dict[Key, GraphNode]:
        tasks: dict[Key, GraphNode] = {}
        for index in np.ndindex(*self.work.stage.counts):
            touched = touched_blocks(self.work, self.before, index)
            shares = List(*(TaskRef((self.shares, *position)) for position in touched))
            key = (self.name, *index)
            tasks[key] = Task(key, merge_block, shares, index, work=self.work, before=self.before)
        return tasks

    def is_materialized(self) -> bool:
        """Whether the tasks have been written out."""
        return "_tasks" in self.__dict__

    def get_output_keys(self) -> Set[Key]:
        """Keys of all blocks."""
        return {(self.name, *index) for index in np.ndindex(*self.work.stage.counts)}

    def __getitem__(self, key: Any) -> GraphNode:
        return self._tasks[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return self.work.stage.blocks
