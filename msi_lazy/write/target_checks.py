"""Checks of the target of a write, before anything is created or deleted."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, get_args

import zarr

from msi_lazy.errors import StoreExistsError
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.specifications import holds_image, specification_in, stated_specification
from msi_lazy.storage.ledger import LEDGER, LEDGER_ARRAY, child_names
from msi_lazy.storage.links import is_link, links_below, refuse_links_out
from msi_lazy.storage.nodes_below import foreign_names
from msi_lazy.storage.partial_files import is_partial
from msi_lazy.storage.replacement import Replace, why_not_beside
from msi_lazy.storage.target import images_below
from msi_lazy.storage.unfinished import ledger_beside, ledger_within, stored_ledger
from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS
from msi_lazy.write.fields import check_field
from msi_lazy.write.overlap import overlap_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Set

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.source.origins import Source
    from msi_lazy.storage.place import Mode, Place
    from msi_lazy.write.job import WriteOptions

__all__ = [
    "check_images_kept",
    "check_links",
    "check_others_kept",
    "check_parents",
    "check_replaceable",
    "check_target",
    "other_nodes",
]

_MOST_NAMED = 10
"""Most images, or files, that a message names."""


def check_target(place: Place, mode: Mode, sources: Sequence[Source], resume: bool = False) -> list[Source]:
    """Refuse a target that must not be written, before anything is created or deleted.

    Parameters
    ----------
    place
        Target of the write.
    mode
        As for :func:`msi_lazy.to_zarr`.
    sources
        Sources that are read.
    resume
        Whether an interrupted write may be resumed.

    Returns
    -------
    list
        Sources that may overlap the target, as far as their places tell.

    Raises
    ------
    ValueError
        The mode is unknown, the target and the image being read overlap, or the target is a directory without Zarr
        nodes.
    StoreExistsError
        The target exists and ``mode`` is ``"w-"``.
    """
    if mode not in ("w-", "w"):
        raise ValueError(f"mode must be 'w-' (refuse an existing target) or 'w' (overwrite it), not {mode!r}")
    doubtful = []
    for source in sources:
        overlaps = source.location.overlaps(place.location)
        if overlaps:
            raise ValueError(overlap_message(place, source))
        if overlaps is None:
            doubtful.append(source)
    ledger = stored_ledger(place)
    incomplete = ledger is not None
    if (incomplete and (resume or mode == "w")) or not (incomplete or _is_taken(place)):
        return doubtful
    if (resume or mode == "w") and _is_blank(place):  # as a run leaves it that is killed at once
        return doubtful
    if mode == "w-":
        if ledger is not None:
            fault = f"holds an incomplete {ledger.what}; resume=True resumes it, mode='w' starts over"
        elif resume:
            fault = "exists already, and holds no incomplete image to resume; pass mode='w' to overwrite it"
        else:
            fault = "exists already; pass mode='w' to overwrite it"
        raise StoreExistsError(f"{place} {fault}, or choose another path")
    if (place.directory is not None or place.in_archive) and place.open_node() is None:
        raise ValueError(f"{place} is not a Zarr hierarchy, so it is not overwritten; remove it yourself")
    return doubtful


def check_images_kept(place: Place, options: WriteOptions, replaced: Sequence[str]) -> None:
    """Refuse to delete other images with the one that is overwritten, and its labels unless that is asked for.

    Parameters
    ----------
    place, options
        Target of the write, which passed :func:`check_target`, and its options.
    replaced
        Paths of the images and label images that the write stores itself.

    Raises
    ------
    StoreExistsError
        There are others; names them.
    """
    begun = ledger_beside(place) if options.resume else None
    if not (options.mode == "w" or begun is not None) or ledger_within(place) is not None:
        return  # what an incomplete image holds is its own, of the same write
    agreed = () if begun is None else begun.nested  # what was there, and might go, when the write began
    images, labels = ([path for path in paths if path not in agreed] for paths in images_below(place))
    images = [path for path in images if path not in replaced]
    if images:
        first = "/".join(filter(None, (place.group, images[0])))
        others = f" and {len(images) - _MOST_NAMED} more" if len(images) > _MOST_NAMED else ""
        raise StoreExistsError(
            f"{place} holds the images {', '.join(map(repr, images[:_MOST_NAMED]))}{others}, which mode='w' would "
            f"delete: give the path of the one to overwrite, as in group={first!r}, choose another path, or remove "
            f"them yourself"
        )
    lost = [path for path in labels if path not in replaced]
    if lost and not options.delete_labels:
        raise StoreExistsError(
            f"{place} holds the labels {', '.join(map(repr, lost))}, which mode='w' would delete; pass "
            f"delete_labels=True to delete them, write them too with labels={{...}}, or choose another path"
        )


def check_others_kept(place: Place, options: WriteOptions, stored: Iterable[str] = ()) -> None:
    """Refuse to delete what is no part of the image that is overwritten: notes, tables, anything a user put there.

    Parameters
    ----------
    place, options
        Target of the write, which passed :func:`check_target`, and its options.
    stored
        Paths of nodes below the target that the write stores itself.

    Raises
    ------
    StoreExistsError
        There are files that Zarr has no name for, or nodes besides an image's own; names them.
    """
    ledger = ledger_within(place)
    if options.mode != "w" or (ledger is not None and ledger.state == "clearing") or place.open_node() is None:
        return  # half of what was there, and nothing else, may have been deleted
    groups = {"labels", *stored} if ledger is not None else set()  # some are none until they are whole
    lost = list(islice(_foreign_names(place, groups), _MOST_NAMED + 1))
    lost = lost or other_nodes(place, stored)
    if lost:
        more = ", and more" if len(lost) > _MOST_NAMED else ""
        raise StoreExistsError(
            f"{place} holds {', '.join(map(repr, lost[:_MOST_NAMED]))}{more}, which mode='w' would delete, and which "
            f"is no part of an image: move it elsewhere, or choose another path"
        )


def _foreign_names(place: Place, groups: Set[str]) -> Iterator[str]:
    """Yield the paths of what Zarr has no name for, also in ``groups`` that may be none yet."""
    for name in foreign_names(place):
        if name in groups:
            yield from foreign_names(place, name)
        else:
            yield name


def other_nodes(place: Place, stored: Iterable[str]) -> list[str]:
    """Names of nodes directly below an image besides its levels, labels, coordinates, and those ``stored`` again."""
    try:
        image = parse_image(place.open_group().attrs.asdict())
    except (FileNotFoundError, ValueError):  # no image, and overwritten as a whole
        return []
    own = {"labels", *image.dims, *(level.path.partition("/")[0] for level in image.levels), *stored}
    names = [name for name in child_names(place) if name not in own and not name.startswith(".")]
    found = [name for name in names if place.child(name).open_node() is not None]
    return sorted(name for name in found if not is_link(place.store, place.below(name)))


def check_links(place: Place, *, resume: bool = False, written: Iterable[str] = ()) -> None:
    """Refuse to write where a link in the store leads out of it.

    Parameters
    ----------
    place
        Group of the image.
    resume
        Whether what is there is kept, links in it too.
    written
        Paths below the group that are written into, and in which links may be.

    Raises
    ------
    ValueError
        Names the link.
    """
    paths = [place.path, place.below(LEDGER), place.below(LEDGER_ARRAY)]
    paths += [f"{place.base}/OME".strip("/")] if place.group else []
    for path in [place.path] * resume + [place.below(path) for path in written]:
        paths += [path, *links_below(place.store, path)]
    refuse_links_out(place.store, paths)


def check_replaceable(place: Place, options: WriteOptions) -> None:
    """Refuse to replace what cannot be exchanged with a directory beside it.

    Raises
    ------
    ValueError
        Says why, and what to do.
    """
    if options.replace not in get_args(Replace):
        raise ValueError(
            f"replace must be 'beside' (write the new image beside the old one, and exchange them at the end) or "
            f"'in place' (delete the old one first), not {options.replace!r}"
        )
    if options.mode != "w" or options.replace == "in place" or not _is_taken(place):
        return
    why = why_not_beside(place)
    if why:
        raise ValueError(
            f"{place} cannot be replaced by an image written beside it: {why}; pass replace='in place' to delete the "
            f"old image before the new one is written, or choose another path"
        )


def _is_taken(place: Place) -> bool:
    """Tell whether there is anything at a place; at a remote one, any Zarr node."""
    directory = place.directory
    if place.in_archive:
        return place.archive is not None and os.path.lexists(place.archive)
    if directory is None:
        return place.open_node() is not None
    return directory.exists() and not (directory.is_dir() and not any(directory.iterdir()))


def _is_blank(place: Place) -> bool:
    """Tell whether there is no more than an empty group, or a partial file of one."""
    directory = place.directory
    names = None
    if directory is not None and directory.is_dir():
        names = [path.name for path in directory.iterdir() if not is_partial(path)]
        if not names:
            return True
    try:
        found = place.open_group(consolidated=True)
    except FileNotFoundError:
        return False
    names = child_names(place) if names is None else names
    return not dict(found.attrs) and set(names) <= {*ZARR_DOCUMENTS, LEDGER}


def check_parents(place: Place, specification: Specification) -> None:
    """Refuse a place below anything but suitable groups.

    Raises
    ------
    ValueError
        There is a directory of other files, an array, a group of another version, or an image above; or a plate or a
        well, and the place is not that of a field.
    """
    if place.group.split("/")[0] == "OME":
        raise ValueError("group 'OME' is reserved for the list of images in a store; give another one")
    mixed = ""
    for above in place.parents():
        found = above.open_node()
        if found is None:
            directory = above.directory
            if directory is not None and directory.exists() and not all(map(is_partial, directory.iterdir())):
                raise ValueError(
                    f"{directory} is not a Zarr hierarchy, so nothing is written into it; choose another place"
                )
            continue
        if isinstance(found, zarr.Array):
            raise ValueError(f"{above} is a Zarr array, so no image can be written into it; choose another place")
        if not specification.fits(found.metadata.zarr_format):
            other = specification_in(found.metadata.zarr_format)
            raise ValueError(
                f"{above} is Zarr v{found.metadata.zarr_format}, and OME-Zarr {specification.version} needs another "
                f"version of Zarr; write version={other.version!r}, or choose another place"
            )
        attributes, ledger = found.attrs.asdict(), ledger_within(above)
        if ledger is not None and ledger.what == "plate":
            raise ValueError(
                f"{above} is a plate that is being written, or whose write was interrupted; resume that first, with "
                f"{ledger.resuming}, or choose another place"
            )
        if holds_image(attributes) or ledger is not None:
            raise ValueError(
                f"{above} is an image itself, and cannot contain others; write labels with write_labels, or choose "
                f"another place"
            )
        stated = stated_specification(attributes)
        if stated is not None and stated is not specification:
            mixed = (
                f"{above} is OME-Zarr {stated.version}, and all of a hierarchy is of one version; write "
                f"version={stated.version!r}, or choose another place"
            )
    check_field(place, specification)
    if mixed:
        raise ValueError(mixed)
