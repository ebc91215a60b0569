"""Observing whether a target holds a source, where their places alone do not tell.

The ledger of the write has a key that exists in no other place, the witness: a source in whose store it appears, at the
source or above it, lies in the target.  As the store of a source may begin inside the target, the witness is also
stored next to every node of the target during the check.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from msi_lazy.compat.zarr_stores import key_exists
from msi_lazy.storage.location import referenced_locations
from msi_lazy.storage.nodes_below import nodes_below
from msi_lazy.storage.stored_ledger import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.source.origins import Source
    from msi_lazy.storage.place import Place
    from msi_lazy.storage.target import Target

__all__ = ["overlap_message", "refuse_overlap"]


def overlap_message(target: Place, source: Source) -> str:
    """Message that refuses to write to ``target``."""
    return (
        f"the target {target} and the image being read, {source}, overlap: writing would destroy the source; "
        f"write to another path"
    )


def refuse_overlap(target: Target, sources: Sequence[Source]) -> None:
    """Refuse a target that overlaps one of ``sources``; nothing in it has been deleted yet, and nothing is left in it.

    Parameters
    ----------
    target
        Group of the write, which exists.
    sources
        Sources whose places do not tell.

    Raises
    ------
    ValueError
        The target holds a source, or lies in it.
    """
    if not sources:
        return
    probe = Witness(target, uuid4().hex)  # of its own: that of an interrupted write in the target stays as it is
    nodes = ["", *nodes_below(target)]
    try:
        for path in nodes:
            probe.store(path)
        for source in sources:
            if _refers_to(source, target) or _sees(source, probe.key):
                raise ValueError(overlap_message(target, source))
    finally:
        for path in nodes:
            probe.remove(path)


def _refers_to(source: Source, target: Place) -> bool:
    """Tell whether a source reads the target by references: such a file system shows none of the target's keys."""
    if source.place is None:
        return False
    return any(location.overlaps(target.location) for location in referenced_locations(source.place.store))


def _sees(source: Source, key: str) -> bool:
    """Tell whether ``key`` is stored at the place of a source, or at any above it."""
    path = Path(source.location.path)
    if source.location.scheme == "file" and any((above / key).exists() for above in (path, *path.parents)):
        return True
    if source.place is None:
        return False
    store = source.place.store
    return any(key_exists(store, f"{above}/{key}" if above else key) for above in _upwards(source.place.path))


def _upwards(path: str) -> Iterator[str]:
    """Paths from ``path`` up to the root, which is empty."""
    parts = path.split("/") if path else []
    for depth in range(len(parts), -1, -1):
        yield "/".join(parts[:depth])
