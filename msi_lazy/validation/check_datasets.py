"""Rules for the datasets of a multiscale image: their arrays and transformations."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from msi_lazy.storage.zarr_formats import store_format
from msi_lazy.validation.metadata import as_float, check_format
from msi_lazy.validation.nodes import UnreadError, open_array_at

if TYPE_CHECKING:
    import zarr

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.validation.check_axes import StoredAxes
    from msi_lazy.validation.checks import Checks
    from msi_lazy.validation.metadata import Field

__all__ = ["Level", "check_dataset", "check_transformations"]

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Level:
    """One dataset, as far as it could be read."""

    checks: Checks
    """Checks of its array."""
    array: zarr.Array[Any] | None
    """Its array; ``None`` if it is missing, or has another number of dimensions than axes."""
    scale: Vector | None
    """Spacing along each axis; ``None`` where it is faulty."""
    translation: Vector | None
    """Position of the first sample along each axis; zeros where none is given, ``None`` where it is faulty."""


def check_dataset(dataset: Field, group: zarr.Group, axes: StoredAxes | None, specification: Specification) -> Level:
    """Check the array and the transformations of a dataset."""
    ndim = len(axes.names) if axes else None
    known = specification.has_transformations
    scale, translation = check_transformations(dataset, ndim) if known else (None, None)
    path = dataset.member("path", "string")
    if path is None:
        return Level(dataset.checks, None, scale, translation)
    checks = dataset.checks.at(path.value)
    try:
        array = open_array_at(group, path.value)
    except UnreadError as error:
        checks.unread(str(error))
        return Level(checks, None, scale, translation)
    except (FileNotFoundError, ValueError) as error:
        checks.hold("dataset-opens", False, f"{path.where}: {error}; write the array, or correct the path")
        return Level(checks, None, scale, translation)
    checks.hold("dataset-opens", True, "")
    _check_array(checks, array, axes, specification)
    return Level(checks, None if ndim is not None and array.ndim != ndim else array, scale, translation)


def _check_array(checks: Checks, array: zarr.Array[Any], axes: StoredAxes | None, specification: Specification) -> None:
    in_format = check_format(checks, specification, array.metadata.zarr_format)
    if axes is not None:
        fault = f"the array has {array.ndim} dimensions, and the image lists {len(axes.names)} axes; make them agree"
        fits = checks.hold("dataset-dimensions", array.ndim == len(axes.names), fault)
        if fits and in_format and specification.dimension_names_required:
            names = getattr(array.metadata, "dimension_names", None)
            fault = f"the array's dimension_names are {names}, and must be the axes {axes.names}; write them so"
            checks.hold("dimension-names", names == axes.names, fault)
    if in_format and specification.separator is not None:
        separator, asked = (
            store_format(array.metadata.zarr_format).separator_of(array.metadata),
            specification.separator,
        )
        fault = f"keys of chunks are written with {separator!r}, and must be with {asked!r}; write the array again so"
        checks.hold("chunk-separator", separator == asked, fault)


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
    scale = _check_vector(listed[0], "scale", ndim)
    if scale is not None:
        sound = all(isfinite(number) and number > 0 for number in scale)
        fault = f"{where}: the scale is {list(scale)}; each number must be positive and finite: write the true spacing"
        scale = scale if checks.hold("scale-positive", sound, fault) else None
    if len(listed) == 1:
        return scale, (0.0,) * (ndim or 0)
    translation = _check_vector(listed[1], "translation", ndim)
    if translation is not None:
        fault = f"{where}: the translation is {list(translation)}; each number must be finite"
        translation = translation if checks.hold("translation-finite", all(map(isfinite, translation)), fault) else None
    return scale, translation


def _check_vector(transformation: Field, kind: str, ndim: int | None) -> Vector | None:
    numbers = transformation.listed(kind, "number")
    if numbers is None:
        return None
    vector = tuple(as_float(number.value) for number in numbers)
    if ndim is None:
        return None  # nothing to compare its length with
    fault = f"{transformation.where}.{kind} has {len(vector)} numbers, and there are {ndim} axes; give one for each"
    return vector if transformation.checks.hold("transformation-length", len(vector) == ndim, fault) else None
