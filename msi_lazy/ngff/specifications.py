"""Table of specifications, and its look-up by the attributes of a group.

A further version is a row here, a reader and a writer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from msi_lazy.ngff import version_03, version_04, version_05, version_06
from msi_lazy.ngff.coordinate_systems import arrange
from msi_lazy.ngff.multiscale_form import append_levels
from msi_lazy.ngff.read_multiscale import read_multiscale
from msi_lazy.ngff.specification import GROUP_BLOCKS, Specification, axes_form

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.ngff.specification import Block

__all__ = [
    "DEFAULT_VERSION",
    "IN_MEMORY",
    "SPECIFICATIONS",
    "Version",
    "composed_members",
    "describe_absence",
    "find_specification",
    "foreign_attributes",
    "holds_image",
    "image_members",
    "known_versions",
    "ome_block",
    "own_attributes",
    "specification_in",
    "specification_of",
    "specifications_at",
    "stated_specification",
    "written_versions",
]

SPECIFICATIONS = (
    Specification("0.1", zarr_format=2, holder=None, read=version_03.read, version_in_multiscale=True, axes="order"),
    Specification(
        "0.2", zarr_format=2, holder=None, read=version_03.read, version_in_multiscale=True, separator="/", axes="order"
    ),
    Specification(
        "0.3", zarr_format=2, holder=None, read=version_03.read, version_in_multiscale=True, separator="/", axes="names"
    ),
    Specification(
        "0.4",
        zarr_format=2,
        holder=None,
        read=read_multiscale,
        write=version_04.write,
        append=append_levels,
        version_in_multiscale=True,
        version_in_plate=True,
        separator="/",
        channel_display_required=True,
    ),
    Specification(
        "0.5",
        zarr_format=3,
        holder="ome",
        read=read_multiscale,
        write=version_05.write,
        append=append_levels,
        version_in_plate=True,
        dimension_names_required=True,
        all_labels_listed=True,
    ),
    Specification(
        "0.6",
        zarr_format=3,
        holder="ome",
        read=read_multiscale,
        write=version_06.write,
        append=version_06.append,
        arrange=arrange,
        axes="systems",
        also=("0.6rc0", "0.6rc1"),
        previews=("0.9.dev1",),
        version_in_label=False,
        dimension_names_required=True,
        all_labels_listed=True,
        field_names="(?!__|[.]+$|zarr[.]json$)[A-Za-z0-9_.-]+",
    ),
)
"""All versions that can be read, oldest first, and written if they have a writer."""
Version = Literal["0.4", "0.5", "0.6"]
DEFAULT_VERSION: Version = "0.5"
IN_MEMORY = next(row for row in SPECIFICATIONS if row.is_called(DEFAULT_VERSION))
"""Version of the attributes at the root of a tree, which xarray's own writer stores as they are."""

_IMAGE_BLOCKS = ("multiscales", "omero", "image-label")
"""Members of a block that belong to an image; a user may have attributes with the names of others."""


def find_specification(version: Any) -> Specification:
    """Find the row of a version to write.

    Raises
    ------
    ValueError
        It is not one that is written; the message names those.

    Examples
    --------
    >>> find_specification("0.5").zarr_format
    3
    >>> find_specification("0.3")
    Traceback (most recent call last):
        ...
    ValueError: version must be one of '0.4', '0.5', '0.6', not '0.3'
    """
    for row in SPECIFICATIONS:
        if row.is_called(version) and row.is_written:
            return row
    raise ValueError(f"version must be one of {', '.join(map(repr, written_versions()))}, not {version!r}")


def specification_of(attributes: Mapping[Any, Any], zarr_format: int | None = None) -> Specification:
    """Find the row that the attributes of a group follow.

    Parameters
    ----------
    attributes
        Attributes of the group.
    zarr_format
        Zarr version of the group, which decides if its attributes hold no block; without it that is an error.

    Raises
    ------
    ValueError
        No block, or one of an unknown version, which the message names.

    Notes
    -----
    Some tools state no version, or one that belongs in another place, such as 0.4 under ``ome``: the place decides
    then, and the form of the axes.

    Examples
    --------
    >>> specification_of({"ome": {"version": "0.5"}}).version, specification_of({}, zarr_format=2).version
    ('0.5', '0.4')
    >>> specification_of({"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}).version
    '0.3'
    >>> specification_of({"ome": {"version": "7.1"}})
    Traceback (most recent call last):
        ...
    ValueError: the image is OME-Zarr 7.1; versions 0.1, 0.2, 0.3, 0.4, 0.5 and 0.6 can be read
    """
    rows = specifications_at(attributes)
    if not rows:
        if zarr_format is None:
            raise ValueError(describe_absence())
        return specification_in(zarr_format)
    stated = rows[0].stated_version(attributes)
    if stated is not None and not any(row.reads(stated) for row in SPECIFICATIONS):
        raise ValueError(_unreadable(stated))
    block = rows[0].block_of(attributes)
    by_form = _by_form(rows, block)
    return by_form if by_form.axes == "systems" else next((row for row in rows if row.reads(stated)), by_form)


def stated_specification(attributes: Mapping[Any, Any]) -> Specification | None:
    """Find the row of the version that a group's block states; ``None`` without a block, or without a known version."""
    rows = specifications_at(attributes)
    stated = rows[0].stated_version(attributes) if rows else None
    return next((row for row in rows if stated is not None and row.reads(stated)), None)


def _unreadable(version: str) -> str:
    known = known_versions()
    listed = f"{', '.join(known[:-1])} and {known[-1]}"
    return f"the image is OME-Zarr {version}; versions {listed} can be read"


def _by_form(rows: Sequence[Specification], block: Block) -> Specification:
    """Find the row of a block that states no version, or one of another place, by the form of its axes."""
    usual = [row for row in rows if row.axes == Specification.axes]
    return next((row for row in rows if row.axes == axes_form(block)), (usual or rows)[0])


def specifications_at(attributes: Mapping[Any, Any]) -> list[Specification]:
    """Rows with the place of a group's block, whatever version it states, oldest first; none without a block."""
    found = next((row for row in reversed(SPECIFICATIONS) if row.holds(attributes)), None)
    return [row for row in SPECIFICATIONS if found is not None and row.same_place(found)]


def specification_in(zarr_format: int) -> Specification:
    """Find the row by which images are written in a Zarr version."""
    return next(row for row in SPECIFICATIONS if row.fits(zarr_format) and row.is_written)


def known_versions() -> tuple[str, ...]:
    """Versions that are read."""
    return tuple(row.version for row in SPECIFICATIONS)


def written_versions() -> tuple[str, ...]:
    """Versions that are written, too."""
    return tuple(row.version for row in SPECIFICATIONS if row.is_written)


def describe_absence() -> str:
    """Message for a group without an image; names its place in each version."""
    places: dict[str, list[str]] = {}
    for row in reversed(SPECIFICATIONS):
        places.setdefault(row.holder or "multiscales", []).append(row.version)
    listed = " nor ".join(f"{place!r} ({' to '.join(dict.fromkeys((v[-1], v[0])))})" for place, v in places.items())
    return f"the group holds no OME-Zarr image: neither {listed} in its attributes"


def ome_block(attributes: Mapping[Any, Any]) -> Block:
    """Block in the attributes of a group, whatever the version; empty if there is none.

    Examples
    --------
    >>> ome_block({"ome": {"labels": ["cells"]}, "by": "me"}), ome_block({"by": "me"})
    ({'labels': ['cells']}, {})
    """
    rows = specifications_at(attributes)
    return rows[0].block_of(attributes) if rows else {}


def holds_image(attributes: Mapping[Any, Any]) -> bool:
    """Tell whether the attributes of a group are those of a multiscale image."""
    return "multiscales" in ome_block(attributes)


def image_members(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Members of an image's block, without other attributes, which are next to them if there is no holder."""
    rows = specifications_at(attributes)
    return {
        name: value
        for name, value in ome_block(attributes).items()
        if name in _IMAGE_BLOCKS or rows[0].holder is not None
    }


def composed_members() -> set[str]:
    """Members of a multiscale image that a version's reader and writer are about, of any version."""
    return {member for row in SPECIFICATIONS for member in row.composed}


def own_attributes(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes of an image's group that belong to the specification, of any version."""
    ours = {*(row.holder for row in SPECIFICATIONS), *_IMAGE_BLOCKS}
    ours |= {mark for row in SPECIFICATIONS for mark in row.marks if mark not in GROUP_BLOCKS}
    return {name: value for name, value in attributes.items() if name in ours}


def foreign_attributes(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes of an image's group that belong to users or other tools."""
    ours = own_attributes(attributes)
    return {name: value for name, value in attributes.items() if name not in ours}
