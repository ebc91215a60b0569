"""Owner of each task: the block read that it depends on, and the reading of that block in which it runs.

A value that needs many blocks, such as the maximum of an image, is a barrier: what needs it and a block too can only
run once all blocks have been read.  Keeping them until then is keeping the image, so the block is read again::

    read a ─> max a ─┐                           read+max a ─┐
    read b ─> max b ─┼─> max ──┐           =>    read+max b ─┼─> max ─┬─> read+subtract+store a
       └───────────────────────┴─> b - max                            └─> read+subtract+store b
                                             phase 0: first reading     phase 1: second reading
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dask.task_spec import DataNode, GraphNode
from dask.typing import Key

__all__ = ["BARRIER_ROOTS", "MANY", "Ownership", "find_owners", "topological_order"]

Graph = Mapping[Key, GraphNode]

MANY = object()
"""Owner of a task that needs several blocks and belongs to none."""

BARRIER_ROOTS = 32
"""Roots among its ancestors from which on a value is worth reading a block again for, instead of holding the block
until the value is known.  With fewer blocks, holding them costs little."""


@dataclass(frozen=True)
class Ownership:
    """Root and reading of every task of a graph."""

    roots: Mapping[Key, Any]
    """One root that each task depends on, ``None`` if it needs no root, :data:`MANY` if it needs several."""
    phases: Mapping[Key, int]
    """Number of the reading of its root in which a task runs, for those that cannot run in the first, which is 0."""


def topological_order(graph: Graph, wanted: Iterable[Key]) -> list[Key]:
    """Sort the keys that ``wanted`` needs, every one after those it depends on."""
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


def find_owners(
    graph: Graph, order: Sequence[Key], is_root: Callable[[GraphNode], bool], barrier: int = BARRIER_ROOTS
) -> Ownership:
    """Find the root that each task depends on, first without and then with reading roots again.

    Parameters
    ----------
    graph
        Tasks by key.
    order
        Its keys, each after those it depends on.
    is_root
        Predicate of the tasks to fold around: block reads and merges.
    barrier
        Number of roots from which on a value counts as one of many blocks.
    """
    roots: dict[Key, Any] = {}
    starts: list[Key] = []
    for key in order:
        node = graph[key]
        if is_root(node):
            roots[key] = key
            starts.append(key)
            continue
        above = {roots.get(dependency) for dependency in node.dependencies}
        above.discard(None)
        roots[key] = above.pop() if len(above) == 1 else (MANY if above else None)
    repeatable = {root for root in starts if _reads_data_only(graph, root)}
    if len(starts) < barrier or not repeatable:
        return Ownership(roots, {})
    return _assign_phases(graph, order, roots, repeatable, barrier)


def _reads_data_only(graph: Graph, root: Key) -> bool:
    """Tell whether ``root`` needs nothing computed to run again; merges, for one, need carries."""
    return all(type(graph.get(key)) in (DataNode, type(None)) for key in graph[root].dependencies)


def _assign_phases(
    graph: Graph, order: Sequence[Key], roots: Mapping[Key, Any], repeatable: set[Key], barrier: int
) -> Ownership:
    """Give tasks that need one repeatable root, and else only values of many blocks, to a later reading of it.

    Every task has a phase: that of a task given to a root is above those of the values of many blocks that it uses, and
    not below those of what it uses of its own root; that of any other task is the highest beneath it.

    Folding then creates no cycle.  Let a fused task have the phase of what it returns.  Nothing waits for a task of a
    higher phase, so the tasks of a cycle are all of one.  A later reading waits for tasks of *lower* phases only:
    values of many blocks, and what earlier readings of its root return.  The first reading of a repeatable root waits
    for data only.  So neither is in a cycle.  There remain tasks that are not folded and folds around other roots,
    which wait for nothing but what the root itself waits for: in ``order``, each comes after all that it waits for.
    (Tasks that need no root wait for their like only.)
    """
    owners = dict(roots)
    phases: dict[Key, int] = {}  # of every task; 0 is left out
    again: dict[Key, int] = {}
    beneath: dict[Key, frozenset[Key] | None] = {}  # roots among the ancestors; None: at least ``barrier`` of them
    for key in order:
        if roots[key] is None or roots[key] in repeatable:
            continue
        used = [dependency for dependency in graph[key].dependencies if owners.get(dependency) is not None]
        outside = [dependency for dependency in used if owners[dependency] not in repeatable]
        own = {owners[dependency] for dependency in used if owners[dependency] in repeatable}
        phase = max((phases.get(dependency, 0) for dependency in used), default=0)
        if roots[key] is MANY and len(own) == 1 and all(beneath[dependency] is None for dependency in outside):
            owners[key] = own.pop()
            phase = max([phase, *(1 + phases.get(dependency, 0) for dependency in outside)])
            again[key] = phase
        else:
            itself = {key} if roots[key] == key else set()
            beneath[key] = _union([*(beneath[dependency] for dependency in outside), own | itself], barrier)
        if phase:
            phases[key] = phase
    return Ownership(owners, again)


def _union(parts: Iterable[Iterable[Key] | None], barrier: int) -> frozenset[Key] | None:
    """Join the keys of ``parts``; ``None`` once there are ``barrier`` of them."""
    found: set[Key] = set()
    for part in parts:
        if part is None:
            return None
        found.update(part)
        if len(found) >= barrier:
            return None
    return frozenset(found)
