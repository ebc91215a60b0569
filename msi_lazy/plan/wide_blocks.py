"""Blocks with a halo of a source that is stored in chunks: flat along their runs, and wide across them.

Across a run, a halo touches the chunks next to the blocks, which are decoded for the neighbours once more: the wider
the run, the fewer there are.  Along it each chunk is decoded once, however flat the blocks are::

    across    ···+---------------+···       chunks on either side are decoded twice
                 | block 0       |
                 +---------------+
                 | block 1       |          along the run, what two blocks need is kept
                 +---------------+
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.plan.memory import run_samples
from msi_lazy.plan.runs import LEAST_TASKS, choose_run, count_tasks, new_reads, run_axis
from msi_lazy.plan.source_rows import SourceChunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.plan.stages import StagePlan

__all__ = ["choose_wide"]

_MOST_HELD = 5, 2
"""Fraction of ``block_bytes`` that a run may hold of its source: the window, and the chunks that it reaches into."""
_LEAST_FILLED = 4
"""Part of ``block_bytes`` that wide blocks take at least: smaller ones cost no less."""
_WORTH_MEMORY = 16
"""One in so many samples must be saved, at least, for larger blocks than ``default``'s."""
_MOST_CARRIED = 4
"""Times ``block_bytes`` that all carries may take together, where those of ``default`` do not take more."""
_CARRY_COST = 8
"""Times the cost of a sample of the source that one of a carry has: it waits in memory, is merged, and is filtered."""


def choose_wide(
    cuts: Sequence[StagePlan], default: StagePlan, chunks: SourceChunks, itemsize: int, block_bytes: int
) -> StagePlan:
    """Choose the cut of the first stage, and the edges of its blocks, that decode and filter the fewest samples.

    Parameters
    ----------
    cuts
        Ways to cut the stage, in the least blocks that allow it.
    default
        One of them: no choice leaves fewer tasks than it does, or blocks that more chunks lie in.
    chunks
        Chunks of the source.
    itemsize
        Bytes per sample.
    block_bytes
        Most bytes of a block.
    """
    chosen, largest = default, tuple(map(max, chunks.lengths))
    tasks, most_held = min(count_tasks(default), LEAST_TASKS), block_bytes * _MOST_HELD[0] // _MOST_HELD[1]
    most_carried = max(_carried_bytes(default, itemsize), _MOST_CARRIED * block_bytes)
    alone, least = _count_samples(default, chunks)
    least -= least // _WORTH_MEMORY
    for stage in (wide for cut in cuts if _carried_bytes(cut, itemsize) <= most_carried for wide in _wide_stages(cut)):
        if not block_bytes // _LEAST_FILLED < prod(stage.edges) * itemsize <= block_bytes:
            continue
        owned, cost = _count_samples(stage, chunks)
        held = run_samples(stage, largest) * itemsize
        if cost < least and owned <= alone and held <= most_held and count_tasks(stage) >= tasks:
            chosen, least = stage, cost
    return chosen


def _carried_bytes(stage: StagePlan, itemsize: int) -> int:
    return 0 if stage.carry is None else prod(stage.extents[-1]) * itemsize


def _wide_stages(cut: StagePlan) -> Iterator[StagePlan]:
    """Yield a cut in larger blocks: along each dimension with a halo, the image is cut in 1, 2, 4 ... even parts.

    Of shapes alike, the one that is flat along the last dimension comes first.
    """
    along = []
    for edge, extent, halo in zip(cut.edges, cut.extents[0], cut.halo, strict=True):
        count, parts = -(-extent // edge), (2**power for power in range(extent.bit_length()))
        edges = {min(-(-count // part) * edge, extent) for part in parts} if halo else {edge}
        along.append(sorted(edges, reverse=True))
    return (replace(cut, edges=edges) for edges in product(*along))


def _count_samples(stage: StagePlan, chunks: SourceChunks) -> tuple[int, int]:
    """Count samples of a stage, over all blocks: those of the chunks that a block has a part of; and its cost.

    The cost is the samples that are decoded and filtered, and those of the carry with their further cost.
    """
    axis, run = run_axis(stage), choose_run(stage)
    lines = [
        _count_along(stage.line(dim), lengths, run if dim == axis else 1) for dim, lengths in enumerate(chunks.lengths)
    ]
    owned, decoded, *filtered = map(prod, zip(*lines, strict=True))
    return owned, decoded + sum(filtered) + _CARRY_COST * _carried_bytes(stage, itemsize=1)


@lru_cache(maxsize=1024)
def _count_along(line: StagePlan, lengths: tuple[int, ...], run: int) -> tuple[int, ...]:
    """Count samples along one dimension, over all blocks: of the chunks owned in part, decoded, and filtered per step.

    Counts of several dimensions are multiplied, as what blocks need along each depends on no other.
    """
    chunks, positions = SourceChunks((lengths,)), range(line.counts[0])
    owned = [line.owned(line.first, (position,))[0] for position in positions]
    needed = [[window[0] for window in line.needed((position,))] for position in positions]
    windows = [levels[0] for levels in needed]
    runs = (new_reads(windows[start : start + run], lengths) for start in range(0, len(windows), run))
    reads = windows if run == 1 else [read for reads in runs for read in reads if read.length]
    filtered = (sum(levels[step].length for levels in needed) for step in range(len(line.factors)))
    spans = (sum(chunks.span(0, chunks.touching_along(0, read)) for read in part) for part in (owned, reads))
    return (*spans, *filtered)
