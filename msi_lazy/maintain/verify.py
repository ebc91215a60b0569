"""Comparing stored levels with what the levels below give, and writing again what differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dask.task_spec import DataNode, GraphNode, List, Task, TaskRef

from msi_lazy.graph.gather import as_delayed, gather_lists
from msi_lazy.maintain import remake
from msi_lazy.maintain.compare import Comparison, StoredLevel, check_block, decode_block
from msi_lazy.maintain.findings import BlockFinding, CheckedLevel, VerifyReport
from msi_lazy.plan.grid import Grid
from msi_lazy.plan.steps import Step, choose_blocks, plan_blocks
from msi_lazy.run.compute import run
from msi_lazy.storage.write_units import unit_grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dask.typing import Key

    from msi_lazy.maintain.remake import StoredPyramid

__all__ = ["Sampling", "verify_pyramids"]

_SAMPLED_BLOCKS = 16
"""Blocks that a spot check looks at, at the least, unless chunks are too large: so that it looks all over a level."""


@dataclass(frozen=True)
class Sampling:
    """How much of each level is checked."""

    fraction: float
    """Fraction of the blocks of each level."""
    seed: int
    """What chooses them."""


@dataclass(frozen=True)
class _LevelTasks:
    """The tasks that check a level."""

    tasks: dict[Key, GraphNode]
    """All of them."""
    end: str
    """Key of the one that returns their findings."""
    checked: CheckedLevel
    """What they check."""


def verify_pyramids(
    name: str, pyramids: Sequence[StoredPyramid], sampling: Sampling, repair: bool, progress: bool
) -> VerifyReport:
    """Check every level of some images in one computation; see :func:`msi_lazy.verify`."""
    token = uuid4().hex
    tasks: dict[Key, GraphNode] = {}
    ends, levels = [], []
    for number, pyramid in enumerate(pyramids):
        before: str | None = None
        for level in range(min(len(pyramid.makings), 1), len(pyramid.arrays)):
            added = _level_tasks(pyramid, level, before, sampling, repair, f"{number}-{level}-{token}")
            tasks |= added.tasks
            before = added.end
            ends.append(added.end)
            levels.append(added.checked)
    result = f"verify-{token}"
    tasks[result] = Task(result, list, List(*map(TaskRef, ends)))
    found: list[list[BlockFinding]] = run(as_delayed(tasks, result), progress)
    findings = _unique(finding for findings in found for finding in findings)
    return VerifyReport(name, _with_followers(pyramids, findings), tuple(levels))


def _level_tasks(
    pyramid: StoredPyramid, level: int, before: str | None, sampling: Sampling, repair: bool, token: str
) -> _LevelTasks:
    """Tasks that check a level, one per block; where it is repaired, after the level ``before``."""
    stored = pyramid.arrays[level]
    units = unit_grid(stored)
    ones, zeros = (1,) * stored.ndim, (0,) * stored.ndim
    step = pyramid.makings[level - 1].step if level else Step(0, ones, zeros, stored.shape, units)
    nbytes = stored.dtype.itemsize * max(_size(step.finer), 1)
    limit = min(remake.BLOCK_BYTES, nbytes * sampling.fraction / _SAMPLED_BLOCKS if sampling.fraction < 1 else nbytes)
    blocks = plan_blocks(step, stored.dtype.itemsize, limit)
    chosen = choose_blocks(blocks.count, sampling.fraction, sampling.seed + level) if blocks.count else ()
    tasks: dict[Key, GraphNode] = {}

    def hold(label: str, value: Any) -> TaskRef:
        key = f"verify-{label}-{token}"
        tasks[key] = DataNode(key, value)
        return TaskRef(key)

    path = pyramid.paths[level]
    checked = StoredLevel(level, path, stored)
    done = TaskRef(before) if repair and before is not None else hold("none", [])
    if level:
        finer = StoredLevel(level - 1, pyramid.paths[level - 1], pyramid.arrays[level - 1])
        what = hold("levels", Comparison(checked, finer, pyramid.makings[level - 1], repair))
    else:
        what = hold("level", checked)
    found: list[Key] = []
    for number in chosen:
        key: Key = (f"verify-block-{token}", number)
        window = blocks.window(blocks.index(number))
        tasks[key] = Task(key, check_block, what, done, window) if level else Task(key, decode_block, what, window)
        found.append(key)
    end = f"verify-end-{token}"
    tasks |= gather_lists(end, found)
    return _LevelTasks(tasks, end, CheckedLevel(level, path, _count_units(blocks, units, chosen), units.count))


def _size(extents: tuple[int, ...]) -> int:
    return Grid(extents, (1,) * len(extents)).count


def _count_units(blocks: Grid, units: Grid, chosen: Sequence[int]) -> int:
    """How many units the chosen blocks hold."""
    if len(chosen) == blocks.count:
        return units.count
    return sum(sum(1 for _ in units.touching(blocks.window(blocks.index(number)))) for number in chosen)


def _unique(findings: Iterable[BlockFinding]) -> list[BlockFinding]:
    """One finding for each block, the first: several blocks above may have met one that cannot be read."""
    unique: dict[tuple[str, tuple[int, ...]], BlockFinding] = {}
    for finding in findings:
        unique.setdefault((finding.path, finding.unit), finding)
    return sorted(unique.values(), key=lambda finding: finding.level)


def _with_followers(pyramids: Sequence[StoredPyramid], findings: Sequence[BlockFinding]) -> tuple[BlockFinding, ...]:
    """Findings, those marked that were compared with faulty blocks of the level below."""
    places = {path: (pyramid, level) for pyramid in pyramids for level, path in enumerate(pyramid.paths)}
    order = {path: number for number, path in enumerate(places)}
    faulty = {(finding.path, finding.unit) for finding in findings if not finding.repaired}
    marked = []
    for finding in sorted(findings, key=lambda finding: (order[finding.path], finding.unit)):
        pyramid, level = places[finding.path]
        if level and not finding.repaired and finding.kind != "unreadable":
            needed = pyramid.makings[level - 1].step.needed(finding.window)
            below = unit_grid(pyramid.arrays[level - 1]).touching(needed)
            finding = replace(finding, follows=any((pyramid.paths[level - 1], unit) in faulty for unit in below))
        marked.append(finding)
    return tuple(marked)
