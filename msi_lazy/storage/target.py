"""Target of a write: its groups, arrays and attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import zarr

from msi_lazy.compat.file_sync import sync_file_system
from msi_lazy.compat.zarr_stores import store_buffers
from msi_lazy.errors import StoreExistsError
from msi_lazy.ngff.counts import check_count
from msi_lazy.ngff.specifications import holds_image, ome_block
from msi_lazy.storage.local_documents import store_locally, takes_files
from msi_lazy.storage.nodes_below import nodes_below, quietly
from msi_lazy.storage.place import Place, ZarrFormat
from msi_lazy.storage.shared_groups import create_group, locked_group
from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.abc.buffer import Buffer

    from msi_lazy.ngff.specification import Block

__all__ = [
    "Target",
    "consolidate",
    "consolidate_above",
    "find_target",
    "image_block",
    "images_below",
    "label_paths",
    "open_target",
    "quietly",
    "store_contents",
    "sync_target",
    "write_attributes",
]


@dataclass(frozen=True)
class Target(Place):
    """Place that an image is written to: a group of a store, in a Zarr format."""

    zarr_format: ZarrFormat = 3
    """Zarr version, by the OME-Zarr version."""

    @classmethod
    def of(cls, node: zarr.Group | zarr.Array[Any]) -> Self:
        """Place of a group that is open."""
        return cls(node.store, node.path, str(node.store_path), zarr_format=node.metadata.zarr_format)

    def child(self, path: str) -> Target:
        """Place of ``path`` below this one, in the same format."""
        return Target(self.store, self.below(path), self.given, self.base, self.zarr_format)


def open_target(place: Place, zarr_format: ZarrFormat, *, exists: bool) -> Target:
    """Open the image's group for writing; it, and the groups above it, are created where they are missing.

    Parameters
    ----------
    place
        Place of the group.
    zarr_format
        Zarr version.
    exists
        Whether a Zarr node or a ledger is known to be there; otherwise anything there is refused.
    """
    try:
        for above in place.parents():
            create_group(above, zarr_format)
        group = place.open_group("a" if exists else "w-", zarr_format)
    except FileExistsError:
        raise StoreExistsError(f"{place} holds something other than a Zarr hierarchy; choose another place") from None
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        fault = f"{place} cannot be created ({error.strerror or error})"
        raise type(error)(error.errno, f"{fault}; choose a writable place") from error
    return Target(group.store, group.path, place.given, place.base, zarr_format)


def find_target(place: Place) -> Target:
    """Open the group of an image that exists, for writing.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group.
    """
    return Target.of(place.open_group("r+"))


def image_block(group: zarr.Group) -> Block:
    """OME-Zarr block of a group, whatever the version."""
    return ome_block(group.attrs.asdict())


def label_paths(target: Target) -> list[str]:
    """Paths of the label images listed below an image."""
    try:
        labels = target.child("labels").open_group()
    except FileNotFoundError:
        return []
    names = image_block(labels).get("labels")
    check_count("labels", names)
    return [f"labels/{name}" for name in names] if isinstance(names, list) else []


def images_below(place: Place) -> tuple[list[str], list[str]]:
    """Paths of all images below a place, and of all label images, of its own image too; listed or not."""
    groups = {path: node for path, node in nodes_below(place).items() if isinstance(node, zarr.Group)}
    images, labels = [], []
    for path, group in groups.items():
        above, _, name = path.rpartition("/")
        listed = image_block(groups[above]).get("labels") if above in groups else None
        is_image = holds_image(group.attrs.asdict())
        if (isinstance(listed, list) and name in listed) or (is_image and "labels" in above.split("/")):
            labels.append(path)
        elif is_image:
            images.append(path)
    return sorted(images), sorted(labels)


def store_contents(target: Target, contents: Mapping[str, Buffer], *, unseen: bool = False) -> None:
    """Store ``contents`` below the target's group: groups before their members, arrays before their chunks.

    Icechunk wants it so.  Keys of one rank are stored at once.  ``unseen`` tells that nobody reads them yet.
    """
    below = {target.below(key): content for key, content in contents.items()}
    if takes_files(target.store):
        store_locally(target.store, below, _rank, unseen=unseen)
    else:
        store_buffers(target.store, below, _rank)


def _rank(key: str) -> tuple[bool, int]:
    """Metadata from the root down, then the rest."""
    is_metadata = key.rpartition("/")[2] in ZARR_DOCUMENTS
    return not is_metadata, key.count("/") if is_metadata else 0


def write_attributes(target: Target, attributes: Mapping[str, Any]) -> None:
    """Write the image's attributes, which complete the image.

    What they list is consolidated before, so that readers of either see all of it by one write of the group's document.
    """
    consolidate(target)
    with locked_group(target):
        group = target.open_group("r+", target.zarr_format, consolidated=True)
        group.attrs.update(dict(attributes))


def sync_target(target: Target) -> None:
    """Return once all that was written to a target of local files is on disk; other stores keep what they got."""
    directory = target.directory
    if directory is not None:
        sync_file_system(next(above for above in (directory, *directory.parents) if above.is_dir()))


def consolidate(target: Target) -> None:
    """Consolidate the metadata of all nodes: xarray then opens a store without a warning, and a remote one faster.

    Some stores, such as Icechunk's, need none.
    """
    if not target.store.supports_consolidated_metadata:
        return
    with locked_group(target), quietly():  # not in the specification of Zarr v3, but xarray asks for it
        zarr.consolidate_metadata(target.store, path=target.path or None, zarr_format=target.zarr_format)


def consolidate_above(target: Target) -> None:
    """Renew the consolidated metadata of those groups above that have some."""
    for above in Place(target.store, target.path).parents():
        try:
            group = above.open_group("r", target.zarr_format, consolidated=True)
        except FileNotFoundError:  # the store holds more than the user's hierarchy
            continue
        if group.metadata.consolidated_metadata is not None:
            consolidate(Target(above.store, above.path, zarr_format=target.zarr_format))
