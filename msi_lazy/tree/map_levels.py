"""Mapping a function over the datasets of a tree, and their dimensions."""

from __future__ import annotations

from copy import deepcopy
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import xarray as xr

from msi_lazy.ngff.specifications import own_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

__all__ = ["check_dims", "dims_of", "level_along", "map_levels", "skip_non_dimension_nodes"]

P = ParamSpec("P")


def skip_non_dimension_nodes(
    function: Callable[Concatenate[xr.Dataset, P], xr.Dataset],
) -> Callable[Concatenate[xr.Dataset, P], xr.Dataset]:
    """Decorate a function so that a dataset without dimensions is returned unchanged.

    For ``xarray.DataTree.map_over_datasets``, which calls a function with the root of a pyramid too.

    Examples
    --------
    >>> import numpy as np
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> tree = to_multiscale(to_spatial_image(np.zeros((8, 8))), [2])
    >>> @skip_non_dimension_nodes
    ... def first_row(dataset):
    ...     return dataset.isel(y=0)
    >>> dict(tree.map_over_datasets(first_row)["scale1"].sizes)
    {'x': 4}
    """
    if not callable(function):
        raise TypeError(f"skip_non_dimension_nodes decorates a function of a dataset, and was given {function!r}")

    @wraps(function)
    def skipping(dataset: xr.Dataset, /, *args: P.args, **kwargs: P.kwargs) -> xr.Dataset:
        return function(dataset, *args, **kwargs) if dataset.sizes else dataset

    return skipping


def map_levels(tree: xr.DataTree, function: Callable[[xr.Dataset], xr.Dataset]) -> xr.DataTree:
    """Apply ``function`` to every dataset; the result has copies of the attributes that are edited in place.

    Coordinates that levels inherit become their own, so that each level can be edited by itself.
    """
    nodes = {}
    for path, node in tree.subtree_with_keys:
        dataset = node.to_dataset()
        only_inherited = bool(node.children) and not node.data_vars
        nodes[path] = dataset.drop_vars(list(dataset.xindexes)) if only_inherited else function(dataset)
    edited = xr.DataTree.from_dict(nodes, name=tree.name)
    edited.attrs = {**edited.attrs, **deepcopy(own_attributes(edited.attrs))}
    return edited


def dims_of(tree: xr.DataTree) -> tuple[Hashable, ...]:
    """Dimensions of the variables of a tree, in order."""
    images = [image for node in tree.subtree for image in node.data_vars.values()]
    return tuple(dict.fromkeys(dim for image in images for dim in image.dims))


def level_along(dim: Hashable, tree: xr.DataTree) -> xr.Dataset:
    """First dataset of a tree that has variables along ``dim``."""
    return next(node.to_dataset() for node in tree.subtree if any(dim in v.dims for v in node.data_vars.values()))


def check_dims(dims: Iterable[Hashable], tree: xr.DataTree) -> None:
    """Refuse dimensions that no variable of a tree has.

    Raises
    ------
    ValueError
        Names the first of them, and the dimensions of the tree.
    """
    unknown = [dim for dim in dims if dim not in dims_of(tree)]
    if unknown:
        raise ValueError(f"the pyramid has no dimension {unknown[0]!r}; it has {dims_of(tree)}")
