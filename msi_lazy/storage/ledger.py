"""The ledger of a write: the blocks that are stored, kept with the data until the image is complete.

The marks are those of a Zarr array of one byte per block in chunks of one, so that each is a key of its own: nothing
is shared, and nothing locked.  The attributes of another array hold the fingerprint of the write.  Both go when the
image's attributes have been written, as the last act; while they are there, and the attributes are not, the image is
incomplete.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import zarr
from zarr.storage import LocalStore, MemoryStore

from msi_lazy.compat.zarr_stores import (
    delete_directory,
    delete_key,
    key_exists,
    list_names,
    store_buffers,
    store_bytes,
)
from msi_lazy.storage.target import ZARR_DOCUMENTS, quietly

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from msi_lazy.storage.place import Place
    from msi_lazy.storage.target import Target

__all__ = [
    "LEDGER",
    "LEDGER_ARRAY",
    "LEDGER_FORMAT",
    "LedgerDocument",
    "StoredLedger",
    "child_names",
    "empty_group",
    "is_partial",
    "nested_groups",
    "remove_partial_files",
]

LEDGER = ".msi_lazy-unfinished"
"""Path of the ledger below the image's group; no node itself, so that consolidated metadata do not list it."""
LEDGER_ARRAY = f"{LEDGER}/blocks"
"""Path of the array that stands for it: its attributes say what is written; the marks lie next to it."""
_PARTIAL = ".partial"
"""How zarr-python ends the names of local files that are being written."""
_PARTIAL_NAME = re.compile(rf".+\.[0-9a-f]{{32}}\{_PARTIAL}")
_MARK = b"\1"
State = Literal["clearing", "storing"]
"""What the write was at: emptying the group, or storing the image."""


LEDGER_FORMAT = 1
"""Number of the document's format, raised when an older release could no longer resume by it; 0.1.0 wrote none."""


@dataclass(frozen=True)
class LedgerDocument:
    """Contents of a stored ledger; without a run if it is broken, or of another format."""

    state: str = ""
    """State of the write, see :data:`State`."""
    run: str = ""
    """Name of the marks."""
    nested: tuple[str, ...] = ()
    """Groups below the image's that are to be emptied, while the group is."""
    fingerprint: Any = None
    """Fingerprint of the write, as plain JSON values."""
    format: Any = LEDGER_FORMAT
    """Number of the format."""

    def to_attributes(self) -> dict[str, Any]:
        """Attributes of the array that stands for the ledger."""
        return {**asdict(self), "nested": list(self.nested)}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> LedgerDocument:
        """Parse the attributes of a stored ledger.

        Its paths are deleted, so one that leads out of the image is not ours.
        """
        if attributes.get("format", LEDGER_FORMAT) != LEDGER_FORMAT:
            return cls(format=attributes["format"])
        run, nested = attributes.get("run"), attributes.get("nested")
        if not isinstance(run, str) or re.fullmatch("[0-9a-f]{32}", run) is None or not isinstance(nested, list):
            return cls()
        if any(not isinstance(path, str) or {"", ".", ".."} & set(path.split("/")) for path in nested):
            return cls()
        return cls(str(attributes.get("state")), run, tuple(nested), attributes.get("fingerprint"))


@dataclass(frozen=True)
class StoredLedger:
    """The ledger of one write."""

    target: Target
    """Group of the image."""
    run: str
    """What tells the marks of this write, resumed or not, from those of any other at the same place."""
    resumed: bool = False
    """Whether an earlier run may have stored some of it."""

    @property
    def marks(self) -> str:
        """Path of the marks in the store."""
        return self.target.below(f"{LEDGER}/{self.run}")

    @property
    def witness(self) -> str:
        """Key below the group that this write's ledger holds from its beginning, and nothing else ever did."""
        return f"{LEDGER}/{self.run}/zarr.json"

    def lay_witness(self, path: str = "") -> None:
        """Store that key below ``path`` in the group, too."""
        self._store("/".join(filter(None, (self.target.below(path), LEDGER, self.run))), _array_document(1, {}))

    def begin(self, fingerprint: Mapping[str, Any], blocks: int, state: State, nested: Sequence[str] = ()) -> None:
        """Store the fingerprint, and say that the write is at ``state``; no block is marked then.

        Parameters
        ----------
        fingerprint
            What the write is bound to.
        blocks
            How many there are to mark.
        state
            What it is at.
        nested
            Groups below the image's that are to be emptied.
        """
        attributes = LedgerDocument(state, self.run, tuple(nested), dict(fingerprint)).to_attributes()
        if state == "storing":
            for name in child_names(self.target, LEDGER):
                if f"{LEDGER}/{name}" != LEDGER_ARRAY:
                    delete_directory(self.target.store, self.target.below(f"{LEDGER}/{name}"))
        self._store(self.target.below(LEDGER_ARRAY), _array_document(blocks, attributes))
        self.hold_marks(blocks)

    def hold_marks(self, blocks: int) -> None:
        """Store the metadata of the array that the marks belong to, for stores that hold nothing else."""
        if isinstance(self.target.store, LocalStore):
            (self.target.store.root / self.marks / "c").mkdir(parents=True, exist_ok=True)
        self._store(self.marks, _array_document(blocks, {}))

    def _store(self, path: str, document: Any) -> None:
        """Store the metadata document of an array."""
        store_buffers(self.target.store, {f"{path}/zarr.json": document}, len)

    def mark(self, number: int) -> None:
        """Note that all chunks of block ``number`` are stored."""
        store, key = self.target.store, f"{self.marks}/c/{number}"
        if isinstance(store, LocalStore):  # at once, where zarr would wait for its own thread among busy ones
            (store.root / key).write_bytes(_MARK)
        else:
            store_bytes(store, key, _MARK)

    def marked(self) -> frozenset[int]:
        """Numbers of the blocks that an earlier run has marked."""
        if not self.resumed:
            return frozenset()
        names = child_names(self.target, f"{LEDGER}/{self.run}/c")
        return frozenset(int(name) for name in names if name.isdigit())  # not what a kill left half written

    def remove(self) -> None:
        """Remove the ledger: its marks first, so that what is left of it says that all is to be stored again.

        What a killed run left of local files goes before it, and not before all is stored: another process may still
        be writing, against all advice.
        """
        if self.resumed and self.target.directory is not None:
            remove_partial_files(self.target.directory)
        self.target.delete(f"{LEDGER}/{self.run}")
        delete_key(self.target.store, f"{self.target.below(LEDGER_ARRAY)}/zarr.json")
        self.target.delete(LEDGER)


def _array_document(blocks: int, attributes: dict[str, Any]) -> Any:
    """Metadata of an array with a byte for each block."""
    made: dict[str, Any] = {}
    zarr.create_array(
        MemoryStore(made),
        shape=(blocks,),
        chunks=(1,),
        dtype="uint8",
        compressors=None,
        fill_value=0,
        attributes=attributes,
    )
    return made["zarr.json"]


def child_names(place: Place, path: str = "") -> list[str]:
    """Names of what is directly below ``path`` in a place."""
    return list_names(place.store, place.below(path))


def nested_groups(target: Target) -> list[str]:
    """Paths of all groups below a target's, which may be images of their own."""
    try:
        with quietly():
            members = target.open_group().members(max_depth=None)
            return [path for path, node in members if isinstance(node, zarr.Group)]
    except Exception:  # what is half deleted, or broken, is no image any more
        return []


def empty_group(target: Target, nested: Sequence[str] = ()) -> None:
    """Delete all in a group but the ledger.

    The metadata of the group itself, and of those ``nested`` in it, go first, so that nothing that is half deleted
    opens as an image.
    """
    for path in ("", *nested):
        for document in ZARR_DOCUMENTS:
            delete_key(target.store, target.below("/".join(filter(None, (path, document)))))
    for name in child_names(target):
        if name != LEDGER:
            _delete(target, name)


def _delete(target: Target, name: str) -> None:
    """Delete ``name`` in a group, and all below it; of a link the link, and not what it leads to."""
    path = None if target.directory is None else target.directory / name
    if path is not None and path.is_symlink():
        path.unlink()
        return
    if path is None or path.is_dir():
        target.delete(name)
    if key_exists(target.store, target.below(name)):
        delete_key(target.store, target.below(name))


def remove_partial_files(directory: Path) -> None:
    """Remove what a kill left of local files that zarr-python was writing."""
    for path in directory.rglob(f"*{_PARTIAL}"):
        if is_partial(path):
            path.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Whether a path is that of a file that zarr-python was writing, by its name."""
    return _PARTIAL_NAME.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()
