"""Rules for the axes of a multiscale image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msi_lazy.axes import axis_meaning
from msi_lazy.units import find_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.validation.metadata import Field

__all__ = ["StoredAxes", "check_axes", "check_axis_list"]

_RANK = {"time": 0, "space": 2}
"""Position of a type in the order of axes; channels, and types unknown to the specification, are between."""
_KNOWN = ("space", "time", "channel")
_FURTHER = ("array", "displacement", "coordinate", "frequency")
"""Types that axes of coordinate systems may have besides."""
_LETTERS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
"""All axes before 0.4, in their order, and their types."""


@dataclass(frozen=True)
class StoredAxes:
    """The axes that an image lists."""

    names: tuple[str, ...]
    """Their names."""
    kinds: tuple[str | None, ...]
    """Their types, ``None`` for one that has none."""
    intrinsic: str | None = None
    """Name of the coordinate system that they are of, which the levels are placed in."""
    sizes: Mapping[str, int] | None = None
    """Number of axes of each coordinate system of the image, by its name; ``None`` without systems."""

    @property
    def channel(self) -> int | None:
        """Position of the axis that is neither space nor time, if there is one."""
        return next((i for i, kind in enumerate(self.kinds) if kind not in _RANK), None)


def check_axes(multiscale: Field, specification: Specification) -> StoredAxes | None:
    """Check the axes of a multiscale image, and return them if they can be read."""
    if specification.axes == "order":
        return StoredAxes(tuple(_LETTERS), tuple(_LETTERS.values()))
    return _check_names(multiscale) if specification.axes == "names" else check_axis_list(multiscale)


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


def check_axis_list(holder: Field, further: bool | None = None) -> StoredAxes | None:
    """Check axes that are objects, with name, type and unit, of an image or of a coordinate system.

    ``further`` says of a system whether it is another one than the intrinsic one, so that its axes have any order.
    """
    listed = holder.listed("axes", "object")
    if listed is None:
        return None
    checks, where = holder.checks, f"{holder.where}.axes"
    names = [name.value for axis in listed if (name := axis.member("name", "string"))]
    kinds = [kind.value if (kind := axis.member("type", "string", required=False)) else None for axis in listed]
    if further is not None:
        for axis in listed:
            axis.member("longName", "string", required=False)
            axis.member("discrete", "boolean", required=False)
    if len(names) != len(listed):
        return None
    axes = StoredAxes(tuple(names), tuple(kinds))
    text = _described(axes)
    least = 1 if further else 2
    fault = f"{where} lists {len(listed)} axes; {least} to 5 are allowed"
    if not checks.hold("axes-count", least <= len(listed) <= 5, fault) and not listed:
        return axes
    checks.hold("axes-unique", len(set(names)) == len(names), f"{where} has a name twice: {text}; rename one")
    indices = further is not None and kinds.count("array") >= 2
    spatial = kinds.count("space")
    fault = f"{where} has {spatial} of type space: {text}; 2 or 3 are needed"
    checks.hold("axes-space", spatial in (2, 3) or indices, fault)
    if not further and not indices:
        _check_kinds(holder, axes, text, _KNOWN if further is None else (*_KNOWN, *_FURTHER))
        _check_units(holder, listed, axes)
        _check_zyx(holder, axes, text)
    return axes


def _check_zyx(holder: Field, axes: StoredAxes, text: str) -> None:
    spatial = [name for name, kind in zip(axes.names, axes.kinds, strict=True) if kind == "space"]
    meant = [axis_meaning(name) for name in spatial]
    if sorted(map(str, meant)) == ["x", "y", "z"]:
        fault = f"{holder.where}.axes are {text}; those of space should be in the order z, y, x: transpose the arrays"
        holder.checks.hold("axes-zyx", meant == ["z", "y", "x"], fault)


def _check_kinds(multiscale: Field, axes: StoredAxes, text: str, known: tuple[str, ...]) -> None:
    checks, where = multiscale.checks, f"{multiscale.where}.axes"
    ranks = [_RANK.get(str(kind), 1) for kind in axes.kinds]
    fault = f"{where} are {text}; each should have one of the types {', '.join(known)}: add it"
    checks.hold("axes-type", all(kind in known for kind in axes.kinds), fault)
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
