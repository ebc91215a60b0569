"""The ledger of one write, in its store."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import LocalStore, MemoryStore

from msi_lazy.compat.zarr_stores import store_buffers
from msi_lazy.storage.ledger import (
    BLOCKS,
    LEASE,
    LEDGER,
    LedgerDocument,
    child_names,
)
from msi_lazy.storage.mark_files import ask_for_marks, read_marks
from msi_lazy.storage.partial_files import remove_partial_files
from msi_lazy.storage.spill_folder import note_folder, remove_directory, remove_noted, spill_folder
from msi_lazy.storage.stored_units import sizes_differ
from msi_lazy.storage.target import Target, consolidate_above

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.storage.lease import Lease
    from msi_lazy.storage.ledger import State
    from msi_lazy.storage.place import Place
    from msi_lazy.storage.replacement import Replacement
    from msi_lazy.storage.stored_units import StoredUnits

__all__ = ["StoredLedger", "Witness"]


@dataclass(frozen=True)
class Witness:
    """A key that exists in no other place: by it a group is recognised, under whatever name it is seen."""

    target: Target
    """Group that it lies in, or below."""
    name: str
    """Part of the key that no other has."""

    @property
    def key(self) -> str:
        """Key below a group that has it."""
        return f"{LEDGER}/{self.name}/zarr.json"

    def store(self, path: str = "") -> None:
        """Store it below ``path`` in the group."""
        where = self.target.child("/".join(filter(None, (path, LEDGER, self.name))))
        _store(where, mark_array_document(1, {}))

    def remove(self, path: str = "") -> None:
        """Remove it below ``path``, and nothing of a ledger that another write may have there."""
        ledger = "/".join(filter(None, (path, LEDGER)))
        self.target.delete(f"{ledger}/{self.name}")
        if not child_names(self.target, ledger):
            self.target.delete(ledger)


@dataclass(frozen=True)
class StoredLedger:
    """Ledger of one write."""

    target: Target
    """Group that the image is written to."""
    run: str
    """Identity of this write, resumed or not, among those at the same place."""
    lease: Lease
    """Right of this write to store at its target."""
    resumed: bool = False
    """Whether an earlier run may have stored blocks."""
    replacement: Replacement | None = None
    """The image that this one takes the place of at the end; ``None`` if it is written in its own place."""
    folder: str = LEDGER
    """Name of the ledger's folder in the image's group, if it is there."""
    durable: bool = True
    """Whether what is marked, and the image in the end, is on disk; else the operating system takes its time."""

    @property
    def image(self) -> Target:
        """Group that the image has in the end."""
        return self.target if self.replacement is None else self.replacement.final

    @property
    def home(self) -> Place:
        """Folder of the ledger: in the image's group, or beside the one that is replaced."""
        return self.target.child(self.folder) if self.replacement is None else self.replacement.home

    @property
    def marks(self) -> Place:
        """Array of the marks."""
        return self.home.child(self.run)

    @property
    def witness(self) -> Witness:
        """Key by which the new image is recognised when it has taken the place of the old one."""
        return Witness(self.image, self.run)

    def below_ledger(self, name: str, directory: Path | None = None) -> StoredLedger:
        """Ledger of what is stored in this one's folder until the write ends; or in ``directory``, which is noted."""
        home = self.home
        target = Target(home.store, home.path, home.given, home.base)
        if directory is not None:
            note_folder(home, self.run, directory)
            target = spill_folder(directory, self.run)
        return replace(self, target=target, run=f"{self.run}-{name}", replacement=None, folder="")

    def begin(self, fingerprint: Mapping[str, Any], blocks: int, state: State, nested: Sequence[str] = ()) -> None:
        """Store a ledger in which none of ``blocks`` is marked; arguments as in :class:`LedgerDocument`."""
        attributes = LedgerDocument(state, self.run, tuple(nested), dict(fingerprint)).to_attributes()
        if state == "storing":
            kept = {BLOCKS, LEASE, *([] if self.replacement is None else [f"{self.run}-image"])}
            for name in child_names(self.home):
                if name not in kept:
                    _remove_child(self.home, name)
        _store(self.home.child(BLOCKS), mark_array_document(blocks, attributes))
        self.create_marks(blocks)

    def create_marks(self, blocks: int) -> None:
        """Store the metadata of the array of the marks: some stores take no chunks without."""
        if isinstance(self.marks.store, LocalStore):
            Path(self.marks.store.root, self.marks.path, "c").mkdir(parents=True, exist_ok=True)
            ask_for_marks(self.marks, asked=False)  # as a write did that was killed at its end
        _store(self.marks, mark_array_document(blocks, {}))

    def path_below(self, path: str) -> str:
        """Path below the image's group of what is at ``path`` in its store."""
        return path[len(self.target.path) :].strip("/")

    def marked(self, known: Mapping[str, zarr.Array[Any]] | None = None) -> frozenset[int]:
        """Numbers of the blocks that an earlier run stored, and whose files have the sizes that they had then.

        ``known`` are levels that are open already, by their paths.
        """
        if not self.resumed:
            return frozenset()
        arrays: dict[str, zarr.Array[Any] | None] = {**(known or {})}
        found = set()
        for number, stored in read_marks(self.marks):
            for path in {level.path for level in stored or ()} - arrays.keys():
                arrays[path] = self._level(path)
            if stored is None or all(_is_there(arrays[level.path], level) for level in stored):
                found.add(number)
        return frozenset(found)

    def _level(self, path: str) -> zarr.Array[Any] | None:
        """Open the level at a path that a mark names, if there is one."""
        try:
            return self.target.child(path).open_array()
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def remove_partial_files(self) -> None:
        """Remove partial local files of a killed run, once all blocks are stored and the image is in no other place."""
        if self.resumed and self.target.directory is not None:
            remove_partial_files(self.target.directory)

    def remove_swapped(self) -> None:
        """Remove the ledger, and what the new image is recognised by, once that has its own place."""
        self.remove()
        if not self.image.in_archive:
            self.witness.remove()
            consolidate_above(self.image)

    def remove(self) -> None:
        """Remove the ledger: its marks first, so that a remaining part of it means that all blocks are stored again.

        Its document goes when nothing else is left but the lease, which is last, as another write may have it then.
        """
        if self.run:  # a broken ledger names none
            _remove_child(self.home, self.run)
        for name in child_names(self.home):
            if name not in (BLOCKS, LEASE):
                _remove_child(self.home, name)
        _remove_child(self.home, BLOCKS)
        self.lease.remove()
        if self.home.directory is not None:
            with suppress(OSError):  # not empty: another write has begun
                self.home.directory.rmdir()


def _is_there(array: zarr.Array[Any] | None, stored: StoredUnits) -> bool:
    """Tell whether a level has what a mark says that it has."""
    return array is not None and not sizes_differ(array, stored)


def _remove_child(home: Place, name: str) -> None:
    """Remove what is in the folder of a ledger: also files that are no keys of Zarr's, and of a link the link.

    What a note tells of goes with it.
    """
    remove_noted(home, name)
    if not isinstance(home.store, LocalStore):
        home.delete(name)
        return
    path = Path(home.store.root, home.path, name)
    if path.is_dir() and not path.is_symlink():
        remove_directory(path)
    else:
        path.unlink(missing_ok=True)


def _store(place: Place, document: Any) -> None:
    store_buffers(place.store, {f"{place.path}/zarr.json": document}, len)


def mark_array_document(blocks: int, attributes: dict[str, Any]) -> Any:
    """Metadata of an array with a byte for each block."""
    documents: dict[str, Any] = {}
    zarr.create_array(
        MemoryStore(documents),
        shape=(blocks,),
        chunks=(1,),
        dtype="uint8",
        compressors=None,
        fill_value=0,
        attributes=attributes,
    )
    return documents["zarr.json"]
