"""Sources that a write stores for a while: whether there is room for them, where workers see it, and their arrays."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from functools import partial
from math import prod
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import xxhash
from dask.utils import format_bytes

from msi_lazy.errors import DiskSpaceError
from msi_lazy.plan.spill import SpillLayout
from msi_lazy.run.scheduler import active_client
from msi_lazy.storage.spill_array import SpillArray
from msi_lazy.storage.unfinished import stored_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from msi_lazy.graph.marks import Listener
    from msi_lazy.graph.write_graph import LevelArrays
    from msi_lazy.storage.place import Place
    from msi_lazy.storage.spill_folder import SpillChoice
    from msi_lazy.storage.stored_ledger import StoredLedger
    from msi_lazy.storage.stored_units import StoredUnits
    from msi_lazy.write.job import ImageJob, WriteOptions

__all__ = ["check_spill", "listen_to_chunks", "with_spill"]


def check_spill(jobs: Sequence[ImageJob], levels: Sequence[LevelArrays], place: Place, options: WriteOptions) -> None:
    """Refuse to store sources for a while where there is no room for them, or where workers do not see them.

    What a write that is resumed has stored is not known yet: :func:`with_spill` looks for room then.

    Raises
    ------
    DiskSpaceError
        They may need more than is free.
    ValueError
        A worker does not see the directory that the user chose.
    """
    spilled = [(job, image) for job, image in zip(jobs, levels, strict=True) if image.spills]
    if not spilled:
        return
    if options.spill.directory is not None and options.run.compute:
        _check_seen(options.spill.directory)
    if options.resume and stored_ledger(place) is not None:
        return
    known = [image for job, image in spilled if (job.plan.untransposed or job.plan).stages]  # crops need less
    _check_room(sum(map(_spilled_bytes, known)), options.spill.directory or place.directory)


def with_spill(image: LevelArrays, ledger: StoredLedger, number: int, choice: SpillChoice) -> LevelArrays:
    """Create the array that the source of image ``number`` is stored in for a while, if it is.

    Raises
    ------
    DiskSpaceError
        The write is resumed, and what it has not stored yet may need more than is free.
    """
    source = image.levels.gathered if image.spills else None
    if source is None or source.chunks is None:
        return image
    # marks number these chunks; an edit, which a fingerprint may not tell from the source, names them too
    known = (source.chunks.lengths, "" if image.levels.is_whole else source.below)
    name = f"source{number}-{xxhash.xxh3_64_hexdigest(repr(known).encode())}"
    spill = SpillArray.create(ledger, name, SpillLayout.of(source.chunks), source.recipe.dtype, choice.directory)
    if ledger.resumed and image.levels.is_whole:
        left = spill.count - len(spill.stored_chunks())
        _check_room(spill.nbytes * left // spill.count, choice.directory or ledger.home.directory)
    return replace(image, spill=spill)


def listen_to_chunks(levels: Sequence[LevelArrays], first: int, listeners: Sequence[Listener]) -> list[LevelArrays]:
    """Let ``listeners`` hear of the chunks that are stored for a while, whose numbers follow those of the blocks."""
    listening = []
    for image in levels:
        if image.spill is not None:
            told = tuple(partial(_hear, first=first, listener=listener) for listener in listeners)
            first += image.spill.count
            image = replace(image, spill=replace(image.spill, listeners=told))
        listening.append(image)
    return listening


def _hear(number: int, stored: Sequence[StoredUnits], *, first: int, listener: Listener) -> None:
    listener(first + number, stored)


def _spilled_bytes(image: LevelArrays) -> int:
    """Count the bytes of the source of an image, of which some may be saved by compression."""
    source = image.levels.gathered
    return 0 if source is None else prod(source.recipe.stage.extents[0]) * source.recipe.dtype.itemsize


def _check_room(needed: int, directory: Path | None) -> None:
    """Refuse to store ``needed`` bytes in ``directory``, which may not exist yet, if it has less room."""
    there = next((path for path in (directory, *directory.parents) if path.is_dir()), None) if directory else None
    if there is None:
        return
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DiskSpaceError(
            f"the source is stored until the write ends, as memory cannot hold its chunks: up to "
            f"{format_bytes(needed)}, and {directory} has room for {format_bytes(free)}; give spill='...', a directory "
            f"on another disk, or spill=False to hold the chunks in memory nevertheless"
        )


def _check_seen(directory: Path) -> None:
    """Refuse a directory that workers of the active cluster do not see, by a file that is there for a moment."""
    client = active_client()
    if client is None or client.asynchronous:
        return
    with NamedTemporaryFile(prefix="msi_lazy-", dir=directory) as probe:
        blind = [worker for worker, seen in client.run(os.path.exists, probe.name).items() if not seen]
    if blind:
        raise ValueError(
            f"spill={str(directory)!r} is a directory that the worker {blind[0]}"
            f"{f', and {len(blind) - 1} more,' if len(blind) > 1 else ''} does not see; give one that all workers share"
        )
