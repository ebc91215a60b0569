"""Reading metadata that anyone may have written: every field may be missing, or be of any JSON type."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import zarr

    from msi_lazy.validation.checks import Checks

__all__ = ["Field", "Metadata", "as_float", "check_format", "holds_image", "is_integer", "is_number", "read_metadata"]

Kind = Literal["object", "list", "string", "number", "boolean", "null"]

_FLAT = ("multiscales", "labels", "image-label", "omero", "bioformats2raw.layout", "series", "plate", "well")
"""Names that 0.4 has among the attributes of a group; 0.5 puts them under ``ome``."""
_ZARR_FORMAT = {"0.4": 2, "0.5": 3}


def is_integer(value: Any) -> bool:
    """Whether a JSON value is an integer; ``true`` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number."""
    return is_integer(value) or isinstance(value, float)


def as_float(number: float) -> float:
    """Return a JSON number as a float; infinity where it is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def json_kind(value: Any) -> Kind:
    """Return the JSON type of a value.

    Examples
    --------
    >>> [json_kind(value) for value in ({}, [], "a", 1, 0.5, True, None)]
    ['object', 'list', 'string', 'number', 'number', 'boolean', 'null']
    """
    if isinstance(value, bool):
        return "boolean"
    kinds: tuple[tuple[Any, Kind], ...] = ((Mapping, "object"), (list, "list"), (str, "string"), (object, "number"))
    return "null" if value is None else next(kind for types, kind in kinds if isinstance(value, types))


@dataclass(frozen=True)
class Field:
    """A value in the metadata of a node, and where it stands.

    Examples
    --------
    >>> from msi_lazy.validation.checks import Checks
    >>> checks = Checks()
    >>> Field(checks, "ome", {"multiscales": {}}).member("multiscales", "list")
    >>> print(checks.findings[0].message)
    ome.multiscales is {}, of type object; it must be of type list
    """

    checks: Checks
    """Checks of the node."""
    where: str
    """Its place, as in ``multiscales[0].axes``."""
    value: Any
    """What stands there."""

    def member(self, name: str, kind: Kind, required: bool = True) -> Field | None:
        """Return the member of an object, or ``None``, with a finding where it is faulty, or required and not there."""
        value = self.value.get(name)
        if value is None and not required:
            return None
        missing = f"{self.where} has no {name!r}, which is required, of type {kind}; add it"
        if not self.checks.hold("field-present", name in self.value, missing):
            return None
        return Field(self.checks, f"{self.where}.{name}", value)._of_kind(kind)

    def elements(self, kind: Kind) -> list[Field] | None:
        """Return the elements of a list; ``None``, with a finding for each that is faulty, if any is."""
        found = [
            Field(self.checks, f"{self.where}[{position}]", value)._of_kind(kind)
            for position, value in enumerate(self.value)
        ]
        sound = [field for field in found if field is not None]
        return sound if len(sound) == len(found) else None

    def listed(self, name: str, kind: Kind, required: bool = True) -> list[Field] | None:
        """Return the elements of the member ``name``, a list."""
        member = self.member(name, "list", required)
        return None if member is None else member.elements(kind)

    def _of_kind(self, kind: Kind) -> Field | None:
        found = json_kind(self.value)
        fault = f"{self.where} is {reprlib.repr(self.value)}, of type {found}; it must be of type {kind}"
        return self if self.checks.hold("field-type", found == kind, fault) else None


@dataclass(frozen=True)
class Metadata:
    """The OME-Zarr metadata of a group."""

    version: str
    """OME-Zarr version that their form shows: ``"0.5"`` under ``ome``, else ``"0.4"``."""
    fields: Field
    """The object that holds them."""

    def __contains__(self, name: str) -> bool:
        return name in self.fields.value


def read_metadata(group: zarr.Group, checks: Checks, expected: str | None = None) -> Metadata | None:
    """Read the metadata of a group, if it is of a version that is known.

    Parameters
    ----------
    group
        The group.
    checks
        Checks of the group.
    expected
        Version of the hierarchy that the group is part of.
    """
    attributes = group.attrs.asdict()
    ome = attributes.get("ome")
    if isinstance(ome, Mapping):
        metadata = Metadata("0.5", Field(checks, "ome", ome))
        if not _check_version(metadata.fields):
            return None
    elif any(name in attributes for name in _FLAT):
        metadata = Metadata("0.4", Field(checks, "attributes", attributes))
    else:
        whole = Field(checks, "attributes", attributes)
        if ome is not None and whole.member("ome", "object") is None:
            return None
        return Metadata(expected or ("0.5" if group.metadata.zarr_format == 3 else "0.4"), whole)
    checks.versions.add(metadata.version)
    check_format(checks, metadata.version, group.metadata.zarr_format)
    if expected is not None:
        fault = f"its metadata are OME-Zarr {metadata.version}, those of the hierarchy {expected}; write them alike"
        checks.hold("version-consistent", metadata.version == expected, fault)
    return metadata


def check_format(checks: Checks, version: str, zarr_format: int) -> None:
    """Check that a node is stored in the Zarr format of the OME-Zarr version."""
    allowed = _ZARR_FORMAT[version]
    hint = "; if it is meant to be 0.5, its metadata belong under 'ome'" if version == "0.4" else ""
    fault = (
        f"it is stored as Zarr v{zarr_format}, its metadata are OME-Zarr {version}, which is Zarr v{allowed}; "
        f"write the image again in one of the two{hint}"
    )
    checks.hold("zarr-format", zarr_format == allowed, fault)


def holds_image(group: zarr.Group) -> bool:
    """Whether a group says that it is a multiscale image."""
    attributes = group.attrs.asdict()
    ome = attributes.get("ome")
    return "multiscales" in (ome if isinstance(ome, Mapping) else attributes)


def _check_version(ome: Field) -> bool:
    """Check the version under ``ome``; whether the node can be checked further: other versions have other rules."""
    stated = ome.value.get("version")
    fault = "ome has no 'version'; write '0.5' there"
    if "labels" in ome.value and "multiscales" not in ome.value:  # no schema asks for it there
        ome.checks.hold("version-stated", stated is not None, fault)
    elif stated is None:
        ome.checks.hold("version-known", False, fault)
    if stated is None:
        return True
    fault = f"ome.version is {reprlib.repr(stated)}; under 'ome', '0.5' can be checked: nothing else of this node was"
    return ome.checks.hold("version-known", stated == "0.5", fault)
