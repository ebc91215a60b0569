"""The manifest of a stored level: bytes and digest of each of its write units, as they were stored.

By it a chunk that is empty on purpose is told from one that was lost, and a changed one from what was written.  It lies
below the level's array, where Zarr looks for chunks only, as one key, so that other readers need not know it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from msi_lazy.compat.zarr_stores import read_key, store_bytes
from msi_lazy.storage.local_documents import store_locally, takes_files
from msi_lazy.storage.mark_files import read_marks
from msi_lazy.storage.shared_groups import locked_group
from msi_lazy.storage.store_errors import is_store_error, retried_read
from msi_lazy.storage.write_units import unit_grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from msi_lazy.storage.place import Place
    from msi_lazy.storage.stored_units import StoredUnits
    from msi_lazy.storage.target import Target

__all__ = ["MANIFEST", "UNKNOWN", "read_manifest", "refresh_manifest", "store_manifest"]

MANIFEST = ".msi_lazy-stored"
"""Key of the manifest, below the path of a level's array."""
UNKNOWN = 2**64 - 1
"""Bytes of a unit of which nothing is known."""
_LOGGER = logging.getLogger(__name__)
_MAGIC = b"msi_lazy stored 1\n"
"""First bytes; then, for each unit, its bytes and their xxh3, as integers of 64 bits, little-endian."""

Array = np.ndarray[Any, Any]


def store_manifest(target: Target, counts: Mapping[str, int], marks: Place) -> None:
    """Store the manifests of levels below ``target``, from the marks of its blocks.

    ``counts`` are the write units of each level, by its path.
    """
    tables = {path: _blank(count) for path, count in counts.items()}
    for _number, stored in read_marks(marks):
        for level in stored or ():
            if level.path in tables:
                _enter(tables[level.path], level)
    for path, table in tables.items():
        _store(target.child(path), table, unseen=True)


def read_manifest(level: Place) -> Array | None:
    """Bytes and digest of each write unit of a level, in C order; ``None`` if they are not known."""
    try:
        array = retried_read(level.open_array)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    content = retried_read(lambda: _read(level)) or b""
    count = unit_grid(array).count
    if not content.startswith(_MAGIC) or len(content) != len(_MAGIC) + 16 * count:  # of other chunks: written anew
        return None
    return np.frombuffer(content, "<u8", offset=len(_MAGIC)).reshape(count, 2).astype(np.uint64)


def refresh_manifest(target: Target, stored: Iterable[StoredUnits]) -> None:
    """Enter what has been stored since, at paths below ``target``; levels without a manifest stay so."""
    tables: dict[str, Array | None] = {}
    with locked_group(target):  # updates of other regions may end at the same time
        for level in stored:
            if level.path not in tables:
                tables[level.path] = read_manifest(target.child(level.path))
            table = tables[level.path]
            if table is not None:
                _enter(table, level)
        for path, table in tables.items():
            if table is not None:
                _store(target.child(path), table)


def _blank(count: int) -> Array:
    table = np.zeros((count, 2), np.uint64)
    table[:, 0] = UNKNOWN
    return table


def _read(level: Place) -> bytes | None:
    try:
        return read_key(level.store, level.below(MANIFEST))
    except Exception as error:
        if isinstance(level.store, LocalStore) or is_store_error(error):
            raise
        return None  # of a store that takes none


def _store(level: Place, table: Array, *, unseen: bool = False) -> None:
    content = _MAGIC + table.astype("<u8").tobytes()
    if takes_files(level.store):
        buffer = default_buffer_prototype().buffer.from_bytes(content)
        store_locally(level.store, {level.below(MANIFEST): buffer}, unseen=unseen)
        return
    try:
        store_bytes(level.store, level.below(MANIFEST), content)
    except Exception as error:
        if isinstance(level.store, LocalStore):
            raise
        _LOGGER.info("the store of %s takes no manifest: %r", level.path, error)  # Icechunk's: it has its own


def _enter(table: Array, level: StoredUnits) -> None:
    units = np.array(level.units, np.uint64).reshape(-1, 3)
    units = units[units[:, 0] < len(table)]
    table[units[:, 0].astype(np.intp)] = units[:, 1:]
