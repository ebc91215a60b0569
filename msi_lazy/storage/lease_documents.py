"""Documents of leases: files of a local store, and keys of any other."""

from __future__ import annotations

import json
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Self

from zarr.storage import MemoryStore

from msi_lazy.compat.directory_lock import locked_directory
from msi_lazy.compat.zarr_stores import create_key, delete_key, read_key, store_bytes
from msi_lazy.errors import StoreExistsError
from msi_lazy.storage.partial_files import partial_name
from msi_lazy.storage.place import Place
from msi_lazy.storage.writer_process import WriterProcess

if TYPE_CHECKING:
    from zarr.abc.store import Store

__all__ = ["LeaseContents", "LeaseFile", "LeaseKey", "document_at"]

_LONGEST = 4096
"""Most bytes of a document; a longer one is none."""
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""A link, or a pipe, in the place of a lease is not one."""
_SETTLING = 0.2
"""Seconds after which the last of several that took a lease, without a lock, is the one that has it."""
_TAKING = Lock()
"""Held while a thread of this process takes a key."""


@dataclass(frozen=True)
class LeaseContents:
    """Contents of a lease; without a token where the document is broken."""

    token: str = ""
    """Identity of the write that has the target."""
    owner: WriterProcess | None = None
    """Process that computes it; ``None`` between two runs, and where tasks are computed by the user."""
    beat: int = 0
    """Number that the owner raises while it runs."""

    def to_bytes(self) -> bytes:
        """Encode it; the token comes first, so that it is found without parsing."""
        owner = None if self.owner is None else self.owner.to_json()
        return json.dumps({"token": self.token, "beat": self.beat, "owner": owner}).encode()

    @classmethod
    def parse(cls, content: bytes | None) -> Self:
        """Parse a document; one that is torn, foreign or hostile has no owner."""
        if content is None or len(content) > _LONGEST:
            return cls()
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return cls()
        document = document if isinstance(document, dict) else {}
        token, beat = document.get("token"), document.get("beat")
        if not isinstance(token, str) or type(beat) is not int:
            return cls()
        return cls(token, WriterProcess.parse(document.get("owner")), beat)

    @staticmethod
    def begins(content: bytes | None, token: str) -> bool:
        """Tell whether a document is that of a token, even while its owner is being written."""
        return content is not None and content.startswith(f'{{"token": "{token}"'.encode())


@dataclass(frozen=True)
class LeaseFile:
    """Document in a file; read and written directly, as zarr would wait for its own thread among busy ones."""

    path: str
    """Path of the file."""
    trusted: ClassVar[float] = 0.0
    """Seconds for which what was read is believed."""

    def read(self, most: int = _LONGEST + 1) -> bytes | None:
        """Read the document; ``None`` if there is none, and nothing of what is no file."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            if Path(self.path).is_symlink():
                return b""
            raise
        try:
            return os.read(descriptor, most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
        finally:
            os.close(descriptor)

    def holds(self, token: str) -> bool:
        """Tell whether the document is that of a token."""
        return LeaseContents.begins(self.read(64), token)

    def take(self, seen: bytes | None, contents: LeaseContents) -> bool:
        """Put ``contents`` in the place of what was ``seen``; tell whether no other did so first.

        The old file is renamed, which one of several can do, and its successor appears whole under its name.  Where
        the system has no locks, another may have the new file aside for a moment, so that a third finds none: the
        last one then has it.
        """
        folder = Path(self.path).parent
        if folder.is_symlink():
            raise StoreExistsError(f"{folder} is a symbolic link, and nothing is stored where it leads; remove it")
        folder.mkdir(parents=True, exist_ok=True)
        own, aside = (partial_name(self.path) for _ in range(2))
        try:
            with locked_directory(folder) as locked:
                Path(own).write_bytes(contents.to_bytes())
                if self.read() != seen or (seen is not None and not self._put_aside(aside, seen)):
                    return False
                if not self._put(own):
                    return False
            if not locked:
                time.sleep(_SETTLING)
            return self.holds(contents.token)
        except FileNotFoundError:  # another write has just removed the folder
            return False
        finally:
            for path in (own, aside):
                with suppress(OSError):
                    os.unlink(path)

    def _put_aside(self, aside: str, seen: bytes) -> bool:
        """Rename the old file; without locks it may be another's new one, which is put back."""
        os.rename(self.path, aside)
        if LeaseFile(aside).read() == seen:
            return True
        with suppress(OSError):
            os.link(aside, self.path)
        return False

    def _put(self, own: str) -> bool:
        """Give the new file its name, unless there is one of this name."""
        try:
            os.link(own, self.path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _FLAGS))
                os.replace(own, self.path)
                return True
            return False
        return True

    def rewrite(self, contents: LeaseContents) -> bool:
        """Write new contents of the same token; tell whether it still has the document.

        They are written into the open file: if another takes over meanwhile, that file is no longer the lease.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            old = os.read(descriptor, _LONGEST)
            if not LeaseContents.begins(old, contents.token):
                return False
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, contents.to_bytes().ljust(len(old)))
            return True
        finally:
            os.close(descriptor)

    def remove(self, token: str) -> None:
        """Remove the document, if it is that of the token."""
        with suppress(FileNotFoundError), locked_directory(Path(self.path).parent):
            if self.holds(token):
                os.unlink(self.path)


@dataclass(frozen=True)
class LeaseKey:
    """Document in the attributes of a hidden group, as some stores take no other keys than those of Zarr.

    Weaker than a file: what is read is believed for some seconds, and stores of fsspec create no key atomically.
    """

    store: Store
    """Store of the target."""
    key: str
    """Key of the group's metadata."""
    trusted: ClassVar[float] = 5.0
    """Seconds for which what was read is believed."""

    def read(self) -> bytes | None:
        """Read the document; ``None`` if there is none."""
        content = read_key(self.store, self.key)
        if content is None:
            return None
        return content.removeprefix(_BEFORE).removesuffix(_AFTER)

    def holds(self, token: str) -> bool:
        """Tell whether the document is that of a token."""
        return LeaseContents.begins(self.read(), token)

    def take(self, seen: bytes | None, contents: LeaseContents) -> bool:
        """Put ``contents`` in the place of what was ``seen``; tell whether no other did so first, or since."""
        content = _BEFORE + contents.to_bytes() + _AFTER
        with _TAKING:
            if seen is None:
                create_key(self.store, self.key, content)
            elif self.read() == seen:
                store_bytes(self.store, self.key, content)
        if self.holds(contents.token) and not isinstance(self.store, MemoryStore):
            time.sleep(_SETTLING)
        return self.holds(contents.token)

    def rewrite(self, contents: LeaseContents) -> bool:
        """Write new contents of the same token; tell whether it still has the document."""
        if not self.holds(contents.token):
            return False
        store_bytes(self.store, self.key, _BEFORE + contents.to_bytes() + _AFTER)
        return True

    def remove(self, token: str) -> None:
        """Remove the document, if it is that of the token."""
        if self.holds(token):
            delete_key(self.store, self.key)


_BEFORE = b'{"zarr_format": 3, "node_type": "group", "attributes": {"lease": '
_AFTER = b"}}"


def document_at(place: Place, folder: str) -> Any:
    """Document of the lease in a folder of a place's store: :class:`LeaseFile` or :class:`LeaseKey`."""
    above, _, name = folder.rpartition("/")
    directory = Place(place.store, above).directory
    if directory is not None:
        return LeaseFile(str(directory / name / "lease"))
    return LeaseKey(place.store, f"{folder}/lease/zarr.json".lstrip("/"))
