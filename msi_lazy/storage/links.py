"""Symbolic links in stores of local files: nothing is written or deleted through one that leads out of its store."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from msi_lazy.storage.location import locate_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from zarr.abc.store import Store

__all__ = ["behind_link", "describe_link_out", "is_link", "links_below", "refuse_links_out", "remove_link"]


def describe_link_out(store: Store, paths: Iterable[str]) -> str:
    """Name a link that leads out of a store, on the way to some of its directories; empty if there is none.

    The store itself may be given as a link.  In other stores than of local files there are none.

    Parameters
    ----------
    store
        Store that is to be written to.
    paths
        Paths of directories in it, which need not exist.
    """
    root = locate_store(store).directory
    checked: set[PurePosixPath] = set()
    for path in map(PurePosixPath, paths if root is not None else ()):
        for step in (*list(path.parents)[::-1], path):
            if root is None or step in checked or not (root / step).is_symlink():
                checked.add(step)
                continue
            leads_to = Path(os.path.realpath(root / step))
            if not leads_to.is_relative_to(root):
                return f"{root / step} is a symbolic link that leads out of the store, to {leads_to}"
    return ""


def refuse_links_out(store: Store, paths: Iterable[str]) -> None:
    """Refuse to write into directories of a store; arguments as for :func:`describe_link_out`.

    Raises
    ------
    ValueError
        A link on the way to one leads out of the store; names it, and where it leads.
    """
    found = describe_link_out(store, paths)
    if found:
        raise ValueError(
            f"{found}: nothing is written there; put a copy of what it leads to in its place (cp -rL), or remove the "
            f"link, or give the place that it leads to as the store"
        )


def is_link(store: Store, path: str) -> bool:
    """Tell whether a path in a store is a link."""
    root = locate_store(store).directory
    return root is not None and (root / path).is_symlink()


def behind_link(store: Store, path: str) -> bool:
    """Tell whether a path in a store is a link, or lies behind one."""
    return any(is_link(store, str(step)) for step in (PurePosixPath(path), *PurePosixPath(path).parents))


def links_below(store: Store, path: str) -> Iterator[str]:
    """Paths in a store of all links at a path and below it; those inside linked directories are not."""
    root = locate_store(store).directory
    if root is None:
        return
    for directory, folders, files in os.walk(root / path):  # which follows no link
        for name in (*folders, *files):
            if os.path.islink(os.path.join(directory, name)):
                yield Path(directory, name).relative_to(root).as_posix()


def remove_link(store: Store, path: str) -> bool:
    """Remove a path in a store if it is a link, and tell whether it was one; what it leads to stays as it is."""
    root = locate_store(store).directory
    if root is None or not path or not (root / path).is_symlink():
        return False
    (root / path).unlink()
    return True
