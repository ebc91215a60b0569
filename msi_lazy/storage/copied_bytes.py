"""Copying what is stored, byte by byte, from one place to another."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from msi_lazy.compat.zarr_stores import copy_keys
from msi_lazy.storage.partial_files import partial_name
from msi_lazy.storage.regular_files import check_regular, holds_plain_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from msi_lazy.storage.place import Place

__all__ = ["copy_bytes"]

_THREADS = 8
"""Files that are copied at once."""
_MOST_HELD = 2**28
"""Most bytes that are held at once, where they pass through memory."""
_MOST_AT_ONCE = 64


def copy_bytes(source: Place, target: Place, keys: Mapping[str, str], largest: int) -> None:
    """Copy keys below one place to keys below another.

    Local files do not pass through memory, and those that an earlier call has copied are not copied again.

    Parameters
    ----------
    source, target
        The places.
    keys
        Key below ``target``, by the key below ``source``.
    largest
        Bytes of the largest one, about.
    """
    if source.directory is not None and target.directory is not None and _are_plain(source, target):
        with ThreadPoolExecutor(_THREADS) as pool:
            pairs = [(source.directory / key, target.directory / to) for key, to in keys.items()]
            list(pool.map(_copy_file, *zip(*pairs, strict=True))) if pairs else None
        return
    below = {source.below(key): target.below(to) for key, to in keys.items()}
    copy_keys(source.store, target.store, below, max(1, min(_MOST_AT_ONCE, _MOST_HELD // max(largest, 1))))


def _are_plain(*places: Place) -> bool:
    return all(holds_plain_files(place.store) for place in places)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file, which appears at once, and whole, with its time, by which it is known to be copied already."""
    if check_regular(source) is None:
        raise FileNotFoundError(f"{source} has gone while it was copied")
    found = source.stat()
    if target.exists():
        there = target.stat()
        if (there.st_size, there.st_mtime_ns) == (found.st_size, found.st_mtime_ns):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(partial_name(target.name))
    try:
        shutil.copyfile(source, part)
        os.utime(part, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
