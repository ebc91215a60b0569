"""Marks of stored blocks: each a key of its own that names the chunks or shards stored, with their size and digest.

A mark means that the block is on disk: see :class:`msi_lazy.storage.marker.Marker`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore

from msi_lazy.compat.zarr_stores import fetch_bytes, list_names, store_bytes
from msi_lazy.storage.stored_units import StoredUnits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.storage.place import Place

__all__ = ["ask_for_marks", "mark_numbers", "marks_are_asked_for", "read_marks", "store_mark"]

_NUMBER = re.compile("0|[1-9][0-9]{0,17}")
_AT_ONCE = 1024
"""Marks that are held in memory at once: there is one for each block."""
_ASKED = "asked"
"""File beside the marks that is there while they are waited for."""
_OF_0_1_0 = b"\1"
"""Mark of release 0.1.0, which did not say what was stored."""


def store_mark(marks: Place, number: int, stored: Sequence[StoredUnits]) -> None:
    """Store the mark of block ``number``; paths of ``stored`` are those below the image's group."""
    content = json.dumps([[level.path, *level.units] for level in stored], separators=(",", ":")).encode()
    key = f"{marks.path}/c/{number}"
    if isinstance(marks.store, LocalStore):  # zarr would wait for its own thread among busy ones
        Path(marks.store.root, key).write_bytes(content)
    else:
        store_bytes(marks.store, key, content)


def ask_for_marks(marks: Place, asked: bool = True) -> None:
    """Ask the processes that have stored blocks of local files to mark them now, or take that back."""
    if marks.directory is None:
        return
    if asked:
        (marks.directory / _ASKED).touch()
    else:
        (marks.directory / _ASKED).unlink(missing_ok=True)


def marks_are_asked_for(marks: Place) -> bool:
    """Tell whether marks are waited for now, as all blocks are stored; or no longer, as the write has ended."""
    return marks.directory is not None and ((marks.directory / _ASKED).exists() or not marks.directory.exists())


def mark_numbers(marks: Place) -> frozenset[int]:
    """Numbers of the blocks that have a mark, whole or not."""
    names = list_names(marks.store, f"{marks.path}/c")
    return frozenset(int(name) for name in names if _NUMBER.fullmatch(name))  # no partial file


def read_marks(marks: Place) -> Iterator[tuple[int, list[StoredUnits] | None]]:
    """Read all marks: the number of each block, and what was stored of it, ``None`` if that is not known.

    Torn marks, as a power cut leaves them, are none.
    """
    numbers = sorted(mark_numbers(marks))
    for first in range(0, len(numbers), _AT_ONCE):
        some = numbers[first : first + _AT_ONCE]
        contents = fetch_bytes(marks.store, [f"{marks.path}/c/{number}" for number in some])
        for number, content in zip(some, contents, strict=True):
            stored = None if content == _OF_0_1_0 else _parse(content)
            if stored is not None or content == _OF_0_1_0:
                yield number, stored


def _parse(content: bytes | None) -> list[StoredUnits] | None:
    try:
        found: Any = json.loads(content or b"")
        return [_units(*level) for level in found] if isinstance(found, list) else None
    except (ValueError, TypeError, RecursionError):
        return None


def _units(path: Any, *units: Any) -> StoredUnits:
    """Check and build what a mark says of one level."""
    if not isinstance(path, str) or not all(type(term) is int and 0 <= term < 2**64 for unit in units for term in unit):
        raise TypeError("no units of a level")
    return StoredUnits(path, tuple((number, size, digest) for number, size, digest in units))
