"""Tasks of a verification: read a block and its finer samples, compare, and write the recomputed block.

Module-level functions of picklable arguments that return findings, not arrays.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.maintain.stored_check import check_stored
from msi_lazy.plan.grid import Grid
from msi_lazy.plan.windows import intersect, relative_slices, slices
from msi_lazy.storage.checked_read import find_unreadable
from msi_lazy.storage.links import describe_link_out
from msi_lazy.storage.store_errors import is_store_error
from msi_lazy.storage.write_units import is_stored, replace_window, unit_directories

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import zarr

    from msi_lazy.maintain.findings import BlockFinding, Kind
    from msi_lazy.maintain.stored_pyramid import DownsamplingStep, LevelArray
    from msi_lazy.plan.windows import Window

__all__ = ["Comparison", "check_block", "decode_block", "differing"]

Array = np.ndarray[Any, Any]

_RESTORE = (
    "level 1 shows that it was not empty: restore it; or, if it is empty on purpose, recompute the other levels with "
    "msi_lazy.update"
)


@dataclass(frozen=True)
class Comparison:
    """A level, and the finer one that it is computed from."""

    level: LevelArray
    """Level that is checked."""
    finer: LevelArray
    """Finer level."""
    step: DownsamplingStep
    """Computation of the one from the other."""
    repair: bool
    """Whether faulty write units are recomputed and written."""


def check_block(comparison: Comparison, before: Sequence[BlockFinding] | None, window: Window) -> list[BlockFinding]:
    """Recompute a block of whole write units from the finer level, compare bit for bit, and repair it if asked to.

    Parameters
    ----------
    comparison
        The levels.
    before
        Findings in the finer level, if that was repaired first: no block is repaired from faulty ones.
    window
        The block.
    """
    level, finer, step = comparison.level, comparison.finer, comparison.step
    held = step.needed(window) if finer.number else step.covering(window)
    samples, actual = finer.read(held), level.read(window)
    units = list(step.units.touching(window))
    if len(units) > 1 and (isinstance(samples, Exception) or isinstance(actual, Exception)):
        parts = (check_block(comparison, before, step.units.window(unit)) for unit in units)
        return [finding for part in parts for finding in part]
    findings: list[BlockFinding] = []
    if isinstance(samples, Exception):
        findings += _unreadable(finer, held)
        held = step.needed(window)  # the only fault may be in samples that trim leaves out
        samples = finer.read(held)
    if isinstance(samples, Exception):
        kind = _kind(actual) if isinstance(actual, Exception) else "unchecked"
        hanging = level.fault(units[0], kind, _describe(actual if isinstance(actual, Exception) else samples))
        reason = f"the finer level, {finer.path}, cannot be read here"
        return [*findings, _unrepaired(hanging, reason) if comparison.repair else hanging]
    expected = step.compute(samples, held, window)
    if isinstance(actual, Exception):
        faults = [(level.fault(units[0], _kind(actual), _describe(actual)), np.ones(expected.shape, bool))]
    else:
        faults = list(_differing_units(level, expected, actual, window))
    for finding, mask in faults:
        lacking = list(_lacking(comparison, finding, mask))
        # an unreadable unit does not show whether a chunk that level 0 lacks was empty: no finding
        findings += lacking if finding.kind not in ("unreadable", "unread") else ()
        if comparison.repair and finding.kind == "unread":
            finding = _unrepaired(finding, "nothing is written over what may be sound")
        elif comparison.repair:
            doubtful = [*(absent.key for absent in lacking), *_faulty_finer(comparison, finding, before or ())]
            computed = expected[relative_slices(finding.window, window)]
            reason = _reason(finer, doubtful)
            finding = _unrepaired(finding, reason) if doubtful else _repair(level, finding, computed)
        findings.append(finding)
    known = {finding.unit for finding in findings if finding.path == level.path}
    for finding in check_stored(level, before, window):  # right samples in bytes that nobody stored
        if finding.unit not in known:
            computed = expected[relative_slices(finding.window, window)]
            findings.append(_repair(level, finding, computed) if comparison.repair else finding)
    return findings


def decode_block(level: LevelArray, before: object, window: Window) -> list[BlockFinding]:
    """Find units that cannot be decoded in a block of a single level; arguments as for :func:`check_block`."""
    faulty = list(_unreadable(level, window)) if isinstance(level.read(window), Exception) else []
    known = {finding.unit for finding in faulty}
    return [*faulty, *(finding for finding in check_stored(level, before, window) if finding.unit not in known)]


def differing(expected: Array, actual: Array, stored: zarr.Array[Any]) -> Array:
    """Mark samples with other bits, except in chunks of nothing but the fill value, which are not stored.

    Such a chunk is read as the fill value, though it may have had zeros of the other sign, or other NaN.

    Parameters
    ----------
    expected, actual
        Samples in native byte order, from the beginning of a chunk.
    stored
        Array of ``actual``.
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
    level: LevelArray, expected: Array, actual: Array, window: Window
) -> Iterator[tuple[BlockFinding, Array]]:
    """Write units of a block with samples that differ, each with a mask of these."""
    mask = differing(expected, actual, level.array)
    if not mask.any():
        return
    for unit in level.units.touching(window):
        where = level.units.window(unit)
        part = mask[relative_slices(where, window)]
        if not part.any():
            continue
        first = np.unravel_index(int(part.argmax()), part.shape)
        place = tuple(interval.start + int(i) for interval, i in zip(where, first, strict=True))
        finding = level.fault(unit, "differs" if is_stored(level.array, unit) else "missing")
        yield replace(finding, samples=int(np.count_nonzero(part)), first=place), part


def _unreadable(level: LevelArray, window: Window) -> Iterator[BlockFinding]:
    """Write units of a level in ``window`` that cannot be read."""
    for unit, error in find_unreadable(level.array, window, level.units):
        yield level.fault(unit, _kind(error), _describe(error))


def _kind(error: Exception) -> Kind:
    """Kind of a unit that gave an error when it was read."""
    return "unread" if is_store_error(error) else "unreadable"


def _lacking(comparison: Comparison, finding: BlockFinding, mask: Array) -> Iterator[BlockFinding]:
    """Write units of level 0 that are not stored, though the coarser level shows samples there.

    One that is empty on purpose gives the stored samples.  Missing units of other levels are found when those are
    checked.
    """
    finer, step = comparison.finer, comparison.step
    if finer.number:
        return
    for unit in finer.units.touching(step.needed(finding.window)):
        reached = intersect(step.changed(finer.units.window(unit)), finding.window)
        differs = reached is not None and mask[relative_slices(reached, finding.window)].any()
        if differs and not is_stored(finer.array, unit):
            yield finer.fault(unit, "missing", _RESTORE)


def _faulty_finer(comparison: Comparison, finding: BlockFinding, before: Sequence[BlockFinding]) -> list[str]:
    """Keys of faulty write units of the finer level that ``finding`` would be recomputed from."""
    finer = comparison.finer
    faulty = {other.unit: other.key for other in before if other.path == finer.path and not other.repaired}
    if not faulty:
        return []
    return [faulty[unit] for unit in finer.units.touching(comparison.step.needed(finding.window)) if unit in faulty]


def _reason(finer: LevelArray, doubtful: Sequence[str]) -> str:
    """Reason not to repair a unit."""
    fault = "is faulty, or could not be read, in" if finer.number else "lacks"
    keys = f"{', '.join(doubtful[:3])}{', ...' if len(doubtful) > 3 else ''}"
    return f"the finer level, {finer.path}, {fault} {keys}"


def _unrepaired(finding: BlockFinding, reason: str) -> BlockFinding:
    return replace(finding, note="; ".join(filter(None, [finding.note, f"not repaired: {reason}"])))


def _repair(level: LevelArray, finding: BlockFinding, samples: Array) -> BlockFinding:
    """Write a unit, and read it back."""
    linked = describe_link_out(level.array.store, unit_directories(level.array, finding.window))
    if linked:
        return _unrepaired(finding, linked)
    replace_window(level.array, finding.window, samples)
    found = level.read(finding.window)
    if isinstance(found, Exception) and is_store_error(found):
        return _unrepaired(finding, f"it was written, and could not be read again, {_describe(found)}")
    if isinstance(found, Exception) or differing(samples, found, level.array).any():
        return _unrepaired(finding, "what was written reads as something else; is its codec lossless?")
    return replace(finding, repaired=True)


def _describe(error: object) -> str:
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 400)}"
