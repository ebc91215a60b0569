"""Rules for the datasets of a multiscale image: their arrays and transformations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.storage.zarr_formats import store_format
from msi_lazy.validation.check_geometry import check_transformations
from msi_lazy.validation.check_systems import check_level_transform
from msi_lazy.validation.metadata import check_format
from msi_lazy.validation.nodes import UnreadError, open_array_at

if TYPE_CHECKING:
    import zarr

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.validation.check_axes import StoredAxes
    from msi_lazy.validation.check_geometry import Vector
    from msi_lazy.validation.checks import Checks
    from msi_lazy.validation.metadata import Field

__all__ = ["Level", "check_dataset"]


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
    scale, translation = _check_geometry(dataset, axes, specification)
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


def _check_geometry(
    dataset: Field, axes: StoredAxes | None, specification: Specification
) -> tuple[Vector | None, Vector | None]:
    """Check the geometry of a dataset, in the form of its version."""
    if specification.axes == "systems":
        return check_level_transform(dataset, axes)
    ndim = len(axes.names) if axes else None
    return check_transformations(dataset, ndim) if specification.has_transformations else (None, None)


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
