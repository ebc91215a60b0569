"""Rules for the metadata of plates and wells, high-content screening."""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.numbers import is_integer

if TYPE_CHECKING:
    from msi_lazy.ngff.specification import Specification
    from msi_lazy.validation.metadata import Field

__all__ = ["Acquisitions", "check_field_count", "check_plate", "check_well"]

_NAME = re.compile(r"[A-Za-z0-9]+")
_FIELD = re.compile(r"(?!\.+$)(?!__)[A-Za-z0-9_.-]+")
"""Path of a field below its well: a name that is no relative path, and that Zarr has not reserved."""


@dataclass(frozen=True)
class Acquisitions:
    """What a plate says of its acquisitions, for the fields of its wells."""

    ids: tuple[Any, ...]
    """Their identifiers."""
    most_fields: int | None
    """Most fields of a well, if that is stated, and sound."""


def check_plate(plate: Field, specification: Specification) -> Acquisitions:
    """Check the block of a plate, but not the groups of its wells."""
    rows, columns = _check_names(plate, "rows"), _check_names(plate, "columns")
    wells = _check_listed(plate, "wells")
    for well in wells:
        _check_place(well, rows, columns, indexed=specification.has_transformations)
    paths = [well.value.get("path") for well in wells]
    twice = sorted({str(path) for path in paths if paths.count(path) > 1})
    plate.checks.hold("well-unique", not twice, f"{plate.where}.wells lists {reprlib.repr(twice)} twice; list it once")
    fault = f"{plate.where} has no 'name', which should be there: add it"
    plate.checks.hold("plate-described", plate.value.get("name") is not None, fault)
    plate.member("name", "string", required=False)
    count = plate.value.get("field_count")
    sound = _check_count(plate, "field_count", 1)
    return Acquisitions(_check_acquisitions(plate), count if sound else None)


def _check_listed(holder: Field, name: str) -> list[Field]:
    """Check that a list of objects is there, and not empty."""
    listed = holder.listed(name, "object")
    if listed is None:
        return []
    fault = f"{holder.where}.{name} is empty; list at least one"
    holder.checks.hold("plate-lists", bool(listed), fault)
    return listed


def _check_names(plate: Field, which: str) -> list[Any]:
    """Check the names of rows or columns, and return them."""
    names = []
    for one in _check_listed(plate, which):
        name = one.member("name", "string")
        if name:
            fault = f"{name.where} is {name.value!r}; it must be letters and digits alone, as it is part of a path"
            name.checks.hold("plate-names", _NAME.fullmatch(name.value) is not None, fault)
        names.append(name.value if name else None)
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    fault = f"{plate.where}.{which} has the name {reprlib.repr(twice)} twice; each needs its own"
    plate.checks.hold("plate-names", not twice, fault)
    return names


def _check_place(well: Field, rows: list[Any], columns: list[Any], indexed: bool) -> None:
    """Check that the path and the indices of a well are those of its row and its column."""
    path = well.member("path", "string")
    row = well.member("rowIndex", "number", required=indexed)
    column = well.member("columnIndex", "number", required=indexed)
    if path is None:
        return
    parts = path.value.split("/")
    fault = f"{path.where} is {path.value!r}; it must be the names of a row and a column, such as 'A/1'"
    sound = len(parts) == 2 and all(_NAME.fullmatch(part) for part in parts)
    if not well.checks.hold("well-path", sound, fault) or not row or not column:
        return
    pairs = ((row.value, rows, parts[0]), (column.value, columns, parts[1]))
    fault = (
        f"{well.where} has the path {path.value!r}, rowIndex {row.value} and columnIndex {column.value}, and the plate "
        f"the rows {reprlib.repr(rows)} and the columns {reprlib.repr(columns)}; make them agree"
    )
    there = all(is_integer(n) and 0 <= n < len(names) for n, names, _ in pairs)
    if well.checks.hold("well-indices", there, fault):
        well.checks.hold("well-place", all(names[n] in (name, None) for n, names, name in pairs), fault)


def _check_acquisitions(plate: Field) -> tuple[Any, ...]:
    """Check the acquisitions of a plate, and return their identifiers."""
    listed = plate.listed("acquisitions", "object", required=False) or []
    ids = []
    for one in listed:
        if one.member("id", "number"):
            _check_count(one, "id", 0)
        ids.append(one.value.get("id"))
        _check_count(one, "maximumfieldcount", 1)
        for name in ("starttime", "endtime"):
            _check_count(one, name, 0)
        missing = [name for name in ("name", "maximumfieldcount") if one.value.get(name) is None]
        fault = f"{one.where} has no {' and no '.join(missing)}, which should be there: add it"
        one.checks.hold("plate-described", not missing, fault)
    fault = f"{plate.where}.acquisitions have the ids {reprlib.repr(ids)}; each needs its own"
    plate.checks.hold("plate-acquisitions", len({*map(str, ids)}) == len(ids), fault)
    return tuple(ids)


def _check_count(holder: Field, name: str, least: int) -> bool:
    """Check an integer that need not be there; ``False`` if it is faulty, or not there."""
    value = holder.value.get(name)
    if value is None:
        return False
    fault = f"{holder.where}.{name} is {reprlib.repr(value)}; it must be an integer of at least {least}"
    return holder.checks.hold("plate-acquisitions", is_integer(value) and value >= least, fault)


def check_well(well: Field, plate: Acquisitions | None) -> list[Field]:
    """Check the block of a well, but not its images, and return their paths; ``plate`` is what its plate says."""
    images = _check_listed(well, "images")
    ids = plate.ids if plate else ()
    found = []
    for image in images:
        path = image.member("path", "string")
        if path:
            fault = f"{path.where} is {path.value!r}; it must be one name of letters, digits, '_', '.' and '-'"
            path.checks.hold("well-field-path", _FIELD.fullmatch(path.value) is not None, fault)
            found.append(path)
        acquisition = image.value.get("acquisition")
        if acquisition is None:
            sound = len(ids) < 2
        else:
            sound = is_integer(acquisition) and (plate is None or acquisition in ids)
        known = f"one of the plate's, {reprlib.repr(ids)}" if ids else "an integer, and its plate must list it"
        fault = f"{image.where}.acquisition is {reprlib.repr(acquisition)}; it must be {known}"
        image.checks.hold("well-acquisition", sound, fault)
    paths = [path.value for path in found]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    well.checks.hold("well-unique", not twice, f"{well.where}.images lists {reprlib.repr(twice)} twice; list it once")
    return found


def check_field_count(well: Field, fields: int, plate: Acquisitions | None) -> None:
    """Check that a well has no more fields than its plate states."""
    if plate is not None and plate.most_fields is not None:
        fault = f"{well.where} has {fields} images, and the plate states a field_count of {plate.most_fields}; raise it"
        well.checks.hold("plate-field-count", fields <= plate.most_fields, fault)
