"""Replacing an image of local files: the new one is written beside the old one, and takes its place when it is whole.

::

    plate.zarr/
      A/                                the image that is replaced, as it was until the end
      .A.msi_lazy-unfinished/           no node of Zarr's: the ledger of the write
        blocks, <run>/                  its document, and its marks
        <run>-image/                    the new image; after the exchange, the old one until it is deleted
      cells.ozx                         a zip file, new or replaced: packed from such an image when it is whole
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zarr.storage import FsspecStore, LocalStore

from msi_lazy.compat.file_sync import exchange_paths, sync_directory
from msi_lazy.errors import StoreExistsError
from msi_lazy.ngff.specifications import specification_of
from msi_lazy.storage.archive_store import ArchiveStore
from msi_lazy.storage.ledger import LEDGER
from msi_lazy.storage.packing import pack_directory
from msi_lazy.storage.place import Place
from msi_lazy.storage.target import Target, images_below

if TYPE_CHECKING:
    from msi_lazy.storage.place import ZarrFormat

__all__ = ["Replace", "Replacement", "find_beside", "why_not_beside"]

_REPLACED, _PACKED = "replaced", "packed"
"""Files in the folder beside a zip file: the state of the one that was there, and that of the new one."""
Replace = Literal["beside", "in place"]
"""Where the new image is written: beside the old one, or in its place, once that is deleted."""


@dataclass(frozen=True)
class Replacement:
    """An image that is written beside another one, to take its place."""

    final: Target
    """Group that is replaced."""
    home: Place
    """Folder beside it that holds the new image and its ledger."""
    directory: Path
    """Directory of the group that is replaced; a link only where the user gave one as the store."""
    known: tuple[str, ...] = ()
    """Paths of the images and labels below it that may go: those that were there when the write began."""

    @classmethod
    def of(cls, place: Place, zarr_format: ZarrFormat) -> Replacement | None:
        """Prepare to replace the image at a place; ``None`` where there are no files."""
        found = find_beside(place)
        if found is None:
            return None
        kind = PackedReplacement if place.in_archive else cls
        return kind(Target(place.store, place.path, place.given, place.base, zarr_format), *found)

    def remember(self) -> None:
        """Store what is to be replaced, where that is needed to notice a change of it."""

    def new_image(self, run: str) -> Place:
        """Place of the new image, before it takes its own."""
        return Place(LocalStore(self._staged(run)), given=self.final.given)

    def _staged(self, run: str) -> Path:
        return self.directory.with_name(self.home.path) / f"{run}-image"

    def is_swapped(self, witness: str) -> bool:
        """Tell whether the new image, which holds ``witness``, has taken the place of the old one."""
        return Path(self.directory, witness).exists()

    def check_known(self) -> None:
        """Refuse to replace an image that has got labels meanwhile.

        Raises
        ------
        StoreExistsError
            Names them.
        """
        images, labels = images_below(self.final)
        added = sorted({*images, *labels} - {*self.known})
        if added:
            raise StoreExistsError(
                f"{self.final} has got {', '.join(map(repr, added))} since the write that replaces it began, and is as "
                f"it was: resume=True with mode='w' and delete_labels=True deletes them"
            )

    def swap(self, run: str) -> None:
        """Put the new image in the place of the old one, at once where the system can; both stay until then.

        Where it cannot, nothing is at that place for a moment; what a kill leaves then is completed by resuming.
        """
        staged = self._staged(run)
        if not os.path.lexists(self.directory):
            staged.rename(self.directory)
        else:
            if self.directory.is_dir() and not self.directory.is_symlink():
                shutil.copystat(self.directory, staged)
            if not exchange_paths(staged, self.directory):
                self.directory.rename(staged.with_name(f"{run}-old"))
                staged.rename(self.directory)
        sync_directory(self.directory.parent)


@dataclass(frozen=True)
class PackedReplacement(Replacement):
    """A zip file, new or in the place of another: its image is written beside it, and packed at the end."""

    @property
    def _folder(self) -> Path:
        return self.directory.with_name(self.home.path)

    def remember(self) -> None:
        """Store the state of the zip file that is there, unless a run before did."""
        record = self._folder / _REPLACED
        if not record.exists():
            record.write_text(_state(self.directory))

    def is_swapped(self, witness: str) -> bool:
        """Tell whether the new zip file has taken its place; the ``witness`` is for what is not packed."""
        record = self._folder / _PACKED
        return record.exists() and record.read_text() == _state(self.directory) != ""

    def check_known(self) -> None:
        """Refuse to replace a zip file that another has written meanwhile.

        Raises
        ------
        StoreExistsError
            Says so.
        """
        record = self._folder / _REPLACED
        if _state(self.directory) not in ("", record.read_text() if record.exists() else ""):
            raise StoreExistsError(
                f"{self.final} has been written by another since this write began, and is as it was: move it elsewhere,"
                f" and resume=True packs the image of this write"
            )

    def swap(self, run: str) -> None:
        """Pack the new image, and put the zip file in the place of the old one, at once."""
        staged, packed = self._staged(run), self._folder / f"{run}.zip"
        attributes = Place(LocalStore(staged)).open_group().attrs.asdict()
        pack_directory(staged, packed, specification_of(attributes))
        if self.directory.exists():
            shutil.copymode(self.directory, packed)
        (self._folder / _PACKED).write_text(_state(packed))
        self.check_known()
        packed.replace(self.directory)
        sync_directory(self.directory.parent)


def _state(path: Path) -> str:
    """State of a file, the same under another name; empty if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def find_beside(place: Place) -> tuple[Place, Path] | None:
    """Folder for an image that replaces the one at ``place``, and the directory of that; ``None`` without files."""
    store = place.store
    if isinstance(store, ArchiveStore):
        if store.path is None:
            return None
        root = store.path
    elif isinstance(store, LocalStore):
        root = store.root
    elif isinstance(store, FsspecStore) and place.directory is not None:
        root = place.directory
        for _ in Path(place.path).parts:
            root = root.parent
    else:
        return None
    directory = Path(root, place.path)
    if not place.group:  # what the user gave may be a link, and is followed
        directory = directory.resolve()
    if not directory.name:
        return None
    return Place(LocalStore(directory.parent), f".{directory.name}{LEDGER}", place.given), directory


def why_not_beside(place: Place) -> str:
    """Say why nothing can be written beside a place of local files, to be exchanged with it; empty if it can."""
    found = find_beside(place)
    if found is None:
        return f"{place} has no directory above" if isinstance(place.store, LocalStore) else ""
    directory = found[1]
    parent = directory.parent
    if _works_in(directory):
        return f"the working directory of this process lies in {directory}, and would be deleted with the old image"
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"the directory above, {parent}, cannot be written to"
    if directory.is_mount() or (directory.exists() and parent.stat().st_dev != directory.lstat().st_dev):
        return f"{directory} is a file system of its own"
    return ""


def _works_in(directory: Path) -> bool:
    """Tell whether a directory is the working directory, or holds it."""
    try:
        return Path.cwd().is_relative_to(directory.resolve())
    except FileNotFoundError:  # it has been deleted
        return False
