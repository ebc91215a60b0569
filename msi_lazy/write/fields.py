"""Fields of plates: where an image is written that belongs to a well, and the lists that it is entered in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.plate_names import is_plate_name
from msi_lazy.ngff.plate_attributes import list_field, list_well, read_plate, read_well
from msi_lazy.ngff.specifications import ome_block, specification_of
from msi_lazy.storage.shared_groups import change_attributes
from msi_lazy.storage.target import Target, consolidate_above

if TYPE_CHECKING:
    from msi_lazy.ngff.specification import Specification
    from msi_lazy.storage.place import Place

__all__ = ["ListField", "check_field", "check_names", "find_field"]


@dataclass(frozen=True)
class ListField:
    """Task that lists an image in its well, and the well in its plate."""

    well: Target
    """Group of the well."""
    name: str
    """Name of the field in it."""
    plate: Target | None
    """Group of the plate; ``None`` if the well is all that the user gave."""
    acquisition: int | None
    """Acquisition of the field, if the plate states one."""
    specification: Specification
    """OME-Zarr version of the plate."""

    def __call__(self) -> None:
        """Add the field, and the well, where they are not listed."""
        change_attributes(self.well, self.well.zarr_format, self._change_well)
        if self.plate is not None:
            change_attributes(self.plate, self.plate.zarr_format, self._change_plate)
        consolidate_above(self.well.child(self.name))

    def _change_well(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return list_field(attributes, self.name, self.acquisition, self.specification)

    def _change_plate(self, attributes: dict[str, Any]) -> dict[str, Any]:
        row, column = self.well.path.split("/")[-2:]
        fields = read_well(self.well.open_group().attrs.asdict(), str(self.well))
        return list_well(attributes, row, column, fields, self.specification)


def find_field(place: Place, specification: Specification) -> ListField | None:
    """Find the plate or the well that an image is to be a field of; ``None`` if the groups above are neither.

    Raises
    ------
    ValueError
        There is one, and the place is none of a field, or the field cannot be listed; says why, and what to do.
    """
    for above in place.parents():
        try:
            attributes = above.open_group().attrs.asdict()
        except FileNotFoundError:
            return None
        block = ome_block(attributes)
        names = place.path[len(above.path) :].strip("/").split("/")
        if "plate" in block:
            return _in_plate(above, attributes, names, specification)
        if "well" in block:
            return _in_well(above, attributes, names, specification)
    return None


def check_field(place: Place, specification: Specification) -> None:
    """Refuse an image in a plate where no field can be; raises as :func:`find_field`."""
    find_field(place, specification)


def _in_plate(plate: Place, attributes: Any, names: list[str], specification: Specification) -> ListField:
    stored = read_plate(attributes)
    if len(names) != 3:
        raise ValueError(
            f"{plate} is a plate, and its images are the fields of wells, at paths of row, column and field: "
            f"'{'/'.join(names)}' is none; give one such as group='A/1/0', or choose another place"
        )
    check_names(names[0], names[1], names[2], specification)
    _check_version(plate, attributes, specification)
    well, acquisitions = plate.child("/".join(names[:2])), list(stored.acquisitions)
    listed = names[2] in _fields_of(well)
    if len(acquisitions) > 1 and not listed:
        raise ValueError(
            f"{plate} is a plate of the acquisitions {', '.join(map(str, acquisitions))}, and the well "
            f"{'/'.join(names[:2])} does not say of which its field {names[2]!r} is: list it there first, as "
            f"{{'path': {names[2]!r}, 'acquisition': {acquisitions[0]}}}, or write the plate with write_plate"
        )
    acquisition = acquisitions[0] if len(acquisitions) == 1 else None
    return ListField(_target(well, specification), names[2], _target(plate, specification), acquisition, specification)


def _in_well(well: Place, attributes: Any, names: list[str], specification: Specification) -> ListField:
    if len(names) != 1:
        raise ValueError(f"{well} is a well, whose images are its fields: '{'/'.join(names)}' is none; give group='0'")
    check_names("A", "1", names[0], specification)
    _check_version(well, attributes, specification)
    return ListField(_target(well, specification), names[0], None, None, specification)


def _target(place: Place, specification: Specification) -> Target:
    return Target(place.store, place.path, place.given, place.base, specification.zarr_format)


def _fields_of(well: Place) -> dict[str, int | None]:
    """Fields that a well lists; none where there is no well yet."""
    try:
        attributes = well.open_group().attrs.asdict()
    except FileNotFoundError:
        return {}
    return read_well(attributes, str(well)) if "well" in ome_block(attributes) else {}


def _check_version(place: Place, attributes: Any, specification: Specification) -> None:
    other = specification_of(attributes)
    if other is not specification:
        raise ValueError(
            f"{place} is OME-Zarr {other.version}, and all of a plate is of one version; write the field with "
            f"version={other.version!r}"
        )


def check_names(row: str, column: str, field: str, specification: Specification) -> None:
    """Refuse names that OME-Zarr does not allow for a row, a column or a field.

    Raises
    ------
    ValueError
        Names the first of them.
    """
    for name, what in ((row, "row"), (column, "column")):
        if not is_plate_name(name):
            raise ValueError(f"the name of a {what} of a plate has letters (A-Z, a-z) and digits only, not {name!r}")
    if re.fullmatch(specification.field_names, field) is None:
        raise ValueError(
            f"the name of a field of a well in OME-Zarr {specification.version} must match "
            f"{specification.field_names!r}, and {field!r} does not; number the fields: 0, 1, ..."
        )
