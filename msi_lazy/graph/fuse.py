"""Folding a graph's tasks into the block reads that they hang on.

Everything that needs one block only (pick, crop, reduce, store) becomes one task with the
read of that block, so a scheduler sees about one task per block, and a block never leaves the task
that read it::

    read ─┬─> pick 0 ──> store 0             read+pick+store+... ──> share
          ├─> pick 1 ──> store 1      =>
          └─> pick share ──> merge           merge+...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any

from dask.task_spec import GraphNode, Task, TaskRef
from dask.typing import Key

from msi_lazy.graph.fused_task import Template, fused_task

__all__ = ["FusedGraph", "fuse_blocks"]

Graph = Mapping[Key, GraphNode]

_MANY = object()
"""Owner of a task that needs several blocks."""


@dataclass(frozen=True)
class FusedGraph:
    """What :func:`fuse_blocks` returns."""

    tasks: dict[Key, GraphNode]
    """The graph."""
    sinks: tuple[Key, ...]
    """Tasks whose completion means that all wanted keys have run."""


def fuse_blocks(graph: Graph, wanted: Iterable[Key], is_root: Callable[[GraphNode], bool], token: str) -> FusedGraph:
    """Fold every task that depends on one root only into that root.

    A task belongs to root *r* if *r* is the only root among all its ancestors, followed through
    tasks that are not folded too; so nothing that a fused task waits for can depend on it, and the
    graph stays free of cycles.  Roots never fold into each other.

    Parameters
    ----------
    graph
        Tasks by key; not changed.
    wanted
        Keys to run for their effect: their values are not kept.
    is_root
        Tells the tasks to fold around: block reads and merges.
    token
        Made part of the key of every task that hangs on a root, as it has effects now: a scheduler that
        has seen the key, or runs two such graphs together, would otherwise take one for the other.

    Returns
    -------
    FusedGraph
        A fused task has the value of its one member that others need, a tuple (with a task to pick
        each) if they need several, and ``None`` if they need none.
    """
    order = _topological_order(graph, wanted)
    owners = _find_owners(graph, order, is_root)
    names: dict[Key, Any] = {key: _with_token(key, token) for key in order if owners[key] is not None}
    members: dict[Key, list[Key]] = {}
    for key in order:
        if owners[key] is not None and owners[key] is not _MANY:
            members.setdefault(owners[key], []).append(key)
    needed = _needed_outside(graph, order, owners)
    tasks: dict[Key, GraphNode] = {}
    templates: dict[Any, Template] = {}
    covering: dict[Key, Key] = {}
    for root, keys in members.items():
        outputs = [key for key in keys if key in needed]
        if len(outputs) > 1:
            fused = _with_token(root, f"fused-{token}")
            tasks |= {names[key]: Task(names[key], getitem, TaskRef(fused), n) for n, key in enumerate(outputs)}
        else:
            fused = names[outputs[0] if outputs else root]
        tasks[fused] = fused_task(fused, root, keys, outputs, graph, names, templates)
        covering |= dict.fromkeys(keys, fused)
    for key in order:
        if owners[key] is _MANY:
            tasks[names[key]] = graph[key].substitute(names, key=names[key])
        elif owners[key] is None:
            tasks[key] = graph[key]
    awaited = {dependency for task in tasks.values() for dependency in task.dependencies}
    sinks = {covering.get(key, names.get(key, key)): None for key in wanted}
    return FusedGraph(tasks, tuple(key for key in sinks if key not in awaited))


def _with_token(key: Key, token: str) -> Key:
    """``key`` made unique to one write."""
    return (f"{key[0]}-{token}", *key[1:]) if isinstance(key, tuple) else f"{key}-{token}"


def _topological_order(graph: Graph, wanted: Iterable[Key]) -> list[Key]:
    """Keys that ``wanted`` needs, every one after those it depends on."""
    order: list[Key] = []
    seen: set[Key] = set()
    for goal in wanted:
        stack = [goal]
        while stack:
            key = stack[-1]
            if key in seen:
                stack.pop()
                continue
            # what is not in the graph is a future, which the scheduler holds already
            missing = [needed for needed in graph[key].dependencies if needed not in seen and needed in graph]
            if missing:
                stack.extend(missing)
            else:
                seen.add(key)
                order.append(key)
                stack.pop()
    return order


def _find_owners(graph: Graph, order: Sequence[Key], is_root: Callable[[GraphNode], bool]) -> dict[Key, Any]:
    """The one root that each task hangs on, ``None`` for no root, ``_MANY`` for several."""
    owners: dict[Key, Any] = {}
    for key in order:
        if is_root(graph[key]):
            owners[key] = key
            continue
        above = {owners.get(dependency) for dependency in graph[key].dependencies} - {None}
        owners[key] = above.pop() if len(above) == 1 else (_MANY if above else None)
    return owners


def _needed_outside(graph: Graph, order: Sequence[Key], owners: Mapping[Key, Any]) -> set[Key]:
    """Owned tasks whose value a task of another owner uses."""
    needed = set()
    for key in order:
        for dependency in graph[key].dependencies:
            owner = owners.get(dependency)
            if owner is not None and owner is not _MANY and owner != owners[key]:
                needed.add(dependency)
    return needed
