"""Checks of coordinates that users give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from msi_lazy.axes import storable_coordinate

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["as_coordinate", "by_name"]


def by_name(argument: str, given: Any) -> Mapping[Any, Any]:
    """Refuse anything but a dict; ``None`` is an empty one."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{argument} must be a dict by name, such as {{'c': ['r', 'g']}}, not {given!r}")
    return given


def as_coordinate(name: Hashable, value: Any) -> xr.Variable:
    """Convert ``value``, in any form that xarray takes, to a variable that Zarr can store."""
    try:
        coordinate = xr.Coordinates({name: value}, indexes={}).variables[name].copy(deep=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{value!r} cannot be the coordinate {name!r}: {error}") from error
    return storable_coordinate(coordinate)
