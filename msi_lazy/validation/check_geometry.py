"""Rules for the scale and the translation of a dataset, or of a whole image."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from msi_lazy.validation.metadata import as_float

if TYPE_CHECKING:
    from msi_lazy.validation.metadata import Field

__all__ = ["Vector", "check_transformations", "check_vector"]

Vector = tuple[float, ...]


def check_transformations(
    holder: Field, ndim: int | None, required: bool = True
) -> tuple[Vector | None, Vector | None]:
    """Check the transformations of a dataset, or those of the whole image.

    Returns
    -------
    scale, translation
        ``None`` where faulty; ones and zeros where none is given and none required.
    """
    checks, where = holder.checks, f"{holder.where}.coordinateTransformations"
    if not required and holder.value.get("coordinateTransformations") is None:
        return (1.0,) * (ndim or 0), (0.0,) * (ndim or 0)
    listed = holder.listed("coordinateTransformations", "object")
    if listed is None:
        return None, None
    kinds = [kind.value for transformation in listed if (kind := transformation.member("type", "string"))]
    if len(kinds) != len(listed):
        return None, None
    fault = (
        f"{where} has the types {kinds}; it must have exactly one scale, then at most one translation, and no other "
        f"type: merge them into those"
    )
    if not checks.hold("transformations-form", kinds in (["scale"], ["scale", "translation"]), fault):
        return None, None
    scale = check_vector(listed[0], "scale", ndim)
    if len(listed) == 1:
        return scale, (0.0,) * (ndim or 0)
    return scale, check_vector(listed[1], "translation", ndim)


def check_vector(transformation: Field, kind: str, ndim: int | None) -> Vector | None:
    """Check the numbers of a scale or a translation, and return them if they are sound."""
    numbers = transformation.listed(kind, "number")
    if numbers is None:
        return None
    vector = tuple(as_float(number.value) for number in numbers)
    if ndim is None:
        return None  # nothing to compare its length with
    checks, where = transformation.checks, f"{transformation.where}.{kind}"
    fault = f"{where} has {len(vector)} numbers, and there are {ndim} axes; give one for each"
    if not checks.hold("transformation-length", len(vector) == ndim, fault):
        return None
    if kind == "scale":
        fault = f"{where} is {list(vector)}; each number must be positive and finite: write the true spacing"
        sound = checks.hold("scale-positive", all(isfinite(number) and number > 0 for number in vector), fault)
    else:
        fault = f"{where} is {list(vector)}; each number must be finite"
        sound = checks.hold("translation-finite", all(map(isfinite, vector)), fault)
    return vector if sound else None
