"""Rules for the axes of a multiscale image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msi_lazy.axes import axis_meaning
from msi_lazy.units import find_unit

if TYPE_CHECKING:
    from msi_lazy.ngff.specification import Specification
    from msi_lazy.validation.metadata import Field

__all__ = ["StoredAxes", "check_axes"]

_RANK = {"time": 0, "space": 2}
"""Position of a type in the order of axes; channels, and types unknown to the specification, are between."""
_KNOWN = ("space", "time", "channel")
_LETTERS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
"""All axes before 0.4, in their order, and their types."""


@dataclass(frozen=True)
class StoredAxes:
    """The axes that an image lists."""

    names: tuple[str, ...]
    """Their names."""
    kinds: tuple[str | None, ...]
    """Their types, ``None`` for one that has none."""

    @property
    def channel(self) -> int | None:
        """Position of the axis that is neither space nor time, if there is one."""
        return next((i for i, kind in enumerate(self.kinds) if kind not in _RANK), None)


def check_axes(multiscale: Field, specification: Specification) -> StoredAxes | None:
    """Check the axes of a multiscale image, and return them if they can be read."""
    if specification.axes == "order":
        return StoredAxes(tuple(_LETTERS), tuple(_LETTERS.values()))
    return _check_names(multiscale) if specification.axes == "names" else _check_objects(multiscale)


def _check_names(multiscale: Field) -> StoredAxes | None:
    """Check axes that are nothing but names: some of t, c, z, y and x, in this order."""
    listed = multiscale.listed("axes", "string")
    if listed is None:
        return None
    names = [name.value for name in listed]
    expected = [letter for letter in _LETTERS if letter in names]
    fault = (
        f"{multiscale.where}.axes are {', '.join(map(repr, names))}; they must be 2 to 5 of t, c, z, y and x, in this "
        f"order, with y and x: correct them"
    )
    sound = multiscale.checks.hold("axes-names", names == expected and names[-2:] == ["y", "x"], fault)
    return StoredAxes(tuple(names), tuple(_LETTERS[name] for name in names)) if sound else None


def _check_objects(multiscale: Field) -> StoredAxes | None:
    """Check axes that are objects, with name, type and unit."""
    listed = multiscale.listed("axes", "object")
    if listed is None:
        return None
    checks, where = multiscale.checks, f"{multiscale.where}.axes"
    names = [name.value for axis in listed if (name := axis.member("name", "string"))]
    kinds = [kind.value if (kind := axis.member("type", "string", required=False)) else None for axis in listed]
    if len(names) != len(listed):
        return None
    axes = StoredAxes(tuple(names), tuple(kinds))
    text = _described(axes)
    counted = checks.hold("axes-count", 2 <= len(listed) <= 5, f"{where} lists {len(listed)} axes; 2 to 5 are allowed")
    if not counted and not listed:
        return axes
    checks.hold("axes-unique", len(set(names)) == len(names), f"{where} has a name twice: {text}; rename one")
    _check_kinds(multiscale, axes, text)
    _check_units(multiscale, listed, axes)
    spatial = [name for name, kind in zip(names, kinds, strict=True) if kind == "space"]
    meant = [axis_meaning(name) for name in spatial]
    if sorted(map(str, meant)) == ["x", "y", "z"]:
        fault = f"{where} are {text}; those of space should be in the order z, y, x: transpose the arrays"
        checks.hold("axes-zyx", meant == ["z", "y", "x"], fault)
    return axes


def _check_kinds(multiscale: Field, axes: StoredAxes, text: str) -> None:
    checks, where = multiscale.checks, f"{multiscale.where}.axes"
    ranks = [_RANK.get(str(kind), 1) for kind in axes.kinds]
    fault = f"{where} are {text}; each should have one of the types space, time and channel: add it"
    checks.hold("axes-type", all(kind in _KNOWN for kind in axes.kinds), fault)
    fault = f"{where} has {ranks.count(2)} of type space: {text}; 2 or 3 are needed"
    checks.hold("axes-space", ranks.count(2) in (2, 3), fault)
    fault = f"{where} are {text}; at most one may be time, and one channel or of another type"
    checks.hold("axes-time-channel", ranks.count(0) <= 1 and ranks.count(1) <= 1, fault)
    fault = f"{where} are {text}; time comes first, then channel, then space: transpose the arrays, and list them so"
    checks.hold("axes-order", ranks == sorted(ranks), fault)


def _check_units(multiscale: Field, listed: list[Field], axes: StoredAxes) -> None:
    """Check the units of space and time; the specification lists none for others."""
    without = []
    for axis, name, kind in zip(listed, axes.names, axes.kinds, strict=True):
        unit = axis.member("unit", "string", required=False)
        if kind not in ("space", "time"):
            continue
        if unit is not None:
            allowed = _listed_unit(unit.value, kind)
            advice = f"write {allowed!r}" if allowed else "write a UDUNITS name, such as 'micrometer' or 'second'"
            fault = f"{unit.where} is {unit.value!r}, which is not one that OME-Zarr lists for {kind}; {advice}"
            axis.checks.hold("axes-unit-name", unit.value == allowed, fault)
        elif not axis.value.get("unit"):
            without.append(name)
    fault = f"{multiscale.where}.axes has no unit for {', '.join(map(repr, without))}; add it, if it is known"
    multiscale.checks.hold("axes-unit", not without, fault)


def _listed_unit(unit: str, kind: str) -> str | None:
    """Name of a unit in the specification, if it lists one."""
    found = find_unit(unit, kind)
    return found.name if found is not None and found.listed else None


def _described(axes: StoredAxes) -> str:
    named = (f"{name!r} ({kind or 'no type'})" for name, kind in zip(axes.names, axes.kinds, strict=True))
    return ", ".join(named)
