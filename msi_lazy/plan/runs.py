"""Runs: neighbouring blocks that one task computes one after another, keeping what two of them read.

A halo, however thin, touches the chunks of the source next to the block, and a chunk is decoded whole.  Along a
run each chunk is decoded once::

    chunks    |-------|-------|-------|-------|-------|-------|
    block 0   [===============]···[            reads up to the end of the chunk that its halo touches
    block 1                [··[===============]···[      reads on from there; what lies before is kept
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from msi_lazy.plan.windows import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.plan.stages import StagePlan

__all__ = ["LEAST_TASKS", "choose_run", "count_tasks", "new_reads", "run_axis", "run_positions", "run_stage"]

_LONGEST = 8
"""Most blocks in a run: beyond, there is less to gain than from more tasks to distribute."""
LEAST_TASKS = 8
"""Tasks to leave for the workers, if blocks suffice."""


def run_axis(stage: StagePlan) -> int | None:
    """Find the dimension of the runs: of those with a halo, the last one with the most blocks, if any has several."""
    able = [dim for dim, (halo, count) in enumerate(zip(stage.halo, stage.counts, strict=True)) if halo and count > 1]
    return max(able, key=lambda dim: (stage.counts[dim], dim), default=None)


def choose_run(stage: StagePlan) -> int:
    """Choose the number of blocks in a run: as many as leave enough tasks to distribute, and runs of even lengths."""
    axis = run_axis(stage)
    if axis is None:
        return 1
    count = stage.counts[axis]
    least = min(-(-LEAST_TASKS * count // stage.blocks), count)  # runs, in each row of blocks
    run = -(-count // max(least, -(-count // _LONGEST)))
    return run if -(-count // run) >= least else count // least


def count_tasks(stage: StagePlan) -> int:
    """Count the runs."""
    return run_stage(stage, choose_run(stage)).blocks


def run_stage(stage: StagePlan, run: int) -> StagePlan:
    """Merge the blocks of ``stage`` into runs of ``run``, which its tasks own and carry."""
    axis = run_axis(stage)
    if run == 1 or axis is None:
        return stage
    edges = (*stage.edges[:axis], stage.edges[axis] * run, *stage.edges[axis + 1 :])
    return replace(stage, edges=edges)


def run_positions(stage: StagePlan, run: int, position: int) -> range:
    """List the positions, along the axis of the runs, of the blocks in the run at ``position``."""
    axis = run_axis(stage)
    count = 1 if axis is None else stage.counts[axis]
    return range(position * run, min((position + 1) * run, count))


def new_reads(windows: Sequence[Interval], chunks: Sequence[int]) -> Iterator[Interval]:
    """Yield the new read of each block of a run, along it: up to the end of a chunk, and on from there.

    Parameters
    ----------
    windows
        Interval that each block needs.
    chunks
        Lengths of the source's chunks.

    Examples
    --------
    >>> list(new_reads([Interval(0, 9), Interval(7, 16)], [4, 4, 4, 4]))
    [Interval(start=0, stop=12), Interval(start=12, stop=16)]
    """
    borders = list(accumulate(chunks))
    known = windows[0].start
    for number, window in enumerate(windows):
        last = number == len(windows) - 1
        stop = window.stop if last else borders[bisect_left(borders, window.stop)]
        yield Interval(max(known, window.start), max(stop, known))
        known = max(stop, known)
