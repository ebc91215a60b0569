"""Files of a store, for a server: any store that zarr can read, and nothing outside of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zarr.abc.store import RangeByteRequest
from zarr.buffer import default_buffer_prototype
from zarr.storage import MemoryStore, ZipStore

from msi_lazy.storage.archive_store import ArchiveStore
from msi_lazy.storage.location import locate_store
from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.abc.store import Store

__all__ = ["Contents", "is_plain_key"]


@dataclass(frozen=True)
class Contents:
    """Contents of a store, by key; to be read on zarr's event loop."""

    store: Store
    """A directory, memory, a zip file, an object store, ..."""
    instead: Mapping[str, bytes] = field(default_factory=dict)
    """Documents to hand out in place of those that are stored, by key."""

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Contents:
        """Hold ``files`` in memory."""
        buffer = default_buffer_prototype().buffer
        return cls(MemoryStore({key: buffer.from_bytes(content) for key, content in files.items()}))

    async def size(self, key: str) -> int | None:
        """Count the bytes under ``key``; ``None`` if nothing is stored, or it is not a key of this store."""
        if key in self.instead:
            return len(self.instead[key])
        if await asyncio.to_thread(self._is_inside, key):
            with suppress(FileNotFoundError, KeyError):
                return await self.store.getsize(key)
        return None

    async def read(self, key: str, part: tuple[int, int] | None = None) -> bytes | None:
        """Read the bytes under ``key``, or a ``part`` of them; ``None`` as for :meth:`size`."""
        if key in self.instead:
            return self.instead[key][slice(*part or (None,))]
        if await asyncio.to_thread(self._is_inside, key):
            request = None if part is None else RangeByteRequest(*part)
            with suppress(FileNotFoundError, KeyError):
                found = await self.store.get(key, default_buffer_prototype(), request)
                return None if found is None else found.to_bytes()
        return None

    def _is_inside(self, key: str) -> bool:
        """Check that a key belongs to the store: a link may lead out of its directory."""
        if not is_plain_key(key):
            return False
        if isinstance(self.store, (ArchiveStore, MemoryStore, ZipStore)):  # keys are no paths
            return True
        location = locate_store(self.store)
        root = Path(location.path)  # also below wrappers: they follow links, too
        if location.scheme != "file" or root.is_file():  # an archive
            return not set(key) & set("%?#")  # a remote file system would decode them, perhaps to '..'
        try:
            path = (root / key).resolve()
            return path.is_relative_to(root) and path.is_file() and is_plain_key(path.relative_to(root).as_posix())
        except (OSError, RuntimeError):  # too long a name; a cycle of links
            return False


def is_plain_key(key: str) -> bool:
    """Check that a key goes down only, from the root of a store, and to nothing hidden but the documents of Zarr v2.

    Examples
    --------
    >>> is_plain_key("scale0/image/c/0/0"), is_plain_key("../secret"), is_plain_key("/etc/passwd"), is_plain_key("")
    (True, False, False, False)
    >>> is_plain_key("scale0/.zgroup"), is_plain_key(".git/config"), is_plain_key(".zarray/config")
    (True, False, False)
    """
    *folders, name = key.split("/")
    if name.startswith(".") and name not in ZARR_DOCUMENTS:
        return False
    return not any(part == "" or part.startswith(".") for part in folders) and name != "" and not set(key) & set("\\\0")
