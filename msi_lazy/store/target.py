"""The target of a write: whether it may be created, its groups and arrays, its attributes."""

from __future__ import annotations

import asyncio
import os
import warnings
from dataclasses import dataclass
from itertools import groupby
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

__all__ = [
    "Mode",
    "Target",
    "as_store",
    "check_parents",
    "check_target",
    "consolidate",
    "consolidate_above",
    "find_target",
    "holds_zarr",
    "is_in_memory",
    "open_target",
    "store_contents",
    "write_attributes",
]

Mode = Literal["w-", "w"]
ZarrFormat = Literal[2, 3]
_ZARR_MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
_VERSIONS = {2: "0.4", 3: "0.5"}
"""OME-Zarr version that each Zarr version is written for."""
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


def as_store(store: Any) -> Any:
    """What zarr opens groups in: a group stands for the place that it is at.

    Raises
    ------
    TypeError
        Nothing that zarr can write to.
    """
    if store is None:
        raise TypeError("store must be a path, a URL or a zarr store, not None")
    return store.store_path if isinstance(store, zarr.Group) else store


def check_target(
    store: Any, group: str, mode: Mode, sources: Sequence[Location], options: Mapping[str, Any] | None
) -> None:
    """Refuse a target that must not be written, before anything is created or deleted.

    Raises
    ------
    ValueError
        The mode is unknown, or the target holds the image being read, or is part of it, or is a
        directory that no Zarr library made.
    StoreExistsError
        The target exists and ``mode`` is ``"w-"``.
    """
    if mode not in ("w-", "w"):
        raise ValueError(f"mode must be 'w-' (refuse an existing target) or 'w' (overwrite it), not {mode!r}")
    if isinstance(store, ZipStore) or (isinstance(store, (str, Path)) and str(store).endswith(".zip")):
        raise ValueError("a zip file cannot be written in parallel: write a directory, and zip it without compression")
    target = locate(store, group)
    for source in sources:
        if source.overlaps(target):
            raise ValueError(
                f"the target {target} and the image being read, {source}, overlap: writing would destroy the source; "
                f"write to another path"
            )
    directory = target.directory
    if directory is None:
        if mode == "w-" and holds_zarr(store, options, group):
            raise StoreExistsError(f"the store {target} holds data already; pass mode='w' to overwrite it")
        return
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if mode == "w-":
        raise StoreExistsError(f"{directory} exists already; pass mode='w' to overwrite it, or another path")
    if not directory.is_dir() or not any((directory / marker).exists() for marker in _ZARR_MARKERS):
        raise ValueError(f"{directory} is not a Zarr hierarchy, so it is not overwritten; remove it yourself")


def check_parents(store: Any, group: str, zarr_format: ZarrFormat, options: Mapping[str, Any] | None) -> None:
    """Refuse to put an image below what is no group for it.

    Raises
    ------
    ValueError
        A directory of other files, an array, a group of another Zarr version, or an image.
    """
    parts = group.split("/") if group else []
    if parts[:1] == ["OME"]:
        raise ValueError("group 'OME' is where a store lists its images; give another one")
    for depth in range(len(parts)):
        above = "/".join(parts[:depth])
        where = locate(store, above)
        try:
            found = zarr.open(store, path=above or None, mode="r", storage_options=dict(options) if options else None)
        except (FileNotFoundError, KeyError):
            directory = where.directory
            if directory is not None and directory.exists() and any(directory.iterdir()):
                raise ValueError(
                    f"{directory} is not a Zarr hierarchy, so nothing is put into it; choose another place"
                ) from None
            continue
        if isinstance(found, zarr.Array):
            raise ValueError(f"{where} is a Zarr array, so no image can be put into it; choose another place")
        if found.metadata.zarr_format != zarr_format:
            raise ValueError(
                f"{where} is Zarr v{found.metadata.zarr_format}, which OME-Zarr {_VERSIONS[zarr_format]} cannot be put "
                f"into; write version={_VERSIONS[5 - zarr_format]!r}, or choose another place"
            )
        if _is_image(found):
            raise ValueError(
                f"{where} is an image itself, and others do not belong into it; write labels with write_labels, or "
                f"choose another place"
            )


def _is_image(group: zarr.Group) -> bool:
    attributes: dict[str, Any] = group.attrs.asdict()
    ome = attributes.get("ome")
    return "multiscales" in attributes or (isinstance(ome, dict) and "multiscales" in ome)


def holds_zarr(store: Any, options: Mapping[str, Any] | None, group: str = "") -> bool:
    """Whether there is a Zarr group or array at ``group`` in ``store``."""
    try:
        zarr.open(store, path=group or None, mode="r", storage_options=dict(options) if options else None)
    except (FileNotFoundError, KeyError):
        return False
    return True


def open_target(
    store: Any, group: str, mode: Mode, zarr_format: ZarrFormat, options: Mapping[str, Any] | None
) -> Target:
    """Create the image's group; what was there is deleted, if it is Zarr's and ``mode`` is ``"w"``.

    The groups above it are created if they are missing; nothing else in them is touched.

    A local path is made absolute, so that it means the same wherever the blocks are written.
    """
    directory = locate(store).directory
    if directory is not None and isinstance(store, (str, Path, LocalStore)):
        store = LocalStore(os.fspath(directory))
        options = None
    # zarr's own "w" would empty a prefix that holds something else, too
    effective: Mode = "w" if mode == "w" and holds_zarr(store, options, group) else "w-"
    settings: dict[str, Any] = {"zarr_format": zarr_format, "storage_options": dict(options) if options else None}
    parts = group.split("/") if group else []
    try:
        for depth in range(len(parts)):
            zarr.open_group(store, path="/".join(parts[:depth]) or None, mode="a", **settings)
        made = zarr.open_group(store, path=group or None, mode=effective, **settings)
    except FileExistsError:
        raise StoreExistsError(
            f"{locate(store, group)} holds something that is no Zarr hierarchy; choose another place"
        ) from None
    return Target(made.store, made.path, zarr_format)


def find_target(store: Any, group: str, options: Mapping[str, Any] | None) -> Target:
    """The group of an image that exists.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group.
    """
    directory = locate(store).directory
    if directory is not None and isinstance(store, (str, Path, LocalStore)):
        store, options = LocalStore(os.fspath(directory)), None
    found = zarr.open_group(
        store, path=group or None, mode="r+", storage_options=dict(options) if options else None, use_consolidated=False
    )
    return Target(found.store, found.path, 2 if found.metadata.zarr_format == 2 else 3)


def store_contents(target: Target, contents: Mapping[str, Buffer]) -> None:
    """Store ``contents`` below the target's group; zarr has no public way to do so from plain code.

    All of a kind at once, but groups before what is in them, and arrays before their chunks: Icechunk wants it so.
    """

    async def store_all() -> None:
        for _, keys in groupby(sorted(contents, key=_rank), key=_rank):
            await asyncio.gather(*(target.store.set(target.below(key), contents[key]) for key in keys))

    sync(store_all())


def _rank(key: str) -> tuple[bool, int]:
    """Metadata from the root down, then the rest."""
    is_metadata = key.rpartition("/")[2] in _ZARR_MARKERS
    return not is_metadata, key.count("/") if is_metadata else 0


def write_attributes(target: Target, attributes: Mapping[str, Any]) -> None:
    """Write the image's attributes: with this the store is a complete image."""
    group = zarr.open_group(target.store, path=target.path, mode="r+", zarr_format=target.zarr_format)
    group.attrs.update(dict(attributes))
    consolidate(target)


def consolidate(target: Target) -> None:
    """Consolidate the metadata of all nodes, as xarray does.

    It opens such a store without a warning, and a remote one much faster.  Some stores, such as Icechunk's, know
    their nodes without.
    """
    if not target.store.supports_consolidated_metadata:
        return
    with _CONSOLIDATING, warnings.catch_warnings():  # not in Zarr v3's specification, but xarray asks for it
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(target.store, path=target.path or None, zarr_format=target.zarr_format)


def consolidate_above(target: Target) -> None:
    """Renew the consolidated metadata of the groups above, of those that have some."""
    parts = target.path.split("/") if target.path else []
    for depth in range(len(parts)):
        path = "/".join(parts[:depth])
        try:
            above = zarr.open_group(target.store, path=path or None, mode="r", zarr_format=target.zarr_format)
        except FileNotFoundError:  # the store holds more than the user's hierarchy
            continue
        if above.metadata.consolidated_metadata is not None:
            consolidate(Target(target.store, path, target.zarr_format))


def is_in_memory(store: Any) -> bool:
    """Whether other processes cannot see the store."""
    if isinstance(store, (StorePath, zarr.Group)):
        return is_in_memory(store.store)
    if isinstance(store, str):
        return store.startswith("memory://")
    return isinstance(store, (MemoryStore, dict))
