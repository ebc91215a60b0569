"""Comparison of what a store holds with what was stored there, by the manifest of a level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msi_lazy.compat.zarr_stores import list_names, read_key
from msi_lazy.storage.arrays import local_store
from msi_lazy.storage.manifest import UNKNOWN
from msi_lazy.storage.recorded_store import digest_content
from msi_lazy.storage.stored_units import StoredUnits, digest_file, unit_key, unit_number
from msi_lazy.storage.write_units import unit_directories

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zarr.abc.store import Store

    from msi_lazy.maintain.findings import BlockFinding, Kind
    from msi_lazy.maintain.stored_pyramid import LevelArray
    from msi_lazy.plan.windows import Window

__all__ = ["check_stored", "digests_in", "stored_in"]

_NOTES: dict[Kind, str] = {
    "altered": "if it was edited on purpose, bring the image up to date with msi_lazy.update",
    "missing": "it was stored, and is not empty on purpose: restore it",
}


def check_stored(level: LevelArray, _before: object, window: Window) -> list[BlockFinding]:
    """Find write units in ``window`` that are not what was stored: lost, or altered since.

    Of local files the digests tell; of other stores only what is lost is found.
    """
    table = level.manifest
    if table is None:
        return []
    numbers = {unit_number(unit, level.units.counts): unit for unit in level.units.touching(window)}
    stored = {number: (int(table[number, 0]), int(table[number, 1])) for number in numbers}
    findings = []
    for number, *entry in _entries(level, window, stored):
        if stored[number][0] != UNKNOWN and tuple(entry) != stored[number]:
            kind: Kind = "altered" if entry[0] else "missing"
            findings.append(level.fault(numbers[number], kind, _NOTES[kind]))
    return findings


def stored_in(level: LevelArray, windows: Iterable[Window]) -> StoredUnits:
    """List sizes and digests of write units in some windows as they lie in the store now."""
    return StoredUnits(level.path, tuple(entry for window in windows for entry in _entries(level, window, {})))


def digests_in(level: LevelArray, windows: Iterable[Window]) -> StoredUnits:
    """List the same where that means to read them once more."""
    units = (unit for window in windows for unit in level.units.touching(window))
    entries = ((unit_number(unit, level.units.counts), unit_key(level.array, unit)) for unit in units)
    return StoredUnits(level.path, tuple((number, *_digest(level.array.store, key)) for number, key in entries))


def _digest(store: Store, key: str) -> tuple[int, int]:
    """Size and digest of what lies under a key now, read one by one: a unit may be large."""
    local = local_store(store)
    return digest_content(read_key(store, key)) if local is None else digest_file(Path(local.root, key))


def _entries(level: LevelArray, window: Window, known: dict[int, tuple[int, int]]) -> list[tuple[int, int, int]]:
    """List number, size and digest of each unit; where that means to read it again, those ``known`` if it is there."""
    store, counts = level.array.store, level.units.counts
    keys = {unit_number(unit, counts): unit_key(level.array, unit) for unit in level.units.touching(window)}
    if local_store(store) is not None:
        return [(number, *_digest(store, key)) for number, key in keys.items()]
    there = {f"{path}/{name}" for path in unit_directories(level.array, window) for name in list_names(store, path)}
    return [(number, *(known.get(number, (UNKNOWN, 0)) if key in there else (0, 0))) for number, key in keys.items()]
