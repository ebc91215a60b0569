"""Metadata that anyone may have written: every field may be missing, or be of any JSON type."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from msi_lazy.ngff.counts import most_elements
from msi_lazy.ngff.specifications import own_attributes, specification_in, specifications_at
from msi_lazy.validation.nodes import UnreadError, open_group_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zarr

    from msi_lazy.ngff.specification import Block, Specification
    from msi_lazy.validation.checks import Checks

__all__ = [
    "Field",
    "Metadata",
    "as_float",
    "check_format",
    "open_below",
    "open_unlisted",
    "read_metadata",
]

Kind = Literal["object", "list", "string", "number", "boolean", "null"]


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
    """A value in the metadata of a node, and its place.

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
    """The value itself."""

    def member(self, name: str, kind: Kind, required: bool = True) -> Field | None:
        """Return the member of an object, or ``None``, with a finding where it is faulty, or required and missing."""
        value = self.value.get(name)
        if value is None and not required:
            return None
        missing = f"{self.where} has no {name!r}, which is required, of type {kind}; add it"
        if not self.checks.hold("field-present", name in self.value, missing):
            return None
        return Field(self.checks, f"{self.where}.{name}", value)._of_kind(kind)

    def elements(self, kind: Kind) -> list[Field] | None:
        """Return the elements of a list; ``None``, with a finding for each that is faulty, if any is."""
        most = most_elements(self.where.rpartition(".")[2])
        fault = f"{self.where} has {len(self.value):,} elements, of which {most:,} are checked: more are not read"
        self.checks.hold("field-type", len(self.value) <= most, fault)
        found = [
            Field(self.checks, f"{self.where}[{position}]", value)._of_kind(kind)
            for position, value in enumerate(self.value[:most])
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

    specification: Specification
    """OME-Zarr version, from their place and what they state."""
    fields: Field
    """The object that holds them."""

    def __contains__(self, name: str) -> bool:
        return name in self.fields.value


def read_metadata(group: zarr.Group, checks: Checks, expected: Specification | None = None) -> Metadata | None:
    """Read the metadata of a group, if its version is known.

    Parameters
    ----------
    group
        The group.
    checks
        Checks of the group.
    expected
        OME-Zarr version of the hierarchy that the group is part of.
    """
    attributes = group.attrs.asdict()
    rows = specifications_at(attributes)
    if not rows:
        whole = Field(checks, "attributes", attributes)
        for name in own_attributes(attributes):  # where the block should be, but is no object
            if attributes[name] is not None and whole.member(name, "object") is None:
                return None
        return Metadata(expected or specification_in(group.metadata.zarr_format), whole)
    block = rows[0].block_of(attributes)
    specification = _row_of(block, rows, expected)
    metadata = Metadata(specification, Field(checks, specification.holder or "attributes", block))
    if specification.holder is not None and not _check_version(metadata.fields, rows):
        return None
    checks.versions.add(specification.version)
    check_format(checks, specification, group.metadata.zarr_format)
    if expected is not None:
        fault = (
            f"its metadata are OME-Zarr {specification.version}, those of the hierarchy {expected.version}; write "
            f"both in one version"
        )
        checks.hold("version-consistent", specification is expected, fault)
    return metadata


def _row_of(block: Block, rows: Sequence[Specification], expected: Specification | None) -> Specification:
    """Find the row of the version that a block states, or of that expected, or of the newest one without a holder."""
    if rows[0].holder is None:
        blocks = [*_objects(block.get("multiscales")), *_objects([block.get("plate"), block.get("well")])]
        stated = next((found["version"] for found in blocks if found.get("version")), None)
        usual = expected if expected in rows else next((row for row in reversed(rows) if row.is_written), rows[-1])
    else:
        stated, usual = block.get("version"), rows[0]
    return next((row for row in rows if row.is_called(stated)), usual or rows[0])


def _objects(listed: Any) -> list[Mapping[str, Any]]:
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def open_below(
    parent: zarr.Group, path: str, metadata: Metadata, rule: str, where: str, advice: str, required: bool = True
) -> tuple[zarr.Group, Metadata] | None:
    """Open a group below another one, if it can be opened and its version is known.

    Parameters
    ----------
    parent, path, metadata
        The other group, where the group is below it, and the metadata of the other group.
    rule, where, advice
        Rule that is broken if it cannot be opened, and the words before and after the reason.
    required
        A missing group breaks the rule, too.
    """
    checks = metadata.fields.checks.at(path)
    try:
        group = open_group_at(parent, path)
    except UnreadError as error:
        checks.unread(str(error))
        return None
    except (FileNotFoundError, ValueError) as error:
        if required or not isinstance(error, FileNotFoundError):
            checks.hold(rule, False, f"{where}{error}; {advice}")
        return None
    found = read_metadata(group, checks, metadata.specification)
    return None if found is None else (group, found)


def open_unlisted(parent: zarr.Group, path: str, metadata: Metadata) -> tuple[zarr.Group, Metadata] | None:
    """Open a group that may be below another one without being listed there; as :func:`open_below`."""
    return open_below(parent, path, metadata, "group-opens", "", "repair its metadata, or remove it", required=False)


def check_format(checks: Checks, specification: Specification, zarr_format: int) -> bool:
    """Check that a node is stored in the Zarr format of its OME-Zarr version."""
    other = specification_in(zarr_format)
    meant = other.holder is not None and specification.holder is None
    hint = f"; if it is meant to be {other.version}, its metadata belong under {other.holder!r}" if meant else ""
    fault = (
        f"it is stored as Zarr v{zarr_format}, its metadata are OME-Zarr {specification.version}, which is Zarr "
        f"v{specification.zarr_format}; write the image again in one of the two{hint}"
    )
    return checks.hold("zarr-format", specification.fits(zarr_format), fault)


def _check_version(fields: Field, rows: Sequence[Specification]) -> bool:
    """Check the version in a block; return ``False`` if it is unknown: the node cannot be checked further then."""
    stated, known = fields.value.get("version"), " and ".join(repr(row.version) for row in rows)
    fault = f"{fields.where} has no 'version'; write {rows[-1].version!r} there"
    if "labels" in fields.value and "multiscales" not in fields.value:  # no schema asks for it there
        fields.checks.hold("version-stated", stated is not None, fault)
    elif stated is None:
        fields.checks.hold("version-known", False, fault)
    if stated is None:
        return True
    fault = (
        f"{fields.where}.version is {reprlib.repr(stated)}; under {fields.where!r}, {known} can be checked: the "
        f"rest of this node was not"
    )
    return fields.checks.hold("version-known", any(row.is_called(stated) for row in rows), fault)
