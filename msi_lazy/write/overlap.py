"""Observing whether a target holds a source, where their places alone do not tell.

The ledger of the write has a key that exists in no other place, the witness: a source in whose store it appears, at the
source or above it, lies in the target.  As the store of a source may begin inside the target, the witness is also
stored next to every node of the target during the check.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msi_lazy.compat.zarr_stores import key_exists
from msi_lazy.storage.ledger import LEDGER
from msi_lazy.storage.target import quietly

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.source.origins import Source
    from msi_lazy.storage.ledger import StoredLedger
    from msi_lazy.storage.place import Place

__all__ = ["overlap_message", "refuse_overlap"]


def overlap_message(target: Place, source: Source) -> str:
    """Message that refuses to write to ``target``."""
    return (
        f"the target {target} and the image being read, {source}, overlap: writing would destroy the source; "
        f"write to another path"
    )


def refuse_overlap(ledger: StoredLedger, sources: Sequence[Source]) -> None:
    """Refuse a target that overlaps one of ``sources``; nothing in it has been deleted yet.

    Parameters
    ----------
    ledger
        Ledger of the write, stored in its target.
    sources
        Sources whose places do not tell.

    Raises
    ------
    ValueError
        The target holds a source, or lies in it.
    """
    if not sources:
        return
    nodes = _node_paths(ledger.target)
    try:
        for path in nodes:
            ledger.store_witness(path)
        for source in sources:
            if _sees(source, ledger.witness):
                raise ValueError(overlap_message(ledger.target, source))
    finally:
        for path in nodes:
            ledger.target.delete(f"{path}/{LEDGER}")


def _node_paths(target: Place) -> list[str]:
    """Paths of all groups and arrays below the target."""
    try:
        with quietly():
            return [path for path, _ in target.open_group().members(max_depth=None)]
    except Exception:  # half deleted, or broken: no nodes any more
        return []


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
