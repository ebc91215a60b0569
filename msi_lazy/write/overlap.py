"""Observing whether a target holds what is read from, where the places alone do not tell.

A ledger has just been laid in the target, under a key that nothing else has: a source that shows that key, as seen from
any level above its array, lies in the target.  A source whose store begins inside of the target cannot see it; so the
same key is laid next to every node of the target, too, for as long as it takes to look.
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

__all__ = ["overlap_text", "refuse_overlap"]


def overlap_text(target: Place, source: Source) -> str:
    """Message that refuses to write to ``target``."""
    return (
        f"the target {target} and the image being read, {source}, overlap: writing would destroy the source; "
        f"write to another path"
    )


def refuse_overlap(ledger: StoredLedger, sources: Sequence[Source]) -> None:
    """Refuse a target that shows through one of ``sources``; nothing of it has been deleted yet.

    Parameters
    ----------
    ledger
        Ledger of the write, laid in its target.
    sources
        What is read from, as far as its place does not tell.

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
                raise ValueError(overlap_text(ledger.target, source))
    finally:
        for path in nodes:
            ledger.target.delete(f"{path}/{LEDGER}")


def _node_paths(target: Place) -> list[str]:
    """Paths of all groups and arrays below the target."""
    try:
        with quietly():
            return [path for path, _ in target.open_group().members(max_depth=None)]
    except Exception:  # what is half deleted, or broken, has no nodes any more
        return []


def _sees(source: Source, key: str) -> bool:
    """Tell whether a source shows ``key`` at its place, or at any above it."""
    path = Path(source.location.path)
    if source.location.scheme == "file" and any((above / key).exists() for above in (path, *path.parents)):
        return True
    if source.place is None:
        return False
    store = source.place.store
    return any(key_exists(store, f"{above}/{key}" if above else key) for above in _upwards(source.place.path))


def _upwards(path: str) -> Iterator[str]:
    """``path``, and all above it, up to the root, which is empty."""
    parts = path.split("/") if path else []
    for depth in range(len(parts), -1, -1):
        yield "/".join(parts[:depth])
