"""Order in which the chunks of a computed source are computed, where Dask's own would hold many of them."""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING

from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import List, Task, TaskRef

from msi_lazy.compat.dask_graphs import layers_of
from msi_lazy.graph.gather import wait
from msi_lazy.graph.materialize import materialize
from msi_lazy.graph.owners import topological_order
from msi_lazy.plan.source_rows import BlockRows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import dask.array as da
    from dask.task_spec import GraphNode
    from dask.typing import Key

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.plan.source_rows import SourceChunks

__all__ = ["order_rows", "source_tasks", "touched_chunks"]

Index = tuple[int, ...]


def touched_chunks(name: Key, chunks: SourceChunks, recipe: StageRecipe, index: Index) -> list[Key]:
    """List the tasks, called ``name``, of the chunks that block ``index`` is cut from, in C order."""
    return [(name, *position) for position in product(*chunks.touching(recipe.stage.needed(index)[0]))]


def order_rows(
    name: str, source: Key, chunks: SourceChunks, recipe: StageRecipe, blocks: Collection[Index]
) -> tuple[dict[Index, Key], dict[Key, GraphNode]]:
    """Let the blocks of each row wait for the chunks of the row before, which are then computed first, and freed first.

    Left to itself, Dask computes a column of blocks for the sake of their carries, and holds the chunks of its rows.

    Parameters
    ----------
    name
        Name of the tasks that are waited for.
    source, chunks
        Name of the tasks of the chunks, and their lengths.
    recipe, blocks
        First stage, and the blocks of it that are computed.

    Returns
    -------
    waits, tasks : dict
        What each block waits for, but those of the first row; and the tasks that are waited for.
    """
    rows: dict[Index, list[Index]] = {}
    of_source = BlockRows(recipe.stage, chunks)
    for index in blocks:
        rows.setdefault(of_source.row_of(index), []).append(index)
    waits: dict[Index, Key] = {}
    tasks: dict[Key, GraphNode] = {}
    before: list[TaskRef] = []
    for row, after in pairwise(sorted(rows)):
        touched = (key for index in rows[row] for key in touched_chunks(source, chunks, recipe, index))
        loaded: Key = (name, *row)
        tasks[loaded] = Task(loaded, wait, List(*map(TaskRef, dict.fromkeys(touched)), *before))
        before = [TaskRef(loaded)]
        waits |= dict.fromkeys(rows[after], loaded)
    return waits, tasks


def source_tasks(array: da.Array, name: str, chunks: Iterable[Key]) -> dict[Key, GraphNode]:
    """Write out the tasks that ``chunks`` need, which the layer ``name`` in the graph of ``array`` computes.

    Chunks that a scheduler holds already have none.
    """
    layers, dependencies = layers_of(array), array.dask.dependencies
    below, waiting = dict[str, set[str]](), [name]
    while waiting:
        layer = waiting.pop()
        if layer not in below:
            below[layer] = set(dependencies[layer])
            waiting.extend(below[layer])
    tasks = materialize(HighLevelGraph({layer: layers[layer] for layer in below}, below))
    return {key: tasks[key] for key in topological_order(tasks, filter(tasks.__contains__, chunks))}
