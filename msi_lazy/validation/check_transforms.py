"""Rules for the parameters of a coordinate transformation, of any kind."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.numbers import is_integer, is_real
from msi_lazy.validation.nodes import UnreadError, open_array_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import zarr

    from msi_lazy.validation.metadata import Field

__all__ = ["check_transform"]

Size = int | None
_MOST_AXES = 5
_MOST_DEPTH = 20
"""Most transformations inside each other."""


def check_transform(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int = 0) -> None:
    """Check the type and the parameters of a transformation, and those inside it.

    ``inputs`` and ``outputs`` are the numbers of axes at its ends, as far as they are known.
    """
    kind = transform.member("type", "string")
    if kind is None:
        return
    known = _KINDS.get(kind.value)
    fault = f"{kind.where} is {reprlib.repr(kind.value)}; it must be one of {', '.join(_KINDS)}"
    if transform.checks.hold("transformation-kind", known is not None and depth < _MOST_DEPTH, fault) and known:
        known(transform, inputs, outputs, group, depth)


def _hold(transform: Field, holds: bool, demand: str, name: str | None = None) -> bool:
    name = name or str(transform.value.get("type"))
    found = reprlib.repr(transform.value.get(name))
    return transform.checks.hold(
        "transformation-parameters", holds, f"{transform.where}.{name} is {found}; it must be {demand}"
    )


def _same_sizes(transform: Field, inputs: Size, outputs: Size) -> None:
    fault = f"{transform.where} leads from {inputs} axes to {outputs}; its type needs as many on both sides"
    transform.checks.hold("transformation-length", None in (inputs, outputs) or inputs == outputs, fault)


def _fits(transform: Field, count: int, size: Size, what: str) -> None:
    fault = f"{transform.where} has {count} {what}, and there are {size} axes; give one for each"
    transform.checks.hold("transformation-length", size is None or count == size, fault)


def _identity(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int) -> None:
    _same_sizes(transform, inputs, outputs)


def _vector(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int) -> None:
    name = str(transform.value["type"])
    listed = transform.listed(name, "number")
    if listed is None:
        return
    positive = name != "scale" or all(number.value > 0 for number in listed)
    _hold(transform, positive, "numbers above 0")
    _fits(transform, len(listed), inputs, "numbers")
    _same_sizes(transform, inputs, outputs)


def _matrix(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int) -> None:
    name = str(transform.value["type"])
    if (name in transform.value) != ("path" in transform.value) and "path" in transform.value:
        _check_array(transform, group)
        return
    rows = transform.value.get(name)
    sound = "path" not in transform.value and isinstance(rows, list) and len(rows) > 0
    sound = sound and all(isinstance(row, list) and all(map(is_real, row)) and len(row) == len(rows[0]) for row in rows)
    if not _hold(transform, bool(sound), "rows of numbers, all of one length, or be left out for a 'path'"):
        return
    if name == "rotation":
        _hold(transform, 2 <= len(rows) == len(rows[0]) <= _MOST_AXES, "a square of 2 to 5 rows")
        _same_sizes(transform, inputs, outputs)
        _fits(transform, len(rows), inputs, "rows")
        return
    _fits(transform, len(rows), outputs, "rows")
    _fits(transform, len(rows[0]) - 1, inputs, "columns before the last one")


def _map_axis(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int) -> None:
    listed = transform.value.get("mapAxis")
    if _hold(transform, _are_axes(listed, 2, _MOST_AXES, inputs), "2 to 5 different numbers of axes of the input"):
        _fits(transform, len(listed or ()), outputs, "numbers")


def _project_axis(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int) -> None:
    names = [name for name in ("droppedInputs", "createdOutputs") if name in transform.value]
    if not _hold(transform, bool(names), "there, or the member createdOutputs", "droppedInputs"):
        return
    sizes = {"droppedInputs": inputs, "createdOutputs": outputs}
    for name in names:
        sound = _are_axes(transform.value[name], 1, 3, sizes[name])
        _hold(transform, sound, "1 to 3 different numbers of axes", name)


def _are_axes(listed: Any, least: int, most: int, size: Size) -> bool:
    """Tell whether something is a list of different numbers of axes."""
    count = min(size if size is not None else _MOST_AXES, _MOST_AXES)
    sound = isinstance(listed, list) and least <= len(listed) <= most and all(map(is_integer, listed))
    return bool(sound) and len(set(listed)) == len(listed) and all(0 <= number < count for number in listed)


def _sequence(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int) -> None:
    listed = transform.listed("transformations", "object") or []
    for number, one in enumerate(listed):
        ends = (inputs if number == 0 else None, outputs if number == len(listed) - 1 else None)
        check_transform(one, *ends, group, depth + 1)


def _by_dimension(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int) -> None:
    for part in transform.listed("transformations", "object") or ():
        sizes: list[Size] = []
        for name, size in (("inputAxes", inputs), ("outputAxes", outputs)):
            listed = part.value.get(name)
            sound = _hold(part, _are_axes(listed, 1, _MOST_AXES, size), "different numbers of axes", name)
            sizes.append(len(listed) if sound and listed else None)
        inner = part.member("transformation", "object")
        if inner is not None:
            check_transform(inner, sizes[0], sizes[1], group, depth + 1)


def _bijection(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int) -> None:
    for name, ends in (("forward", (inputs, outputs)), ("inverse", (outputs, inputs))):
        inner = transform.member(name, "object")
        if inner is not None:
            check_transform(inner, *ends, group, depth + 1)


def _field(transform: Field, inputs: Size, outputs: Size, group: zarr.Group, depth: int) -> None:
    known = ("nearest", "linear", "cubic")
    way = transform.value.get("interpolation", "linear")
    _hold(transform, way in known, f"one of {known}", "interpolation")
    _check_array(transform, group)


def _check_array(transform: Field, group: zarr.Group) -> None:
    """Check that the array of a transformation's parameters is there."""
    path = transform.member("path", "string")
    if path is None:
        return
    try:
        open_array_at(group, path.value)
    except UnreadError as error:
        transform.checks.unread(str(error))
    except (FileNotFoundError, ValueError) as error:
        transform.checks.hold("transformation-array", False, f"{path.where}: {error}; write it, or correct the path")
    else:
        transform.checks.hold("transformation-array", True, "")


_KINDS: Mapping[str, Callable[[Field, Size, Size, zarr.Group, int], None]] = {
    "identity": _identity,
    "scale": _vector,
    "translation": _vector,
    "affine": _matrix,
    "rotation": _matrix,
    "mapAxis": _map_axis,
    "projectAxis": _project_axis,
    "sequence": _sequence,
    "byDimension": _by_dimension,
    "bijection": _bijection,
    "displacements": _field,
    "coordinates": _field,
}
"""Check of each kind of transformation."""
