"""Checks of a write of a zip file, before anything is created."""

from __future__ import annotations

from contextlib import suppress
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.ngff.specifications import DEFAULT_VERSION
from msi_lazy.storage.archive_index import MOST_MEMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.storage.place import Place
    from msi_lazy.write.job import ImageJob, WriteOptions

__all__ = ["check_archive", "check_overwritable"]


def check_archive(jobs: Sequence[ImageJob], place: Place, options: WriteOptions) -> None:
    """Refuse a zip file that cannot be written, and a directory of such a name.

    Raises
    ------
    ValueError
        Says why, and what to do.
    """
    if not place.in_archive:
        if place.is_named_archive:
            raise ValueError(
                f"{place} is a directory with the name of a zip file: choose another name, or move it elsewhere"
            )
        return
    if place.archive is None:
        raise ValueError(
            f"{place.given} cannot be written: a zip file is packed beside the directory that is written first, so "
            f"give the path of one on this machine, and copy it, or write a directory"
        )
    if place.group:
        raise ValueError(
            f"group={place.group!r} cannot be written to {place.given}: a zip file is written with one image, at its "
            f"root; write several to a directory, and pack that with msi_lazy.pack(FOLDER, FILE)"
        )
    if options.replace == "in place":
        raise ValueError(f"replace='in place' is not for {place.given}: a zip file is replaced when the new is whole")
    if place.is_ozx and not options.specification.fits(3):
        raise ValueError(
            f"OME-Zarr {options.specification.version} cannot be written to {place.given}: RFC-9 has Zarr v3 in .ozx "
            f"files; write version={DEFAULT_VERSION!r}, or a .zip file"
        )
    if options.mode == "w" and place.archive.exists():
        check_overwritable(place)
    files = sum(_count_files(job) for job in jobs)
    if files > MOST_MEMBERS:
        raise ValueError(
            f"{place.given} would have {files:,} chunks or shards, and a zip file at most {MOST_MEMBERS:,}: give "
            f"shards='auto', or larger ones, or write a directory"
        )


def check_overwritable(place: Place) -> None:
    """Refuse to overwrite a file that is no zip file with a Zarr hierarchy at its root.

    Raises
    ------
    ValueError
        Says so.
    """
    if not _holds_hierarchy(place):
        raise ValueError(
            f"{place.given} is no zip file with a Zarr hierarchy at its root, so it is not overwritten; remove it "
            f"yourself, or choose another name"
        )


def _holds_hierarchy(place: Place) -> bool:
    with suppress(ValueError, OSError):
        return not place.in_folder and place.open_node() is not None
    return False


def _count_files(job: ImageJob) -> int:
    shapes = (level.shape for level in job.plan.levels[job.kept :])
    pairs = (zip(shape, layout.write_unit, strict=True) for shape, layout in zip(shapes, job.layouts, strict=True))
    return sum(prod(-(-length // unit) for length, unit in pair) for pair in pairs)
