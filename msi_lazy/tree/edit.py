"""Edits of all levels of a pyramid: order of dimensions, coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.tree.coordinates import as_coordinate, by_name
from msi_lazy.tree.map_levels import check_dims, map_levels, skip_non_dimension_nodes
from msi_lazy.tree.restamp import name_channels, restamp

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from types import EllipsisType

    import xarray as xr

__all__ = ["assign_coords", "transpose"]

_PER_DIMENSION = ("chunks", "shards", "chunksizes", "original_shape")
"""Settings of an encoding that have one entry per dimension."""


def transpose(tree: xr.DataTree, *dims: Hashable | EllipsisType) -> xr.DataTree:
    """Transpose all images of a pyramid; no pixel is read.

    Parameters
    ----------
    tree
        A pyramid.
    *dims
        Dimensions in the new order; ``...`` stands for those not named, and none at all reverses them.  A variable
        takes those that it has.

    Returns
    -------
    xarray.DataTree
        A new tree.  Chunks on disk are transposed too, and the root has the new OME-Zarr attributes, or none if the
        order is not that of OME-Zarr (``pyramid.to_zarr`` writes that order in any case).

    Raises
    ------
    TypeError, ValueError
        A dimension that does not exist, is named twice, or is left out without ``...``.

    Examples
    --------
    >>> import numpy as np
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> tree = to_multiscale(to_spatial_image(np.zeros((16, 16, 3)), dims="yxc"), [2])
    >>> tree.pyramid.transpose("c", ...)["scale1"]["image"].dims
    ('c', 'y', 'x')
    """
    if any(isinstance(dim, (list, tuple)) for dim in dims):
        raise TypeError(f"transpose takes the dimensions one by one, as in transpose('y', 'x'), not {dims!r}")
    check_dims([dim for dim in dims if dim is not ...], tree)
    if len(set(dims)) < len(dims):
        raise ValueError(f"transpose names a dimension twice: {dims}")

    @skip_non_dimension_nodes
    def reorder(dataset: xr.Dataset) -> xr.Dataset:
        left_out = [dim for dim in dataset.dims if dim not in dims]
        if dims and ... not in dims and left_out:
            raise ValueError(
                f"transpose names {dims}, and leaves out {left_out}; name every dimension, or put ... in their place"
            )
        transposed = dataset.transpose(*(dim for dim in dims if dim is ... or dim in dataset.dims))
        for name, variable in transposed.variables.items():
            variable.encoding = _reordered(variable.encoding, dataset.variables[name].dims, variable.dims)
        return transposed

    return restamp(map_levels(tree, reorder))


def assign_coords(tree: xr.DataTree, /, coords: Mapping[Any, Any] | None = None, **coords_kwargs: Any) -> xr.DataTree:
    """Assign new coordinates; no pixel is read.

    Parameters
    ----------
    tree
        A pyramid.
    coords, **coords_kwargs
        Coordinates by name, in any form that ``xarray.Dataset.assign_coords`` takes.  Each goes to every level that
        has its dimensions and lengths.  A function is called with the dataset of each level, so that spatial
        coordinates, which differ from level to level, can be changed at once.

    Returns
    -------
    xarray.DataTree
        A new tree with updated root attributes.  A coordinate without attributes keeps those (unit, long name) of the
        one that it replaces.  Channels with new names keep their display settings.

    Raises
    ------
    ValueError
        A coordinate that fits no level; spatial coordinates that are not evenly spaced and ascending.

    Examples
    --------
    >>> import numpy as np
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> tree = to_multiscale(to_spatial_image(np.zeros((16, 16, 3)), dims="yxc"), [2])
    >>> tree = tree.pyramid.assign_coords(c=["r", "g", "b"], x=lambda level: level.x * 0.5)
    >>> tree["scale1"].c.values.tolist(), tree["scale1"].x.values[:3].tolist()
    (['r', 'g', 'b'], [0.25, 1.25, 2.25])
    """
    wanted = {**by_name("coords", coords), **coords_kwargs}
    for name in wanted:
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"a coordinate needs a name that is a string, without '/', and not {name!r}")
    misfits = dict.fromkeys(wanted, "unknown")

    @skip_non_dimension_nodes
    def place(dataset: xr.Dataset) -> xr.Dataset:
        fitting = {}
        for name, value in wanted.items():
            if name in dataset.data_vars:
                raise ValueError(f"{name!r} is a variable of the pyramid; give the coordinate another name")
            coordinate = as_coordinate(name, value(dataset) if callable(value) else value)
            if name in dataset.dims and coordinate.dims != (name,):
                raise ValueError(f"the coordinate of dimension {name!r} must be a sequence along it, not {value!r}")
            if any(dataset.sizes.get(dim) != length for dim, length in coordinate.sizes.items()):
                if name in misfits:
                    misfits[name] = str(dict(coordinate.sizes))
                continue
            if not coordinate.attrs and name in dataset.coords:  # a list has no unit; the axis keeps its own
                coordinate.attrs = dict(dataset.coords[name].attrs)
            fitting[name] = coordinate
            misfits.pop(name, None)
        return dataset.assign_coords(fitting)

    edited = map_levels(tree, place)
    for name, sizes in misfits.items():
        levels = ", ".join(f"{path} {dict(node.sizes)}" for path, node in tree.subtree_with_keys if node.sizes)
        raise ValueError(f"the coordinate {name!r} with sizes {sizes} fits no level; the levels have {levels}")
    for name in wanted:
        name_channels(edited, name)
    return restamp(edited)


def _reordered(encoding: Mapping[Any, Any], dims: Sequence[Hashable], new: Sequence[Hashable]) -> dict[Any, Any]:
    """Transpose an encoding from ``dims`` to ``new``, as xarray does not."""
    order = [dims.index(dim) for dim in new]
    return {
        key: tuple(value[i] for i in order) if key in _PER_DIMENSION and isinstance(value, (tuple, list)) else value
        for key, value in encoding.items()
    }
