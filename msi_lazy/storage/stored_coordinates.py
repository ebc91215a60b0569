"""Coordinates of stored levels: what the OME-Zarr attributes state, and what is stored besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from xarray.backends import ZarrStore
from xarray.coders import CFTimedeltaCoder

from msi_lazy.axes import Axis, axis_coordinate, axis_kind, even_spacing
from msi_lazy.errors import warn_user
from msi_lazy.ngff.channel_names import are_names, are_numbered, channel_name, spells
from msi_lazy.storage.broken_documents import reading
from msi_lazy.storage.checked_pipeline import checked_codecs
from msi_lazy.storage.codecs import refuse_pickles
from msi_lazy.storage.store_errors import retried_read
from msi_lazy.storage.target import quietly
from msi_lazy.units import same_unit

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from msi_lazy.ngff.stored_image import StoredImage, StoredLevel

__all__ = ["CoordinateReader"]

_ROUNDING = 1e-6
"""Largest difference between two geometries, in samples, that counts as rounding."""


@dataclass
class CoordinateReader:
    """Reader of the coordinates of an image's levels, one after the other.

    The OME-Zarr attributes are what other tools read and correct, so they decide on all that they can hold: spacings,
    positions, units and names of channels.  A coordinate stored next to the array is taken as it is, with its dtype and
    attributes, where it agrees with them, and where they cannot hold it: dates, for example.
    """

    group: zarr.Group
    """Group of the image."""
    stored: StoredImage
    """Image as its attributes describe it."""
    dims: tuple[str, ...]
    """Names of the dimensions in the tree."""
    differences: dict[tuple[str, str], str] = field(default_factory=dict)
    """Statements of the attributes that the stored coordinates contradict: the first of each kind and dimension."""
    notes: list[str] = field(default_factory=list)
    """Statements of the attributes that are not used, as the coordinates say more."""
    counted: set[str] = field(default_factory=set)
    """Dimensions along which the attributes count samples, as the largest level's coordinate is no grid."""

    def read(self, level: StoredLevel, array: zarr.Array[Any]) -> dict[Hashable, xr.Variable]:
        """Read the coordinates of a level, the largest level's first: those of its dimensions, then all others."""
        inside = _names_in_store(array, self.stored.dims)
        for there, dim, listed in zip(inside, self.dims, self.stored.dims, strict=True):
            if there != listed:
                self._differ(dim, "name", repr(listed), repr(there))
        lengths = dict(zip(inside, array.shape, strict=True))
        stored = retried_read(lambda: _stored_coordinates(self.group, level.path, lengths))
        names = dict(zip(inside, self.dims, strict=True))
        found = {names.get(str(name), name): _renamed(variable, names) for name, variable in stored.items()}
        coords: dict[Hashable, xr.Variable] = {}
        for position, (dim, length) in enumerate(zip(self.dims, array.shape, strict=True)):
            kind, unit = axis_kind(dim), self.stored.units[position]
            axis = Axis(dim, kind, length, level.scale[position], level.translation[position], unit)
            own = _decoded_along(axis, found.pop(dim)) if dim in found else None
            coordinate = self._channels(axis, own) if kind == "channel" else self._positions(axis, own)
            coords[dim] = self._described(dim, coordinate, position)
        return coords | {name: _decoded(found[name]) for name in sorted(found, key=str)}

    def _differ(self, dim: str, what: str, stated: Any, own: Any) -> None:
        self.differences.setdefault((dim, what), f"{what} of {dim!r}: {stated}, not {own}")

    def _described(self, dim: str, coordinate: xr.Variable, position: int) -> xr.Variable:
        """Add what the axis says of itself in words."""
        words = self.stored.words[position] if self.stored.words else {}
        for name, stated in words.items():
            own = coordinate.attrs.get(name, stated)
            if own != stated:
                self._differ(dim, name, repr(stated), repr(own))
        return xr.Variable(coordinate.dims, coordinate.values, {**coordinate.attrs, **words}) if words else coordinate

    def _channels(self, axis: Axis, own: xr.Variable | None) -> xr.Variable:
        """Names of channels: the labels in the attributes, if there is one for each; else the coordinate, or numbers.

        Labels that do not tell the channels apart are no names, and stay in the attributes alone.
        """
        labels = self.stored.channels
        numbers = np.arange(axis.length)
        if own is None:
            named = len(labels) == axis.length and are_names(labels)
            return xr.Variable((axis.name,), np.array(labels, dtype=object) if named else numbers)
        if len(labels) != axis.length:
            return own
        known = [channel_name(value) for value in own.values]
        names = [name if label is None else label for name, label in zip(known, labels, strict=True)]
        if all(map(spells, names, own.values)):
            return own
        usable = are_names(names)
        if usable or not are_numbered(known):  # numbers are what is read where labels are no names
            self._differ(axis.name, "names", names, own.values.tolist())
        return xr.Variable((axis.name,), np.array(names, dtype=object) if usable else numbers, own.attrs)

    def _positions(self, axis: Axis, own: xr.Variable | None) -> xr.Variable:
        """Positions of samples: by the attributes, unless the coordinate agrees, or holds what they cannot."""
        if own is None:
            return axis_coordinate(axis, {"units": axis.unit} if axis.unit else {})
        spacing = even_spacing(own)
        if axis.name in self.counted:  # a coarser level of few samples may well be a grid
            return own
        if spacing is None:
            return self._uneven_positions(axis, own)
        first, last = float(own.values[0]), float(own.values[-1])
        if axis.length == 1 and "spacing" not in own.attrs:
            spacing = axis.scale
        rounding = max(_ROUNDING * axis.scale, 4 * _resolution(own) * max(abs(first), abs(last)))
        same_spacing = abs(spacing - axis.scale) * axis.length <= rounding
        if not same_spacing:
            self._differ(axis.name, "spacing", f"{axis.scale:.10g}", f"{spacing:.10g}")
        same_origin = abs(first - axis.translation) <= rounding
        if not same_origin:
            self._differ(axis.name, "first position", f"{axis.translation:.10g}", f"{first:.10g}")
        grid = axis_coordinate(axis, self._with_unit(axis, own))
        return xr.Variable(own.dims, own.values, grid.attrs) if same_spacing and same_origin else grid

    def _uneven_positions(self, axis: Axis, own: xr.Variable) -> xr.Variable:
        """Dates, names and uneven times, which the attributes cannot hold; but samples in space are evenly spaced."""
        if axis.kind != "space":
            self.counted.add(axis.name)
            if axis.unit:
                stated = f"{axis.scale:.10g} {axis.unit}"
                self.notes.append(f"its samples along {axis.name!r} are at dates or uneven times, not {stated} apart")
            return own
        self._differ(axis.name, "positions", f"{axis.scale:.10g} apart from {axis.translation:.10g} on", "uneven ones")
        return axis_coordinate(axis, self._with_unit(axis, own))

    def _with_unit(self, axis: Axis, own: xr.Variable) -> dict[Any, Any]:
        """Attributes of a coordinate with the unit that OME-Zarr states; one that it cannot state is kept."""
        unit = str(own.attrs["units"]) if own.attrs.get("units") else None
        if same_unit(axis.unit, unit, axis.kind):
            return dict(own.attrs)
        self._differ(axis.name, "unit", axis.unit, unit)
        attrs = {key: value for key, value in own.attrs.items() if key != "units"}
        return attrs | ({"units": axis.unit} if axis.unit else {})


def _names_in_store(array: zarr.Array[Any], dims: tuple[str, ...]) -> tuple[str, ...]:
    """Names of an array's dimensions in its own metadata; those that the image lists where some are missing."""
    names: Any = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    listed = tuple(names) if isinstance(names, (list, tuple)) else ()
    usable = all(isinstance(name, str) and name for name in listed) and len(listed) == len(dims) == len(set(listed))
    return listed if usable else dims


def _renamed(variable: xr.Variable, names: Mapping[str, str]) -> xr.Variable:
    """Rename the dimensions of a variable from their names in the store to those in the tree."""
    renamed = variable.copy(deep=False)
    renamed.dims = tuple(names.get(str(dim), dim) for dim in variable.dims)
    return renamed


def _resolution(coordinate: xr.Variable) -> float:
    """Relative rounding of the values of a coordinate."""
    return float(np.finfo(coordinate.dtype).eps) if coordinate.dtype.kind == "f" else 0.0


def _decoded_along(axis: Axis, stored: xr.Variable) -> xr.Variable:
    """Decode the coordinate of an axis, to dates where it has any.

    Numbers that are a grid in the unit that the attributes state stay so, although they count from a date: a grid of
    numbers can be compared with the attributes, and dates are written without a unit.
    """
    numbers = _decoded(stored, times=False)
    unit = str(stored.attrs.get("units", ""))
    if axis.unit and same_unit(axis.unit, unit, axis.kind) and even_spacing(numbers) is not None:
        return numbers
    return _decoded(stored)


def _decoded(stored: xr.Variable, times: bool = True) -> xr.Variable:
    """Decode a variable by the CF conventions, as far as its attributes can be understood; else it stays as it is.

    What counts in "seconds since start" stays numbers with that unit, for example.
    """
    name = "".join(map(str, stored.dims)) + "_"  # that of no dimension, which would have an index
    dataset = xr.Dataset({name: stored.to_base_variable()})
    numbers_stay = CFTimedeltaCoder(decode_via_units=False)  # times in seconds are no durations
    for dates in (True, False) if times else (False,):
        try:
            with reading("the attributes of a coordinate"), quietly():
                found = xr.decode_cf(dataset, decode_times=dates, decode_timedelta=numbers_stay)[name].variable
                return found.load() if found.ndim < 2 else found
        except ValueError:
            continue
    return stored


def _stored_coordinates(group: zarr.Group, path: str, lengths: Mapping[str, int]) -> dict[Hashable, xr.Variable]:
    """Coordinates in the group of the level's array, if it has one of its own, not decoded; only if they fit."""
    parent = path.rpartition("/")[0]
    if not parent:
        return {}
    where = "/".join(filter(None, (group.path, parent)))
    fault: Exception | None = None
    arrays: dict[str, zarr.Array[Any]] = {}
    with reading(f"the group of level {path!r}"), quietly(), checked_codecs():
        try:
            opened = ZarrStore.open_group(group.store, mode="r", group=where, consolidated=False)
            arrays = {key: node for key, node in opened.members.items() if isinstance(node, zarr.Array)}
        except FileNotFoundError:
            return {}
        except (KeyError, ValueError) as error:
            fault = error
    if fault is not None:
        warn_user(f"the group of level {path!r} is ignored, with its coordinates: {fault}")
        return {}
    for array in arrays.values():
        refuse_pickles(array)
    others = [key for key, array in arrays.items() if not set(array.shape) <= set(lengths.values())]
    with reading(f"the coordinates of level {path!r}"), quietly():
        try:
            dataset = xr.open_dataset(
                opened,
                chunks=None,
                drop_variables=others,
                mask_and_scale=False,
                decode_times=False,
                decode_timedelta=False,
            )
        except (KeyError, ValueError):  # a group of another tool, not an xarray dataset
            return {}
        fitting = {
            name: coordinate.variable
            for name, coordinate in dataset.coords.items()
            if all(lengths.get(str(dim)) == n for dim, n in coordinate.sizes.items())
            and (name not in lengths or coordinate.dims == (name,))
        }
        return {name: variable.load() if variable.ndim < 2 else variable for name, variable in fitting.items()}
