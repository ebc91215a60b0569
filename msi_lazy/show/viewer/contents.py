"""The files of a store, for a server: any store that zarr can read, and nothing outside of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, WrapperStore, ZipStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.abc.store import Store

__all__ = ["Contents", "is_plain_key"]


@dataclass(frozen=True)
class Contents:
    """What a store holds, by key."""

    store: Store
    """A directory, memory, a zip file, an object store, ..."""

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Contents:
        """``files`` in memory."""
        buffer = default_buffer_prototype().buffer
        return cls(MemoryStore({key: buffer.from_bytes(content) for key, content in files.items()}))

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
        folder = _folder_of(self.store)
        if folder is None:
            return not set(key) & set("%?#")  # a remote file system would decode them, and go up by what they hide
        try:
            root = folder.resolve()
            path = (root / key).resolve()
            return path.is_relative_to(root) and path.is_file()
        except (OSError, RuntimeError):  # a name that is too long; links in a circle
            return False


def _folder_of(store: Any) -> Path | None:
    """Directory of this machine that a store shows, through whatever it is wrapped in; ``None`` if it is none."""
    if isinstance(store, LocalStore):
        return Path(store.root)
    if isinstance(store, WrapperStore):
        return _folder_of(store._store)
    if isinstance(store, ObjectStore):  # obstore's local store has a Path, the others text
        prefix = getattr(store.store, "prefix", None)
        return prefix if isinstance(prefix, Path) else None
    if not isinstance(store, FsspecStore):
        return None
    system, path = store.fs, store.path
    while (inner := getattr(system, "sync_fs", None) or getattr(system, "fs", None)) is not None:
        if inner is not system and (below := getattr(system, "path", None)):  # fsspec's DirFileSystem
            path = f"{below}/{path}"
        system = inner
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    return Path(path) if set(protocols) & {"file", "local"} else None


def is_plain_key(key: str) -> bool:
    """Whether a key goes down only, from the root of a store.

    Examples
    --------
    >>> is_plain_key("scale0/image/c/0/0"), is_plain_key("../secret"), is_plain_key("/etc/passwd"), is_plain_key("")
    (True, False, False, False)
    """
    return not any(part in ("", ".", "..") or set(part) & set("\\\0") for part in key.split("/"))
