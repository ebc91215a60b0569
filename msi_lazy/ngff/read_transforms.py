"""Coordinate transformations, read into a scale and a translation as far as they amount to these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.ngff.separable_transforms import separate

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AxisNames", "Transforms", "named_transforms", "read_transforms"]

AxisNames = tuple[tuple[str, "str | None"], ...]
"""Name and type of each axis."""
Vector = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Transforms:
    """What a list of transformations amounts to."""

    scale: Vector
    """Spacing along each axis, 1 where none can be used."""
    translation: Vector
    """Position of the first sample along each axis."""
    known: tuple[bool, ...]
    """Whether a spacing that can be used is stated, for each axis."""
    notes: tuple[str, ...]
    """Remarks on what is not used."""


def read_transforms(transforms: Any, axes: AxisNames) -> Transforms:
    """Read a list of transformations; those that are no scale and translation of each axis are left out, with a note.

    Raises
    ------
    ValueError
        A vector that does not fit the axes or holds no numbers, or a negative scale along an axis of space.
    KeyError, TypeError
        Something is missing, or is of another type.
    """
    scale, translation = np.ones(len(axes)), np.zeros(len(axes))
    stated, sound = False, np.ones(len(axes), bool)
    notes = []
    for transform in _flattened(transforms or ()):
        kind = transform["type"]
        if not isinstance(kind, str):
            raise ValueError(f"coordinate transformation {dict(transform)} cannot be read: its type is no string")
        amount = separate(transform, len(axes))
        if amount is not None:
            stated |= kind != "identity"
            with np.errstate(over="ignore", invalid="ignore"):
                scale, translation = scale * amount[0], translation * amount[0] + amount[1]
            continue
        if kind not in ("scale", "translation") or (kind not in transform and "path" in transform):
            notes.append(f"the transformation {kind!r}{_systems(transform)} is not applied")
            continue
        values = _vector(transform, kind, len(axes))
        if kind == "translation":
            if not np.isfinite(values).all():
                raise ValueError(f"coordinate transformation {dict(transform)} does not fit {len(axes)} axes")
            translation = translation + values
            continue
        stated = True
        usable = np.isfinite(values) & (values > 0)
        notes += [_unusable(transform, values[number], *axes[number]) for number in np.flatnonzero(~usable)]
        sound &= usable
        values = np.where(usable, values, 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            scale, translation = scale * values, translation * values
    return Transforms(scale, translation, tuple((stated & sound).tolist()), tuple(notes))


def named_transforms(transforms: Any) -> list[Any]:
    """List those transformations of an image that lead to named coordinate systems, as SpatialData writes them.

    Examples
    --------
    >>> named_transforms([{"type": "identity", "output": {"name": "global"}}, {"type": "scale", "scale": [1]}])
    [{'type': 'identity', 'output': {'name': 'global'}}]
    """
    listed = transforms if isinstance(transforms, Sequence) else ()
    return [one for one in listed if isinstance(one, Mapping) and ("output" in one or "input" in one)]


def _flattened(transforms: Any) -> Iterator[Mapping[str, Any]]:
    """List transformations one by one, those of a sequence in their order."""
    for transform in transforms:
        if transform["type"] == "sequence":
            yield from _flattened(transform.get("transformations") or ())
        else:
            yield transform


def _vector(transform: Mapping[str, Any], kind: str, ndim: int) -> Vector:
    """Numbers of a scale or a translation, also where a tool wrote them as strings."""
    if kind not in transform:
        raise ValueError(f"coordinate transformation {dict(transform)} cannot be read: it has no {kind!r}")
    try:
        values = np.asarray(transform[kind], dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"coordinate transformation {dict(transform)} cannot be read: its values must be finite numbers"
        ) from None
    if values.shape != (ndim,):
        raise ValueError(f"coordinate transformation {dict(transform)} does not fit {ndim} axes")
    return values


def _unusable(transform: Mapping[str, Any], value: float, name: str, kind: str | None) -> str:
    """Remark on a spacing that cannot be one; along time and channels, and where there is none, readers take 1.

    Raises
    ------
    ValueError
        A negative one along an axis of space: the image would be mirrored.
    """
    if value < 0 and kind == "space":
        raise ValueError(
            f"coordinate transformation {dict(transform)}: a scale must be positive, and along {name!r} the samples "
            f"run backwards; reverse them and write their true spacing, or correct the scale"
        )
    return f"the scale along {name!r} is {value:g}, which is no spacing: 1 is used, times factors by the shapes"


def _systems(transform: Mapping[str, Any]) -> str:
    """Name the system that a transformation leads to, if it has a name."""
    output = transform.get("output")
    name = output.get("name") if isinstance(output, Mapping) else output
    return f" to {name!r}" if isinstance(name, str) else ""
