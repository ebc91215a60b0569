"""Names of rows, columns and fields of a plate, and its acquisitions, as users give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from msi_lazy.arguments.json_values import Omissions, to_json
from msi_lazy.arguments.numbers import is_integer
from msi_lazy.errors import warn_user

__all__ = ["is_plate_name", "lab_order", "parse_acquisitions", "parse_field", "parse_fields", "parse_names"]

FieldName = tuple[str, str, str]
"""Names of the row, the column and the field."""
_TIMES = ("starttime", "endtime")
_TEXTS = ("name", "description")


def is_plate_name(name: str) -> bool:
    """Tell whether OME-Zarr allows the name of a row or a column: letters and digits."""
    return re.fullmatch("[A-Za-z0-9]+", name) is not None


def lab_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Key by which names of rows, columns and fields are sorted as on plates: A to Z, then AA; 1, 2, 10.

    Examples
    --------
    >>> sorted(["10", "AA", "2", "B"], key=lab_order)
    ['2', '10', 'B', 'AA']
    """
    parts = re.findall("[0-9]+|[^0-9]+", name)
    return tuple((0, int(part), part) if part[0] in "0123456789" else (1, len(part), part) for part in parts)


def parse_field(key: Any) -> FieldName:
    """Parse the key of a field.

    Raises
    ------
    TypeError
        It is none.

    Examples
    --------
    >>> parse_field(("A", 1, 0)), parse_field("B/12/3")
    (('A', '1', '0'), ('B', '12', '3'))
    """
    parts = key.split("/") if isinstance(key, str) else key
    if isinstance(parts, (tuple, list)) and len(parts) == 3 and all(isinstance(p, str) or is_integer(p) for p in parts):
        row, column, field = map(str, parts)
        return row, column, field
    raise TypeError(
        f"the key of a field is its row, column and number, as in ('A', '1', 0), or its path, 'A/1/0', not {key!r}"
    )


def parse_fields(fields: Any) -> dict[FieldName, Any]:
    """Parse the keys of fields, and sort them in the order of plates; returns each as it was given, too.

    Raises
    ------
    TypeError
        Not a dict, or a key that is none.
    ValueError
        There are no fields, or two of one name.
    """
    if not isinstance(fields, Mapping):
        raise TypeError(f"fields are a dict of pyramids, {{('A', '1', 0): tree, ...}}, not {type(fields).__name__}")
    found: dict[FieldName, Any] = {}
    for key in fields:
        parsed = parse_field(key)
        if parsed in found:
            raise ValueError(f"two fields are called {'/'.join(parsed)}: {found[parsed]!r} and {key!r}; rename one")
        found[parsed] = key
    if not found:
        raise ValueError("fields has no fields; a plate has at least one")
    _warn_of_case({"/".join(key) for key in found})
    return {key: found[key] for key in sorted(found, key=lambda key: tuple(map(lab_order, key)))}


def _warn_of_case(paths: set[str]) -> None:
    """Warn of paths that some file systems take for one."""
    lowered: dict[str, str] = {}
    for path in sorted(paths):
        other = lowered.setdefault(path.lower(), path)
        if other != path:
            warn_user(f"the fields {other} and {path} differ in upper and lower case only: some file systems do not")
            return


def parse_names(what: str, given: Any, used: Sequence[str]) -> tuple[str, ...]:
    """Names of all rows, or columns: those that are given, or those in use.

    Raises
    ------
    TypeError, ValueError
        They are no names, or lack some that are in use.

    Examples
    --------
    >>> parse_names("rows", 3, ["B"]), parse_names("columns", None, ["10", "2", "2"])
    (('A', 'B', 'C'), ('2', '10'))
    """
    if given is None:
        return tuple(sorted(set(used), key=lab_order))
    if is_integer(given):
        if not 1 <= given <= 10_000:
            raise ValueError(f"{what} must be at least 1, or names, not {given!r}")
        names = tuple(_letters(n) if what == "rows" else str(n + 1) for n in range(given))
    elif isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        if not all(isinstance(name, str) or is_integer(name) for name in given):
            raise TypeError(f"{what} must be names, or how many there are, not {given!r:.200}")
        names = tuple(map(str, given))
    else:
        raise TypeError(f"{what} must be a sequence of names, or how many there are, not {given!r}")
    for name in names:
        if not is_plate_name(name):
            raise ValueError(f"names of {what} have letters (A-Z, a-z) and digits only, not {name!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"{what} names {next(name for name in names if names.count(name) > 1)!r} twice")
    lost = sorted(set(used) - set(names), key=lab_order)
    if lost:
        raise ValueError(f"{what} lacks {', '.join(map(repr, lost[:10]))}, where there are fields; add them")
    return names


def _letters(number: int) -> str:
    """Name of row ``number`` from 0 on: A to Z, then AA.

    Examples
    --------
    >>> [_letters(number) for number in (0, 25, 26, 51, 52)]
    ['A', 'Z', 'AA', 'AZ', 'BA']
    """
    tens, units = divmod(number, 26)
    return (_letters(tens - 1) if tens else "") + ascii_uppercase[units]


def parse_acquisitions(
    acquisitions: Any, acquisition_of: Any, fields: Mapping[FieldName, Any]
) -> tuple[dict[int, dict[str, Any]], dict[FieldName, int | None]]:
    """Parse what is stated of acquisitions, by id, and the id of each field.

    Raises
    ------
    TypeError, ValueError
        Ids that are none, or of no acquisition; fields of which it is not known which took them.

    Examples
    --------
    >>> parse_acquisitions({0: "day 1"}, None, {("A", "1", "0"): 0})
    ({0: {'name': 'day 1'}}, {('A', '1', '0'): 0})
    """
    stated = _parse_stated(acquisitions)
    taken = _parse_taken(acquisition_of, fields)
    for key, number in taken.items():
        if acquisitions is None:
            stated.setdefault(number, {})
        elif number not in stated:
            raise ValueError(f"acquisition_of says {number} of {key!r}, and acquisitions has {list(stated)}; add it")
    only = next(iter(stated)) if len(stated) == 1 else None
    found = {key: taken.get(key, taken.get(key[2], only)) for key in fields}
    lost = ["/".join(key) for key, number in found.items() if stated and number is None]
    if lost:
        raise ValueError(
            f"there are the acquisitions {', '.join(map(str, stated))}, and which of them took {', '.join(lost[:10])}"
            f"{', ...' if len(lost) > 10 else ''} is not known: say so in acquisition_of"
        )
    return dict(sorted(stated.items())), found


def _parse_stated(acquisitions: Any) -> dict[int, dict[str, Any]]:
    if acquisitions is None:
        return {}
    if not isinstance(acquisitions, Mapping):
        raise TypeError(f"acquisitions are names by id, as in {{0: 'day 1'}}, not {acquisitions!r}")
    found = {}
    for number, stated in acquisitions.items():
        if not is_integer(number) or number < 0:
            raise ValueError(f"the id of an acquisition is an integer from 0 on, not {number!r}")
        members: Any = {"name": stated} if isinstance(stated, str) else stated
        if not isinstance(members, Mapping):
            raise TypeError(f"acquisitions[{number}] must be a name or a dict, not {stated!r}")
        members = {str(key): value for key, value in members.items() if key != "id"}
        for key, value in members.items():
            if key in _TEXTS and not isinstance(value, str):
                raise TypeError(f"acquisitions[{number}][{key!r}] must be a string, not {value!r}")
            if key in _TIMES and (not is_integer(value) or value < 0):
                raise TypeError(f"acquisitions[{number}][{key!r}] must be an integer from 0 on, not {value!r}")
        omissions = Omissions()
        found[int(number)] = dict(to_json(members, f"acquisitions[{number}]", omissions))
        if omissions.found:
            raise TypeError(f"JSON cannot hold {', '.join(omissions.found)} of acquisitions; leave it out")
    return found


def _parse_taken(acquisition_of: Any, fields: Mapping[FieldName, Any]) -> dict[Any, int]:
    """Id of the acquisition of each field, by its names, or by its own name in all wells."""
    if acquisition_of is None:
        return {}
    if not isinstance(acquisition_of, Mapping):
        raise TypeError(f"acquisition_of is a dict of ids by field, as in {{0: 0, 1: 1}}, not {acquisition_of!r}")
    known = {*fields, *(key[2] for key in fields)}
    found: dict[Any, int] = {}
    number: Any
    for given, number in acquisition_of.items():
        by_name = is_integer(given) or (isinstance(given, str) and "/" not in given)
        key = str(given) if by_name else parse_field(given)
        if key not in known:
            raise ValueError(f"acquisition_of has {given!r}, and there is no such field")
        if not is_integer(number) or number < 0:
            raise ValueError(f"the id of an acquisition is an integer from 0 on, not {number!r}")
        found[key] = int(number)
    return found
