"""Choice of the blocks: how many levels a stage computes, and how large its blocks are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm, prod
from typing import TYPE_CHECKING

from msi_lazy.plan.source_rows import BlockRows
from msi_lazy.plan.stages import StagePlan, compose_halo
from msi_lazy.plan.wide_blocks import choose_wide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.plan.source_rows import SourceChunks

__all__ = ["Pyramid", "aligned_blocks", "plan_stages", "span_source"]

Extents = tuple[int, ...]

_HELD_BLOCKS = 2
"""Blocks whose bytes a row of blocks may hold of a computed source, to be deeper for it; of carries, half as many."""
_WORTH_REREADING = 2
"""Times as much as a row of blocks without a halo that one may hold with it, before the image is read back instead."""
_WIDE_BLOCKS = 4
"""Part of ``block_bytes`` that flat blocks are widened to: the last ones of a row hold all that the row waited for."""


@dataclass(frozen=True)
class Pyramid:
    """Facts of a pyramid that the choice of blocks needs: integers only."""

    extents: tuple[Extents, ...]
    """Shape of every level."""
    factors: tuple[Extents, ...]
    """Factors from each level to the next."""
    radii: tuple[Extents, ...]
    """Kernel radius of each such step."""
    chunks: Extents
    """Chunk (or other write unit) that no two blocks may both write, the same on every level."""
    itemsize: int
    """Bytes per sample."""
    spans: Extents | None = None
    """Least block along the dimensions that are never reduced, in whole chunks, where that is worth memory: the source
    interleaves them."""

    source: SourceChunks | None = None
    """Chunks of a computed source, which are held until all blocks that touch them have been computed."""
    stored: SourceChunks | None = None
    """Chunks of a source that blocks read their windows of."""

    @property
    def may_reread(self) -> bool:
        """True if a first stage may do nothing but store the image, for its halo to be read back."""
        return self.source is not None and any(map(any, self.radii))

    @property
    def units(self) -> Extents:
        """Least part of a block: whole chunks."""
        return self.chunks if self.spans is None else self.spans

    @property
    def last(self) -> int:
        """Number of the coarsest level."""
        return len(self.factors)

    def cumulative(self, first: int, level: int) -> Extents:
        """Factors from level ``first`` to ``level``."""
        ones = (1,) * len(self.chunks)
        return tuple(map(prod, zip(ones, *self.factors[first:level], strict=True)))


@dataclass(frozen=True)
class _Candidate:
    """One way to cut a stage, in the least blocks that allow it."""

    stage: StagePlan
    nbytes: int
    """Bytes of a block of its input."""


def plan_stages(pyramid: Pyramid, block_bytes: int) -> tuple[tuple[StagePlan, ...], int]:
    """Cut a pyramid into stages whose blocks stay within ``block_bytes`` where they can.

    Returns
    -------
    stages : tuple of StagePlan
        From the image to the coarsest level.  Every level is written by exactly one of them.
    largest : int
        Bytes of the largest block, which exceeds ``block_bytes`` only where a chunk times a
        factor alone does.

    Examples
    --------
    >>> shapes = tuple((1024 >> level,) * 3 for level in range(6))
    >>> pyramid = Pyramid(shapes, ((2, 2, 2),) * 5, ((0, 0, 0),) * 5, (64, 64, 64), itemsize=2)
    >>> stages, largest = plan_stages(pyramid, block_bytes=64 * 2**20)
    >>> [(stage.written, stage.carry, stage.edges) for stage in stages]
    [((0, 1, 2), 3, (256, 256, 256)), ((3, 4, 5), None, (128, 128, 128))]
    """
    if pyramid.spans is not None:
        spanning = _cut_stages(pyramid, block_bytes)
        if spanning[1] <= block_bytes:
            return spanning
    return _cut_stages(replace(pyramid, spans=None), block_bytes)


def _cut_stages(pyramid: Pyramid, block_bytes: int) -> tuple[tuple[StagePlan, ...], int]:
    stages: list[StagePlan] = []
    largest, rows = 0, None
    first, first_unwritten = 0, 0
    while first_unwritten <= pyramid.last:
        chosen = _choose(pyramid, first, first_unwritten, block_bytes, rows)
        if pyramid.stored is not None and not stages and any(map(any, pyramid.radii)):
            chosen = _choose_wide(pyramid, chosen, pyramid.stored, block_bytes)
        if pyramid.source is not None and not stages and chosen.stage.carry != 0:
            rows = BlockRows(chosen.stage, pyramid.source).axis
        edges = chosen.stage.edges
        if pyramid.source is None or chosen.stage.factors:
            edges = _grow(pyramid, first, chosen.stage.deepest, edges, block_bytes)
        stages.append(replace(chosen.stage, edges=edges))
        largest = max(largest, chosen.nbytes)
        first_unwritten = chosen.stage.written[-1] + 1
        first = chosen.stage.carry if chosen.stage.carry is not None else first_unwritten
    return tuple(stages), largest


def _choose(pyramid: Pyramid, first: int, first_unwritten: int, block_bytes: int, rows: int | None) -> _Candidate:
    """Choose the deepest cut that fits; failing all, the smallest that reaches a coarser level.

    Of a computed source, a row of blocks holds all chunks that it touches, and the next stage their carries: cuts that
    hold much are left for flatter ones, whose blocks are widened instead, where that holds nothing more; and, where it
    is the halo that holds them, for one that only stores the image, which the next stage reads back.
    """
    *candidates, last = _candidates(pyramid, first, first_unwritten)
    rereads = [last] if last.stage.carry == first else []
    candidates += [] if rereads else [last]
    fitting = [candidate for candidate in candidates if candidate.nbytes <= block_bytes]
    fitting = fitting or [min(candidates, key=lambda candidate: candidate.nbytes)]
    if pyramid.source is None:
        return fitting[0]
    fitting += rereads
    held = [_held_samples(pyramid, candidate.stage, rows) for candidate in fitting]
    most = _HELD_BLOCKS * block_bytes // (pyramid.itemsize if first_unwritten == 0 else 2 * pyramid.itemsize)
    most = max(most, min(held) * (_WORTH_REREADING if rereads else 1))
    chosen = next(number for number, samples in enumerate(held) if samples <= most)
    if chosen == 0 and fitting[0].stage.factors:
        return fitting[0]
    return _widened(pyramid, fitting[chosen], block_bytes // _WIDE_BLOCKS, rows)


def _choose_wide(pyramid: Pyramid, chosen: _Candidate, chunks: SourceChunks, block_bytes: int) -> _Candidate:
    """Choose wide blocks of a stored source in place of ``chosen``, where they cost less."""
    cuts = [candidate.stage for candidate in _candidates(pyramid, 0, 0) if candidate.nbytes <= block_bytes]
    stage = choose_wide(cuts, chosen.stage, chunks, pyramid.itemsize, block_bytes)
    return _Candidate(stage, prod(stage.edges) * pyramid.itemsize)


def _held_samples(pyramid: Pyramid, stage: StagePlan, rows: int | None) -> int:
    """Count the samples that a row of blocks holds, of a computed source or of the carries of the stage before.

    ``rows`` is the dimension that rows follow one another along, known from the second stage on.
    """
    if pyramid.source is not None and stage.written[0] == 0:
        return BlockRows(stage, pyramid.source).held_samples(threads=1)
    if rows is None:
        return 0
    return min(stage.edges[rows] + 2 * stage.halo[rows], stage.extents[0][rows]) * prod(stage.extents[0][rows + 1 :])


def _widened(pyramid: Pyramid, chosen: _Candidate, most: int, rows: int | None) -> _Candidate:
    """Double the edges of a block, the shortest one first, while it holds nothing more, and at most ``most`` bytes."""
    held, growing = _held_samples(pyramid, chosen.stage, rows), set(range(len(pyramid.chunks)))
    while growing:
        edges, extents = chosen.stage.edges, chosen.stage.extents[0]
        dim = min(growing, key=lambda dim: edges[dim])
        wide = replace(chosen.stage, edges=(*edges[:dim], min(2 * edges[dim], extents[dim]), *edges[dim + 1 :]))
        nbytes = prod(wide.edges) * pyramid.itemsize
        if wide.edges == edges or nbytes > most or _held_samples(pyramid, wide, rows) > held:
            growing.discard(dim)
        else:
            chosen = _Candidate(wide, nbytes)
    return chosen


def _candidates(pyramid: Pyramid, first: int, first_unwritten: int) -> Sequence[_Candidate]:
    """List all cuts of a stage that starts at ``first``, deepest first."""
    found = []
    for last in range(pyramid.last, first_unwritten - 1, -1):
        carries: tuple[int | None, ...] = (None,) if last == pyramid.last else (last + 1, last)
        for carry in carries:
            if carry == first and not (first == first_unwritten and pyramid.may_reread):  # the carry would be the input
                continue
            deepest = last if carry is None else carry
            stage = StagePlan(
                first=first,
                extents=pyramid.extents[first : deepest + 1],
                factors=pyramid.factors[first:deepest],
                radii=pyramid.radii[first:deepest],
                edges=_least_edges(pyramid, first, last, deepest),
                written=tuple(range(first_unwritten, last + 1)),
                carry=carry,
            )
            found.append(_Candidate(stage, prod(stage.edges) * pyramid.itemsize))
    return found


def _least_edges(pyramid: Pyramid, first: int, last: int, deepest: int) -> Extents:
    """Find the least block that owns whole chunks down to level ``last`` and whole samples of ``deepest``."""
    edges = []
    per_dim = zip(
        pyramid.extents[first],
        pyramid.units,
        pyramid.cumulative(first, last),
        pyramid.cumulative(first, deepest),
        compose_halo(pyramid.factors[first:deepest], pyramid.radii[first:deepest], len(pyramid.chunks)),
        strict=True,
    )
    for extent, least, to_last, to_deepest, halo in per_dim:
        unit = lcm(least * to_last, to_deepest)
        unit *= max(-(-halo // unit), 1)  # a halo reaches into the next block at most
        edges.append(extent if extent < unit + to_deepest else unit)  # a lone tail joins its block
    return tuple(edges)


def _grow(pyramid: Pyramid, first: int, deepest: int, edges: Extents, block_bytes: int) -> Extents:
    """Extend blocks that span every reduced dimension along the others (``c``, ``t``), the last of them first."""
    extents = pyramid.extents[first]
    reduced = [factor > 1 for factor in pyramid.cumulative(first, deepest)]
    if any(flag and edge < extent for flag, edge, extent in zip(reduced, edges, extents, strict=True)):
        return edges
    grown = list(edges)
    for dim in range(len(grown) - 1, -1, -1):
        if reduced[dim] or grown[dim] == extents[dim]:
            continue
        others = prod(grown[:dim] + grown[dim + 1 :]) * pyramid.itemsize
        unit = pyramid.units[dim]
        multiple = max(block_bytes // (others * unit), 1)
        grown[dim] = extents[dim] if multiple * unit >= extents[dim] else multiple * unit
    return tuple(grown)


def aligned_blocks(chunks: Sequence[tuple[int, ...]], units: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Merge ``chunks`` into blocks of whole ``units``, along the dimensions where they are not.

    Examples
    --------
    >>> aligned_blocks([(4, 4, 2), (3, 3, 3)], [4, 2])
    ((4, 4, 2), (2, 2, 2, 2, 1))
    """
    aligned = []
    for lengths, unit in zip(chunks, units, strict=True):
        if all(length % unit == 0 for length in lengths[:-1]):
            aligned.append(tuple(lengths))
            continue
        edge, extent = max(max(lengths) // unit, 1) * unit, sum(lengths)
        aligned.append(tuple(min(edge, extent - start) for start in range(0, extent, edge)))
    return tuple(aligned)


def span_source(factors: Sequence[Extents], chunks: Extents, source_chunks: Sequence[tuple[int, ...]]) -> Extents:
    """Extend chunks to span the source's, along the dimensions that are never reduced.

    Each chunk of the source, such as a tile with its colours, is then read for one block, not for one of each colour.
    """
    kept = [all(step[dim] == 1 for step in factors) for dim in range(len(chunks))]
    terms = zip(chunks, source_chunks, kept, strict=True)
    return tuple(chunk * -(-max(lengths) // chunk) if alone else chunk for chunk, lengths, alone in terms)
