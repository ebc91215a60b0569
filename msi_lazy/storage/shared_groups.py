"""Groups whose metadata several processes change: one after another, so that no change is lost.

The metadata of a local group are changed under the lock of its own directory, and of no other at the same time.  No
other store has locks: there a change is made again until it is found in the store.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from msi_lazy.compat.directory_lock import locked_directory
from msi_lazy.storage.partial_files import remove_partial_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from msi_lazy.ngff.specification import ZarrFormat
    from msi_lazy.storage.place import Place

__all__ = ["change_attributes", "create_group", "locked_group"]

_CHANGES = 50
"""Most times that a change is made."""
_PAUSE = (0.02, 0.3)
"""Seconds until a change is looked for, at random: two processes that undo each other's do not go on so."""
_IN_PROCESS = Lock()
"""Held by the threads of this process, one after another, where there is no directory to lock."""


@contextmanager
def locked_group(place: Place) -> Iterator[bool]:
    """Hold the lock of a group, whose directory is created, and say whether it excludes all others."""
    if place.directory is None:
        with _IN_PROCESS:
            yield place.in_memory
        return
    place.directory.mkdir(parents=True, exist_ok=True)
    with locked_directory(place.directory) as locked:
        if locked:  # whoever was writing the group's document has been killed
            remove_partial_files(place.directory, below=False)
        yield locked


def create_group(place: Place, zarr_format: ZarrFormat) -> None:
    """Create a group where there is none: another process that has just created it may have listed an image in it."""
    with locked_group(place):
        place.open_group("a", zarr_format)


def change_attributes(
    place: Place, zarr_format: ZarrFormat, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Change the attributes of a group, which is created if it is missing.

    Parameters
    ----------
    place
        Place of the group.
    zarr_format
        Zarr version of a new one.
    change
        Gives the attributes to store for those that are stored; the same ones if they need no change.

    Raises
    ------
    OSError
        Other processes undid the change again and again.
    """
    for _ in range(_CHANGES):
        with locked_group(place) as excluded:
            group = place.open_group("a", zarr_format, consolidated=True)
            found = group.attrs.asdict()
            changed = {**found, **change(found)}
            if changed == found:
                return
            group.attrs.update(changed)
        if excluded:
            return
        time.sleep(random.uniform(*_PAUSE))
    raise OSError(f"the attributes of {place} could not be changed: other processes change them at the same time")
