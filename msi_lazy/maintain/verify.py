"""Verification of stored levels against the finer ones, and repair of blocks that differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.graph.gather import SmallGraph, TaskRef
from msi_lazy.maintain.compare import Comparison, check_block, decode_block
from msi_lazy.maintain.findings import BlockFinding, CheckedLevel, VerifyReport
from msi_lazy.maintain.stored_check import check_stored, digests_in
from msi_lazy.maintain.stored_pyramid import LevelArray, StoredPyramid, cut_blocks, unreduced
from msi_lazy.plan.grid import Grid
from msi_lazy.plan.steps import choose_blocks
from msi_lazy.run.compute import run
from msi_lazy.storage.manifest import refresh_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from msi_lazy.plan.windows import Window
    from msi_lazy.storage.stored_units import StoredUnits

__all__ = ["Sampling", "verify_pyramids"]

_SAMPLED_BLOCKS = 16
"""Fewest blocks of a spot check, unless chunks are too large, so that it covers the whole level."""
_SMALL_BYTES = 2**10
"""Bytes of a chunk below which it is small: its name in the store has about as many."""
_MOST_SMALL = 2**20
"""Most small chunks that are read of a level."""


@dataclass(frozen=True)
class Sampling:
    """Choice of the blocks of each level that are checked."""

    fraction: float
    """Fraction of the blocks of each level."""
    seed: int
    """Seed of the choice."""


def verify_pyramids(
    name: str, pyramids: Sequence[StoredPyramid], sampling: Sampling, repair: bool, progress: bool
) -> VerifyReport:
    """Check every level of some images in one computation; see :func:`msi_lazy.verify`."""
    graph = SmallGraph("verify")
    ends: list[TaskRef] = []
    lost: list[TaskRef] = []  # tasks that compare level 0 with its manifest; other findings say more
    checked = []
    for pyramid in pyramids:
        before: TaskRef | None = None  # findings in the finer level, which is repaired first
        if len(pyramid.levels) > 1 and pyramid.levels[0].manifest is not None:
            first = pyramid.levels[0]
            windows = _choose_windows(pyramid, first, sampling)
            before = _check_level(graph, f"stored{len(lost)}", first, windows, None, check_stored)
            lost.append(before)
        for level in pyramid.levels[1:] or pyramid.levels:
            _check_chunks(pyramid, level, sampling)
            windows = _choose_windows(pyramid, level, sampling)
            levels = _compared(pyramid, level, repair)
            check = check_block if isinstance(levels, Comparison) else decode_block
            before = _check_level(graph, f"level{len(ends)}", levels, windows, before if repair else None, check)
            ends.append(before)
            count = sum(Grid(tuple(side.length for side in w), level.units.part).count for w in windows)
            checked.append(CheckedLevel(level.number, level.path, count, level.units.count))
    found: list[BlockFinding] = run(graph.delayed(graph.gather("all", [*ends, *lost], lists=True)), progress)
    findings = _unique(found)
    for pyramid in pyramids:
        refresh_manifest(pyramid.place, _repaired_units(pyramid, findings))
    return VerifyReport(name, _with_followers(pyramids, findings), tuple(checked))


def _repaired_units(pyramid: StoredPyramid, findings: Sequence[BlockFinding]) -> list[StoredUnits]:
    """List what lies in the store now of the units that were repaired."""
    repaired = [
        (level, [finding.window for finding in findings if finding.path == level.path and finding.repaired])
        for level in pyramid.levels
    ]
    return [digests_in(level, windows) for level, windows in repaired if windows]


def _check_chunks(pyramid: StoredPyramid, level: LevelArray, sampling: Sampling) -> None:
    """Refuse to read millions of chunks of a few bytes, each of which costs as much as a large one."""
    for read in pyramid.levels[max(level.number - 1, 0) : level.number + 1]:
        nbytes, count = prod(read.units.part) * read.array.dtype.itemsize, read.units.count
        if nbytes < _SMALL_BYTES and count * sampling.fraction > _MOST_SMALL:
            raise ValueError(
                f"level {read.path!r} is cut into {count:,} chunks of {nbytes} bytes, which would take hours to read; "
                f"verify a part of them, with sample={_MOST_SMALL / count / 2:.1g}"
            )


def _choose_windows(pyramid: StoredPyramid, level: LevelArray, sampling: Sampling) -> list[Window]:
    """Choose the blocks of a level to check: all of them, or a fraction."""
    itemsize = level.array.dtype.itemsize
    step = pyramid.steps[level.number - 1] if level.number else unreduced(level)
    nbytes = itemsize * prod(step.finer)
    blocks = cut_blocks(
        step, itemsize, nbytes * sampling.fraction / _SAMPLED_BLOCKS if sampling.fraction < 1 else nbytes
    )
    chosen = choose_blocks(blocks.count, sampling.fraction, sampling.seed + level.number)
    return [blocks.window(blocks.index(number)) for number in chosen]


def _compared(pyramid: StoredPyramid, level: LevelArray, repair: bool) -> Comparison | LevelArray:
    """Pair a level with the finer one that it is compared with; a single level stays alone."""
    if not level.number:
        return level
    return Comparison(level, pyramid.levels[level.number - 1], pyramid.steps[level.number - 1], repair)


def _check_level(
    graph: SmallGraph,
    label: str,
    levels: Comparison | LevelArray,
    windows: Sequence[Window],
    before: TaskRef | None,
    check: Callable[..., list[BlockFinding]],
) -> TaskRef:
    """Add the tasks that check a level, one per block, after the task ``before``; the last returns all findings."""
    held = graph.hold(label, levels)
    blocks = [
        graph.add(f"{label}-block", check, held, before, window, index=number) for number, window in enumerate(windows)
    ]
    return graph.gather(f"{label}-end", blocks, lists=True)


def _unique(findings: Iterable[BlockFinding]) -> list[BlockFinding]:
    """Keep the first finding of each block: several coarser blocks may need one that cannot be read."""
    unique: dict[tuple[str, tuple[int, ...]], BlockFinding] = {}
    for finding in findings:
        unique.setdefault((finding.path, finding.unit), finding)
    return sorted(unique.values(), key=lambda finding: finding.level)


def _with_followers(pyramids: Sequence[StoredPyramid], findings: Sequence[BlockFinding]) -> tuple[BlockFinding, ...]:
    """Sort findings, and mark those that were compared with faulty blocks of the finer level."""
    places = {level.path: (pyramid, level.number) for pyramid in pyramids for level in pyramid.levels}
    order = {path: number for number, path in enumerate(places)}
    faulty = {(finding.path, finding.unit) for finding in findings if not finding.repaired}
    marked = []
    for finding in sorted(findings, key=lambda finding: (order[finding.path], finding.unit)):
        pyramid, level = places[finding.path]
        if level and not finding.repaired and finding.kind not in ("unreadable", "unread"):
            finer, needed = pyramid.levels[level - 1], pyramid.steps[level - 1].needed(finding.window)
            finding = replace(
                finding, follows=any((finer.path, unit) in faulty for unit in finer.units.touching(needed))
            )
        marked.append(finding)
    return tuple(marked)
