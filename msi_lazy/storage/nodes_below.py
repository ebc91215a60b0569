"""Nodes below a group, and what lies there besides: links are not followed, so that all of it is the group's own."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import zarr
from zarr.errors import ZarrUserWarning

from msi_lazy.compat.zarr_stores import key_exists, list_names
from msi_lazy.storage.links import is_link
from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.storage.place import Place

__all__ = ["foreign_names", "nodes_below", "quietly"]

_OWN = re.compile(r"\.msi_lazy-.*|.*\.[0-9a-f]{32}\.partial|\.DS_Store|Thumbs\.db|desktop\.ini|\._.*", re.DOTALL)
"""Names of ledgers and notes of this package, of files that zarr-python was writing, and of what desktops leave."""
_CHUNKS = re.compile(r"c(\.\d+)*|\d+(\.\d+)*")
"""Names that chunks of an array, or the directories of them, have directly below it, in any encoding of keys."""

_SILENCING = Lock()
"""Held while a warning is silenced: two threads at once would leave it so."""

Node = zarr.Group | zarr.Array[Any]


@contextmanager
def quietly() -> Iterator[None]:
    """Silence zarr's warnings about unusual contents of a store."""
    with _SILENCING, warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        yield


def nodes_below(place: Place) -> dict[str, Node]:
    """Find all groups and arrays below a group, by their paths; those that cannot be opened are left out.

    Of local files each directory is looked into but those of chunks, and links are not followed; others are listed by
    zarr, which asks for many at once.
    """
    if place.directory is None:
        try:
            with quietly():
                return dict(place.open_group().members(max_depth=None))
        except Exception:  # half deleted, or broken: then one by one
            return dict(_walk(place, ""))
    return dict(_walk(place, ""))


def _walk(place: Place, path: str) -> Iterator[tuple[str, Node]]:
    for name in list_names(place.store, place.below(path)):
        below = f"{path}/{name}".strip("/")
        if name.startswith(".") or name in ZARR_DOCUMENTS or is_link(place.store, place.below(below)):
            continue
        if not _documents(place, below):
            continue
        try:
            node = place.child(below).open_node()
        except Exception:  # broken; there may be sound ones below
            node = None
        if node is not None:
            yield below, node
        if not isinstance(node, zarr.Array):
            yield from _walk(place, below)


def foreign_names(place: Place, path: str = "", names: Sequence[str] | None = None) -> Iterator[str]:
    """Paths at a node of all that Zarr has no name for, such as notes of a user or a table, or a folder of files.

    Of an array, what is in the directories of its chunks counts as chunks.  ``names`` are those at the path, if known.
    """
    chunks = _holds_chunks(place, path)
    for name in list_names(place.store, place.below(path)) if names is None else names:
        below = f"{path}/{name}".strip("/")
        if name in ZARR_DOCUMENTS or _OWN.fullmatch(name) or (chunks and _CHUNKS.fullmatch(name)):
            continue
        if is_link(place.store, place.below(below)):
            continue  # of which nothing but the link is removed
        inside = list_names(place.store, place.below(below))
        if set(inside) & set(ZARR_DOCUMENTS):
            yield from foreign_names(place, below, inside)
        elif _is_there(place, below, inside):
            yield below


def _documents(place: Place, path: str) -> set[str]:
    """Names of Zarr's documents at a path; none if there is no node."""
    return set(list_names(place.store, place.below(path))) & set(ZARR_DOCUMENTS)


def _holds_chunks(place: Place, path: str) -> bool:
    """Tell whether a node may be an array; one that cannot be opened may."""
    try:
        return not isinstance(place.child(path).open_node(), zarr.Group)
    except Exception:  # whatever broken metadata may raise
        return True


def _is_there(place: Place, path: str, inside: Sequence[str]) -> bool:
    """Tell whether there is a file at a path or below it, and not just a directory, or the mark of one."""
    directory = place.child(path).directory
    if directory is not None:
        files = (found for found in directory.rglob("*") if not found.is_dir())
        return not directory.is_dir() or any(_OWN.fullmatch(found.name) is None for found in files)
    return bool(inside) or key_exists(place.store, place.below(path))
