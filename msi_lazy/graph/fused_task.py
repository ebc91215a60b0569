"""Several tasks fused into one: the steps, and how they run.

Tasks of different blocks differ in their block index and keys only.  So all of them use one template of steps, with
slots for the values passed between them.  The templates, and the source and targets that all blocks use, are in one
context, the only thing that the tasks of a first stage depend on.  So the pickled graph of a terabyte is a few MiB, a
task on its way to a worker a few hundred bytes; and Dask's scheduler, which takes tasks of few dependencies for root
tasks, queues them and hands them to whichever worker is free.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from dask.task_spec import Alias, DataNode, GraphNode, List, Task, TaskRef

from msi_lazy.compat.dask_graphs import alias_target
from msi_lazy.graph.buffers import BlockBuffers
from msi_lazy.graph.lent_steps import may_lend, takes_lent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence

    from dask.typing import Key

    from msi_lazy.methods.lending import Lend

__all__ = [
    "BlockContext",
    "External",
    "Held",
    "Listed",
    "OfBlock",
    "Slot",
    "Template",
    "fused_task",
    "make_template",
    "run_fused",
]

Index = tuple[Any, ...]
Call = tuple[Any, tuple[Any, ...], tuple[tuple[str, Any], ...]]


@dataclass(frozen=True)
class Slot:
    """Argument of a step: the result of an earlier one."""

    number: int


@dataclass(frozen=True)
class External:
    """Argument of a step: a value from outside the fused task."""

    number: int


@dataclass(frozen=True)
class Held:
    """Argument of a step: a value that the context holds, the same for all blocks."""

    key: Key


class OfBlock(Enum):
    """Argument of a step: what differs between blocks."""

    INDEX = "index"
    """Index of the block."""
    INPUTS = "inputs"
    """List of all values from outside the fused task."""
    LEND = "lend"
    """Function that lends the thread's buffers until the block is done."""


_LENT = (("lend", OfBlock.LEND),)


@dataclass(frozen=True)
class Listed:
    """Argument of a step: a list of such arguments."""

    items: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class _Nested:
    """Argument of a step: a task inside the argument, evaluated as Dask does."""

    node: GraphNode
    names: tuple[Key, ...]
    values: Listed


@dataclass(frozen=True)
class _Step:
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    releases: tuple[int, ...]
    """Slots that no later step needs: freed as soon as this one has run."""


@dataclass(frozen=True)
class Template:
    """Steps of a fused task, the same object for blocks alike."""

    steps: tuple[_Step, ...]
    """Folded tasks, each after those it uses."""
    outputs: tuple[int, ...]
    """Slots whose values the task returns: none, the one, or a tuple."""


@dataclass(frozen=True, eq=False)
class BlockContext:
    """What the fused tasks of an image have in common."""

    templates: tuple[Template, ...]
    """Steps of the tasks, each of which gives the number of its own."""
    held: Mapping[Key, Any]
    """Values that blocks use, such as the source and the targets, by name."""
    buffers: BlockBuffers = field(default_factory=BlockBuffers)
    """Buffers of the threads that run them."""


def fused_task(
    key: Key,
    root: Key,
    members: Sequence[Key],
    outputs: Sequence[Key],
    graph: Mapping[Key, GraphNode],
    names: Mapping[Key, Key],
    context: Key,
    held: Collection[Key],
    templates: dict[Any, tuple[int, Template]],
) -> Task:
    """Build one task that runs ``members`` in order and returns the values of ``outputs``.

    Parameters
    ----------
    key, root, members, outputs, graph
        Key of the task, the root that it is folded around, the tasks folded into it, those of them whose values it
        returns, and the graph that has them.
    names
        New keys of tasks that have one.
    context, held
        Task that holds the context, and the keys of the tasks whose values are in it.
    templates
        Templates so far, each with its number, by signature; may be added to.
    """
    slots: dict[Key, Slot | Held] = {member: Slot(number) for number, member in enumerate(members)}
    slots |= {name: Held(name) for name in held}
    externals: dict[Key, int] = {}
    index: Index = root[1:] if isinstance(root, tuple) else ()
    calls: list[Call] = []
    for member in members:
        node = graph[member]
        if type(node) is Task:
            args = tuple(_argument(value, slots, externals, index) for value in node.args)
            given = node.kwargs.items()
            kwargs = tuple((name, _argument(value, slots, externals, index)) for name, value in given)
            calls.append((node.func, args, kwargs))
        elif type(node) is Alias:
            calls.append((_itself, (_argument(TaskRef(alias_target(node)), slots, externals, index),), ()))
        else:  # a container of tasks: evaluated as Dask does
            nested = _nested(node, slots, externals, index)
            calls.append((_evaluate, (nested.node, nested.names, nested.values), ()))
    produced = tuple(members.index(output) for output in outputs)
    if may_lend(calls, produced):
        calls = [(func, args, (*given, *_LENT) if takes_lent(func) else given) for func, args, given in calls]
    signature = (produced, tuple(map(_signature, calls)))
    if signature not in templates:
        templates[signature] = len(templates), make_template(calls, produced)
    values = (TaskRef(names.get(external, external)) for external in externals)
    return Task(key, run_fused, TaskRef(context), templates[signature][0], index, *values)


def _argument(argument: Any, slots: Mapping[Key, Slot | Held], externals: dict[Key, int], index: Index) -> Any:
    """Convert a task's argument to a step's: references become slots, the block's index a marker."""
    if isinstance(argument, TaskRef):
        if argument.key in slots:
            return slots[argument.key]
        return External(externals.setdefault(argument.key, len(externals)))
    if type(argument) is List:
        return Listed(tuple(_argument(item, slots, externals, index) for item in argument.args))
    if type(argument) is DataNode:
        argument = argument.value
    elif isinstance(argument, GraphNode):
        return _nested(argument, slots, externals, index)
    if index and type(argument) is tuple and argument == index:
        return OfBlock.INDEX
    return argument


def _nested(node: GraphNode, slots: Mapping[Key, Slot | Held], externals: dict[Key, int], index: Index) -> _Nested:
    uses = sorted(node.dependencies, key=str)
    return _Nested(node, tuple(uses), Listed(tuple(_argument(TaskRef(key), slots, externals, index) for key in uses)))


def _signature(call: Call) -> Hashable:
    """Equal for calls that may share a template."""
    func, args, kwargs = call
    # a tuple among the keyword arguments, such as where all blocks begin, is one object that many tasks hold
    named = ((name, id(value) if type(value) is tuple else _identity(value)) for name, value in kwargs)
    return (func, _identity(args), *named)


def _identity(argument: Any) -> Hashable:
    """Identify an argument: equal for those that may use one template (the same object, slot, or plain value)."""
    kind = type(argument)
    if kind is Slot or kind is External:
        return (kind, argument.number)
    if kind is Held:
        return (kind, argument.key)
    if kind is tuple:
        return tuple(map(_identity, argument))
    if kind is Listed:
        return ("list", *map(_identity, argument.items))
    if argument is None or isinstance(argument, (int, str)):
        return (kind, argument)
    return id(argument)


def make_template(calls: Sequence[Call], outputs: tuple[int, ...]) -> Template:
    """Build the template of ``calls``, each a function, its arguments, and its keyword arguments as pairs."""
    last_use: dict[int, int] = {}
    for number, (_, args, kwargs) in enumerate(calls):
        last_use[number] = number
        last_use |= dict.fromkeys(_slots_in((args, kwargs)), number)
    steps = []
    for number, (func, args, kwargs) in enumerate(calls):
        releases = tuple(slot for slot, last in last_use.items() if last == number and slot not in outputs)
        steps.append(_Step(func, args, kwargs, releases))
    return Template(tuple(steps), outputs)


def _slots_in(argument: Any) -> Iterable[int]:
    if isinstance(argument, Slot):
        yield argument.number
    elif isinstance(argument, _Nested):
        yield from _slots_in(argument.values)
    elif isinstance(argument, (Listed, tuple)):
        for item in argument.items if isinstance(argument, Listed) else argument:
            yield from _slots_in(item)


def run_fused(context: BlockContext, template: int, index: Index, *externals: Any) -> Any:
    """Run the steps of a fused task: those of the template of this number."""
    with context.buffers.lent() as lend:
        return _run_steps(context, context.templates[template], index, externals, lend)


def _run_steps(context: BlockContext, template: Template, index: Index, externals: Sequence[Any], lend: Lend) -> Any:
    steps, outputs = template.steps, template.outputs
    slots: list[Any] = [None] * len(steps)
    values = _Values(slots, externals, index, context.held, lend)
    for number, step in enumerate(steps):
        args = [_resolve(argument, values) for argument in step.args]
        kwargs = {name: _resolve(argument, values) for name, argument in step.kwargs}
        slots[number] = step.func(*args, **kwargs)
        del args, kwargs
        for slot in step.releases:
            slots[slot] = None
    if not outputs:
        return None
    returned = tuple(slots[number] for number in outputs)
    return returned[0] if len(returned) == 1 else returned


@dataclass(frozen=True)
class _Values:
    """Values that the arguments of steps stand for."""

    slots: Sequence[Any]
    externals: Sequence[Any]
    index: Index
    held: Mapping[Key, Any]
    lend: Lend


def _resolve(argument: Any, values: _Values) -> Any:
    if isinstance(argument, Slot):
        return values.slots[argument.number]
    if isinstance(argument, External):
        return values.externals[argument.number]
    if isinstance(argument, Held):
        return values.held[argument.key]
    if argument is OfBlock.INDEX:
        return values.index
    if argument is OfBlock.LEND:
        return values.lend
    if argument is OfBlock.INPUTS:
        return list(values.externals)
    if isinstance(argument, Listed):
        return [_resolve(item, values) for item in argument.items]
    if isinstance(argument, _Nested):
        return _evaluate(argument.node, argument.names, _resolve(argument.values, values))
    return argument


def _itself(value: Any) -> Any:
    return value


def _evaluate(node: GraphNode, names: Sequence[Key], values: Sequence[Any]) -> Any:
    return node(dict(zip(names, values, strict=True)))
