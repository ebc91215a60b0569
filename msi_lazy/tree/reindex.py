"""Reindexing along dimensions that are the same at every level of a pyramid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from msi_lazy.arguments.choices import check_switches
from msi_lazy.compat.xarray_backends import is_in_memory
from msi_lazy.tree.coordinates import as_coordinate, by_name
from msi_lazy.tree.map_levels import check_dims, level_along, map_levels, skip_non_dimension_nodes
from msi_lazy.tree.restamp import order_channels, restamp

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["reindex_data_arrays"]

_METHODS = ("nearest", "pad", "ffill", "backfill", "bfill")
"""Methods of pandas that find a substitute for a missing label."""
_STORED_VALUES = ("dtype", "_FillValue", "missing_value")
"""Settings of an encoding that depend on the stored dtype."""


def reindex_data_arrays(
    tree: xr.DataTree,
    /,
    indexers: Mapping[Any, Any] | None = None,
    method: Literal["nearest", "pad", "ffill", "backfill", "bfill"] | None = None,
    tolerance: Any = None,
    copy: bool = False,
    fill_value: Any = None,
    **indexers_kwargs: Any,
) -> xr.DataTree:
    """Reindex dimensions that are the same at every level, such as channels and times; no pixel is read.

    Samples keep their labels: they are selected, reordered, and filled in where a label is new.  To give samples other
    labels, use :meth:`assign_coords`.

    Parameters
    ----------
    tree
        A pyramid.
    indexers, **indexers_kwargs
        New labels by dimension.
    method, tolerance, copy
        Substitute for a missing label, and its greatest distance; see ``xarray.Dataset.reindex``.
    fill_value
        Value of missing samples, or a dict of values by variable.  Default NaN, which converts integers to floats.

    Returns
    -------
    xarray.DataTree
        A new tree with updated root attributes; channels keep their display settings.

    Raises
    ------
    ValueError
        A dimension that does not exist, or has no labels, or whose labels differ from level to level, as along a
        downsampled axis.

    Examples
    --------
    >>> import numpy as np
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> image = to_spatial_image(np.zeros((16, 16, 3)), dims="yxc", c_coords=["r", "g", "b"])
    >>> tree = to_multiscale(image, [2]).pyramid.reindex_data_arrays(c=["b", "r"])
    >>> tree["scale1"].c.values.tolist()
    ['b', 'r']
    """
    asked = {**by_name("indexers", indexers), **indexers_kwargs}
    check_dims(asked, tree)
    _check_options(method, tolerance, copy, fill_value, tree)
    wanted = {dim: _check_labels(dim, labels, tree) for dim, labels in asked.items()}
    options: dict[str, Any] = {"method": method, "tolerance": tolerance}
    filling = {} if fill_value is None else {"fill_value": fill_value}
    positions = {dim: _find_positions(dim, labels, tree, options) for dim, labels in wanted.items()}

    @skip_non_dimension_nodes
    def relabel(dataset: xr.Dataset) -> xr.Dataset:
        here = {dim: labels for dim, labels in wanted.items() if dim in dataset.dims}
        coordinates = dataset.drop_vars(list(dataset.data_vars)).reindex(here, copy=copy, **options, **filling)
        images = {}
        for name, image in dataset.data_vars.items():
            fill = fill_value.get(name) if isinstance(fill_value, dict) else fill_value
            images[name] = _take(_as_lazy(image), positions, fill, copy)
        return coordinates.assign(images)

    edited = map_levels(tree, relabel)
    for dim, order in positions.items():
        order_channels(edited, dim, order)
    return restamp(edited)


def _check_options(method: Any, tolerance: Any, copy: Any, fill_value: Any, tree: xr.DataTree) -> None:
    """Refuse options of a reindexing before they are passed to pandas, level by level."""
    if method is not None and method not in _METHODS:
        raise ValueError(f"method must be None or one of {', '.join(map(repr, _METHODS))}, not {method!r}")
    if tolerance is not None and method is None:
        raise ValueError(f"tolerance={tolerance!r} needs a method, such as 'nearest'")
    check_switches(copy=copy)
    fills = fill_value if isinstance(fill_value, Mapping) else {None: fill_value}
    names = {name for node in tree.subtree for name in node.data_vars}
    for name, value in fills.items():
        if name is not None and name not in names:
            raise ValueError(f"fill_value names the variable {name!r}; the pyramid has {sorted(map(str, names))}")
        if not (name is None and value is None) and not isinstance(value, (bool, int, float, complex, np.generic)):
            raise TypeError(f"fill_value must be a number, or a dict of numbers by variable, not {value!r}")


def _find_positions(
    dim: Hashable, labels: xr.Variable, tree: xr.DataTree, options: Mapping[str, Any]
) -> np.ndarray[Any, Any]:
    """Find the position of each of ``labels`` along ``dim``; -1 if it is missing."""
    index = level_along(dim, tree).get_index(dim)
    try:
        return np.asarray(index.get_indexer(labels.values, **options))
    except (TypeError, ValueError) as error:
        asked = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise ValueError(f"the labels along {dim!r} cannot be found with {asked}: {error}") from error


def _check_labels(dim: Hashable, labels: Any, tree: xr.DataTree) -> xr.Variable:
    """Convert labels to a variable; refuse levels whose labels along ``dim`` are missing, not unique, or not equal."""
    wanted = as_coordinate(dim, labels)
    if wanted.dims != (dim,):
        raise ValueError(f"the labels along {dim!r} must be a sequence, not {labels!r}")
    levels = [node.to_dataset() for node in tree.subtree if dim in node.to_dataset().dims]
    if any(dim not in level.coords for level in levels):
        raise ValueError(f"dimension {dim!r} has no labels; assign some: assign_coords({dim}=[...])")
    if not levels[0].get_index(dim).is_unique:
        raise ValueError(f"labels along {dim!r} occur twice; assign unique ones with assign_coords")
    if not all(level[dim].variable.equals(levels[0][dim].variable) for level in levels):
        raise ValueError(
            f"the levels have different coordinates along {dim!r}, and one set of labels fits one level only; reindex "
            f"the image, and build its pyramid again: to_multiscale(tree['scale0'][name].reindex({dim}=...), ...)"
        )
    return wanted


def _as_lazy(image: xr.DataArray) -> xr.Variable:
    """Convert an image that xarray opened lazily to a Dask array in stored chunks: filling gaps would load it."""
    if image.chunks is None and not is_in_memory(image.variable):
        return image.variable.chunk(image.encoding.get("preferred_chunks", {}))
    return image.variable


def _take(image: xr.Variable, positions: Mapping[Any, np.ndarray[Any, Any]], fill: Any, copy: bool) -> xr.Variable:
    """Select samples at ``positions``; where these are -1, ``fill`` or else NaN.

    ``xarray.Dataset.reindex`` would mask all dimensions at once, with a mask of as many blocks as the image.
    """
    taken = image.copy(deep=copy)
    for dim, order in positions.items():
        if dim not in image.dims or np.array_equal(order, np.arange(image.sizes[dim])):
            continue
        taken = taken.isel({dim: order.clip(min=0)})
        if order.min() < 0:
            taken = taken.where(xr.Variable((dim,), order >= 0), *(() if fill is None else (fill,)))
    same = taken.dtype == image.dtype  # else xarray's writer would cast NaN to the stored integers
    taken.encoding = {key: value for key, value in image.encoding.items() if same or key not in _STORED_VALUES}
    return taken
