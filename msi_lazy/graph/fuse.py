"""Fusion of a graph's tasks with the block reads that they depend on.

Everything that needs one block only (pick, crop, reduce, store) becomes one task with the
read of that block, so a scheduler sees about one task per block, and a block never leaves the task
that read it::

    read ─┬─> pick 0 ──> store 0             read+pick+store+... ──> carry
          ├─> pick 1 ──> store 1      =>
          └─> pick carry ──> merge           merge+...

A task that needs a block and a value of many blocks is folded into a second reading of the block: see
:mod:`msi_lazy.graph.owners`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any

from dask.task_spec import DataNode, GraphNode, Task, TaskRef
from dask.typing import Key

from msi_lazy.graph.buffers import BlockBuffers
from msi_lazy.graph.fused_task import BlockContext, Template, fused_task
from msi_lazy.graph.garbage import collection_paused
from msi_lazy.graph.owners import BARRIER_ROOTS, MANY, Ownership, find_owners, topological_order

__all__ = ["FusedGraph", "fuse_blocks"]

Graph = Mapping[Key, GraphNode]


@dataclass(frozen=True)
class FusedGraph:
    """Graph of fused tasks."""

    tasks: dict[Key, GraphNode]
    """Tasks by key."""
    sinks: tuple[Key, ...]
    """Tasks whose completion means that all wanted keys have run."""


@dataclass(frozen=True)
class _Fold:
    root: Key
    """Root that they depend on."""
    phase: int
    """Number of the reading of the root, from 0."""
    members: Sequence[Key]
    """Tasks, each after those it uses."""
    outputs: Sequence[Key]
    """Members whose values other tasks need."""


@collection_paused()
def fuse_blocks(
    graph: Graph,
    wanted: Iterable[Key],
    is_root: Callable[[GraphNode], bool],
    token: str,
    barrier: int = BARRIER_ROOTS,
    held: Collection[Key] = (),
    buffers: BlockBuffers | None = None,
) -> FusedGraph:
    """Fold every task that depends on one root only into that root.

    A task belongs to root *r* if *r* is the only root among all its ancestors, followed through
    tasks that are not folded too; so nothing that a fused task waits for can depend on it, and the
    graph stays free of cycles.  Roots never fold into each other.  A task that also needs values of many
    blocks belongs to a further reading of *r*, if *r* reads nothing but data.

    Parameters
    ----------
    graph
        Tasks by key; not changed.
    wanted
        Keys to run for their effect, each exactly once: their values are not kept.
    is_root
        Tells the tasks to fold around: block reads and merges.
    token
        Part of the key of every task that depends on a root, as it has effects now: a scheduler that
        has seen the key, or runs two such graphs together, would otherwise take one for the other.
    barrier
        Number of roots among its ancestors from which on blocks are read again for a value.
    held
        Tasks that hold data which all blocks use: the tasks of blocks get it from their context.
    buffers
        Buffers that blocks are computed in.

    Returns
    -------
    FusedGraph
        A fused task has the value of its one member that others need, a tuple (with a task to pick
        each) if they need several, and ``None`` if they need none.
    """
    # 1. Find the one root that each task depends on, and the tasks that are folded into each
    goals = dict.fromkeys(wanted)
    order = topological_order(graph, goals)
    ownership = find_owners(graph, order, is_root, barrier)
    folds = list(_find_folds(graph, order, ownership, goals))
    # 2. Rename what depends on roots; what needs none (sources, targets) keeps its key
    unfolded = [key for key in order if ownership.roots[key] is MANY]
    returned = (key for fold in folds for key in fold.outputs)
    names: dict[Key, Any] = {key: _with_token(key, token) for key in (*unfolded, *returned)}
    tasks: dict[Key, GraphNode] = {key: graph[key] for key in order if ownership.roots[key] is None}
    tasks |= {names[key]: graph[key].substitute(names, key=names[key]) for key in unfolded}
    # 3. Turn each fold into one task; blocks alike have one template, and all of them one context
    context = f"pyramid-context-{token}"
    templates: dict[Any, tuple[int, Template]] = {}
    covering: dict[Key, Key] = {}
    for fold in folds:
        fused = _fold_key(fold, names, token)
        if len(fold.outputs) > 1:
            tasks |= {names[key]: Task(names[key], getitem, TaskRef(fused), n) for n, key in enumerate(fold.outputs)}
        tasks[fused] = fused_task(fused, fold.root, fold.members, fold.outputs, graph, names, context, held, templates)
        covering |= {key: fused for key in fold.members if ownership.phases.get(key, 0) == fold.phase}
    # 4. Run what covers the wanted keys and nothing else waits for
    awaited = {dependency for task in tasks.values() for dependency in task.dependencies}
    sinks = dict.fromkeys(covering.get(key, names.get(key, key)) for key in goals)
    tasks = {key: task for key, task in tasks.items() if key not in held or key in awaited or key in sinks}
    if templates:
        steps = tuple(template for _, template in templates.values())
        values = {key: _value(graph[key]) for key in held}
        tasks[context] = DataNode(context, BlockContext(steps, values, buffers or BlockBuffers()))
    return FusedGraph(tasks, tuple(key for key in sinks if key not in awaited))


def _value(node: GraphNode) -> Any:
    assert isinstance(node, DataNode)
    return node.value


def _with_token(key: Key, token: str) -> Key:
    return (f"{key[0]}-{token}", *key[1:]) if isinstance(key, tuple) else f"{key}-{token}"


def _fold_key(fold: _Fold, names: Mapping[Key, Key], token: str) -> Key:
    """Name a fused task by its one output, else by a key of its own."""
    if len(fold.outputs) == 1:
        return names[fold.outputs[0]]
    kind = ("fused-" if fold.outputs else "") + (f"again{fold.phase}-" if fold.phase else "")
    return _with_token(fold.root, kind + token)


def _find_folds(graph: Graph, order: Sequence[Key], ownership: Ownership, goals: Collection[Key]) -> Iterator[_Fold]:
    members: dict[Key, list[Key]] = {}
    for key in order:
        root = ownership.roots[key]
        if root is not None and root is not MANY:
            members.setdefault(root, []).append(key)
    needed = _needed_outside(graph, order, ownership.roots)
    repeated = {ownership.roots[key] for key in ownership.phases}
    for root, keys in members.items():
        if root in repeated:
            yield from _find_readings(graph, root, keys, ownership.phases, needed, goals)
        else:
            yield _Fold(root, 0, keys, [key for key in keys if key in needed])


def _find_readings(
    graph: Graph,
    root: Key,
    keys: Sequence[Key],
    phases: Mapping[Key, int],
    needed: Collection[Key],
    goals: Collection[Key],
) -> Iterator[_Fold]:
    """Yield one fold for each phase among ``keys``, the last one first, with what it has to recompute.

    What only later readings need is left to them.  A task with an effect runs once, in the reading that it belongs to,
    whatever else needs its value.
    """
    outputs = {key for key in keys if key in needed}
    mine = set(keys)
    for phase in sorted({phases.get(key, 0) for key in keys}, reverse=True):
        here = [key for key in keys if phases.get(key, 0) == phase]
        stack = [key for key in here if key in outputs or key in goals]
        found = set(stack)
        while stack:
            for key in graph[stack.pop()].dependencies:
                if key in mine and key not in found:
                    if key in goals:  # of a lower phase, or it would have been found
                        outputs.add(key)
                    else:
                        found.add(key)
                        stack.append(key)
        if found:
            yield _Fold(root, phase, [key for key in keys if key in found], [key for key in here if key in outputs])


def _needed_outside(graph: Graph, order: Sequence[Key], roots: Mapping[Key, Any]) -> set[Key]:
    """Find the owned tasks whose value a task of another root uses."""
    needed = set()
    for key in order:
        for dependency in graph[key].dependencies:
            root = roots.get(dependency)
            if root is not None and root is not MANY and root != roots[key]:
                needed.add(dependency)
    return needed
