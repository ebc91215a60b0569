"""Memory that the write of one image takes, as it is planned, and as it might be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.arguments.factors import auto_factors
from msi_lazy.ngff.write_attributes import spec_order
from msi_lazy.plan.block_size import aligned_blocks
from msi_lazy.plan.memory import PROCESS_RESERVE, held_bytes, thread_bytes
from msi_lazy.plan.reading import longest_between
from msi_lazy.plan.replan import replan
from msi_lazy.run.scheduler import active_client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.graph.level_graph import LevelGraph
    from msi_lazy.methods import Method
    from msi_lazy.plan.memory import MemoryUse
    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.write.job import ImageJob

__all__ = ["ProjectedImage", "process_bytes", "spill_where_needed", "total_bytes"]

Chunks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ProjectedImage:
    """One image of a write, in integers."""

    plan: PyramidPlan
    """Plan of the image, its dimensions in the order of the write."""
    method: Method | None = None
    """Method, if the image could be planned anew."""
    blocks: tuple[Chunks, ...] = ()
    """Blocks that each level is written in."""
    units: tuple[tuple[int, ...] | None, ...] = ()
    """Write unit of each of these levels; ``None`` for one that follows the chunks, or the blocks, of the plan."""
    may_read_back: bool = False
    """Whether later stages may read back what was stored."""
    may_spill: bool = False
    """Whether the chunks of its source may be stored once, and read by windows from then on."""
    spills: bool = False
    """Whether they are."""
    may_read_spilled: bool = False
    """Whether later stages may read back what was stored if it is spilled, as Dask rechunks nothing then."""
    below_edits: LevelGraph | None = None
    """Levels of an edited tree: stages below the edits may be cut from a computed source."""
    count: int = 1
    """Number of such images; the scheduler ends one before it begins another, as far as it has threads."""

    @classmethod
    def of_plan(cls, plan: PyramidPlan, levels: LevelGraph) -> ProjectedImage:
        """Describe a pyramid that is written in its own chunks, without shards."""
        ordered = spec_order(plan.axes) == plan.dims  # others are transposed by Dask
        cut = levels.cut_from_source()
        return cls(
            plan,
            method=levels.recipes[0].method if plan.stages else None,
            may_read_back=ordered and _is_emitted(plan),
            may_spill=cut.gathered is not None,
            may_read_spilled=ordered and cut.is_whole,
            below_edits=None if plan.stages else cut,
        )

    @classmethod
    def of_job(cls, job: ImageJob) -> ProjectedImage:
        """Describe an image to write."""
        arrays, levels = job.levels.arrays[job.kept :], job.plan.levels[job.kept :]
        units = [
            None if layout.write_unit == level.chunks or (layout.shards and layout.write_unit == level.blocks) else
            layout.write_unit
            for layout, level in zip(job.layouts, levels, strict=True)
        ]  # fmt: skip
        aligned = all(
            unit is None or aligned_blocks(array.chunks, unit) == array.chunks
            for array, unit in zip(arrays, units, strict=True)
        )
        reads_back = aligned and job.lossless and not job.kept
        cut = job.levels.cut_from_source()
        origin = job.levels if job.origin is None else job.origin
        planned = job.kept == 0 and origin.are_picks and (job.plan.untransposed or job.plan).stages
        return cls(
            plan=job.plan,
            method=origin.recipes[0].method if planned else None,
            blocks=tuple(array.chunks for array in arrays),
            units=tuple(units),
            may_read_back=reads_back and job.levels.is_whole,
            may_spill=not job.kept and cut.gathered is not None,
            may_read_spilled=reads_back and cut.is_whole,
            below_edits=None if (job.plan.untransposed or job.plan).stages else cut,
        )

    def spilled(self) -> ProjectedImage:
        """Copy the image so that its source is spilled."""
        return replace(self, spills=True, may_read_back=self.may_read_spilled)

    def memory(self, threads: int, limit: int | None) -> MemoryUse:
        """Project the memory of the write, with that of merging blocks to the chunks or shards that store them."""
        memory = self.plan.memory(threads, limit, may_read_back=self.may_read_back, spills=self.spills)
        merged = held = 0
        source = None if self.below_edits is None else self.below_edits.gathered
        if self.below_edits is not None and source is not None and source.chunks is not None:
            stages, size = self.below_edits.gathered_stages, source.recipe.dtype.itemsize
            largest = max(thread_bytes(stage, size) for stage in stages)
            memory = replace(memory, per_thread=max(memory.per_thread, largest))
            held = held_bytes(stages, source.chunks, size, threads, self.spills)
        for blocks, unit in zip(self.blocks, self.units, strict=True):
            aligned = blocks if unit is None else aligned_blocks(blocks, unit)
            if aligned != blocks:
                merged = max(merged, 3 * prod(map(max, aligned)) * self.plan.dtype.itemsize)
                held += 2 * prod(map(longest_between, blocks, aligned)) * self.plan.dtype.itemsize
        together = min(self.count, threads + 1)
        return replace(
            memory,
            per_thread=memory.per_thread + merged,
            rechunking=(memory.rechunking + held) * together,
            carries=memory.carries * together,
            graph=memory.graph * self.count,
        )

    def changed(self, block_bytes: int | None, chunks: Mapping[str, int]) -> list[ProjectedImage]:
        """Plan the image anew; in all ways that the same arguments may mean, as automatic factors follow the chunks."""
        if self.method is None:
            return []
        plan = self.plan.untransposed or self.plan
        before = plan.levels[0].chunks
        after = tuple(chunks.get(dim, chunk) for dim, chunk in zip(plan.dims, before, strict=True))
        factors = {tuple(level.factors for level in plan.levels[1:])}
        if any(axis.is_spatial for axis in plan.axes) and auto_factors(plan.axes, before, plan.boundary) in factors:  # type: ignore[arg-type]
            factors.add(auto_factors(plan.axes, after, plan.boundary))  # type: ignore[arg-type]
        limit = plan.block_bytes if block_bytes is None else block_bytes
        return [self._planned(replan(plan, self.method, block_bytes=limit, chunks=after, factors=f)) for f in factors]

    def _planned(self, plan: PyramidPlan) -> ProjectedImage:
        order = [plan.dims.index(dim) for dim in self.plan.dims]
        blocks = [stage.block_chunks(level) for stage in plan.stages for level in stage.written]
        turned = plan if plan.dims == self.plan.dims else plan.transposed(self.plan.dims)
        units = (*self.units, *(None for _ in plan.levels))[: len(blocks)]
        return replace(
            self,
            plan=turned,
            blocks=tuple(tuple(along[dim] for dim in order) for along in blocks),
            units=units,
            may_read_back=self.may_read_back and _is_emitted(plan),
        )


def spill_where_needed(images: Sequence[ProjectedImage], threads: int, limit: int) -> list[ProjectedImage]:
    """Let images spill their sources if they need more than ``limit`` bytes without, and less with it."""
    held = total_bytes([image.memory(threads, limit) for image in images], threads)
    spilling = [image.spilled() if image.may_spill else image for image in images]
    if held <= limit or total_bytes([image.memory(threads, limit) for image in spilling], threads) >= held:
        return list(images)
    return spilling


def _is_emitted(plan: PyramidPlan) -> bool:
    """Tell whether the tasks of a plan come from it: not if Dask overlaps the blocks of its source."""
    return plan.reading.by_window or active_client() is None or not any(plan.stages[0].halo)


def total_bytes(uses: Sequence[MemoryUse], threads: int) -> int:
    """Count the bytes of a process that writes images together: any thread may hold the largest block of all."""
    return process_bytes(uses) + threads * max(use.per_thread for use in uses)


def process_bytes(uses: Sequence[MemoryUse]) -> int:
    """Count the bytes that a process holds besides the blocks of its threads."""
    return PROCESS_RESERVE + sum(use.graph + use.rechunking + use.carries for use in uses)
