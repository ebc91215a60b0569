"""What runs inside a task of a verification: read a block and the window below it, compare, and write again.

Module-level functions of picklable arguments that return findings, not arrays.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.maintain.findings import BlockFinding, Kind
from msi_lazy.maintain.remake import Making, remake_window
from msi_lazy.plan.grid import Grid, Index
from msi_lazy.plan.windows import intersect, relative_slices, slices
from msi_lazy.storage.checked_read import find_unreadable, try_read
from msi_lazy.storage.write_units import chunk_key, is_stored, unit_grid, write_window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import zarr

    from msi_lazy.plan.windows import Window

__all__ = ["Comparison", "StoredLevel", "check_block", "decode_block", "differing"]

Array = np.ndarray[Any, Any]

_RESTORE = (
    "level 1 shows that it was not empty: restore it; or, if it is empty on purpose, make the other levels again with "
    "msi_lazy.update"
)


@dataclass(frozen=True)
class StoredLevel:
    """A level in a store."""

    number: int
    """Which one."""
    path: str
    """Its path below the image that was asked for."""
    array: zarr.Array[Any]
    """Its samples."""

    def read(self, window: Window) -> Array | Exception:
        """Samples of a window, or what is wrong with it."""
        return try_read(self.array, window, unit_grid(self.array))

    def finding(self, unit: Index, kind: Kind, note: str = "") -> BlockFinding:
        """A finding in one of its units, with all of its samples."""
        window = unit_grid(self.array).window(unit)
        samples = prod(interval.length for interval in window)
        key = chunk_key(self.array, unit)
        return BlockFinding(self.number, self.path, unit, key, window, kind, samples, note=note)


@dataclass(frozen=True)
class Comparison:
    """A level, and what it is made from."""

    stored: StoredLevel
    """The level."""
    finer: StoredLevel
    """The level below it."""
    making: Making
    """How the one is made from the other."""
    repair: bool
    """Whether faulty units are written again."""


def check_block(comparison: Comparison, before: Sequence[BlockFinding], window: Window) -> list[BlockFinding]:
    """Compare a block of whole units with what the finer level gives, bit for bit, and write it again if asked to.

    Parameters
    ----------
    comparison
        The levels.
    before
        Findings in the finer level, if that was repaired first: nothing is made from what is faulty still.
    window
        The block.
    """
    stored, finer, step = comparison.stored, comparison.finer, comparison.making.step
    held = step.covering(window) if step.level == 1 else step.needed(window)
    samples, actual = finer.read(held), stored.read(window)
    units = list(step.units.touching(window))
    if len(units) > 1 and (isinstance(samples, Exception) or isinstance(actual, Exception)):
        parts = (check_block(comparison, before, step.units.window(unit)) for unit in units)
        return [finding for part in parts for finding in part]
    findings: list[BlockFinding] = []
    if isinstance(samples, Exception):
        findings += _unreadable(finer, held)
        held = step.needed(window)  # what trim leaves out may be the only fault
        samples = finer.read(held)
    if isinstance(samples, Exception):
        kind: Kind = "unreadable" if isinstance(actual, Exception) else "unchecked"
        hanging = stored.finding(units[0], kind, _text(actual if isinstance(actual, Exception) else samples))
        reason = f"the level below, {finer.path}, cannot be read here"
        return [*findings, _unrepaired(hanging, reason) if comparison.repair else hanging]
    expected = remake_window(samples, held, window, comparison.making)
    if isinstance(actual, Exception):
        faults = [(stored.finding(units[0], "unreadable", _text(actual)), np.ones(expected.shape, bool))]
    else:
        faults = list(_differing_units(stored, step.units, expected, actual, window))
    for finding, mask in faults:
        lacking = list(_lacking(comparison, finding, mask))
        # where nothing can be read, nothing says that what level 0 lacks is not empty: it is no finding
        findings += lacking if finding.kind != "unreadable" else ()
        if comparison.repair:
            doubtful = [*(below.key for below in lacking), *_faulty_below(comparison, finding, before)]
            made = expected[relative_slices(finding.window, window)]
            reason = _reason(comparison, doubtful)
            finding = _unrepaired(finding, reason) if doubtful else _repair(stored, finding, made)
        findings.append(finding)
    return findings


def decode_block(stored: StoredLevel, window: Window) -> list[BlockFinding]:
    """Find what cannot be decoded in a block of a level that has none below it."""
    return list(_unreadable(stored, window)) if isinstance(stored.read(window), Exception) else []


def differing(expected: Array, actual: Array, stored: zarr.Array[Any]) -> Array:
    """Which samples have other bits, but for chunks of nothing but the fill value, which are not stored.

    Such a chunk is read as the fill value itself, though it may have had zeros of the other sign, or other NaN.

    Parameters
    ----------
    expected, actual
        Samples in native byte order, from the beginning of a chunk.
    stored
        Their array.
    """
    bits = np.dtype(f"u{expected.dtype.itemsize}")
    one, other = np.ascontiguousarray(expected).view(bits), np.ascontiguousarray(actual).view(bits)
    mask: Array = one != other
    if expected.dtype.kind != "f" or stored.fill_value is None or not mask.any():
        return mask
    fill = np.asarray(stored.fill_value).astype(expected.dtype)
    chunks = Grid(mask.shape, stored.chunks)
    for index in chunks.indices():
        part = slices(chunks.window(index))
        samples = expected[part]
        equal = (samples == fill) | ((samples != samples) & (fill != fill))
        if equal.all() and (other[part] == fill.view(bits)).all():
            mask[part] = False
    return mask


def _differing_units(
    stored: StoredLevel, units: Grid, expected: Array, actual: Array, window: Window
) -> Iterator[tuple[BlockFinding, Array]]:
    """Units of a block with samples that differ, and which those are."""
    mask = differing(expected, actual, stored.array)
    if not mask.any():
        return
    for unit in units.touching(window):
        where = units.window(unit)
        part = mask[relative_slices(where, window)]
        if not part.any():
            continue
        first = np.unravel_index(int(part.argmax()), part.shape)
        place = tuple(interval.start + int(i) for interval, i in zip(where, first, strict=True))
        finding = stored.finding(unit, "differs" if is_stored(stored.array, unit) else "missing")
        yield replace(finding, samples=int(np.count_nonzero(part)), first=place), part


def _unreadable(stored: StoredLevel, window: Window) -> Iterator[BlockFinding]:
    """Units of a level in ``window`` that cannot be read."""
    for unit, error in find_unreadable(stored.array, window, unit_grid(stored.array)):
        yield stored.finding(unit, "unreadable", _text(error))


def _lacking(comparison: Comparison, finding: BlockFinding, mask: Array) -> Iterator[BlockFinding]:
    """Units of level 0 that are not in the store, where what they would give is not what is stored.

    Those of other levels are found when these are checked.  One that is empty on purpose gives what is stored.
    """
    finer, step = comparison.finer, comparison.making.step
    if finer.number:
        return
    units = unit_grid(finer.array)
    for unit in units.touching(step.needed(finding.window)):
        reached = intersect(step.changed(units.window(unit)), finding.window)
        differs = reached is not None and mask[relative_slices(reached, finding.window)].any()
        if differs and not is_stored(finer.array, unit):
            yield finer.finding(unit, "missing", _RESTORE)


def _faulty_below(comparison: Comparison, finding: BlockFinding, before: Sequence[BlockFinding]) -> list[str]:
    """Keys of units of the finer level that are faulty still, and that ``finding`` would be made from."""
    finer = comparison.finer
    faulty = {below.unit: below.key for below in before if below.path == finer.path and not below.repaired}
    if not faulty:
        return []
    below = unit_grid(finer.array).touching(comparison.making.step.needed(finding.window))
    return [faulty[unit] for unit in below if unit in faulty]


def _reason(comparison: Comparison, doubtful: Sequence[str]) -> str:
    """Why a unit is not repaired."""
    path, fault = comparison.finer.path, "is faulty in" if comparison.finer.number else "lacks"
    return f"the level below, {path}, {fault} {', '.join(doubtful[:3])}{', ...' if len(doubtful) > 3 else ''}"


def _unrepaired(finding: BlockFinding, reason: str) -> BlockFinding:
    return replace(finding, note="; ".join(filter(None, [finding.note, f"not repaired: {reason}"])))


def _repair(stored: StoredLevel, finding: BlockFinding, samples: Array) -> BlockFinding:
    """Write a unit again, and read it."""
    array = stored.array
    write_window(array, finding.window, samples)
    again = stored.read(finding.window)
    if isinstance(again, Exception) or differing(samples, again, array).any():
        return _unrepaired(finding, "it was written again, and reads as something else; is its codec lossless?")
    return replace(finding, repaired=True)


def _text(error: object) -> str:
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 120)}"
