"""Layers of stages whose blocks are joined from others, written out only when they are asked for."""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.task_spec import GraphNode, List, Task, TaskRef

from msi_lazy.compat.dask_graphs import DatalessLayer
from msi_lazy.graph.block_tasks import gather_block, merge_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from dask.typing import Key

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.plan.source_rows import SourceChunks
    from msi_lazy.plan.stages import StagePlan

__all__ = ["GatherLayer", "MergeLayer", "touched_blocks"]

Index = tuple[int, ...]


def touched_blocks(recipe: StageRecipe, before: StagePlan, index: Index) -> Iterator[Index]:
    """List the blocks of stage ``before`` whose carries block ``index`` of ``recipe`` needs, in C order."""
    return product(*before.touching(recipe.stage.first, recipe.stage.needed(index)[0]))


class JoinLayer(DatalessLayer):
    """Tasks of a stage whose blocks are joined from several results each.

    A petabyte's pyramid has very many of them, and planning or plotting it needs none.
    """

    def __init__(self, name: str, below: str, recipe: StageRecipe) -> None:
        super().__init__()
        self.name, self.below, self.recipe = name, below, recipe

    def _block_task(self, key: Key, index: Index) -> GraphNode:
        raise NotImplementedError

    @cached_property
    def _tasks(self) -> dict[Key, GraphNode]:
        indices = np.ndindex(*self.recipe.stage.counts)
        keyed: Iterator[tuple[Key, Index]] = (((self.name, *index), index) for index in indices)
        return {key: self._block_task(key, index) for key, index in keyed}

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


class MergeLayer(JoinLayer):
    """Tasks of a later stage, whose blocks are merged from the carries of the stage before."""

    def __init__(self, name: str, carries: str, recipe: StageRecipe, before: StagePlan) -> None:
        super().__init__(name, carries, recipe)
        self.before = before

    def _block_task(self, key: Key, index: Index) -> GraphNode:
        touched = touched_blocks(self.recipe, self.before, index)
        carries = List(*(TaskRef((self.below, *position)) for position in touched))
        return Task(key, merge_block, carries, index, recipe=self.recipe, before=self.before)


class GatherLayer(JoinLayer):
    """Tasks of a first stage, whose blocks are cut out of the chunks of a Dask array."""

    def __init__(self, name: str, source: str, recipe: StageRecipe, chunks: SourceChunks) -> None:
        super().__init__(name, source, recipe)
        self.chunks = chunks

    def _block_task(self, key: Key, index: Index) -> GraphNode:
        touched = product(*self.chunks.touching(self.recipe.stage.needed(index)[0]))
        parts = List(*(TaskRef((self.below, *position)) for position in touched))
        return Task(key, gather_block, parts, index, recipe=self.recipe, chunks=self.chunks)
