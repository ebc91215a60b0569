"""Writing plates: all fields in one computation, and the plate once all of them are whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from zarr.storage import MemoryStore

from msi_lazy.storage.local_documents import takes_files
from msi_lazy.storage.shared_groups import locked_group
from msi_lazy.storage.target import Target, consolidate_above, store_contents
from msi_lazy.write.archive_checks import check_archive
from msi_lazy.write.begin import begin_write
from msi_lazy.write.fingerprint import fingerprint_plate
from msi_lazy.write.finish import complete_image
from msi_lazy.write.hierarchy import compose_hierarchy
from msi_lazy.write.plate_checks import check_plate_kept
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
    prepare_levels,
    store_levels,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import zarr
    from dask.delayed import Delayed
    from zarr.abc.buffer import Buffer

    from msi_lazy.graph.write_graph import LevelArrays
    from msi_lazy.storage.place import Place, ZarrFormat
    from msi_lazy.write.job import ImageJob, WriteOptions
    from msi_lazy.write.plate_job import PlateJob

__all__ = ["write_plate_to"]

_ADVICE = "what is stored so far is kept: write_plate(..., resume=True) resumes the write"
_AT_ONCE = 32
"""Fields whose documents are stored at once where the store is not of local files."""


def write_plate_to(job: PlateJob, place: Place, options: WriteOptions) -> Delayed | None:
    """Write a plate; the steps are those of :func:`msi_lazy.write.write_image.write_image`."""
    # 1. Check
    check_archive(job.jobs, place, options)
    check_links(place, resume=options.resume)
    check_parents(place, options.specification)
    doubtful = check_jobs(job.jobs, place, options)
    check_images_kept(place, options, [path for path, _, _ in job.fields])
    check_plate_kept(place, options, [path for path, _, _ in job.fields])
    check_replaceable(place, options)
    # 2. Prepare: what fields of one form share, once
    zarr_format = options.specification.zarr_format
    forms = [compose_hierarchy(form, zarr_format) for form in make_storable(job.forms)]
    jobs = replace(job, forms=forms).jobs
    levels = [replace(image, counted_as="") for image in prepare_levels(jobs, options)]
    groups = job.layout.groups(options.specification)
    bare = _compose_groups({path: {} for path in ("", *groups)}, zarr_format)
    listed = _compose_groups(groups, zarr_format)
    attributes = job.layout.plate(options.specification)
    check_others_kept(place, options, [*groups, *(path for path, _, _ in job.fields)])
    # 3. Begin
    check_spill(jobs, levels, place, options)
    fingerprint = fingerprint_plate(jobs, levels, options.source_id, [attributes, groups])
    ledger = begin_write(place, options, fingerprint, count_blocks(levels), doubtful)
    if ledger is None:
        return nothing_left(options)
    with writing(ledger, options):
        # 4. Create
        store_contents(ledger.target, bare, unseen=True)
        created = _create_fields(jobs, levels, ledger.target)
        # 5. to 7.
        completions = _field_completions(jobs, ledger.target)
        completions.append(_CompletePlate(ledger.target, listed, attributes))
        return store_levels(created, completions, options, ledger, _ADVICE)


def _compose_groups(groups: Mapping[str, Mapping[str, Any]], zarr_format: ZarrFormat) -> dict[str, Buffer]:
    """Compose the documents of groups with attributes, by path, and of no others."""
    composed: dict[str, Buffer] = {}
    for path, found in groups.items():
        group = Target(MemoryStore(composed), path, zarr_format=zarr_format).open_group("a", zarr_format)
        group.attrs.update(dict(found))
    return {key: content for key, content in composed.items() if key.rpartition("/")[0] in groups}


def _create_fields(jobs: Sequence[ImageJob], levels: Sequence[LevelArrays], target: Target) -> list[LevelArrays]:
    """Create the groups and empty arrays of all fields; those of one form are opened once.

    In local files, documents that are stored once more at the end are left for then: to replace a file is slow.
    """
    opened: dict[int, tuple[Mapping[str, Buffer], Sequence[zarr.Array[Any]]]] = {}
    created = []
    for job, image in zip(jobs, levels, strict=True):
        at_end = job.final if takes_files(target.store) and _is_composed(job) else {}
        kept = {key: content for key, content in job.contents.items() if key not in at_end}
        contents, like = opened.get(id(job.contents), (kept, ()))
        stored = create_levels(replace(job, contents=contents), image, target, like, unseen=True)
        opened.setdefault(id(job.contents), (contents, stored.targets))
        created.append(stored)
    return created


def _is_composed(job: ImageJob) -> bool:
    """Tell whether the documents that complete an image are known before it is stored."""
    return not job.others and job.measured is None


def _field_completions(jobs: Sequence[ImageJob], target: Target) -> list[Callable[[], None]]:
    """List the calls that write the attributes of all fields."""
    composed: dict[int, tuple[Mapping[str, Buffer], list[str]]] = {}
    others: list[Callable[[], None]] = []
    for job in jobs:
        if not _is_composed(job):
            others.append(complete_image(job, target))
        else:
            composed.setdefault(id(job.final), (job.final, []))[1].append(job.path)
    return [*others, *(_CompleteFields(target, final, tuple(paths)) for final, paths in composed.values())]


@dataclass(frozen=True)
class _CompleteFields:
    """Task that writes the attributes of fields of one form, as they were composed."""

    target: Target
    """Group of the plate."""
    final: Mapping[str, Buffer]
    """Documents of each, by key below its group."""
    paths: tuple[str, ...]
    """Paths of the fields."""

    def __call__(self) -> None:
        """Write them."""
        for first in range(0, len(self.paths), _AT_ONCE):
            some = self.paths[first : first + _AT_ONCE]
            contents = {f"{path}/{key}": self.final[key] for path in some for key in self.final}
            store_contents(self.target, contents, unseen=True)  # until the plate is complete


@dataclass(frozen=True)
class _CompletePlate:
    """Task that writes the attributes of wells, and then of the plate."""

    target: Target
    """Group of the plate."""
    wells: Mapping[str, Buffer]
    """Documents of the groups between the plate and its fields, by key."""
    attributes: Mapping[str, Any]
    """Attributes of the plate."""

    def __call__(self) -> None:
        """Write them."""
        store_contents(self.target, self.wells)
        with locked_group(self.target):
            self.target.open_group("r+", self.target.zarr_format).attrs.update(dict(self.attributes))
        consolidate_above(self.target)
