"""Plan of a pyramid: its levels, its stages, and its cost.  No pixel is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from msi_lazy.plan.block_size import Pyramid, plan_stages, span_source
from msi_lazy.plan.grid import Grid
from msi_lazy.plan.memory import TASK_BYTES, MemoryUse, project_memory
from msi_lazy.plan.reading import Reading
from msi_lazy.plan.runs import run_stage
from msi_lazy.plan.slabs import count_slabs
from msi_lazy.plan.source_rows import SourceChunks
from msi_lazy.plan.windows import Boundary, level_extent

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from msi_lazy.axes import Axis
    from msi_lazy.methods import Method
    from msi_lazy.plan.measured import MeasuredBlock
    from msi_lazy.plan.stages import StagePlan

__all__ = ["LevelPlan", "PyramidPlan", "plan_levels", "plan_pyramid"]

_PER_DIMENSION = ("shape", "chunks", "blocks", "factors", "scale", "translation")
FINISH_FAN_IN = 64
"""Tasks that one finishing task waits for."""


@dataclass(frozen=True)
class LevelPlan:
    """One scale of the pyramid."""

    number: int
    """Number of the level, 0 for the image itself."""
    shape: tuple[int, ...]
    """Samples along each dimension."""
    dtype: np.dtype[Any]
    """Type of a sample, the same on every level."""
    chunks: tuple[int, ...]
    """Chunk shape on disk."""
    blocks: tuple[int, ...]
    """Shape of the Dask blocks that it is written in (the first one's)."""
    factors: tuple[int, ...]
    """Factors from the finer level; all 1 for level 0."""
    scale: tuple[float, ...]
    """Spacing of the samples along each dimension."""
    translation: tuple[float, ...]
    """Position of the first sample's centre along each dimension."""

    @property
    def name(self) -> str:
        """Name of the node in the tree."""
        return f"scale{self.number}"

    def extent(self, dim: int) -> tuple[float, float]:
        """Return the ends of the level along dimension ``dim``, half a sample beyond the outermost centres."""
        begin = self.translation[dim] - self.scale[dim] / 2
        return begin, begin + self.shape[dim] * self.scale[dim]

    @property
    def nbytes(self) -> int:
        """Uncompressed bytes."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def chunk_count(self) -> int:
        """Number of chunks on disk."""
        return Grid(self.shape, self.chunks).count

    @property
    def block_count(self) -> int:
        """Number of blocks."""
        return Grid(self.shape, self.blocks).count


@dataclass(frozen=True)
class PyramidPlan:
    """Levels of a pyramid, the blocks they are computed in, and their cost."""

    name: str
    """Name of the image."""
    axes: tuple[Axis, ...]
    """Dimensions of level 0."""
    levels: tuple[LevelPlan, ...]
    """Levels from the image to the coarsest."""
    stages: tuple[StagePlan, ...]
    """Runs of levels computed inside one block; empty if the tree's arrays were edited."""
    reading: Reading
    """Reading of level 0."""
    method: str
    """Name of the method; empty where it is not known."""
    boundary: str
    """Rule for samples that fill no window."""
    block_bytes: int
    """Limit that blocks were planned for."""
    notes: tuple[str, ...] = ()
    """Remarks on decisions that a user should know of."""
    untransposed: PyramidPlan | None = None
    """Plan that the blocks follow, where the image is transposed on its way to the store."""
    nodata: Any = None
    """Value that the method leaves out, or ``None``."""
    provenance: Mapping[str, Any] | None = None
    """Origin of the levels, as stated by the store that they were read from."""
    measured: MeasuredBlock | None = None
    """Measurement of one block, where that was asked for."""

    @property
    def channel_count(self) -> int:
        """Channels of the image; 1 for an image without a dimension of them."""
        return 1 if self.channel_dim is None else self.axes[self.channel_dim].length

    @property
    def channel_dim(self) -> int | None:
        """Number of the dimension of channels, if there is one."""
        return next((number for number, axis in enumerate(self.axes) if axis.kind == "channel"), None)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return tuple(axis.name for axis in self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a sample."""
        return self.levels[0].dtype

    @cached_property
    def blocks(self) -> int:
        """Blocks that level 0 is cut into."""
        if self.stages:
            return self.stages[0].blocks
        return self.levels[0].block_count

    @cached_property
    def tasks(self) -> int:
        """Tasks of the write graph: one per block of each stage, and those that end it."""
        if not self.stages:  # two per block and level: compute it, store it
            work = ends = 2 * sum(level.block_count for level in self.levels)
        else:
            counts = [run_stage(self.stages[0], self.reading.run).blocks, *(stage.blocks for stage in self.stages[1:])]
            work, ends = sum(counts) + self.reading.extra_tasks, counts[-1]
        while ends > FINISH_FAN_IN:
            ends = -(-ends // FINISH_FAN_IN)
            work += ends
        return work + 1

    @cached_property
    def slabs(self) -> int:
        """Slabs that a write is cut into, each a graph of its own: 1, but for millions of blocks of a stored source.

        Only what is written without loss is cut.
        """
        if not self.stages or not self.reading.by_window:
            return 1
        return count_slabs([run_stage(self.stages[0], self.reading.run), *self.stages[1:]])

    @property
    def bytes_read(self) -> int:
        """Uncompressed bytes read from the source, halos and all."""
        return self.reading.samples * self.dtype.itemsize

    @property
    def bytes_written(self) -> int:
        """Uncompressed bytes of all levels."""
        return sum(level.nbytes for level in self.levels)

    @property
    def read_amplification(self) -> float:
        """Samples read per sample of the image."""
        return self.reading.samples / prod(self.levels[0].shape)

    def memory(self, threads: int = 1, limit: int | None = None, **savings: bool) -> MemoryUse:
        """Projected memory of a process that writes the pyramid with ``threads`` threads.

        ``limit``, in bytes, decides whether later stages read back what was stored; ``savings`` are the last arguments
        of :func:`~msi_lazy.plan.memory.project_memory`.  For a tree whose arrays were edited, only its largest block
        is known.
        """
        if self.untransposed is not None:
            return self.untransposed.memory(threads, limit, **savings)
        if self.stages:
            size, half = self.dtype.itemsize, self.dtype.kind == "f" and self.dtype.itemsize == 2
            tasks, chunk = -(-self.tasks // self.slabs), prod(self.levels[0].chunks) * size
            return project_memory(self.stages, self.reading, size, tasks, threads, limit, chunk, half, **savings)
        largest = 3 * max(prod(level.blocks) for level in self.levels) * self.dtype.itemsize
        return MemoryUse(threads, largest, 0, 0, self.tasks * TASK_BYTES, ())

    @property
    def memory_per_thread(self) -> int:
        """Most bytes that one worker thread holds at a time, without carries for the next stage."""
        return self.memory().per_thread

    @cached_property
    def carry_bytes(self) -> int:
        """Bytes of all carries that pass between stages; they are not all alive at once."""
        carried = [stage.carry for stage in self.stages if stage.carry is not None]
        return sum(self.levels[level].nbytes for level in carried)

    def transposed(self, dims: tuple[str, ...]) -> PyramidPlan:
        """Reorder the dimensions of the plan; its stages are left out."""
        order = [self.dims.index(dim) for dim in dims]
        turned = [
            replace(level, **{name: tuple(getattr(level, name)[i] for i in order) for name in _PER_DIMENSION})  # type: ignore[arg-type]
            for level in self.levels
        ]
        return replace(
            self, axes=tuple(self.axes[i] for i in order), levels=tuple(turned), stages=(), untransposed=self
        )


def plan_levels(
    axes: tuple[Axis, ...],
    dtype: np.dtype[Any],
    factors: tuple[tuple[int, ...], ...],
    method: Method,
    chunks: tuple[int, ...],
    boundary: Boundary,
) -> tuple[LevelPlan, ...]:
    """Compute the shape and geometry of every level, one block each as yet."""
    shape = tuple(axis.length for axis in axes)
    scale = tuple(axis.scale for axis in axes)
    translation = tuple(axis.translation for axis in axes)
    levels = []
    for number, step in enumerate(((1,) * len(axes), *factors)):
        translation = tuple(
            origin + method.offset(factor) * spacing
            for origin, factor, spacing in zip(translation, step, scale, strict=True)
        )
        scale = tuple(spacing * factor for spacing, factor in zip(scale, step, strict=True))
        shape = tuple(level_extent(n, factor, boundary) for n, factor in zip(shape, step, strict=True))
        on_disk = tuple(map(min, chunks, shape))
        levels.append(LevelPlan(number, shape, dtype, on_disk, shape, step, scale, translation))
    return tuple(levels)


def plan_pyramid(
    name: str,
    axes: tuple[Axis, ...],
    dtype: np.dtype[Any],
    factors: tuple[tuple[int, ...], ...],
    method: Method,
    chunks: tuple[int, ...],
    boundary: Boundary,
    block_bytes: int,
    source_chunks: tuple[tuple[int, ...], ...] | None,
    by_window: bool,
    source_is_known: bool = True,
) -> PyramidPlan:
    """Plan a pyramid.

    Parameters
    ----------
    name, axes, dtype
        The image.
    factors
        Per step, the factor of every axis.
    method, boundary
        Method that reduces windows, and rule for samples that fill none.
    chunks
        Chunk shape on disk.
    block_bytes
        Largest block of level 0 to hold in memory.
    source_chunks
        Chunks that the source is stored in, per dimension, if it has any.
    by_window
        Whether blocks read their own window from the source, or wait for a rechunk of its Dask array.
    source_is_known
        Whether the source is known to have those chunks, or none.
    """
    levels = plan_levels(axes, dtype, factors, method, chunks, boundary)
    chunked = None if source_chunks is None else SourceChunks(source_chunks)
    pyramid = Pyramid(
        extents=tuple(level.shape for level in levels),
        factors=factors,
        radii=tuple(tuple(method.radius(f) if f > 1 else 0 for f in step) for step in factors),
        chunks=chunks,
        itemsize=dtype.itemsize,
        spans=None if source_chunks is None else span_source(factors, chunks, source_chunks),
        source=None if by_window else chunked,
        stored=chunked if by_window else None,
    )
    stages, largest = plan_stages(pyramid, block_bytes)
    raised = (
        f"block_bytes raised from {block_bytes:,} to {largest:,} bytes: a block must hold whole chunks of the next "
        f"level too"
    )
    blocked = []
    for stage in stages:
        for number in stage.written:
            edges = zip(stage.edges, stage.cumulative[number - stage.first], levels[number].shape, strict=True)
            shape = tuple(min(max(edge // factor, 1), extent) for edge, factor, extent in edges)
            blocked.append(replace(levels[number], blocks=shape))
    return PyramidPlan(
        name=name,
        axes=axes,
        levels=tuple(blocked),
        stages=stages,
        reading=Reading.of_stage(stages[0], source_chunks, by_window, source_is_known),
        method=method.name,
        boundary=boundary,
        block_bytes=block_bytes,
        notes=(raised,) if largest > block_bytes else (),
    )
