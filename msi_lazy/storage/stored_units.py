"""What a write stored of a level: size and digest of each write unit, a shard or a chunk, as it lies in the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.storage import LocalStore

from msi_lazy.storage.recorded_store import EMPTY, RecordedStore, digest_content
from msi_lazy.storage.regular_files import RegularStore
from msi_lazy.storage.write_units import chunk_key, unit_grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import zarr

    from msi_lazy.plan.grid import Index
    from msi_lazy.plan.windows import Window

__all__ = [
    "StoredUnits",
    "digest_file",
    "sizes_differ",
    "stored_units",
    "unit_index",
    "unit_key",
    "unit_number",
]


@dataclass(frozen=True)
class StoredUnits:
    """Write units of one array that a task stored."""

    path: str
    """Path of the array in the store."""
    units: tuple[tuple[int, int, int], ...]
    """Number in C order, bytes in the store and their digest (xxh3 of 64 bits) of each; see :data:`EMPTY`."""


def stored_units(array: zarr.Array[Any], window: Window) -> StoredUnits:
    """Look up the write units in ``window``, just stored, in what was recorded, else, of local files, in these.

    Without either, none is listed.
    """
    grid, store = unit_grid(array), array.store
    units = list(grid.touching(window))
    found: list[tuple[int, int]] = []
    if isinstance(store, RecordedStore):
        found = [store.take(unit_key(array, unit)) for unit in units]
    elif isinstance(store, LocalStore):
        found = [_recorded(store, key) or digest_file(Path(store.root, key)) for key in _keys(array, units)]
    entries = ((unit_number(unit, grid.counts), *entry) for unit, entry in zip(units, found, strict=False))
    return StoredUnits(array.path, tuple(entries))


def _recorded(store: LocalStore, key: str) -> tuple[int, int] | None:
    return store.take(key) if isinstance(store, RegularStore) else None


def _keys(array: zarr.Array[Any], units: Sequence[Index]) -> Iterator[str]:
    return (unit_key(array, unit) for unit in units)


def unit_key(array: zarr.Array[Any], unit: Index) -> str:
    """Key of a write unit in the store."""
    return f"{array.path}/{chunk_key(array, unit)}".strip("/")


def digest_file(path: Path) -> tuple[int, int]:
    """Size and digest of the file of a write unit; see :data:`EMPTY`."""
    try:
        return digest_content(path.read_bytes()) if path.is_file() else EMPTY
    except FileNotFoundError:
        return EMPTY


def sizes_differ(array: zarr.Array[Any], stored: StoredUnits) -> bool:
    """Tell whether files of ``array`` have other sizes than ``stored`` says; other stores keep what they were given."""
    if not isinstance(array.store, LocalStore):
        return False
    grid, root = unit_grid(array), array.store.root
    counts = grid.counts
    return any(number >= grid.count for number, _, _ in stored.units) or any(
        _size(Path(root, unit_key(array, unit_index(number, counts)))) != size for number, size, _ in stored.units
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def unit_number(unit: Index, counts: tuple[int, ...]) -> int:
    """Return the number of a write unit among ``counts`` of them, in C order."""
    return int(np.ravel_multi_index(unit, counts))


def unit_index(number: int, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Index of write unit ``number`` among ``counts`` of them."""
    return tuple(map(int, np.unravel_index(number, counts)))
