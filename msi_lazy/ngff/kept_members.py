"""Members of an image's attributes that this library does not use, carried from those read to those written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msi_lazy.ngff.coordinate_systems import (
    NAMED_TRANSFORMS,
    SYSTEMS,
    describe_systems,
    flatten,
    rename_intrinsic,
    stored_transforms,
)
from msi_lazy.ngff.read_multiscale import is_anatomical
from msi_lazy.ngff.read_transforms import named_transforms
from msi_lazy.ngff.specification import GROUP_BLOCKS
from msi_lazy.ngff.specifications import (
    IN_MEMORY,
    SPECIFICATIONS,
    composed_members,
    foreign_attributes,
    image_members,
    ome_block,
    specification_of,
)

if TYPE_CHECKING:
    from msi_lazy.axes import Axis
    from msi_lazy.ngff.specification import Block

__all__ = [
    "KEPT_ASIDE",
    "custom_types",
    "describe_kept",
    "describe_missing_arrays",
    "describe_unplaced",
    "keep_aside",
    "keep_members",
    "name_system",
]

KEPT_ASIDE = "keptMultiscales"
"""Member of a tree's block that keeps what its image was read with, while its dimensions have another order."""
_DROPPED = ("coordinateTransformations", "type", "unit")
"""Members of an axis and of a dataset that are composed from the plan, or not at all (but see ``_keep_of_axes``)."""


def keep_members(
    composed: Mapping[str, Any], read: Mapping[Any, Any], axes: Sequence[Axis], paths: Sequence[str] | None = None
) -> dict[str, Any]:
    """Add to the attributes composed for an image what those that it was read with hold besides.

    Parameters
    ----------
    composed
        Attributes of the image's group, as composed from its plan.
    read
        Attributes that it was read with, of any version.
    axes
        Axes of the image: what was read of them, and is not composed, is kept as they say.
    paths
        Paths in ``read`` of the levels; by default as they are listed there.
    """
    if not composed:
        return {}
    specification = specification_of(composed)
    block, old = dict(specification.block_of(composed)), image_members(read)
    mine = foreign_attributes(read)
    others = _joined({}, old, ("version", KEPT_ASIDE, *GROUP_BLOCKS, *map(str, mine)))
    before, after = _first_image(ome_block(read)), _first_image(block)
    if before and after:
        kept = _keep_of_image(before, after, axes, paths)
        block["multiscales"] = [specification.arrange(kept), *block["multiscales"][1:]]
    return {**composed, **specification.place(_joined(block, others))}


def name_system(composed: Mapping[str, Any], name: Any) -> dict[str, Any]:
    """Name the coordinate system that the levels of a composed image lie in.

    Raises
    ------
    TypeError, ValueError
        No name of one, or a version without coordinate systems.
    """
    if not isinstance(name, str):
        raise TypeError(f"coordinate_system must be a name, not {name!r}")
    specification = specification_of(composed)
    if not name or specification.axes != "systems":
        having = " or ".join(repr(row.version) for row in SPECIFICATIONS if row.axes == "systems")
        raise ValueError(f"coordinate_system must be a name that is not empty, with version={having}, not {name!r}")
    block = specification.block_of(composed)
    first, *others = block["multiscales"]
    return {**composed, **specification.place({**block, "multiscales": [rename_intrinsic(first, name), *others]})}


def describe_kept(attributes: Mapping[Any, Any]) -> list[str]:
    """Lines on what an image has besides its geometry: further coordinate systems, transformations, a scene."""
    block = ome_block(attributes)
    lines = describe_systems(_first_image(block))
    scene = block.get("scene")
    if isinstance(scene, Mapping):
        lines += [f"scene: {line}" for line in describe_systems(scene)]
    return lines


def describe_missing_arrays(attributes: Mapping[Any, Any]) -> str:
    """Say which arrays a composed image's transformations refer to, as they do not go along; empty if none."""
    found = stored_transforms(ome_block(attributes).get("multiscales"))
    if not found:
        return ""
    paths = ", ".join(repr(path) for path in dict.fromkeys(one["path"] for one in found))
    return (
        f"transformations of the image refer to arrays at {paths}, which are not written with it: copy them into its "
        f"group"
    )


def describe_unplaced(attributes: Mapping[Any, Any]) -> str:
    """Say which transformations no longer fit a composed image with coordinate systems; empty if all do."""
    block = ome_block(attributes)
    listed = block.get("multiscales")
    first = listed[0] if listed else {}
    kept = _listed(first, NAMED_TRANSFORMS) if SYSTEMS in first and "axes" not in first else []
    if not kept:
        return ""
    (line,) = describe_systems({NAMED_TRANSFORMS: kept})
    return (
        f"{line}: kept in the attribute {NAMED_TRANSFORMS!r} alone, as they do not lead from the axes of the image "
        f"to a coordinate system that is listed"
    )


def keep_aside(read: Mapping[Any, Any]) -> dict[str, Any]:
    """Compose attributes of a tree that are no image's, with all that its image was read with, and is not composed."""
    members = {name: value for name, value in image_members(read).items() if name not in ("multiscales", "version")}
    image = _first_image(ome_block(read))
    if set(image) - composed_members():
        members[KEPT_ASIDE] = [dict(image)]
    return dict(IN_MEMORY.place(members)) if members else {}


def _first_image(block: Block) -> Mapping[str, Any]:
    """First image of a block, in the flat form; as it is, if it cannot be read."""
    listed = block.get("multiscales", block.get(KEPT_ASIDE))
    first = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(first, Mapping):
        return {}
    try:
        return flatten(first)
    except (KeyError, TypeError, AttributeError):
        return first


def _keep_of_image(
    before: Mapping[str, Any], after: Mapping[str, Any], axes: Sequence[Axis], paths: Sequence[str] | None
) -> dict[str, Any]:
    """Add to a multiscale image what another one holds besides, with its axes and its datasets."""
    kept = dict(after)
    named = named_transforms(before.get("coordinateTransformations"))
    if named:
        kept[NAMED_TRANSFORMS] = [*_listed(before, NAMED_TRANSFORMS), *named]
    if "axes" in after:
        kept["axes"] = _keep_of_axes(_listed(before, "axes"), _listed(after, "axes"))
        words = {axis.name: axis for axis in axes}
        kept["axes"] = [_reword(axis, words[axis["name"]]) for axis in kept["axes"]]
    datasets = {dataset.get("path"): dataset for dataset in _listed(before, "datasets")}
    paths = [str(path) for path in datasets] if paths is None else paths
    composed = _listed(after, "datasets")
    if len(paths) == len(composed) > 0:
        pairs = zip(composed, paths, strict=True)
        kept["datasets"] = [_joined(dataset, datasets.get(path)) for dataset, path in pairs]
    return _joined(kept, before, tuple(composed_members()))


def _keep_of_axes(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add to axes what those of the same names hold besides, or those in their places that were renamed on reading.

    A type that is none of OME-Zarr's, and a unit of channels, are not composed, and are kept.
    """
    named = {axis.get("name"): axis for axis in before}
    ours = [axis.get("name") for axis in after]
    kept = []
    for position, axis in enumerate(after):
        in_place = before[position] if len(before) == len(after) and before[position].get("name") not in ours else {}
        read = named.get(axis.get("name"), in_place)
        joined = _joined(axis, read)
        if "type" not in axis and _is_custom(read.get("type")):
            joined["type"] = read["type"]
        if axis.get("type") == "channel" == read.get("type") and read.get("unit"):
            joined["unit"] = read["unit"]
        if isinstance(read.get("discrete"), bool):
            joined["discrete"] = read["discrete"]
        if is_anatomical(read.get("orientation")) and "orientation" in axis:
            joined["orientation"] = {**read["orientation"], **axis["orientation"]}
        kept.append(joined)
    return kept


def _reword(kept: dict[str, Any], axis: Axis) -> dict[str, Any]:
    """Correct what was read of an axis in words, which are attributes of its coordinate since, and may be others."""
    orientation = kept.get("orientation")
    if is_anatomical(orientation):
        kept["orientation"] = axis.orientation and {**orientation, "value": axis.orientation}
    if isinstance(kept.get("longName"), str):
        kept["longName"] = axis.long_name
    return {name: value for name, value in kept.items() if value is not None or name not in ("orientation", "longName")}


def custom_types(read: Mapping[Any, Any]) -> dict[str, str]:
    """Types of axes, by name, that are none of OME-Zarr's, and are kept."""
    axes = _listed(_first_image(ome_block(read)), "axes")
    return {str(axis.get("name")): axis["type"] for axis in axes if _is_custom(axis.get("type"))}


def _is_custom(kind: Any) -> bool:
    return isinstance(kind, str) and kind not in ("", "space", "time", "channel")


def _listed(members: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects in a list, which may have been edited to anything else."""
    listed = members.get(name)
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def _joined(composed: Mapping[str, Any], read: Any, dropped: Sequence[str] = _DROPPED) -> dict[str, Any]:
    """Add the members of what was read, unless they are composed, or not at all."""
    others = read if isinstance(read, Mapping) else {}
    return {**composed, **{name: value for name, value in others.items() if name not in (*composed, *dropped)}}
