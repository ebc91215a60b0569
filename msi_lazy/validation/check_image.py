"""Rules for a group that is a multiscale image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msi_lazy.ngff.specifications import SPECIFICATIONS
from msi_lazy.storage.place import Place
from msi_lazy.storage.update_notes import describe_unfinished
from msi_lazy.validation.check_axes import StoredAxes, check_axes
from msi_lazy.validation.check_chunks import Decode, check_chunks
from msi_lazy.validation.check_datasets import Level, check_dataset
from msi_lazy.validation.check_geometry import check_transformations
from msi_lazy.validation.check_levels import check_levels
from msi_lazy.validation.check_omero import check_omero
from msi_lazy.validation.check_systems import check_systems, check_transforms_between

if TYPE_CHECKING:
    import zarr

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.validation.metadata import Field, Kind, Metadata

__all__ = ["Pyramid", "check_image"]


@dataclass(frozen=True)
class Pyramid:
    """A multiscale image, as far as it could be read."""

    axes: StoredAxes | None
    """Its axes; ``None`` where they are faulty."""
    levels: tuple[Level, ...]
    """Its levels, in the order in which they are listed."""
    method: str | None = None
    """Method of downsampling, as it is stated."""


def check_image(group: zarr.Group, metadata: Metadata, decode: Decode) -> Pyramid | None:
    """Check the multiscale images of a group, and return the first one, which readers take by default."""
    fields = metadata.fields
    listed = fields.listed("multiscales", "object")
    if listed is None:
        return None
    fault = f"{fields.where}.multiscales is empty; it lists the images of the group: add one"
    fields.checks.hold("multiscales-listed", bool(listed), fault)
    pyramids = [_check_multiscale(multiscale, group, metadata.specification, decode) for multiscale in listed]
    first = pyramids[0] if pyramids else None
    unfinished = describe_unfinished(Place(group.store, group.path), first.axes.names if first and first.axes else ())
    if unfinished:  # the rule of this package alone, and not counted where it holds
        fields.checks.hold("update-finished", False, unfinished)
    check_omero(fields, metadata.specification, _count_channels(first))
    return first


def _check_multiscale(
    multiscale: Field, group: zarr.Group, specification: Specification, decode: Decode
) -> Pyramid | None:
    if specification.version_in_multiscale and not _check_version(multiscale, specification):
        return None
    in_systems = specification.axes == "systems"
    axes = check_systems(multiscale) if in_systems else check_axes(multiscale, specification)
    method = _check_description(multiscale)
    if in_systems:
        check_transforms_between(multiscale, axes, group)
    elif specification.has_transformations:
        check_transformations(multiscale, len(axes.names) if axes else None, required=False)
    listed = multiscale.listed("datasets", "object")
    if listed is None:
        return Pyramid(axes, (), method)
    fault = f"{multiscale.where}.datasets is empty; it lists the levels of the image: add one"
    multiscale.checks.hold("datasets-listed", bool(listed), fault)
    levels = tuple(check_dataset(dataset, group, axes, specification) for dataset in listed)
    check_levels(levels, axes.names if axes else (), method)
    for level in levels:
        if level.array is not None:
            check_chunks(level.checks, level.array, decode)
    return Pyramid(axes, levels, method)


def _check_version(multiscale: Field, specification: Specification) -> bool:
    """Check the stated version of a multiscale image; return ``False`` if the image cannot be checked further."""
    checks, stated = multiscale.checks, multiscale.value.get("version")
    fault = f"{multiscale.where} has no 'version'; it should be {specification.version!r}: add it"
    if not checks.hold("version-stated", stated is not None, fault):
        return True
    known = ", ".join(repr(row.version) for row in SPECIFICATIONS if row.same_place(specification))
    fault = (
        f"{multiscale.where}.version is {stated!r:.40}; outside of 'ome', one of {known} can be checked, the same for "
        f"all images of the group: the rest of this one was not"
    )
    return checks.hold("version-known", specification.is_called(stated), fault)


def _check_description(multiscale: Field) -> str | None:
    """Check name, type and metadata of an image, and return its type, the method of downsampling."""
    values = {}
    kinds: tuple[tuple[str, Kind, str], ...] = (
        ("name", "string", "a name"),
        ("type", "string", "the method of downsampling"),
        ("metadata", "object", "details of the method"),
    )
    for name, kind, meaning in kinds:
        member = multiscale.member(name, kind, required=False)
        fault = f"{multiscale.where} has no {name!r}; {meaning} should be there: add it"
        multiscale.checks.hold(f"multiscale-{name}", multiscale.value.get(name) is not None, fault)
        values[name] = None if member is None else member.value
    return values["type"]


def _count_channels(pyramid: Pyramid | None) -> int | None:
    """Count the channels; ``None`` where the metadata or the array are too faulty."""
    if pyramid is None or pyramid.axes is None:
        return None
    position = pyramid.axes.channel
    if position is None:
        return 1
    arrays = [level.array for level in pyramid.levels if level.array is not None]
    return int(arrays[0].shape[position]) if arrays else None
