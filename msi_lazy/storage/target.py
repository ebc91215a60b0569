"""The target of a write: its groups and arrays, its attributes."""

from __future__ import annotations

import asyncio
import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import zarr
from zarr.core.sync import sync
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore, MemoryStore, StorePath

from msi_lazy.errors import StoreExistsError
from msi_lazy.ngff.write_attributes import array_path
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.place import locate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zarr.abc.store import Store
    from zarr.core.buffer import Buffer

__all__ = [
    "ZARR_DOCUMENTS",
    "Mode",
    "Target",
    "as_store",
    "consolidate",
    "consolidate_above",
    "find_target",
    "image_block",
    "is_in_memory",
    "open_target",
    "quietly",
    "store_contents",
    "write_attributes",
]

Mode = Literal["w-", "w"]
ZarrFormat = Literal[2, 3]
ZARR_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
_SILENCING = Lock()
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

    @classmethod
    def of(cls, group: zarr.Group) -> Target:
        """A group that is there."""
        return cls(group.store, group.path, 2 if group.metadata.zarr_format == 2 else 3)

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


def open_target(
    store: Any, group: str, zarr_format: ZarrFormat, options: Mapping[str, Any] | None, *, exists: bool
) -> Target:
    """Open the image's group, to be written in; it is created, and so are those above it, where they are missing.

    A local path is made absolute, so that it means the same wherever the blocks are written.

    Parameters
    ----------
    exists
        Whether something of ours or of Zarr's is known to be there; else whatever is there is refused.
    """
    directory = locate(store).directory
    if directory is not None and isinstance(store, (str, Path, LocalStore)):
        store = LocalStore(os.fspath(directory))
        options = None
    settings: dict[str, Any] = {"zarr_format": zarr_format, "storage_options": dict(options) if options else None}
    parts = group.split("/") if group else []
    try:
        for depth in range(len(parts)):
            zarr.open_group(store, path="/".join(parts[:depth]) or None, mode="a", **settings)
        made = zarr.open_group(store, path=group or None, mode="a" if exists else "w-", **settings)
    except FileExistsError:
        raise StoreExistsError(
            f"{locate(store, group)} holds something that is no Zarr hierarchy; choose another place"
        ) from None
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        fault = f"{locate(store, group)} cannot be created ({error.strerror or error})"
        raise type(error)(error.errno, f"{fault}; choose a place that can be written") from error
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
    return Target.of(found)


def image_block(group: zarr.Group) -> dict[str, Any]:
    """Where a group's OME-Zarr attributes are, in either version."""
    attributes: dict[str, Any] = group.attrs.asdict()
    block = attributes.get("ome", attributes)
    return block if isinstance(block, dict) else {}


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
    is_metadata = key.rpartition("/")[2] in ZARR_DOCUMENTS
    return not is_metadata, key.count("/") if is_metadata else 0


def write_attributes(target: Target, attributes: Mapping[str, Any]) -> None:
    """Write the image's attributes: with this the store is a complete image."""
    group = zarr.open_group(target.store, path=target.path, mode="r+", zarr_format=target.zarr_format)
    group.attrs.update(dict(attributes))
    consolidate(target)


@contextmanager
def quietly() -> Iterator[None]:
    """Without zarr's warnings, of what it takes for strange in a store."""
    with _SILENCING, warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        yield


def consolidate(target: Target) -> None:
    """Consolidate the metadata of all nodes, as xarray does.

    It opens such a store without a warning, and a remote one much faster.  Some stores, such as Icechunk's, know
    their nodes without.
    """
    if not target.store.supports_consolidated_metadata:
        return
    with quietly():  # not in Zarr v3's specification, but xarray asks for it
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
