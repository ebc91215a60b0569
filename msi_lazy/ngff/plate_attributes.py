"""Attributes of plates and wells: composed, read, and changed by one field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from msi_lazy.arguments.plate_names import lab_order
from msi_lazy.ngff.counts import check_count
from msi_lazy.ngff.specifications import ome_block, specification_of

if TYPE_CHECKING:
    from msi_lazy.ngff.specification import Specification

__all__ = [
    "StoredPlate",
    "acquisition_members",
    "list_field",
    "list_well",
    "plate_attributes",
    "read_plate",
    "read_well",
    "well_attributes",
]

Fields = Mapping[str, int | None]
"""Acquisition of each field of a well, by the field's name, in order; ``None`` where it is not stated."""


@dataclass(frozen=True)
class StoredPlate:
    """A plate as its attributes describe it."""

    name: str
    """Name; empty if it has none."""
    version: str
    """OME-Zarr version that it is read as."""
    rows: tuple[str, ...]
    """Names of all rows, also of those without wells."""
    columns: tuple[str, ...]
    """Names of all columns."""
    wells: tuple[tuple[str, str], ...]
    """Row and column of each well that is stored."""
    acquisitions: Mapping[int, Mapping[str, Any]]
    """What is stated of each acquisition, by its id."""
    field_count: int | None = None
    """Most fields that a well has; ``None`` if that is not stated."""


def read_plate(attributes: Mapping[Any, Any]) -> StoredPlate:
    """Read the attributes of a plate.

    Raises
    ------
    ValueError
        They are those of no plate, of an unknown version, or malformed.

    Examples
    --------
    >>> plate = {"rows": [{"name": "A"}], "columns": [{"name": "1"}], "wells": [{"path": "A/1"}]}
    >>> read_plate({"ome": {"version": "0.5", "plate": plate}}).wells
    (('A', '1'),)
    """
    block = ome_block(attributes)
    plate = block.get("plate")
    if not isinstance(plate, Mapping):
        raise ValueError("the group is no plate: its OME-Zarr attributes have no 'plate'")
    version = specification_of(attributes).version
    stated = block.get("version", plate.get("version"))
    wells = tuple(_well_of(path) for path in _members("wells", plate.get("wells"), "path"))
    acquisitions = _objects("acquisitions", plate.get("acquisitions"))
    count, name = plate.get("field_count"), plate.get("name")
    return StoredPlate(
        name=name if isinstance(name, str) else "",
        version=version if stated is None else str(stated),
        rows=tuple(dict.fromkeys([*_members("rows", plate.get("rows"), "name"), *(row for row, _ in wells)])),
        columns=tuple(dict.fromkeys([*_members("columns", plate.get("columns"), "name"), *(c for _, c in wells)])),
        wells=tuple(dict.fromkeys(wells)),
        acquisitions={one["id"]: one for one in acquisitions if _is_integer(one.get("id"))},
        field_count=count if _is_integer(count) else None,
    )


def read_well(attributes: Mapping[Any, Any], where: str) -> dict[str, int | None]:
    """Read the fields of a well, and the acquisition of each.

    Raises
    ------
    ValueError
        The attributes are those of no well, or malformed; names it as ``where``.
    """
    well = ome_block(attributes).get("well")
    if not isinstance(well, Mapping):
        raise ValueError(f"{where} is no well: its OME-Zarr attributes have no 'well'")
    names = _members("images", well.get("images"), "path")
    stated = [one.get("acquisition") for one in _objects("images", well.get("images"))]
    return {
        name.strip("/"): number if _is_integer(number) else None for name, number in zip(names, stated, strict=True)
    }


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _objects(name: str, listed: Any) -> list[Mapping[str, Any]]:
    check_count(name, listed)
    if listed is not None and not (isinstance(listed, list) and all(isinstance(one, Mapping) for one in listed)):
        raise ValueError(f"the {name!r} of a plate or a well must be a list of objects, not {listed!r:.80}")
    return listed or []


def _members(name: str, listed: Any, member: str) -> list[str]:
    """List a member of objects, as strings, also where a tool wrote numbers."""
    found = [str(value) if _is_integer(value := one.get(member)) else value for one in _objects(name, listed)]
    for value in found:
        if not isinstance(value, str) or not value or {"..", "."} & set(value.split("/")):
            raise ValueError(f"the {member} {value!r} in the {name!r} of a plate or a well is none that can be used")
    return [str(value) for value in found]


def _well_of(path: str) -> tuple[str, str]:
    parts = [part for part in path.split("/") if part]
    if len(parts) != 2:
        raise ValueError(f"the plate lists a well at {path!r}, and the path of one is its row and column, as in 'A/1'")
    return parts[0], parts[1]


def plate_attributes(
    name: str | None,
    rows: Sequence[str],
    columns: Sequence[str],
    wells: Mapping[tuple[str, str], Fields],
    acquisitions: Mapping[int, Mapping[str, Any]],
    specification: Specification,
) -> dict[str, Any]:
    """Compose the attributes of a plate.

    Parameters
    ----------
    name
        Name of the plate, if it has one.
    rows, columns
        Names of all rows and columns, in order.
    wells
        Fields of each well, by row and column.
    acquisitions
        What is stated of each acquisition, by its id.
    specification
        OME-Zarr version.

    Examples
    --------
    >>> from msi_lazy.ngff.specifications import find_specification
    >>> plate_attributes(None, "A", "1", {("A", "1"): {"0": None}}, {}, find_specification("0.4"))["plate"]["wells"]
    [{'path': 'A/1', 'rowIndex': 0, 'columnIndex': 0}]
    """
    numbers = {row: n for n, row in enumerate(rows)}, {column: n for n, column in enumerate(columns)}
    ordered = sorted(wells, key=lambda well: (numbers[0][well[0]], numbers[1][well[1]]))
    plate: dict[str, Any] = {} if name is None else {"name": name}
    plate |= {"rows": [{"name": row} for row in rows], "columns": [{"name": column} for column in columns]}
    plate["wells"] = [
        {"path": f"{row}/{column}", "rowIndex": numbers[0][row], "columnIndex": numbers[1][column]}
        for row, column in ordered
    ]
    plate["field_count"] = max(map(len, wells.values()))
    if acquisitions:
        plate["acquisitions"] = [
            {"id": number, **stated, "maximumfieldcount": max(_count(fields, number) for fields in wells.values()) or 1}
            for number, stated in acquisitions.items()
        ]
    return specification.extend({}, {"plate": _versioned(plate, specification, specification.version_in_plate)})


def well_attributes(fields: Fields, specification: Specification) -> dict[str, Any]:
    """Compose the attributes of a well of some fields.

    Examples
    --------
    >>> from msi_lazy.ngff.specifications import find_specification
    >>> well_attributes({"0": 1}, find_specification("0.5"))
    {'ome': {'version': '0.5', 'well': {'images': [{'path': '0', 'acquisition': 1}]}}}
    """
    well = {"images": [_image(name, acquisition) for name, acquisition in fields.items()]}
    return specification.extend({}, {"well": _versioned(well, specification, specification.version_in_multiscale)})


def acquisition_members(fields: Iterable[Fields]) -> list[int]:
    """Ids of the acquisitions that fields have, in order.

    Examples
    --------
    >>> acquisition_members([{"0": 3, "1": 0}, {"0": None}])
    [0, 3]
    """
    return sorted({number for well in fields for number in well.values() if number is not None})


def list_field(
    attributes: Mapping[str, Any], name: str, acquisition: int | None, specification: Specification
) -> dict[str, Any]:
    """Add a field to the attributes of its well, which may have none yet; one that is listed stays as it is."""
    well = dict(specification.block_of(attributes).get("well") or {})
    well = _versioned(well, specification, specification.version_in_multiscale)
    images = _objects("images", well.get("images"))
    if all(str(one.get("path")) != name for one in images):
        well["images"] = _inserted(images, _image(name, acquisition), "path")
    return specification.extend(attributes, {"well": well})


def list_well(
    attributes: Mapping[str, Any], row: str, column: str, fields: Fields, specification: Specification
) -> dict[str, Any]:
    """Add a well to the attributes of its plate, and its row and column, in the order of plates.

    What the plate states of the number of fields is raised where the well has more.

    Examples
    --------
    >>> from msi_lazy.ngff.specifications import find_specification
    >>> well = {"path": "C/1", "rowIndex": 0, "columnIndex": 0}
    >>> plate = {"rows": [{"name": "C"}], "columns": [{"name": "1"}], "wells": [well], "field_count": 1}
    >>> listed = list_well({"plate": plate}, "B", "1", {"0": None, "1": None}, find_specification("0.4"))["plate"]
    >>> listed["rows"], [well["rowIndex"] for well in listed["wells"]], listed["field_count"]
    ([{'name': 'B'}, {'name': 'C'}], [0, 1], 2)
    """
    plate = dict(specification.block_of(attributes)["plate"])
    wells = [dict(well) for well in _objects("wells", plate.get("wells"))]
    position = {}
    for name, member, index in ((row, "rows", "rowIndex"), (column, "columns", "columnIndex")):
        names = _members(member, plate.get(member), "name")
        if name not in names:
            plate[member] = _inserted(_objects(member, plate.get(member)), {"name": name}, "name")
            names = _members(member, plate[member], "name")
            for well in wells:
                if _is_integer(well.get(index)) and well[index] >= names.index(name):
                    well[index] += 1
        position[index] = names.index(name)
    if all(str(well.get("path")).strip("/") != f"{row}/{column}" for well in wells):
        plate["wells"] = _inserted(wells, {"path": f"{row}/{column}", **position}, "path")
    count = plate.get("field_count")
    if _is_integer(count):
        plate["field_count"] = max(count, len(fields))
    if plate.get("acquisitions"):
        plate["acquisitions"] = [_raised(one, fields) for one in _objects("acquisitions", plate["acquisitions"])]
    return specification.extend(attributes, {"plate": plate})


def _raised(acquisition: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    most = acquisition.get("maximumfieldcount")
    if not _is_integer(most):
        return dict(acquisition)
    return {**acquisition, "maximumfieldcount": max(most, _count(fields, acquisition.get("id")))}


def _count(fields: Fields, acquisition: Any) -> int:
    return list(fields.values()).count(acquisition)


def _image(name: str, acquisition: int | None) -> dict[str, Any]:
    return {"path": name} if acquisition is None else {"path": name, "acquisition": acquisition}


def _versioned(block: dict[str, Any], specification: Specification, stated: bool) -> dict[str, Any]:
    return {**block, "version": specification.version} if stated and "version" not in block else block


def _inserted(listed: Sequence[Mapping[str, Any]], entry: dict[str, Any], member: str) -> list[dict[str, Any]]:
    """Insert an entry before the first that comes after it on a plate; the others keep their order."""
    key = _place_key(entry[member])
    after = (n for n, one in enumerate(listed) if _place_key(str(one.get(member))) > key)
    position = next(after, len(listed))
    return [*map(dict, listed[:position]), entry, *map(dict, listed[position:])]


def _place_key(path: str) -> list[tuple[tuple[int, int, str], ...]]:
    return [lab_order(part) for part in path.strip("/").split("/")]
