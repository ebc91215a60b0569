"""Writing pyramids as OME-Zarr: check everything, create, compute."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from msi_lazy.errors import StoreExistsError
from msi_lazy.graph.direct import block_geometry
from msi_lazy.storage.target import find_target, open_target
from msi_lazy.write.begin import begin_write, clear_target
from msi_lazy.write.fingerprint import fingerprint_write
from msi_lazy.write.finish import completions_of
from msi_lazy.write.storable import make_storable
from msi_lazy.write.target_checks import check_images_kept, check_links, check_others_kept, check_parents
from msi_lazy.write.tasks import check_jobs, create_levels, prepare_write, store_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dask.delayed import Delayed

    from msi_lazy.storage.place import Place
    from msi_lazy.write.job import ImageJob, WriteOptions

__all__ = ["write_image", "write_labels_into"]


def write_image(jobs: Sequence[ImageJob], place: Place, options: WriteOptions) -> Delayed | None:
    """Write an image, the first of ``jobs``, and the label images below it; see :func:`msi_lazy.to_zarr`."""
    # 1. Check: nothing is created or deleted before all is known to be allowed.
    check_links(place, resume=options.resume)
    check_parents(place, options.specification)
    doubtful = check_jobs(jobs, place, options)
    check_images_kept(place, options, [job.path for job in jobs])
    # 2. Prepare: memory, and the hierarchy in memory. Blocks are numbered in the order of the jobs.
    jobs = make_storable(jobs)
    ordered = [jobs[0], *sorted(jobs[1:], key=lambda job: job.path)]
    composed, levels = prepare_write(ordered, options)
    check_others_kept(place, options, {key.partition("/")[0] for key in (*composed[0].contents, *composed[0].others)})
    # 3. Begin: the ledger is stored before an old image is deleted; or a write is resumed.
    fingerprint = fingerprint_write(composed, levels, options.source_id)
    blocks = sum(prod(grid.counts) for image in levels for grid in block_geometry(image.levels))
    ledger = begin_write(place, options, fingerprint, blocks, doubtful)
    # 4. Create: groups, coordinates and empty arrays.
    created = [create_levels(job, image, ledger.target) for job, image in zip(composed, levels, strict=True)]
    # 5. The graph, 6. its computation, and 7. the tasks that finish the write, after all others.
    return store_levels(created, completions_of(jobs, ledger.target, options.specification), options, ledger)


def write_labels_into(job: ImageJob, place: Place, options: WriteOptions) -> Delayed | None:
    """Write a label image below an image that exists; see :func:`msi_lazy.write_labels`.

    The steps are those of :func:`write_image`, without a ledger.
    """
    # 1. Check
    image = find_target(place)
    if not options.specification.fits(image.zarr_format):
        raise ValueError(
            f"the image states OME-Zarr {options.specification.version}, but is stored as Zarr "
            f"v{image.zarr_format}; write it again, and labels with it"
        )
    where = image.child(job.path)
    exists = where.open_node() is not None
    check_links(where, written=[] if exists else [""])
    if exists and options.mode == "w-":
        raise StoreExistsError(f"the store holds {where.path!r} already; pass mode='w' to overwrite it")
    doubtful = check_jobs([job], where, options)
    # 2. Prepare
    (job,) = make_storable([job])
    (composed,), (levels,) = prepare_write([job], options)
    if exists:
        check_others_kept(where, options)
    # 3. Begin
    label = open_target(where, image.zarr_format, exists=exists)
    if exists:
        clear_target(label, doubtful)
    # 4. Create
    created = create_levels(composed, levels, image)
    # 5. to 7.
    return store_levels([created], completions_of([job], image, options.specification), options)
