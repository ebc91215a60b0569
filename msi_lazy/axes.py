"""Axes: spacing, origin and unit of an image's samples, read from its coordinates."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from msi_lazy.units import find_unit, ngff_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ORIENTATION",
    "Axis",
    "axis_coordinate",
    "axis_kind",
    "axis_meaning",
    "even_spacing",
    "image_name",
    "read_axes",
    "rename_advice",
    "storable_coordinate",
    "unit_sizes",
    "usual_names",
]

AxisKind = Literal["space", "time", "channel"]

ORIENTATION = "anatomical_orientation"
"""Attribute of a coordinate: from where to where in the body the axis runs, such as ``"left-to-right"`` (RFC-4)."""
_SPELLINGS = {
    "t": ("t", "time"),
    "c": ("c", "ch", "channel", "s"),  # s: the samples of bioio and tifffile, such as red, green, blue
    "z": ("z",),
    "y": ("y", "lat", "latitude", "row", "rows"),
    "x": ("x", "lon", "longitude", "col", "cols", "column", "columns"),
}
"""Names of dimensions that are known, in lower case, by what they mean."""
_MEANINGS = {spelling: meaning for meaning, spellings in _SPELLINGS.items() for spelling in spellings}
_KINDS: dict[str, AxisKind] = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_TOKEN = "[0-9a-f]{32}"
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TAKEN_NAME = re.compile(rf".+-{_TOKEN}([-_].+)?|([a-z_]+-)*array-{_UUID}|from-npy-stack-.*|/.*", re.DOTALL)
"""Names that xarray takes from an array: Dask's, which are functions and tokens, or a random UUID where a token was not
wanted; and paths in a store, which are Zarr's."""
_EVENNESS = 1e-3
"""Largest departure from an even grid, in samples, that still counts as one (rounded metadata)."""


@dataclass(frozen=True)
class Axis:
    """One dimension of an image and its geometry: sample ``i`` is at ``i * scale + translation``."""

    name: str
    """Dimension name."""
    kind: AxisKind | None
    """Type of the axis, or ``None`` where it has none that OME-Zarr knows."""
    length: int
    """Number of samples."""
    scale: float = 1.0
    """Spacing of the samples, in ``unit``."""
    translation: float = 0.0
    """Position of the first sample's centre, in ``unit``."""
    unit: str | None = None
    """Unit as the coordinate states it."""
    regular: bool = True
    """Whether ``scale`` and ``translation`` describe the coordinate (not so for names or dates)."""
    long_name: str | None = None
    """Description, by the coordinate's attribute ``long_name``."""
    orientation: str | None = None
    """From where to where in the body it runs, by the coordinate's attribute ``anatomical_orientation``."""

    @property
    def is_spatial(self) -> bool:
        """True if an integer factor downsamples this axis."""
        return self.kind == "space"

    @property
    def stored_unit(self) -> str | None:
        """UDUNITS name of the unit, as OME-Zarr has it; ``None`` if it is not known, or nothing is measured in it."""
        return ngff_unit(self.unit, self.kind) if self.regular else None

    @property
    def meaning(self) -> str | None:
        """The usual name, ``t``, ``c``, ``z``, ``y`` or ``x``; ``None`` if this one is not known."""
        return axis_meaning(self.name)


def read_axes(image: xr.DataArray) -> tuple[Axis, ...]:
    """Read the axes of an image from its dimensions and coordinates; no pixel is touched.

    The types of the axes are those of their names (:func:`axis_kind`).

    Raises
    ------
    ValueError
        A spatial coordinate is uneven, descending, not finite or not numeric; dimensions repeat.
    """
    if len(set(image.dims)) != image.ndim:
        raise ValueError(f"the image has two dimensions of one name: {image.dims}")
    if not image.ndim:
        raise ValueError("the image has no dimensions")
    axes = []
    for dim, length in zip(image.dims, image.shape, strict=True):
        if length == 0:
            raise ValueError(f"dimension {dim!r} of the image has length 0")
        axes.append(_read_axis(image, str(dim), length, axis_kind(str(dim))))
    return tuple(axes)


def axis_meaning(dim: str) -> str | None:
    """Find what a dimension's name means, in any case: ``t``, ``c``, ``z``, ``y`` or ``x``; ``None`` if unknown.

    Examples
    --------
    >>> axis_meaning("T"), axis_meaning("lat"), axis_meaning("S"), axis_meaning("band")
    ('t', 'y', 'c', None)
    """
    return _MEANINGS.get(dim.lower())


def axis_kind(dim: str) -> AxisKind | None:
    """Find the type of the axis called ``dim``; ``None`` for a name that is not known, which may mean anything."""
    return _KINDS.get(axis_meaning(dim) or "")


def unit_sizes(axes: Sequence[Axis]) -> tuple[float, ...]:
    """Sizes of the axes' units in that of the last spatial axis whose unit is known: to compare spacings.

    An axis whose unit is missing, not known, or of another sort (degrees, beside meters) counts as if it had that unit.

    Examples
    --------
    >>> unit_sizes([Axis("z", "space", 9, unit="um"), Axis("y", "space", 9, unit="nm"), Axis("x", "space", 9)])
    (1000.0, 1.0, 1.0)
    """
    units = [find_unit(axis.unit, axis.kind) if axis.is_spatial and axis.regular else None for axis in axes]
    last = next((unit for unit in reversed(units) if unit is not None), None)
    if last is None:
        return (1.0,) * len(axes)
    return tuple(float(unit.size / last.size) if unit is not None and unit.base == last.base else 1.0 for unit in units)


def rename_advice(axes: Sequence[Axis]) -> str:
    """Write a call that gives dimensions of unknown names usual ones: two of space, then those that are free.

    Examples
    --------
    >>> rename_advice([Axis("q", None, 9), Axis("i", None, 9), Axis("j", None, 9)])
    "image.rename({'q': 'c', 'i': 'y', 'j': 'x'})"
    """
    return f"image.rename({usual_names(axes)})"


def usual_names(axes: Sequence[Axis]) -> dict[str, str]:
    """Choose usual names for the dimensions of unknown ones, as many as there are."""
    taken = {axis.meaning for axis in axes}
    unknown = [axis.name for axis in axes if axis.meaning is None]
    needed = max(2 - sum(axis.is_spatial for axis in axes), 0)
    space = [name for name in "zyx" if name not in taken][-needed:] if needed else []
    others = [name for name in "ctzyx" if name not in taken and name not in space]
    count = len(unknown) - len(space)
    return dict(zip(unknown, [*others[: max(count, 0)], *space[-len(unknown) :]], strict=False))


def _read_axis(image: xr.DataArray, dim: str, length: int, kind: AxisKind | None) -> Axis:
    if dim not in image.coords:
        return Axis(dim, kind, length)
    coordinate = image.coords[dim]
    unit = coordinate.attrs.get("units")
    axis = Axis(dim, kind, length, unit=str(unit) if unit else None)
    long_name, orientation = (_words(coordinate.attrs.get(name), dim) for name in ("long_name", ORIENTATION))
    axis = replace(axis, long_name=long_name, orientation=orientation)
    if kind == "channel":  # channels have names, or numbers that are names: no geometry
        return replace(axis, regular=False)
    spacing = even_spacing(coordinate)
    if spacing is not None:
        return replace(axis, scale=spacing, translation=float(coordinate.values[0]))
    if kind == "space":
        raise ValueError(_coordinate_fault(coordinate.values, dim))
    return replace(axis, regular=False)


def _words(value: Any, dim: str) -> str | None:
    """Return an attribute in words that says more than the dimension's name."""
    return value if isinstance(value, str) and value not in ("", dim) else None


def even_spacing(coordinate: xr.DataArray | xr.Variable) -> float | None:
    """Find the spacing of an evenly ascending numeric coordinate, else ``None``."""
    if coordinate.dtype.kind not in "iuf":  # pandas warns of a time zone that its values lose
        return None
    values = _plain_numbers(coordinate.values)
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        return None
    if len(values) == 1:
        return _noted_spacing(coordinate)
    resolution = np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    values = values.astype(float)
    first, last = float(values[0]), float(values[-1])
    spacing = (last - first) / (len(values) - 1)
    if not 0 < spacing < inf:
        return None
    grid = np.arange(len(values))
    resolution *= max(abs(first), abs(last))
    with np.errstate(over="ignore"):
        departure = np.abs((values - first) / spacing - grid).max()
    if departure > max(_EVENNESS, min(4 * resolution / spacing, 0.1)):
        return None
    for digits in (6, 9, 12):  # 0.65, not 0.6500000000000002, where the samples agree
        rounded = float(f"{spacing:.{digits}g}")
        if np.abs(first + rounded * grid - values).max() <= 4 * resolution:
            return rounded
    return spacing


def _plain_numbers(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert numbers of pandas' own dtypes, or of Python, which are stored as NumPy's."""
    if values.dtype.kind != "O" or not all(isinstance(value, (int, float, np.number)) for value in values):
        return values
    return np.asarray(values.tolist())


def _noted_spacing(coordinate: xr.DataArray | xr.Variable) -> float:
    """Read the spacing that an attribute of a single coordinate keeps (:func:`axis_coordinate`); 1 without one."""
    noted = coordinate.attrs.get("spacing", 1.0)
    usable = isinstance(noted, (int, float, np.number)) and not isinstance(noted, bool) and 0 < noted < inf
    return float(noted) if usable else 1.0


def _coordinate_fault(values: np.ndarray[Any, Any], dim: str) -> str:
    if values.dtype.kind not in "iuf":
        return (
            f"the coordinate of spatial dimension {dim!r} has dtype {values.dtype}; it must be numeric: replace it, or "
            f"drop it with image.drop_vars({dim!r})"
        )
    if not np.isfinite(values).all():
        return (
            f"the coordinate of spatial dimension {dim!r} holds NaN or infinity; replace it, or drop it with "
            f"image.drop_vars({dim!r})"
        )
    if values[-1] < values[0]:
        return (
            f"the coordinate of spatial dimension {dim!r} descends from {values[0]} to {values[-1]}; "
            f"reverse the image with image.isel({{{dim!r}: slice(None, None, -1)}})"
        )
    return (
        f"the coordinate of spatial dimension {dim!r} is not evenly spaced, and a pyramid needs a regular grid; "
        f"resample the image, or drop the coordinate with image.drop_vars({dim!r})"
    )


def axis_coordinate(axis: Axis, attrs: Mapping[Any, Any]) -> xr.Variable:
    """Build the coordinate of a regular axis; on a length-1 axis an attribute keeps the spacing."""
    kept = {key: value for key, value in attrs.items() if key != "spacing"}
    if axis.kind == "channel":  # numbers in place of names
        return xr.Variable((axis.name,), np.arange(axis.length), kept)
    if axis.length == 1 and axis.scale != 1.0:
        kept["spacing"] = axis.scale
    with np.errstate(over="ignore", invalid="ignore"):  # infinite coordinates are refused on reading
        grid = np.arange(axis.length) * axis.scale + axis.translation
    return xr.Variable((axis.name,), grid, kept)


def storable_coordinate(coordinate: xr.Variable) -> xr.Variable:
    """Convert names to variable-length strings, as fixed-length ones are not in Zarr v3's specification."""
    if coordinate.dtype.kind != "U":
        return coordinate
    return xr.Variable(coordinate.dims, coordinate.values.astype(object), coordinate.attrs)


def image_name(image: xr.DataArray) -> str:
    """Name the variable that holds the image: by its own name, or ``"image"``.

    A name that ``xarray.DataArray(array)`` takes from a Dask or Zarr array, such as a hash, does not count.

    Raises
    ------
    ValueError
        The name has a slash, which a tree takes for a path, or is that of a dimension or coordinate.
    """
    name = "image" if not image.name or _TAKEN_NAME.fullmatch(str(image.name)) else str(image.name)
    if "/" in name or "\0" in name:
        raise ValueError(f"the image's name {name!r} has a '/' or a null character; rename it: image.rename('...')")
    if name in image.dims or name in image.coords:
        raise ValueError(f"the image has the name of one of its coordinates, {name!r}; rename it: image.rename('...')")
    return name
