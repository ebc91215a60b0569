"""Replacing an image of local files: the new one is written beside the old one, and takes its place when it is whole.

::

    plate.zarr/
      A/                                the image that is replaced, as it was until the end
      .A.msi_lazy-unfinished/           no node of Zarr's: the ledger of the write
        blocks, <run>/                  its document, and its marks
        <run>-image/                    the new image; after the exchange, the old one until it is deleted
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
from msi_lazy.storage.ledger import LEDGER
from msi_lazy.storage.place import Place
from msi_lazy.storage.target import Target, images_below

if TYPE_CHECKING:
    from msi_lazy.storage.place import ZarrFormat

__all__ = ["Replace", "Replacement", "find_beside", "why_not_beside"]

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
        return cls(Target(place.store, place.path, place.given, place.base, zarr_format), *found)

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


def find_beside(place: Place) -> tuple[Place, Path] | None:
    """Folder for an image that replaces the one at ``place``, and the directory of that; ``None`` without files."""
    store = place.store
    if isinstance(store, LocalStore):
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
