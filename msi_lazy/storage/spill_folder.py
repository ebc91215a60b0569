"""Where a write stores its source for a while: beside the target, or in a directory of the user's choice.

There it has a folder of its own.  A note in the write's ledger names the directory, so that whatever ends the write, or
starts it over, removes the folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import xxhash
from zarr.storage import LocalStore

from msi_lazy.compat.zarr_stores import read_key, store_bytes
from msi_lazy.storage.regular_files import RegularStore
from msi_lazy.storage.target import Target

if TYPE_CHECKING:
    import zarr

    from msi_lazy.storage.place import Place

__all__ = ["SpillChoice", "check_shared", "note_folder", "remove_directory", "remove_noted", "spill_folder"]

_NOTE = re.compile("([0-9a-f]{32})-spill-[0-9a-f]{16}")
"""Name of a note: identity of the write, and digest of the directory's path."""


@dataclass(frozen=True)
class SpillChoice:
    """Whether, and where, a write may store its source for a while."""

    allowed: bool = True
    """Whether it may."""
    directory: Path | None = None
    """Directory of the user's choice; ``None`` for the folder of the ledger, beside what is written."""

    @classmethod
    def parse(cls, spill: Any, place: Place) -> SpillChoice:
        """Check the argument ``spill`` of a write to ``place``.

        Raises
        ------
        TypeError, ValueError
            It is no directory, one that cannot be written to, or one inside the image.
        """
        if spill is None or spill is False:
            return cls(allowed=spill is None)
        if not isinstance(spill, (str, os.PathLike)) or isinstance(os.fspath(spill), bytes):
            raise TypeError(f"spill must be a directory, False or None, not {spill!r}")
        advice = "give a directory that exists, on a disk with room for the image; all workers must share it"
        directory, image = Path(spill).absolute(), place.directory
        if not os.fspath(spill) or "://" in os.fspath(spill) or not _is_directory(directory):
            raise ValueError(f"spill={str(spill)!r} is no directory of this machine; {advice}")
        if image is not None and image.resolve() in (directory.resolve(), *directory.resolve().parents):
            raise ValueError(f"spill={str(spill)!r} lies in the image that is written; {advice}")
        if not os.access(directory, os.W_OK):
            raise ValueError(f"spill={str(spill)!r} cannot be written to; {advice}")
        return cls(directory=directory)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except ValueError:  # a null character
        return False


def spill_folder(directory: Path, run: str) -> Target:
    """Folder in ``directory`` of the write ``run``."""
    return Target(RegularStore(directory), f"msi_lazy-spill-{run}", str(directory))


def note_folder(home: Place, run: str, directory: Path) -> None:
    """Note in the ledger at ``home`` that the write ``run`` has a folder in ``directory``."""
    name = f"{run}-spill-{xxhash.xxh3_64_hexdigest(str(directory).encode())}"
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"directory": str(directory)}}
    store_bytes(home.store, f"{home.below(name)}/zarr.json", json.dumps(document).encode())


def remove_noted(home: Place, name: str) -> None:
    """Remove the folder that the note ``name`` tells of, if it is one, and the folder is still there."""
    found = _NOTE.fullmatch(name)
    if found is None:
        return
    with suppress(ValueError, TypeError, KeyError):  # a torn note
        content = read_key(home.store, f"{home.below(name)}/zarr.json") or b""
        folder = Path(json.loads(content)["attributes"]["directory"], spill_folder(Path(), found[1]).path)
        if folder.is_dir() and not folder.is_symlink():
            remove_directory(folder)


def remove_directory(path: Path) -> None:
    """Remove a directory that others may still store in: they find it gone."""
    shutil.rmtree(path.rename(path.with_name(f"{path.name}-{uuid4().hex}")))


def check_shared(stored: zarr.Array[Any]) -> None:
    """Refuse an array of local files that this process does not see: what it lacks would be read as zeros.

    Raises
    ------
    FileNotFoundError
        It is not there.
    """
    store = stored.store
    if isinstance(store, LocalStore) and not Path(store.root, stored.path, "zarr.json").exists():
        raise FileNotFoundError(
            f"the folder in which the source is stored for a while, {Path(store.root, stored.path)}, is not there on "
            f"{os.uname().nodename}: all workers must share it; give spill='...', a directory that they do"
        )
