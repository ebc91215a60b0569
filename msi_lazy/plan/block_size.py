"""Choice of the blocks: how many levels a stage computes, and how large its blocks are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm, prod
from typing import TYPE_CHECKING

from msi_lazy.plan.stages import StagePlan, compose_halo

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Pyramid", "aligned_blocks", "plan_stages", "span_source"]

Extents = tuple[int, ...]


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
    """One way to cut a stage: the levels it ends with, and the least block that allows it."""

    last: int
    carry: int | None
    edges: Extents
    nbytes: int


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
    largest = 0
    first, first_unwritten = 0, 0
    while first_unwritten <= pyramid.last:
        chosen = _choose(pyramid, first, first_unwritten, block_bytes)
        deepest = chosen.last if chosen.carry is None else max(chosen.last, chosen.carry)
        stages.append(
            StagePlan(
                first=first,
                extents=pyramid.extents[first : deepest + 1],
                factors=pyramid.factors[first:deepest],
                radii=pyramid.radii[first:deepest],
                edges=_grow(pyramid, first, deepest, chosen.edges, block_bytes),
                written=tuple(range(first_unwritten, chosen.last + 1)),
                carry=chosen.carry,
            )
        )
        largest = max(largest, chosen.nbytes)
        first_unwritten = chosen.last + 1
        first = chosen.carry if chosen.carry is not None else first_unwritten
    return tuple(stages), largest


def _choose(pyramid: Pyramid, first: int, first_unwritten: int, block_bytes: int) -> _Candidate:
    """Choose the deepest cut that fits; failing all, the smallest that reaches a coarser level."""
    candidates = list(_candidates(pyramid, first, first_unwritten))
    fitting = [candidate for candidate in candidates if candidate.nbytes <= block_bytes]
    return fitting[0] if fitting else min(candidates, key=lambda candidate: candidate.nbytes)


def _candidates(pyramid: Pyramid, first: int, first_unwritten: int) -> Sequence[_Candidate]:
    """List all cuts of a stage that starts at ``first``, deepest first."""
    found = []
    for last in range(pyramid.last, first_unwritten - 1, -1):
        carries: tuple[int | None, ...] = (None,) if last == pyramid.last else (last + 1, last)
        for carry in carries:
            if carry == first:  # the carry would be the input: no progress
                continue
            deepest = last if carry is None else carry
            edges = _least_edges(pyramid, first, last, deepest)
            found.append(_Candidate(last, carry, edges, prod(edges) * pyramid.itemsize))
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
