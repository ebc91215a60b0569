"""Private parts of Dask's tasks: those of a layer of calls, block by block, and those in Dask's older notation."""

from __future__ import annotations

from itertools import product, repeat
from typing import TYPE_CHECKING, Any, TypeGuard

from dask._task_spec import convert_legacy_graph, parse_input  # no public names for them
from dask.blockwise import BlockIndex, Blockwise, blockwise_token
from dask.task_spec import DataNode, GraphNode, Task, TaskRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dask.typing import Key

__all__ = ["convert_tasks", "is_plain", "write_out"]

Index = tuple[int, ...]


def convert_tasks(tasks: Mapping[Key, Any]) -> dict[Key, GraphNode]:
    """Convert tuples of Dask's older notation to tasks; tasks stay as they are."""
    converted: dict[Key, GraphNode] = convert_legacy_graph(tasks)
    return converted


def is_plain(layer: object) -> TypeGuard[Blockwise]:
    """Tell whether each task of a layer takes one block of each argument, and each as an argument of its function."""
    if not isinstance(layer, Blockwise) or layer.is_materialized():
        return False
    if layer.output_blocks or type(layer.task) is not Task:
        return False
    outputs = set(layer.output_indices)
    if any(dims is not None and not outputs.issuperset(dims) for _, dims in layer.indices):
        return False
    arguments = (*layer.task.args, *layer.task.kwargs.values())
    return not any(isinstance(argument, GraphNode) and argument.dependencies for argument in arguments)


def write_out(layer: Blockwise) -> dict[Key, GraphNode]:
    """Write out the tasks of a plain layer, as ``dict(layer)`` has them.

    Dask builds each in several steps, one for each argument, which takes four times as long.
    """
    task, blocks = layer.task, list(product(*(range(layer.dims[dim]) for dim in layer.output_indices)))
    args = [_column(layer, argument, blocks) for argument in task.args]
    kwargs = [_column(layer, argument, blocks) for argument in task.kwargs.values()]
    tasks: dict[Key, GraphNode] = {}
    # the columns of constant arguments are endless
    for block, given, named in zip(blocks, _rows(args), _rows(kwargs), strict=False):
        key: Key = (layer.output, *block)
        options = dict(zip(task.kwargs, named, strict=True))
        tasks[key] = Task(key, task.func, *given, _data_producer=task.data_producer, **options)
    return tasks


def _rows(columns: Sequence[Iterable[Any]]) -> Iterable[tuple[Any, ...]]:
    return zip(*columns, strict=False) if columns else repeat(())


def _column(layer: Blockwise, argument: Any, blocks: Sequence[Index]) -> Iterable[Any]:
    """Yield an argument of the layer's task for each block in turn."""
    tokens: dict[Key, Any] = {blockwise_token(number): pair for number, pair in enumerate(layer.indices)}
    if not isinstance(argument, TaskRef) or argument.key not in tokens:
        return repeat(argument)
    value, dims = tokens[argument.key]
    if dims is None:
        return repeat(value if isinstance(value, (GraphNode, TaskRef)) else DataNode(None, value))
    counts = layer.numblocks[value]  # along a dimension of one block, that block is for all
    axes = [None if n == 1 else layer.output_indices.index(dim) for dim, n in zip(dims, counts, strict=True)]
    same = axes == list(range(len(layer.output_indices)))
    places = blocks if same else [tuple(0 if axis is None else block[axis] for axis in axes) for block in blocks]
    if value not in layer.io_deps:
        return (TaskRef((value, *place)) for place in places)
    given = layer.io_deps[value]
    if isinstance(given, BlockIndex):
        return (DataNode(None, place) for place in places)
    nodes = (parse_input(given.get(place, place)) for place in places)
    return (node if isinstance(node, GraphNode) else DataNode(None, node) for node in nodes)
