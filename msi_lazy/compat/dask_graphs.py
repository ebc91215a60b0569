"""Private parts of Dask's graphs, for which there is no public API.

Each function says what it assumes; ``tests/test_compat.py`` has a test for each assumption, which names it when a
release of Dask breaks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import getitem
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.array.chunk import astype as chunk_astype
from dask.array.chunk import getitem as chunk_getitem
from dask.array.core import getter, getter_inline, getter_nofancy
from dask.base import get_scheduler
from dask.blockwise import BlockIndex, Blockwise, blockwise
from dask.highlevelgraph import Layer, MaterializedLayer
from dask.layers import ArraySliceDep
from dask.task_spec import Alias, DataNode, GraphNode, Task, TaskRef

if TYPE_CHECKING:
    from collections.abc import Callable

    import dask.array as da
    from dask.typing import Key

__all__ = [
    "ArrayReads",
    "BlockCalls",
    "Crop",
    "DatalessLayer",
    "Layers",
    "alias_target",
    "array_reads",
    "block_axes",
    "block_calls",
    "block_cast",
    "block_crops",
    "build_calls",
    "held_value",
    "held_values",
    "layers_of",
    "scheduler_owner",
]

Layers = Mapping[str, Any]
"""Layers of a graph by name."""
Index = tuple[int, ...]

_GETTERS = (getter, getter_inline, getter_nofancy)
_CROPS = (getitem, chunk_getitem)
_DEEPEST = 5
"""Depth to which containers in a task's arguments are searched."""


class DatalessLayer(Layer):
    """A layer whose tasks hold no data, so that :func:`held_values` need not write them out."""


@dataclass(frozen=True)
class BlockCalls:
    """A layer of one call for each block."""

    function: Callable[..., Any]
    """Function that is called."""
    options: Mapping[str, Any]
    """Keyword arguments, the same for all blocks."""
    first: Any
    """First argument: the name of the layer, or the key of the task, that it comes from, or the value itself."""


@dataclass(frozen=True)
class ArrayReads:
    """A layer of reads of one array-like, a block each, as of ``from_array`` and ``from_zarr``."""

    array: Any
    """Array-like that is read."""
    chunks: tuple[tuple[int, ...], ...]
    """Lengths of the blocks along each dimension."""
    lock: Any
    """Lock to hold while reading, or ``False``."""
    plain: bool
    """Whether what is read is converted to a NumPy array."""


@dataclass(frozen=True)
class Crop:
    """A block that is cut out of a block of another layer."""

    index: Index
    """Index of the block."""
    source: str
    """Name of the other layer."""
    source_index: Index
    """Index of the block that it is cut out of."""
    key: tuple[Any, ...]
    """Integer or slice for each dimension of that block, and ``None`` for each new one of length 1."""


def layers_of(array: da.Array) -> Layers:
    """Return the layers of the graph of ``array``; the one that computes its blocks has the name of the array.

    Assumes that ``array.dask`` is a ``HighLevelGraph``.
    """
    layers: Layers = array.dask.layers
    return layers


def block_calls(layer: Any) -> BlockCalls | None:
    """Read a layer of one call for each block; ``None`` for any other layer.

    Assumes that ``Blockwise`` has the call in ``task``, and its arguments in ``indices``.
    """
    if not isinstance(layer, Blockwise) or type(layer.task) is not Task:
        return None
    first = layer.indices[0][0] if layer.indices else None
    return BlockCalls(layer.task.func, layer.task.kwargs, first.key if isinstance(first, TaskRef) else first)


def build_calls(
    function: Callable[..., Any],
    name: str,
    counts: Index,
    *arguments: str | TaskRef,
    index: bool = False,
    **options: Any,
) -> Blockwise:
    """Build a layer that calls ``function`` for each block.

    Parameters
    ----------
    function
        Function to call.
    name
        Name of the layer.
    counts
        Blocks along each dimension.
    *arguments
        Arguments of each call: the block of the same index in a layer of as many blocks, by its name; or the value of
        one task, the same for all blocks.
    index
        Whether the index of the block is passed too, last of all.
    **options
        Keyword arguments of every call.
    """
    dims = tuple(range(len(counts)))
    pairs = [(argument, None if isinstance(argument, TaskRef) else dims) for argument in arguments]
    if index:
        pairs.append((BlockIndex(counts), dims))  # type: ignore[arg-type]
    numblocks = {argument: counts for argument in arguments if isinstance(argument, str)}
    flat = (part for pair in pairs for part in pair)
    layer: Blockwise = blockwise(function, name, dims, *flat, numblocks=numblocks, **options)
    return layer


def array_reads(name: str, layers: Layers) -> ArrayReads | None:
    """Read a layer that reads an array-like block by block; ``None`` if that is not certain.

    Assumes that such a layer calls one of Dask's ``getter`` functions with an ``ArraySliceDep``, and that the
    array-like is a literal of the layer, or held by a task of another one.
    """
    layer: Any = layers.get(name)
    calls = block_calls(layer)
    if calls is None or calls.function not in _GETTERS or set(calls.options) - {"asarray", "lock"}:
        return None
    slices = [given for given in layer.io_deps.values() if isinstance(given, ArraySliceDep)]
    if len(slices) != 1 or layer.indices[0][1] is not None:
        return None
    array = layer.indices[0][0]
    if isinstance(array, TaskRef):
        array = held_value(array.key, layers)
    if isinstance(array, DataNode):
        array = array.value
    if not (hasattr(array, "shape") and hasattr(array, "dtype")):
        return None
    options = calls.options
    return ArrayReads(array, slices[0].chunks, options.get("lock", False), options.get("asarray", True))


def held_value(key: Key, layers: Layers) -> Any:
    """Return the value that the task ``key`` of a layer of the same name holds; ``None`` if there is no such task."""
    layer = layers.get(str(key))
    node = layer.get(key) if layer is not None else None
    return node.value if isinstance(node, DataNode) else node


def block_crops(layer: Any) -> list[Crop] | None:
    """Read a layer that cuts each block out of a block of another layer; ``None`` if any task does something else.

    Assumes that basic slicing writes its tasks out: a call of ``getitem`` on a block, or an alias of one.
    """
    if not isinstance(layer, MaterializedLayer):
        return None
    crops = []
    key: Any
    for key, task in layer.items():
        source, cut = _read_crop(task)
        if not isinstance(source, tuple) or not isinstance(cut, tuple):
            return None
        if sum(part is not None for part in cut) != len(source) - 1:
            return None
        crops.append(Crop(key[1:], str(source[0]), source[1:], cut))
    return crops


def block_axes(layer: Any) -> tuple[str, Index] | None:
    """Read a layer that transposes each block of another one: its name, and the order of its dimensions.

    Assumes that ``transpose`` calls NumPy's with ``axes``.
    """
    calls = block_calls(layer)
    if calls is None or calls.function is not np.transpose or len(layer.indices) != 1:
        return None
    axes, ((source, dims),) = calls.options.get("axes"), layer.indices
    if axes is None or tuple(dims[axis] for axis in axes) != tuple(layer.output_indices):
        return None
    return source, tuple(axes)


def block_cast(layer: Any) -> tuple[str, np.dtype[Any]] | None:
    """Read a layer that casts each block of another one: its name, and the dtype.

    Assumes that ``astype`` calls a function of that name with ``astype_dtype``.
    """
    calls = block_calls(layer)
    if calls is None or calls.function is not chunk_astype or set(calls.options) != {"astype_dtype"}:
        return None
    if len(layer.indices) != 1 or tuple(layer.indices[0][1]) != tuple(layer.output_indices):
        return None
    return layer.indices[0][0], np.dtype(calls.options["astype_dtype"])


def _read_crop(task: Any) -> tuple[Any, Any]:
    """Find the block that a task crops, and how; ``(None, None)`` if it does something else."""
    if type(task) is Alias:  # a block that is taken whole
        source = alias_target(task)
        return source, (slice(None),) * (len(source) - 1) if isinstance(source, tuple) else None
    if type(task) is not Task or task.func not in _CROPS or task.kwargs or not isinstance(task.args[0], TaskRef):
        return None, None
    return task.args[0].key, task.args[1]


def alias_target(alias: Alias) -> Key:
    """Return the key of the task that an alias stands for."""
    target: Key = alias.target
    return target


def held_values(layer: Any) -> Iterator[Any]:
    """Yield everything that a layer's tasks hold: literals, and values in their arguments.

    Assumes that a ``Blockwise`` layer holds its literals in ``task``, and in ``indices`` under no dimension.
    """
    if isinstance(layer, Blockwise):
        yield from _held_by(layer.task)
        for argument, dims in layer.indices:
            if dims is None:
                yield from _held_by(argument)
    elif not isinstance(layer, DatalessLayer):
        for value in layer.values():
            yield from _held_by(value)


def _held_by(value: Any, depth: int = 0) -> Iterator[Any]:
    if isinstance(value, DataNode):
        value = value.value
    if isinstance(value, Task):
        value = (*_bound_by(value.func), *value.args, *value.kwargs.values())
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)) and depth < _DEEPEST:
        for item in value:
            yield from _held_by(item, depth + 1)
    elif not isinstance(value, (int, float, slice, GraphNode)):
        yield value


def _bound_by(function: Any) -> tuple[Any, ...]:
    """Return what a function carries along: the object that it is a method of, or itself if it holds more values."""
    owner = getattr(function, "__self__", None)
    if owner is not None:
        return () if isinstance(owner, ModuleType) else (owner,)
    held = ("__closure__", "__defaults__", "__kwdefaults__")
    is_plain = isinstance(function, FunctionType) and not any(getattr(function, name) for name in held)
    return () if is_plain else (function,)


def scheduler_owner() -> Any:
    """Find the object whose method would now run a computation, or ``None``: a distributed client, if one is active.

    Assumes that Dask finds a client's ``get``, bound to it.
    """
    return getattr(get_scheduler(), "__self__", None)
