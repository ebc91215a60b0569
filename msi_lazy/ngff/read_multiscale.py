"""Reading multiscale images, in the flat form that OME-Zarr 0.4 and 0.5 have in common, and what is converted to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from msi_lazy.axes import ORIENTATION, axis_kind
from msi_lazy.ngff.axis_names import settle_kinds
from msi_lazy.ngff.coordinate_systems import flatten, note_systems
from msi_lazy.ngff.counts import check_count
from msi_lazy.ngff.read_transforms import named_transforms, read_transforms
from msi_lazy.ngff.stored_image import StoredImage, StoredLevel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.ngff.read_transforms import AxisNames, Transforms
    from msi_lazy.ngff.specification import Block

__all__ = ["is_anatomical", "outer_transforms", "read_multiscale"]


def read_multiscale(block: Block, version: str) -> StoredImage:
    """Read the first multiscale image of a block; omissions of other tools are tolerated, and noted.

    Raises
    ------
    KeyError, IndexError, TypeError, AttributeError
        Something is missing, or is of another type.
    ValueError
        The image contradicts itself.
    """
    multiscale = flatten(block["multiscales"][0])
    axes = [{"name": axis} if isinstance(axis, str) else axis for axis in multiscale["axes"]]
    dims = _read_dims(axes)
    kinds, contradictions = settle_kinds(dims, tuple(_string(axis.get("type")) for axis in axes))
    named = tuple((dim, kind or axis_kind(dim)) for dim, kind in zip(dims, kinds, strict=True))
    outer = outer_transforms(multiscale, named)
    metadata = multiscale.get("metadata")
    check_count("datasets", multiscale["datasets"])
    listed = [_read_level(dataset, outer, named) for dataset in multiscale["datasets"]]
    channels = _listed_channels(block.get("omero"))
    return StoredImage(
        version=version,
        name=_string(multiscale.get("name")),
        dims=dims,
        kinds=kinds,
        units=tuple(_string(axis.get("unit")) for axis in axes),
        levels=tuple(level for level, _ in listed),
        method=_string(multiscale.get("type")),
        metadata=metadata if isinstance(metadata, Mapping) else {},
        channels=_channel_labels(channels or ()),
        words=tuple(map(_read_words, axes)),
        channel_count=None if channels is None else len(channels),
        notes=(
            *contradictions,
            *note_systems(block["multiscales"][0]),
            *_count_images(block["multiscales"]),
            *_outer_notes(block["multiscales"][0], outer),
            *_level_notes(listed),
        ),
    )


def outer_transforms(multiscale: Mapping[str, Any], axes: AxisNames) -> Transforms:
    """Read the transformations of the whole image, without those to coordinate systems of other names."""
    listed = multiscale.get("coordinateTransformations")
    others = named_transforms(listed)
    return read_transforms([one for one in listed or () if one not in others], axes)


def _read_dims(axes: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Check the names of the axes, which become names of dimensions."""
    dims = tuple(axis["name"] for axis in axes)
    if not all(isinstance(dim, str) and dim and "/" not in dim for dim in dims) or len(set(dims)) < len(dims):
        raise ValueError(f"the axes of the image are called {dims}; they need different names, without '/'")
    return dims


def _read_words(axis: Mapping[str, Any]) -> dict[str, str]:
    """Read the description of an axis, and its orientation in the body, as attributes of a coordinate."""
    orientation = axis.get("orientation")
    value = orientation["value"] if is_anatomical(orientation) else None
    found = {"long_name": _string(axis.get("longName")), ORIENTATION: value}
    return {name: words for name, words in found.items() if words is not None}


def is_anatomical(orientation: Any) -> TypeGuard[Mapping[str, Any]]:
    """Tell whether the orientation of an axis is one in the body, as RFC-4 has it."""
    if not isinstance(orientation, Mapping) or orientation.get("type") != "anatomical":
        return False
    return _string(orientation.get("value")) is not None


def _string(value: Any) -> str | None:
    """Return a string that is not empty; ``None`` for anything else."""
    return value if isinstance(value, str) and value else None


def _listed_channels(omero: Any) -> list[Any] | None:
    """List the channels with display settings, which never raise errors."""
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    return channels if isinstance(channels, list) else None


def _channel_labels(channels: Sequence[Any]) -> tuple[str | None, ...]:
    """Labels of the channels, ``None`` for those without."""
    labels = [channel.get("label") if isinstance(channel, Mapping) else None for channel in channels]
    return tuple(label if isinstance(label, str) else None for label in labels)


def _read_level(dataset: Mapping[str, Any], outer: Transforms, axes: AxisNames) -> tuple[StoredLevel, tuple[str, ...]]:
    """Read a dataset, and remarks on it."""
    path = dataset["path"]
    if not isinstance(path, str):
        raise ValueError(f"the OME-Zarr attributes of the group are malformed: a dataset has the path {path!r}")
    own = read_transforms(dataset.get("coordinateTransformations"), axes)
    with np.errstate(over="ignore", invalid="ignore"):
        # the image-wide transformation applies after the level's own
        scale, translation = own.scale * outer.scale, own.translation * outer.scale + outer.translation
    if not (np.isfinite([scale, translation]).all() and (scale > 0).all()):
        raise ValueError(f"the coordinate transformations of dataset {path!r} exceed the range of numbers")
    notes = (
        own.notes if any(own.known) or own.notes else ("no scale is stated: 1 is used, times factors by the shapes",)
    )
    return StoredLevel(path, tuple(scale.tolist()), tuple(translation.tolist()), own.known), notes


def _count_images(multiscales: Sequence[Any]) -> list[str]:
    count = len(multiscales)
    return [f"it lists {count} multiscale images, of which the first one is read"] if count > 1 else []


def _outer_notes(multiscale: Mapping[str, Any], outer: Transforms) -> list[str]:
    """Remarks on transformations of the whole image; an identity does nothing, wherever it leads."""
    others = named_transforms(multiscale.get("coordinateTransformations"))
    applied = [one for one in others if one.get("type") != "identity"]
    return [*outer.notes, *(_describe_named(one) for one in applied)]


def _describe_named(transform: Mapping[str, Any]) -> str:
    """Name a transformation and the system that it leads to."""
    ends = {end: transform.get(end) for end in ("input", "output")}
    names = {end: found.get("name") if isinstance(found, Mapping) else found for end, found in ends.items()}
    return f"the transformation {transform.get('type')!r} to the coordinate system {names['output']!r} is not applied"


def _level_notes(levels: Sequence[tuple[StoredLevel, tuple[str, ...]]]) -> list[str]:
    """Remarks on the levels, each once, with the levels that it is about."""
    about: dict[str, list[str]] = {}
    for level, notes in levels:
        for note in dict.fromkeys(notes):
            about.setdefault(note, []).append(level.path)
    return [
        f"{note} ({'all levels' if len(paths) == len(levels) else 'level ' + ', '.join(map(repr, paths))})"
        for note, paths in about.items()
    ]
