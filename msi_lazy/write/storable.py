"""Attributes and coordinates of an image in a form that Zarr can hold; what has none is left out with a warning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from msi_lazy.arguments.json_values import Omissions, to_json
from msi_lazy.arguments.nodata import parse_nodata
from msi_lazy.axes import storable_coordinate
from msi_lazy.compat.xarray_backends import is_in_memory
from msi_lazy.errors import warn_user
from msi_lazy.write.plain_values import plain_values

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from msi_lazy.write.job import ImageJob

__all__ = ["make_storable"]

_OF_DATES = ("units", "calendar", "dtype")
"""Attributes that xarray writes itself, for dates and durations."""

_OF_PACKING = ("scale_factor", "add_offset", "missing_value", "_FillValue", "_Unsigned")
"""Attributes of the CF conventions by which xarray reads other values than are stored."""


@dataclass
class _Changes:
    """What cannot be written as it is, for one warning; the same on many levels is noted once."""

    omissions: Omissions = field(default_factory=Omissions)
    """Attributes that JSON cannot hold."""
    notes: list[str] = field(default_factory=list)
    """Phrases on all else."""

    def note(self, phrase: str) -> None:
        """Add a phrase, unless it is there."""
        if phrase not in self.notes:
            self.notes.append(phrase)

    def warn(self) -> None:
        """Warn, if anything was noted."""
        lost = ", ".join(f"{name} of type {kind}" for name, kind in self.omissions.found.items())
        phrases = [*([f"JSON cannot hold {lost}: left out"] if lost else []), *self.notes]
        if phrases:
            warn_user("not everything is written as it is: " + "; ".join(phrases))


def make_storable(jobs: Sequence[ImageJob]) -> list[ImageJob]:
    """Replace attributes and coordinates that Zarr cannot hold, in copies of the trees; coordinates are loaded.

    One warning names whatever is left out, or written as something else, for all images and levels.
    """
    changes = _Changes()
    made = []
    for job in jobs:
        attributes = to_json(job.attributes, "attributes", changes.omissions)
        made.append(replace(job, tree=_storable_tree(job.tree, changes), attributes=attributes))
    changes.warn()
    return made


def _storable_tree(tree: xr.DataTree, changes: _Changes) -> xr.DataTree:
    nodes = {}
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        variables = {name: _with_attributes(v.variable, "", changes) for name, v in dataset.data_vars.items()}
        loaded = {name: v if v.ndim else _loaded(v) for name, v in variables.items()}
        attrs = to_json(dataset.attrs, "attrs", changes.omissions)
        nodes[node.path] = xr.Dataset(loaded, _coordinates(dataset.coords, changes), attrs)
    return xr.DataTree.from_dict(nodes, name=tree.name)


def _coordinates(coords: Mapping[Hashable, xr.DataArray], changes: _Changes) -> xr.Coordinates:
    """Load coordinates, which are small, and written at once; without indexes, as these are not written."""
    found = {}
    for name, coordinate in coords.items():
        values = _storable_values(_loaded(coordinate.variable), name, changes)
        if values is not None:
            found[name] = _with_attributes(storable_coordinate(values), f"{name}.", changes)
    return xr.Coordinates(found, indexes={})


def _loaded(variable: xr.Variable) -> xr.Variable:
    return variable if is_in_memory(variable) else variable.compute()


def _storable_values(variable: xr.Variable, name: Hashable, changes: _Changes) -> xr.Variable | None:
    """Convert the values of a coordinate to those of a dtype that Zarr has; ``None`` if they have none."""
    if isinstance(variable.dtype, np.dtype) and variable.dtype.kind not in "OS":
        return variable
    values, became = plain_values(variable)
    if values is None:
        changes.note(f"Zarr cannot hold the coordinate {name!r} of dtype {variable.dtype}: left out")
        return None
    if became:
        changes.note(f"Zarr cannot hold the coordinate {name!r} of dtype {variable.dtype}: written as {became}")
    return xr.Variable(variable.dims, values, variable.attrs)


def _with_attributes(variable: xr.Variable, owner: str, changes: _Changes) -> xr.Variable:
    """Copy a variable, with attributes that can be stored next to its values.

    The encoding of the file that it was read from is left out: it may round values, or not fit their chunks any more.
    """
    attrs = dict(variable.attrs)
    for key in [key for key in attrs if owner and _changes_values(key, attrs[key])]:
        changes.note(f"other values would be read with {owner}attrs[{key!r}] = {attrs.pop(key)!r}: left out")
    fill = attrs.pop("_FillValue", None)
    if variable.dtype.kind in "mM":
        for key in [key for key in _OF_DATES if key in attrs]:
            changes.note(
                f"dates are stored with units of their own: {owner}attrs[{key!r}] = {attrs.pop(key)!r} left out"
            )
    copied = variable.copy(deep=False)
    copied.encoding = {}
    copied.attrs = to_json(attrs, f"{owner}attrs", changes.omissions)
    scalar = _fill_value(fill, variable.dtype)
    if scalar is not None:
        copied.attrs["_FillValue"] = scalar
    elif fill is not None:
        changes.note(f"{variable.dtype} cannot hold {owner}attrs['_FillValue'] = {fill!r}: left out")
    return copied


def _changes_values(key: Any, value: Any) -> bool:
    """Tell whether xarray reads values by an attribute, which is that of a coordinate whose values are in memory."""
    by_dtype = isinstance(value, str) and (value == "bool" or value.startswith("timedelta64"))
    return key in _OF_PACKING or (key == "dtype" and by_dtype)


def _fill_value(fill: Any, dtype: np.dtype[Any]) -> Any:
    """Convert a fill value to one of Python, as xarray stores it; ``None`` if the dtype cannot hold it."""
    if fill is None or np.size(fill) != 1 or dtype.kind not in "biuf":
        return None
    try:
        return parse_nodata(np.ravel(fill)[0], dtype.newbyteorder("=")).item()
    except ValueError:
        return None
