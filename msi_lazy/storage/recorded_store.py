"""Store that remembers the size and digest of what is stored in it, where reading it again would be dear."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import xxhash
import zarr
from zarr.storage import LocalStore, WrapperStore

from msi_lazy.compat.zarr_stores import wrapped_store

if TYPE_CHECKING:
    from zarr.abc.buffer import Buffer
    from zarr.abc.store import Store

__all__ = ["EMPTY", "RecordedStore", "digest_content", "recorded"]

EMPTY = (0, 0)
"""Size and digest of a write unit that is not stored, as it holds nothing but the fill value."""


def digest_content(content: bytes | None) -> tuple[int, int]:
    """Size and digest of the encoded content of a write unit, if it has any; see :data:`EMPTY`."""
    return EMPTY if content is None else (len(content), xxhash.xxh3_64_intdigest(content))


def recorded(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Open an array so that what is stored in it is remembered; of local files, that is read when it is asked for."""
    if isinstance(array.store, LocalStore):
        return array
    version = array.metadata.zarr_format
    again = zarr.open_array(RecordedStore(array.store), path=array.path, mode="r+", zarr_format=version)
    return again.with_config(array.config)


class RecordedStore(WrapperStore["Store"]):
    """Wrapper of a store; each process remembers what it stored itself, until that is taken."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._records: dict[str, tuple[int, int]] = {}
        self._lock = Lock()

    def __reduce__(self) -> Any:
        """Pickle the store, and nothing of what was stored."""
        return RecordedStore, (wrapped_store(self),)

    async def set(self, key: str, value: Buffer) -> None:
        """Store ``value`` under ``key``."""
        await super().set(key, value)
        self._record(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Store ``value`` under ``key``; of zarr 3.2."""
        newer: Any = super()
        newer.set_sync(key, value)
        self._record(key, value)

    def take(self, key: str) -> tuple[int, int]:
        """Size and digest of what was stored under ``key``, once; zeros if nothing was."""
        with self._lock:
            return self._records.pop(key, EMPTY)

    def _record(self, key: str, value: Buffer) -> None:
        entry = digest_content(value.to_bytes())
        with self._lock:
            self._records[key] = entry
