"""The target of a write: its groups and arrays, its attributes."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import zarr
from zarr.errors import ZarrUserWarning

from msi_lazy.compat.zarr_stores import store_buffers
from msi_lazy.errors import StoreExistsError
from msi_lazy.ngff.specifications import ome_block
from msi_lazy.storage.place import Place, ZarrFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zarr.abc.buffer import Buffer

    from msi_lazy.ngff.specification import Block

__all__ = [
    "ZARR_DOCUMENTS",
    "Target",
    "consolidate",
    "consolidate_above",
    "find_target",
    "image_block",
    "label_paths",
    "open_target",
    "quietly",
    "store_contents",
    "write_attributes",
]

ZARR_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
_SILENCING = Lock()
"""Held while a warning is silenced: threads that did it together would leave it so."""


@dataclass(frozen=True)
class Target(Place):
    """Place that an image is written to: a group of a store, in a Zarr format."""

    zarr_format: ZarrFormat = 3
    """Zarr version, which the OME-Zarr version decides."""

    @classmethod
    def of(cls, node: zarr.Group | zarr.Array[Any]) -> Self:
        """Place of a group that is open."""
        return cls(node.store, node.path, str(node.store_path), zarr_format=node.metadata.zarr_format)

    def child(self, path: str) -> Target:
        """Place of ``path`` below this one, in the same format."""
        return Target(self.store, self.below(path), self.given, self.base, self.zarr_format)


def open_target(place: Place, zarr_format: ZarrFormat, *, exists: bool) -> Target:
    """Open the image's group, to be written in; it is created, and so are those above it, where they are missing.

    Parameters
    ----------
    place
        Where it is.
    zarr_format
        Zarr version.
    exists
        Whether something of ours or of Zarr's is known to be there; else whatever is there is refused.
    """
    try:
        for above in place.parents():
            above.open_group("a", zarr_format)
        made = place.open_group("a" if exists else "w-", zarr_format)
    except FileExistsError:
        raise StoreExistsError(f"{place} holds something that is no Zarr hierarchy; choose another place") from None
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        fault = f"{place} cannot be created ({error.strerror or error})"
        raise type(error)(error.errno, f"{fault}; choose a place that can be written") from error
    return Target(made.store, made.path, place.given, place.base, zarr_format)


def find_target(place: Place) -> Target:
    """Find the group of an image that exists, to be written in.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group.
    """
    return Target.of(place.open_group("r+"))


def image_block(group: zarr.Group) -> Block:
    """OME-Zarr block of a group, of any version."""
    return ome_block(group.attrs.asdict())


def label_paths(target: Target) -> list[str]:
    """Paths of the label images that are listed below an image."""
    try:
        labels = target.child("labels").open_group()
    except FileNotFoundError:
        return []
    names = image_block(labels).get("labels")
    return [f"labels/{name}" for name in names] if isinstance(names, list) else []


def store_contents(target: Target, contents: Mapping[str, Buffer]) -> None:
    """Store ``contents`` below the target's group; zarr has no public way to do so from plain code.

    All of a kind at once, but groups before what is in them, and arrays before their chunks: Icechunk wants it so.
    """
    store_buffers(target.store, {target.below(key): content for key, content in contents.items()}, _rank)


def _rank(key: str) -> tuple[bool, int]:
    """Metadata from the root down, then the rest."""
    is_metadata = key.rpartition("/")[2] in ZARR_DOCUMENTS
    return not is_metadata, key.count("/") if is_metadata else 0


def write_attributes(target: Target, attributes: Mapping[str, Any]) -> None:
    """Write the image's attributes: with this the store is a complete image."""
    group = target.open_group("r+", target.zarr_format, consolidated=True)
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
    for above in Place(target.store, target.path).parents():
        try:
            group = above.open_group("r", target.zarr_format, consolidated=True)
        except FileNotFoundError:  # the store holds more than the user's hierarchy
            continue
        if group.metadata.consolidated_metadata is not None:
            consolidate(Target(above.store, above.path, zarr_format=target.zarr_format))
