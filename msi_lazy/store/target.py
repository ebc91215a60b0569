"""The target of a write: whether it may be created, its groups and arrays, its attributes."""

from __future__ import annotations

import asyncio
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import zarr
from zarr.core.sync import sync
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore, MemoryStore, StorePath, ZipStore

from msi_lazy.errors import StoreExistsError
from msi_lazy.graph.locations import Location, locate
from msi_lazy.graph.pipeline import open_array
from msi_lazy.ngff.write import array_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zarr.abc.store import Store
    from zarr.core.buffer import Buffer

__all__ = ["Mode", "Target", "check_target", "is_in_memory", "open_target", "store_contents", "write_attributes"]

Mode = Literal["w-", "w"]
ZarrFormat = Literal[2, 3]
_ZARR_MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
_CONSOLIDATING = Lock()
"""Held while a warning is silenced: threads that did it together would leave it so."""


@dataclass(frozen=True)
class Target:
    """Where an image is written: a group of a store."""

    store: Store
    """The store."""
    path: str
    """Path of the image's group in it; empty for the root."""
    zarr_format: ZarrFormat
    """Zarr version, which the OME-Zarr version decides."""

    def below(self, path: str) -> str:
        """Path in the store of ``path`` in the image's group."""
        return "/".join(filter(None, (self.path, path)))

    def open_level(self, level: int, name: str, write_empty_chunks: bool = False) -> zarr.Array[Any]:
        """Open the array of a level, to be written in blocks."""
        path = self.below(array_path(level, name))
        return open_array(self.store, path, write_empty_chunks=write_empty_chunks)


def check_target(store: Any, mode: Mode, sources: Sequence[Location], options: Mapping[str, Any] | None) -> None:
    """Refuse a target that must not be written, before anything is created or deleted.

    Raises
    ------
    TypeError
        ``store`` is nothing that zarr can write to.
    ValueError
        The mode is unknown, or the target holds the image being read, or is part of it, or is a
        directory that no Zarr library made.
    StoreExistsError
        The target exists and ``mode`` is ``"w-"``.
    """
    if mode not in ("w-", "w"):
        raise ValueError(f"mode must be 'w-' (refuse an existing target) or 'w' (overwrite it), not {mode!r}")
    if store is None:
        raise TypeError("store must be a path, a URL or a zarr store, not None")
    if isinstance(store, ZipStore) or (isinstance(store, (str, Path)) and str(store).endswith(".zip")):
        raise ValueError("a zip file cannot be written in parallel: write a directory, and zip it without compression")
    target = locate(store)
    for source in sources:
        if source.overlaps(target):
            raise ValueError(
                f"the target {target} and the image being read, {source}, overlap: writing would destroy the source; "
                f"write to another path"
            )
    directory = target.directory
    if directory is None:
        if mode == "w-" and holds_zarr(store, options):
            raise StoreExistsError(f"the store {target} holds data already; pass mode='w' to overwrite it")
        return
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if mode == "w-":
        raise StoreExistsError(f"{directory} exists already; pass mode='w' to overwrite it, or another path")
    if not directory.is_dir() or not any((directory / marker).exists() for marker in _ZARR_MARKERS):
        raise ValueError(f"{directory} is not a Zarr hierarchy, so it is not overwritten; remove it yourself")


def holds_zarr(store: Any, options: Mapping[str, Any] | None) -> bool:
    """Whether there is a Zarr group or array at ``store``."""
    try:
        zarr.open(store, mode="r", storage_options=dict(options) if options else None)
    except (FileNotFoundError, KeyError):
        return False
    return True


def open_target(store: Any, mode: Mode, zarr_format: ZarrFormat, options: Mapping[str, Any] | None) -> Target:
    """Create the image's group; what was there is deleted, if it is Zarr's and ``mode`` is ``"w"``.

    A local path is made absolute, so that it means the same wherever the blocks are written.
    """
    if isinstance(store, zarr.Group):
        store = store.store_path
    directory = locate(store).directory
    if directory is not None and isinstance(store, (str, Path, LocalStore)):
        store = LocalStore(os.fspath(directory))
        options = None
    # zarr's own "w" would empty a prefix that holds something else, too
    effective: Mode = "w" if mode == "w" and holds_zarr(store, options) else "w-"
    try:
        group = zarr.open_group(
            store, mode=effective, zarr_format=zarr_format, storage_options=dict(options) if options else None
        )
    except FileExistsError:
        raise StoreExistsError(
            f"{locate(store)} holds something that is no Zarr hierarchy; choose another place"
        ) from None
    return Target(group.store, group.path, zarr_format)


def store_contents(target: Target, contents: Mapping[str, Buffer]) -> None:
    """Store ``contents`` below the target's group, all at once; zarr has no public way to do so from plain code."""

    async def store_all() -> None:
        await asyncio.gather(*(target.store.set(target.below(key), value) for key, value in contents.items()))

    sync(store_all())


def write_attributes(target: Target, attributes: Mapping[str, Any]) -> None:
    """Write the image's attributes: with this the store is a complete image.

    The metadata of all nodes are consolidated too, as xarray does: it opens such a store without a
    warning, and a remote one much faster.
    """
    group = zarr.open_group(target.store, path=target.path, mode="r+", zarr_format=target.zarr_format)
    group.attrs.update(dict(attributes))
    with _CONSOLIDATING, warnings.catch_warnings():  # not in Zarr v3's specification, but xarray asks for it
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(target.store, path=target.path or None, zarr_format=target.zarr_format)


def is_in_memory(store: Any) -> bool:
    """Whether other processes cannot see the store."""
    if isinstance(store, (StorePath, zarr.Group)):
        return is_in_memory(store.store)
    if isinstance(store, str):
        return store.startswith("memory://")
    return isinstance(store, (MemoryStore, dict))
