"""Attributes of a group in another version of OME-Zarr: the same image, with all that is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.axes import axis_kind
from msi_lazy.ngff.coordinate_systems import NAMED_TRANSFORMS, flatten
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.read_transforms import named_transforms
from msi_lazy.ngff.settle_geometry import settle_geometry
from msi_lazy.ngff.specification import GROUP_BLOCKS
from msi_lazy.ngff.specifications import holds_image, image_members, specification_of, specifications_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.ngff.stored_image import StoredImage

__all__ = ["NewAttributes", "upgrade_attributes"]

_TRANSFORMS = "coordinateTransformations"
_VERSIONED = ("image-label", "plate", "well")
"""Members that state the version themselves, except in versions that state it once."""


@dataclass(frozen=True)
class NewAttributes:
    """Attributes of a group in another version."""

    attributes: dict[str, Any]
    """All attributes of the group."""
    dims: Mapping[str, tuple[str, ...]]
    """Axes of each level, by its path below the group."""
    version: str
    """Version that they were in; empty for a group that states none."""


def upgrade_attributes(
    attributes: Mapping[str, Any], to: Specification, shape_of: Callable[[str], tuple[int, ...]]
) -> NewAttributes:
    """State the attributes of a group in the version ``to``; those of users and other tools stay as they are.

    Parameters
    ----------
    attributes
        Attributes of the group, of any version.
    to
        The version.
    shape_of
        Shape of the array at a path below the group.

    Raises
    ------
    ValueError
        An image that cannot be read, or is of an unknown version.
    """
    rows = specifications_at(attributes)
    if not rows:
        return NewAttributes(dict(attributes), {}, "")
    old = specification_of(attributes)
    if holds_image(attributes):
        members = image_members(attributes)
    else:
        block = old.block_of(attributes)
        members = {name: value for name, value in block.items() if old.holder is not None or name in GROUP_BLOCKS}
    kept = {name: value for name, value in attributes.items() if name not in (*members, old.holder)}
    dims: dict[str, tuple[str, ...]] = {}
    members = {name: _state_version(name, value, to) for name, value in members.items()}
    if holds_image(attributes):
        parse_image(attributes)  # which says what is wrong with it
        images = [_upgrade_image(one, old, to, shape_of, dims) for one in members["multiscales"]]
        members["multiscales"] = images
    members.pop("version", None)
    stated = {} if to.holder is None else {"version": to.version}
    found = old.version if holds_image(attributes) or old.stated_version(attributes) else ""
    return NewAttributes({**kept, **to.place({**stated, **members})}, dims, found)


def _state_version(name: str, value: Any, to: Specification) -> Any:
    """State the version in a member that has to; leave it out where it is stated once."""
    if name not in (*_VERSIONED, "omero") or not isinstance(value, Mapping):
        return value
    others = {member: one for member, one in value.items() if member != "version"}
    if name == "omero":
        return {**others, "version": to.version} if "version" in value and to.version_in_label else others
    return {"version": to.version, **others} if to.version_in_label else others


def _upgrade_image(
    image: Mapping[str, Any],
    old: Specification,
    to: Specification,
    shape_of: Callable[[str], tuple[int, ...]],
    dims: dict[str, tuple[str, ...]],
) -> dict[str, Any]:
    """State a multiscale image in another version, and enter the axes of its levels in ``dims``."""
    flat = flatten(image)
    read = parse_image(old.place({"version": old.version, "multiscales": [{**image, "version": old.version}]}))
    stored, order = settle_geometry(read, [shape_of(level.path) for level in read.levels])
    if not old.has_transformations:
        flat["axes"] = [{"name": dim, "type": kind or axis_kind(dim)} for dim, kind in _named_axes(stored)]
        flat["datasets"] = [flat["datasets"][number] for number in order]
    outer = flat.get(_TRANSFORMS)
    unplaced = bool(outer) and to.axes == "systems"
    if not old.has_transformations or unplaced or not all(map(_is_plain, flat["datasets"])):
        flat["datasets"] = _placed(flat["datasets"], stored)
        flat.pop(_TRANSFORMS, None)
        named = named_transforms(outer)
        if named:
            flat[NAMED_TRANSFORMS] = [*(flat.get(NAMED_TRANSFORMS) or ()), *named]
    dims |= {level.path: stored.dims for level in stored.levels}
    arranged = to.arrange(flat)
    arranged.pop("version", None)
    return {**arranged, "version": to.version} if to.version_in_multiscale else arranged


def _named_axes(stored: StoredImage) -> list[tuple[str, str | None]]:
    return list(zip(stored.dims, stored.kinds, strict=True))


def _is_plain(dataset: Mapping[str, Any]) -> bool:
    """Tell whether the transformations of a dataset are a scale, and perhaps a translation, and nothing else."""
    listed = dataset.get(_TRANSFORMS)
    kinds = [one.get("type") for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return kinds in (["scale"], ["scale", "translation"]) and all("path" not in one for one in listed or ())


def _placed(datasets: Sequence[Mapping[str, Any]], stored: StoredImage) -> list[dict[str, Any]]:
    """State the geometry of each dataset as it is read."""
    levels = {level.path: level for level in stored.levels}
    return [
        {
            **dataset,
            _TRANSFORMS: [
                {"type": "scale", "scale": list(levels[dataset["path"]].scale)},
                {"type": "translation", "translation": list(levels[dataset["path"]].translation)},
            ],
        }
        for dataset in datasets
    ]
