"""Writing pyramids as OME-Zarr: check everything, create, compute."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msi_lazy.errors import StoreExistsError
from msi_lazy.storage.target import find_target
from msi_lazy.storage.unfinished import stored_ledger
from msi_lazy.write.archive_checks import check_archive
from msi_lazy.write.begin import begin_write
from msi_lazy.write.fingerprint import fingerprint_write
from msi_lazy.write.finish import completions_of, label_completions
from msi_lazy.write.spilled_source import check_spill
from msi_lazy.write.storable import make_storable
from msi_lazy.write.target_checks import (
    check_images_kept,
    check_links,
    check_others_kept,
    check_parents,
    check_replaceable,
)
from msi_lazy.write.tasks import (
    check_jobs,
    count_blocks,
    create_levels,
    nothing_left,
    prepare_write,
    store_levels,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dask.delayed import Delayed

    from msi_lazy.storage.place import Place
    from msi_lazy.write.job import ImageJob, WriteOptions

__all__ = ["write_image", "write_labels_into"]


def write_image(jobs: Sequence[ImageJob], place: Place, options: WriteOptions) -> Delayed | None:
    """Write an image, the first of ``jobs``, and the label images below it; see :func:`msi_lazy.to_zarr`."""
    # 1. Check: nothing is created or deleted before all is known to be allowed.
    check_archive(jobs, place, options)
    check_links(place, resume=options.resume)
    check_parents(place, options.specification)
    doubtful = check_jobs(jobs, place, options)
    check_images_kept(place, options, [job.path for job in jobs])
    check_replaceable(place, options)
    # 2. Prepare: memory, and the hierarchy in memory. Blocks are numbered in the order of the jobs.
    jobs = make_storable(jobs)
    ordered = [jobs[0], *sorted(jobs[1:], key=lambda job: job.path)]
    composed, levels = prepare_write(ordered, options)
    check_others_kept(place, options, {key.partition("/")[0] for key in (*composed[0].contents, *composed[0].others)})
    check_spill(ordered, levels, place, options)
    # 3. Begin: the ledger is stored before an old image is deleted; or a write is resumed.
    fingerprint = fingerprint_write(composed, levels, options.source_id)
    ledger = begin_write(place, options, fingerprint, count_blocks(levels), doubtful)
    if ledger is None:
        return nothing_left(options)
    with writing(ledger, options):
        # 4. Create: groups, coordinates and empty arrays.
        created = [create_levels(job, image, ledger.target) for job, image in zip(composed, levels, strict=True)]
        # 5. The graph, 6. its computation, and 7. the tasks that finish the write, after all others.
        completions = completions_of(jobs, ledger.target, options.specification, ledger.image)
        return store_levels(created, completions, options, ledger)


def write_labels_into(job: ImageJob, place: Place, options: WriteOptions) -> Delayed | None:
    """Write a label image below an image that exists; see :func:`msi_lazy.write_labels`.

    The steps are those of :func:`write_image`; the ledger is that of the label image.
    """
    # 1. Check
    image, specification = find_target(place), options.specification
    if not specification.fits(image.zarr_format):
        raise ValueError(
            f"the image states OME-Zarr {specification.version}, but is stored as Zarr "
            f"v{image.zarr_format}; write it again, and labels with it"
        )
    where, name = image.child(job.path), job.path.rpartition("/")[2]
    exists = where.open_node() is not None
    check_links(where, written=[] if exists else [""])
    if exists and options.mode == "w-" and stored_ledger(where) is None:
        raise StoreExistsError(f"the store holds {where.path!r} already; pass mode='w' to overwrite it")
    doubtful = check_jobs([job], where, options)
    check_replaceable(where, options)
    # 2. Prepare
    jobs = make_storable([replace(job, path="")])
    composed, levels = prepare_write(jobs, options)
    check_spill(jobs, levels, where, options)
    if exists:
        check_others_kept(where, options)
    # 3. Begin
    fingerprint = fingerprint_write(composed, levels, options.source_id)
    ledger = begin_write(where, options, fingerprint, count_blocks(levels), doubtful)
    if ledger is None:
        return nothing_left(options)
    with writing(ledger, options):
        # 4. Create
        created = [replace(create_levels(composed[0], levels[0], ledger.target), path=job.path)]
        # 5. to 7.
        completions = label_completions(jobs[0], ledger.target, image, name, specification)
        return store_levels(created, completions, options, ledger)
