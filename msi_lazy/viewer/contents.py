"""The files of a store, for a server: any store that zarr can read, and nothing outside of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, ZipStore

if TYPE_CHECKING:
    from zarr.abc.store import Store

__all__ = ["Contents", "is_plain_key"]


@dataclass(frozen=True)
class Contents:
    """What a store holds, by key."""

    store: Store
    """A directory, memory, a zip file, an object store, ..."""

    def size(self, key: str) -> int | None:
        """Bytes that are stored under ``key``; ``None`` if there are none, or it is not a key of this store."""
        if not self._is_inside(key):
            return None
        try:
            return sync(self.store.getsize(key))
        except (FileNotFoundError, KeyError):
            return None

    def read(self, key: str, part: tuple[int, int] | None = None) -> bytes | None:
        """What is stored under ``key``: all of it, or the bytes of ``part``; ``None`` as for :meth:`size`."""
        if not self._is_inside(key):
            return None
        request = None if part is None else RangeByteRequest(*part)
        try:
            found = sync(self.store.get(key, default_buffer_prototype(), request))
        except (FileNotFoundError, KeyError):
            return None
        return None if found is None else found.to_bytes()

    def _is_inside(self, key: str) -> bool:
        """Whether a file is where its key says; a link that leads out of the directory is none of the store's."""
        if not is_plain_key(key):
            return False
        if isinstance(self.store, (MemoryStore, ZipStore)):  # keys are what they say
            return True
        if not isinstance(self.store, LocalStore):
            return not set(key) & set("%?#")  # a remote file system would decode them, and go up by what they hide
        root = Path(self.store.root).resolve()
        try:
            path = (root / key).resolve()
            return path.is_relative_to(root) and path.is_file()
        except (OSError, RuntimeError):  # a name that is too long; links in a circle
            return False


def is_plain_key(key: str) -> bool:
    """Whether a key goes down only, from the root of a store.

    Examples
    --------
    >>> is_plain_key("scale0/image/c/0/0"), is_plain_key("../secret"), is_plain_key("/etc/passwd"), is_plain_key("")
    (True, False, False, False)
    """
    return not any(part in ("", ".", "..") or set(part) & set("\\\0") for part in key.split("/"))
