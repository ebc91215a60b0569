"""Steps that all writes have in common: check, prepare, create, and the graph that stores and finishes."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.delayed import delayed

from msi_lazy.compat.xarray_backends import is_in_memory
from msi_lazy.compat.zarr_arrays import array_at
from msi_lazy.graph.cut_write import cut_write
from msi_lazy.graph.direct import block_geometry
from msi_lazy.graph.marks import BlockListeners
from msi_lazy.graph.write_graph import LevelArrays, align_blocks, write_graph
from msi_lazy.run.compute import compute
from msi_lazy.run.scheduler import check_processes, crosses_processes
from msi_lazy.run.warm import warm_workers
from msi_lazy.run.watch import watch_write
from msi_lazy.source.origins import origins
from msi_lazy.source.sources import lazy_array
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.marker import Marker
from msi_lazy.storage.recorded_store import recorded
from msi_lazy.storage.write_units import unit_grid
from msi_lazy.write.conclude import conclusion
from msi_lazy.write.hierarchy import compose_hierarchy, create_hierarchy
from msi_lazy.write.projection import project_write
from msi_lazy.write.spilled_source import listen_to_chunks, with_spill
from msi_lazy.write.target_checks import check_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import dask.array as da
    import zarr
    from dask.delayed import Delayed

    from msi_lazy.source.origins import Source
    from msi_lazy.storage.place import Place
    from msi_lazy.storage.stored_ledger import StoredLedger
    from msi_lazy.storage.target import Target
    from msi_lazy.write.job import ImageJob, WriteOptions

__all__ = [
    "check_jobs",
    "count_blocks",
    "create_levels",
    "nothing_left",
    "prepare_levels",
    "prepare_write",
    "store_levels",
    "writing",
]

_ADVICE = "what is stored so far is kept: to_zarr(..., resume=True) resumes the write"


def check_jobs(jobs: Sequence[ImageJob], place: Place, options: WriteOptions) -> list[Source]:
    """Refuse images that cannot be stored, and a target that must not be written.

    Returns and raises as :func:`msi_lazy.write.target_checks.check_target`.
    """
    for job in jobs:
        first, *others = (array.dtype for array in job.levels.arrays)
        for number, dtype in enumerate(others, start=1):
            if dtype != first:  # readers of OME-Zarr expect one dtype
                raise ValueError(
                    f"scale{number} has dtype {dtype}, scale0 {first}; convert them alike, "
                    f"e.g. with tree.map_over_datasets"
                )
    read = [array for job in jobs for array in job.levels.arrays]
    read += [array for job in {id(job.tree): job for job in jobs}.values() for array in _lazy_variables(job)]
    sources = origins(read)
    doubtful = check_target(place, options.mode, sources, options.resume)
    check_processes(place, sources)
    return doubtful


def _lazy_variables(job: ImageJob) -> list[da.Array]:
    """Variables of the tree that are not in memory, besides the images of its scales."""
    levels = {f"/{level.name}" for level in job.plan.levels}
    found: list[da.Array] = []
    for node in job.tree.subtree:
        dataset = node.to_dataset(inherit=False)
        apart = {*dataset.xindexes, *([job.plan.name] if node.path in levels else [])}  # indexes are in memory
        names = [name for name in dataset.variables if name not in apart]
        found.extend(lazy_array(dataset[name]) for name in names if not is_in_memory(dataset[name].variable))
    return found


def prepare_write(jobs: Sequence[ImageJob], options: WriteOptions) -> tuple[list[ImageJob], list[LevelArrays]]:
    """Prepare images to be stored; raises as :func:`prepare_levels` and :func:`compose_hierarchy`."""
    levels = prepare_levels(jobs, options)
    return [compose_hierarchy(job, options.specification.zarr_format) for job in jobs], levels


def prepare_levels(jobs: Sequence[ImageJob], options: WriteOptions) -> list[LevelArrays]:
    """Align the levels of each image to whole write units; raises as ``project_write``."""
    levels = []
    if options.run.compute:
        warm_workers([layer.recipe for job in jobs for layer in job.levels.stages])
    for job, saving in zip(jobs, project_write(jobs, options.memory_limit, options.spill.allowed), strict=True):
        kept = [(1,) * len(job.plan.dims)] * job.kept  # any blocks will do, as they are only read
        whole = job.levels.cut_from_source() if saving.spills else job.levels
        aligned = align_blocks(whole, [*kept, *(layout.write_unit for layout in job.layouts)])
        order, spills = not crosses_processes(), saving.spills
        image = LevelArrays(aligned, (), saving.read_back, job.lossless, job.kept, job.path, order, spills=spills)
        levels.append(image)
    return levels


def create_levels(
    job: ImageJob, levels: LevelArrays, target: Target, like: Sequence[zarr.Array[Any]] = (), *, unseen: bool = False
) -> LevelArrays:
    """Store the composed hierarchy below ``target``, the group of the write, and open the arrays of the levels.

    ``like`` are the open arrays of an image that was created from the same contents.  ``unseen`` tells that nobody
    reads documents below ``target`` yet: where it is part of a hierarchy, others consolidate that meanwhile.
    """
    below = target.child(job.path)
    create_hierarchy(below, job, unseen=unseen)
    if like:
        paired = zip(job.layouts, like, strict=True)
        return replace(levels, targets=[array_at(array, below.below(at.path)) for at, array in paired])
    targets = [open_array(below.store, below.below(at.path), "r+", at.write_empty_chunks) for at in job.layouts]
    return replace(levels, targets=list(map(recorded, targets)))


def count_blocks(levels: Sequence[LevelArrays]) -> int:
    """Count the blocks that are marked when ``levels`` are stored."""
    return sum(prod(grid.counts) for image in levels for grid in block_geometry(image.levels))


@contextmanager
def writing(ledger: StoredLedger, options: WriteOptions) -> Iterator[None]:
    """Hold the right to write, within, if this process computes the write."""
    with ledger.lease.held() if options.run.compute else nullcontext():
        yield


def nothing_left(options: WriteOptions) -> Delayed | None:
    """Return what a write does that is whole already."""
    return None if options.run.compute else delayed(None)


def _graphs(
    levels: Sequence[LevelArrays],
    ends: Sequence[Callable[[], None]],
    listeners: BlockListeners,
    stored: frozenset[int],
    options: WriteOptions,
) -> Iterator[Delayed]:
    """Build the graphs of a write, each once the one before is computed; one if it is left to the user to compute."""
    done = np.zeros(count_blocks(levels), bool)
    done[[number for number in stored if number < done.size]] = True  # a mark of no block is none
    slabs = cut_write(levels) if options.run.compute else iter([None])
    slab = next(slabs)
    for following in slabs:
        if slab is not None and not done[slab].all():
            yield write_graph(levels, (), listeners, done, slab)
            done |= slab
        slab = following
    yield write_graph(levels, ends, listeners, done, slab)


def store_levels(
    levels: Sequence[LevelArrays],
    completions: Sequence[Callable[[], None]],
    options: WriteOptions,
    ledger: StoredLedger,
    advice: str = _ADVICE,
) -> Delayed | None:
    """Build the graph that stores ``levels`` and then runs ``completions``, and compute it unless ``compute=False``.

    Blocks that the ledger has marked are skipped, and it is removed last of all.
    """
    ledger = replace(ledger, durable=options.durable)
    stored = {ledger.path_below(array.path): array for image in levels for array in image.targets[image.kept :]}
    done = ledger.marked(stored)
    marker = Marker(ledger)
    levels = [with_spill(image, ledger, number, options.spill) for number, image in enumerate(levels)]
    spills = [image.spill for image in levels if image.spill is not None]
    completions = [*(spill.end for spill in spills), *completions]
    watch = watch_write(levels, options.run, done)
    levels = listen_to_chunks(levels, count_blocks(levels), watch.listeners)
    listeners = BlockListeners((ledger.lease.check,), (marker, *watch.listeners))
    units = {path: unit_grid(array).count for path, array in stored.items()}
    ends = conclusion(marker, count_blocks(levels), units, completions)
    try:
        return compute(_graphs(levels, ends, listeners, done, options), options.run, watch, advice)
    except BaseException:
        with suppress(Exception):  # the first error says more
            for one in (marker, *(spill.marker for spill in spills)):
                one.flush()
        raise
