"""The ledger of a write: the blocks that are stored, kept with the data until the image is complete.

The marks are those of a Zarr array of one byte per block in chunks of one, so that each has a key of its own, and
nothing is locked.  The attributes of another array hold the fingerprint of the write.  Both are removed last of all,
after the image's attributes have been written: an image with a ledger is incomplete.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import zarr

from msi_lazy.compat.zarr_stores import (
    delete_key,
    key_exists,
    list_names,
)
from msi_lazy.storage.links import behind_link, remove_link
from msi_lazy.storage.nodes_below import nodes_below
from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.storage.place import Place
    from msi_lazy.storage.target import Target

__all__ = [
    "BLOCKS",
    "LEASE",
    "LEDGER",
    "LEDGER_ARRAY",
    "LEDGER_FORMAT",
    "LEVELS_LEDGER",
    "UPGRADE_NOTE",
    "LedgerDocument",
    "child_names",
    "empty_group",
    "nested_groups",
]

LEDGER = ".msi_lazy-unfinished"
"""Path of the ledger below the image's group; no node itself, so that consolidated metadata do not list it."""
LEVELS_LEDGER = f"{LEDGER}-levels"
"""The same for levels that are added to an image, which stays whole."""
UPGRADE_NOTE = f"{LEDGER}-upgrade"
"""Key below the target of an upgrade that has not finished: what it is, and documents that it replaces."""
BLOCKS, LEASE = "blocks", "lease"
"""Names in the folder of the ledger: of its document, and of the lease of who writes."""
LEDGER_ARRAY = f"{LEDGER}/{BLOCKS}"
"""Path of the array whose attributes are the ledger's document; the marks lie next to it."""
State = Literal["clearing", "storing"]
"""State of a write: emptying the group, or storing the image."""


LEDGER_FORMAT = 1
"""Number of the document's format, raised when older releases cannot resume from it any more; 0.1.0 wrote none."""


@dataclass(frozen=True)
class LedgerDocument:
    """Contents of a stored ledger; without a run if it is broken, or of another format."""

    state: str = ""
    """State of the write, see :data:`State`."""
    run: str = ""
    """Name of the marks."""
    nested: tuple[str, ...] = ()
    """Groups below the image's that are emptied with it; of an image that is replaced, its images and labels."""
    fingerprint: Any = None
    """Fingerprint of the write, as plain JSON values."""
    format: Any = LEDGER_FORMAT
    """Number of the format."""

    @property
    def what(self) -> str:
        """What is written, for messages."""
        return "plate" if isinstance(self.fingerprint, dict) and "plate" in self.fingerprint else "image"

    @property
    def resuming(self) -> str:
        """Call that resumes the write, for messages."""
        return "write_plate(..., resume=True)" if self.what == "plate" else "to_zarr(..., resume=True)"

    def to_attributes(self) -> dict[str, Any]:
        """Attributes of the array that stands for the ledger."""
        return {**asdict(self), "nested": list(self.nested)}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> LedgerDocument:
        """Parse the attributes of a stored ledger; its paths are deleted, so one that leaves the image breaks it."""
        if attributes.get("format", LEDGER_FORMAT) != LEDGER_FORMAT:
            return cls(format=attributes["format"])
        run, nested = attributes.get("run"), attributes.get("nested")
        if not isinstance(run, str) or re.fullmatch("[0-9a-f]{32}", run) is None or not isinstance(nested, list):
            return cls()
        if not all(isinstance(path, str) and _is_plain_path(path) for path in nested):
            return cls()
        state, fingerprint = attributes.get("state"), attributes.get("fingerprint")
        if state not in get_args(State) or not isinstance(fingerprint, dict):
            return cls()
        return cls(str(state), run, tuple(nested), fingerprint)


def _is_plain_path(path: str) -> bool:
    """Tell whether a path goes down only, from a group."""
    return not set(path) & set("\\\0") and not {"", ".", ".."} & set(path.split("/"))


def child_names(place: Place, path: str = "") -> list[str]:
    """Names directly below ``path`` in a place."""
    return list_names(place.store, place.below(path))


def nested_groups(target: Target) -> list[str]:
    """Paths of all groups below a target, which may be images of their own."""
    return [path for path, node in nodes_below(target).items() if isinstance(node, zarr.Group)]


def empty_group(target: Target, nested: Sequence[str] = ()) -> None:
    """Delete everything in a group except the ledger.

    The metadata of the group and of those ``nested`` in it go first, so that nothing half deleted opens as an image.
    """
    for path in ("", *(path for path in nested if not behind_link(target.store, target.below(path)))):
        for document in ZARR_DOCUMENTS:
            delete_key(target.store, target.below("/".join(filter(None, (path, document)))))
    for name in child_names(target):
        if name != LEDGER:
            _delete(target, name)


def _delete(target: Target, name: str) -> None:
    """Delete ``name`` in a group, and everything below it; of a symbolic link only the link."""
    if remove_link(target.store, target.below(name)):
        return
    path = None if target.directory is None else target.directory / name
    if path is None or path.is_dir():
        target.delete(name)
    if key_exists(target.store, target.below(name)):
        delete_key(target.store, target.below(name))
