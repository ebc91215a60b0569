"""Packing an OME-Zarr hierarchy that is stored in a directory into a zip file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import zarr

from msi_lazy.errors import StoreExistsError, UnfinishedImageError
from msi_lazy.ngff.specifications import specification_of
from msi_lazy.storage.packing import find_unfinished, odd_files, pack_directory
from msi_lazy.storage.partial_files import partial_name
from msi_lazy.storage.place import Place
from msi_lazy.storage.unfinished import naming_unfinished
from msi_lazy.write.archive_checks import check_overwritable

if TYPE_CHECKING:
    from pathlib import Path

    from msi_lazy.storage.place import Mode

__all__ = ["pack"]


def pack(store: Any, archive: Any, *, mode: Mode = "w-") -> None:
    """Pack an OME-Zarr hierarchy that is stored in a directory into a zip file, as it is.

    An image with its labels, a collection or a plate; the directory stays.  The members are stored, not compressed
    again, metadata first, in Zip64, as RFC-9 recommends; the same files give the same zip file.

    Parameters
    ----------
    store
        Path of the directory.
    archive
        Path of the zip file: ``.ozx``, which has Zarr v3 (OME-Zarr 0.5 or newer), or ``.zip``.
    mode
        ``"w-"`` refuses a zip file that exists, ``"w"`` replaces it, once the new one is whole.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group.
    UnfinishedImageError
        An image in it is incomplete.
    StoreExistsError
        The zip file exists, and ``mode`` is ``"w-"``.
    TypeError, ValueError
        No directory, or no name of a zip file; a link in it; what would be replaced holds no Zarr hierarchy.
    """
    if mode not in ("w-", "w"):
        raise ValueError(f"mode must be 'w-' (refuse an existing zip file) or 'w' (replace it), not {mode!r}")
    place, target = Place.parse(store), Place.parse(archive, new=True)
    with naming_unfinished(place):
        group = place.open_node()
        if not isinstance(group, zarr.Group):
            raise FileNotFoundError(f"there is no Zarr group at {place.named}; give the path of an OME-Zarr hierarchy")
    directory, path = place.directory, target.archive
    if directory is None:
        raise ValueError(f"{place} is no directory of this machine; only such are packed: copy it first")
    if path is None or not target.is_named_archive:
        raise ValueError(f"archive must be the path of a .ozx or .zip file on this machine, not {archive!r}")
    specification = specification_of(group.attrs.asdict())
    if target.is_ozx and not specification.fits(3):
        raise ValueError(f"{place} is OME-Zarr {specification.version}, and RFC-9 has Zarr v3 in .ozx: pack to a .zip")
    path = path.resolve()
    if path.is_relative_to(directory.resolve()):
        raise ValueError(f"{target} lies in the directory that is packed; choose another place")
    _refuse_existing(target, path, mode)
    odd = next(odd_files(directory), None)
    if odd is not None:
        raise ValueError(
            f"{odd} is a link to a directory, or no regular file, and would be left out: put a copy of what it leads "
            f"to in its place (cp -rL), or remove it"
        )
    unfinished = find_unfinished(directory)
    if unfinished is not None:
        raise UnfinishedImageError(
            f"{place} holds {unfinished}: what was written or updated there is incomplete, or still running; complete "
            f"that, and pack it then"
        )
    partial = path.with_name(partial_name(f".{path.name}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        pack_directory(directory, partial, specification)
        _refuse_existing(target, path, mode)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _refuse_existing(target: Place, path: Path, mode: Mode) -> None:
    if mode == "w-" and os.path.lexists(path):
        raise StoreExistsError(f"{path} exists already; pass mode='w' to replace it, or choose another path")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a directory, or no regular file; choose another name, or move it elsewhere")
    if path.exists():
        check_overwritable(target)
