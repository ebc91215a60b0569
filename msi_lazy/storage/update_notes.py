"""Notes of updates that have not finished: until they have, levels may disagree with level 0.

A note is stored in the image's group before the first chunk is replaced, and removed after the last one: one that is
found is of an update that was interrupted, or is still running.  The same region, or one around it, clears it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.compat.zarr_stores import delete_key, read_key, store_bytes
from msi_lazy.plan.windows import Interval
from msi_lazy.storage.shared_groups import locked_group
from msi_lazy.storage.store_errors import retried_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.plan.windows import Window
    from msi_lazy.storage.place import Place

__all__ = ["UPDATE_NOTES", "UpdateNote", "describe_unfinished", "remove_notes", "unfinished_regions"]

UPDATE_NOTES = ".msi_lazy-unfinished-update"
"""Key below the image's group; no node, so that consolidated metadata do not list it."""
_LONGEST = 2**20
"""Most bytes that are read of it."""
_MOST_NAMED = 3
"""Most regions that a message names."""


@dataclass(frozen=True)
class UpdateNote:
    """Note of one update."""

    place: Place
    """Group of the image."""
    run: str
    """Name of the update, which no other has."""
    region: Window
    """Samples of level 0 that were edited."""
    extents: tuple[int, ...]
    """Shape of level 0."""

    def store(self) -> None:
        """Add the note to those that are stored."""
        with locked_group(self.place):
            _store(self.place, [note for note in _read(self.place) if note[0] != self.run] + [(self.run, self.region)])

    def remove(self) -> None:
        """Remove the note, and those stored before it whose regions lie in its own."""
        with locked_group(self.place):
            notes = _read(self.place)
            own = next((number for number, (run, _) in enumerate(notes) if run == self.run), len(notes))
            _store(self.place, [note for note in notes[:own] if not self._covers(note[1])] + notes[own + 1 :])

    def _covers(self, region: Window | None) -> bool:
        if region is None or len(region) != len(self.extents):  # not known: it may be all there is
            region = tuple(Interval(0, n) for n in self.extents)
        sides = zip(self.region, region, strict=True)
        return all(mine.start <= other.start and other.stop <= mine.stop for mine, other in sides)


def unfinished_regions(place: Place) -> list[Window | None]:
    """Regions of an image's level 0 whose update has not finished; ``None`` for one that the note does not tell."""
    try:
        return [region for _, region in _read(place)]
    except Exception:  # a store that lets nobody ask for such a key, as some on the web
        return []


def remove_notes(place: Place) -> None:
    """Remove the notes of all updates of an image, whose levels are known to agree."""
    if unfinished_regions(place):
        delete_key(place.store, place.below(UPDATE_NOTES))


def describe_unfinished(place: Place, dims: Sequence[str]) -> str:
    """Say which updates of an image have not finished, and what to do; empty if there are none."""
    regions = unfinished_regions(place)
    if not regions:
        return ""
    fitting = [region for region in regions if region is not None and len(region) == len(dims)]
    calls = [_as_argument(region, dims) for region in fitting[:_MOST_NAMED]]
    if len(fitting) < len(regions):
        calls, where = [_as_argument((), ())], "somewhere"
    else:
        more = f", and {len(fitting) - _MOST_NAMED} more regions" if len(fitting) > _MOST_NAMED else ""
        where = f"in {', '.join(calls)}{more}"
    group = f", group={place.group!r}" if place.group else ""
    advice = ", ".join(f"msi_lazy.update(store, {call}{group})" for call in calls)
    return (
        f"its levels may disagree with level 0 {where}, as an update was interrupted, or is still running; run it "
        f"again: {advice}"
    )


def _as_argument(region: Window, dims: Sequence[str]) -> str:
    sides = (f"{dim!r}: slice({side.start}, {side.stop})" for dim, side in zip(dims, region, strict=True))
    return f"{{{', '.join(sides)}}}"


def _read(place: Place) -> list[tuple[str, Window | None]]:
    """Names and regions of the notes in the order in which they were stored."""
    file = None if place.directory is None else place.directory / UPDATE_NOTES
    if file is not None and file.exists() and not (file.is_file() and file.stat().st_size <= _LONGEST):
        return [("", None)]
    content = retried_read(lambda: read_key(place.store, place.below(UPDATE_NOTES)))
    if content is None:
        return []
    try:
        return [_parse(note) for note in json.loads(content)["updates"]]
    except (ValueError, TypeError, KeyError, RecursionError):  # not ours, or half written
        return [("", None)]


def _parse(note: Any) -> tuple[str, Window | None]:
    run, region = note["run"], note["region"]
    if not isinstance(run, str) or not isinstance(region, list):
        raise TypeError(f"no note of an update: {note!r:.100}")
    sides = [Interval(*side) for side in region]
    if not all(type(bound) is int and 0 <= bound < 2**63 for side in sides for bound in side):
        raise ValueError(f"no region: {region!r:.100}")
    return run, tuple(sides) or None


def _store(place: Place, notes: Sequence[tuple[str, Window | None]]) -> None:
    if not notes:
        delete_key(place.store, place.below(UPDATE_NOTES))
        return
    updates = [{"run": run, "region": [list(side) for side in region or ()]} for run, region in notes]
    store_bytes(place.store, place.below(UPDATE_NOTES), json.dumps({"format": 1, "updates": updates}).encode())
