"""Upgrading what is stored to another version of OME-Zarr."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import zarr

from msi_lazy.arguments.choices import check_switches
from msi_lazy.compat.zarr_stores import list_names, read_key
from msi_lazy.errors import StoreExistsError
from msi_lazy.maintain.run_upgrade import UpgradeReport, run_upgrade
from msi_lazy.maintain.upgrade_plan import plan_upgrade
from msi_lazy.ngff.specifications import DEFAULT_VERSION, SPECIFICATIONS, find_specification
from msi_lazy.storage.inside import describe_level
from msi_lazy.storage.ledger import UPGRADE_NOTE
from msi_lazy.storage.packing import pack_directory
from msi_lazy.storage.place import Place
from msi_lazy.storage.regular_files import RegularStore
from msi_lazy.write.target_checks import check_parents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from msi_lazy.maintain.upgrade_plan import UpgradePlan
    from msi_lazy.ngff.specification import Specification
    from msi_lazy.ngff.specifications import Version

__all__ = ["upgrade"]


def upgrade(
    store: Any,
    target: Any = None,
    *,
    to: Version = DEFAULT_VERSION,
    in_place: bool = False,
    group: str = "",
    storage_options: Mapping[str, Any] | None = None,
    durable: bool = True,
) -> UpgradeReport:
    """Bring an image, a collection or a plate, with all that is in it, to another version of OME-Zarr.

    Chunks are copied as bytes, and not decoded, where a codec of Zarr v3 decodes the same: those without compression,
    and those of Blosc, zstd and gzip, of any byte order.  Only arrays with other codecs (zlib, lz4, filters) are
    decoded and encoded again, which the report says.  A chunk that is missing stays missing.

    Parameters
    ----------
    store
        Path, URL, or zarr store of an image, a collection, a plate or labels, of OME-Zarr 0.1 to 0.6.
    target
        Path, URL, or zarr store for the copy, where nothing may be yet; also of a zip file, ``.ozx`` or ``.zip``.
    to
        OME-Zarr version: ``"0.5"`` or ``"0.6"``; also from 0.6 back to 0.5.
    in_place
        Whether to change ``store`` itself, instead of a copy: documents of metadata are written, and chunks stay where
        they are, but those that are encoded again.  Old documents are kept until all new ones are there.
    group
        Path of what is upgraded in ``store``; in place, only the whole hierarchy is.
    storage_options
        Options of the file system behind the URLs.
    durable
        As for :func:`msi_lazy.to_zarr`.

    Returns
    -------
    UpgradeReport
        Versions that were found, and what was written.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group at ``store``.
    StoreExistsError
        There is something at ``target``.
    UnfinishedImageError
        A write to ``store`` has not finished.
    TypeError, ValueError
        An unusable argument, or something in ``store`` that cannot be carried over: nothing has been written then.

    Notes
    -----
    A run that was killed is repeated by the same call.  Attributes of users and other tools, and files that are no part
    of Zarr, go along.  Images of 0.1 to 0.3, which state no geometry, get a spacing of 1, times the factors by the
    shapes.  What 0.5 has no place for, such as further coordinate systems, is kept in members of its own, from which
    0.6 is restored.
    """
    check_switches(in_place=in_place, durable=durable)
    specification = _find_version(to)
    if (target is None) != in_place:
        raise ValueError(
            "give a target for the copy, or in_place=True to change the store itself"
            if target is None
            else "in_place=True changes the store itself, and takes no target"
        )
    source = Place.parse(store, group, storage_options if _is_url(store) or not _is_url(target) else None)
    _check_source(source)
    if target is None:
        _check_whole(source, specification)
        return run_upgrade(plan_upgrade(source, specification, in_place=True), source, durable=durable)
    copy = Place.parse(target, "", storage_options if _is_url(target) else None, new=True)
    _check_target(copy, source, specification)
    plan = plan_upgrade(source, specification, in_place=False)
    if plan.versions == {specification.version} and not plan.old:
        raise ValueError(f"{source.named} is OME-Zarr {to} already: there is nothing to upgrade")
    if copy.archive is None:
        return run_upgrade(plan, copy, durable=durable)
    return _pack(plan, copy, copy.archive, durable=durable)


def _pack(plan: UpgradePlan, target: Place, archive: Path, *, durable: bool) -> UpgradeReport:
    """Run a plan in a hidden folder beside a zip file, and pack that."""
    folder = archive.with_name(f".{archive.name}{UPGRADE_NOTE}")
    report = run_upgrade(plan, Place(RegularStore(folder), given=target.given), durable=durable)
    part = archive.with_name(f"{folder.name}-packed")
    pack_directory(folder, part, plan.to)
    part.replace(archive)
    shutil.rmtree(folder)
    return report


def _is_url(store: Any) -> bool:
    return isinstance(store, str) and "://" in store


def _find_version(to: Any) -> Specification:
    newest = SPECIFICATIONS[-1]
    known = [row.version for row in SPECIFICATIONS if row.is_written and row.fits(newest.zarr_format)]
    if to not in known:
        raise ValueError(f"to must be one of {', '.join(map(repr, known))}, not {to!r}")
    return find_specification(to)


def _check_source(source: Place) -> None:
    try:
        found = source.open_node()
    except Exception as error:  # whatever broken metadata may raise
        raise ValueError(f"{source.named} cannot be opened: {error!r}; repair it first") from error
    if found is None:
        raise FileNotFoundError(f"there is no Zarr group at {source.named}; give the path or URL of an OME-Zarr image")
    if isinstance(found, zarr.Array):
        level = describe_level(source)
        raise ValueError(f"{source.named} is a Zarr array, not the group of an OME-Zarr image; give the group{level}")


def _check_whole(source: Place, specification: Specification) -> None:
    """Refuse to change a part of a hierarchy, whose versions would differ, or a store that cannot be changed."""
    if source.in_archive:
        raise ValueError(f"{source.named} is a zip file, which is written as a whole: give a target")
    if source.store.read_only:
        raise ValueError(f"{source.named} is opened read-only; open it for writing, or give a target")
    for above in source.parents():
        if above.open_node() is not None:
            raise ValueError(
                f"{source.named} is part of {above.named}, whose other parts would be of another version; upgrade that "
                f"as a whole, or give a target"
            )


def _check_target(target: Place, source: Place, specification: Specification) -> None:
    """Refuse a target that holds anything but what the same upgrade left there."""
    if target.location.overlaps(source.location):
        raise ValueError(f"{target} lies in {source}, or around it; choose another target, or pass in_place=True")
    check_parents(target, specification)
    if target.in_archive:
        if target.archive is None:
            raise ValueError(f"{target.given} cannot be written: give the path of a zip file on this machine")
        if os.path.lexists(target.archive):
            raise StoreExistsError(f"{target} exists already; choose another target, or remove it first")
        return
    if target.is_named_archive:
        raise ValueError(f"{target} is a directory with the name of a zip file: choose another target, or move it")
    note = read_key(target.store, target.below(UPGRADE_NOTE))
    if note is None and (target.open_node() is not None or list_names(target.store, target.path)):
        raise StoreExistsError(f"{target} exists already; choose another target, or remove it first")
