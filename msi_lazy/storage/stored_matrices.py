"""Matrices of coordinate transformations that are stored as arrays, put into the attributes that refer to them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.ngff.coordinate_systems import stored_transforms
from msi_lazy.ngff.specifications import ome_block, specification_of
from msi_lazy.storage.arrays import open_array

if TYPE_CHECKING:
    import zarr

__all__ = ["inline_matrices"]

_MATRICES = ("affine", "rotation")
_MOST_NUMBERS = 30
"""Most numbers of a matrix: five axes, and a translation."""


def inline_matrices(group: zarr.Group, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Put matrices in place of the paths of their arrays, which would not go along to another store.

    An array that is missing, or is no matrix, is left to whoever reads the transformation.
    """
    with suppress(RecursionError):  # of lists in lists in lists, which are no transformations
        images = ome_block(attributes).get("multiscales")
        if any(one["type"] in _MATRICES for one in stored_transforms(images)):
            specification = specification_of(attributes)
            block = {**specification.block_of(attributes), "multiscales": _inline(group, images)}
            return {**attributes, **specification.place(block)}
    return dict(attributes)


def _inline(group: zarr.Group, value: Any) -> Any:
    if isinstance(value, list):
        return [_inline(group, one) for one in value]
    if not isinstance(value, Mapping):
        return value
    kind, path = value.get("type"), value.get("path")
    if kind in _MATRICES and isinstance(path, str) and kind not in value:
        matrix = _read_matrix(group, path)
        if matrix is not None:
            return {**{name: one for name, one in value.items() if name != "path"}, kind: matrix}
    return {name: _inline(group, one) for name, one in value.items()}


def _read_matrix(group: zarr.Group, path: str) -> list[list[float]] | None:
    with suppress(Exception):  # whatever is broken there, the image can be read
        array = open_array(group.store, "/".join(filter(None, (group.path, path))), mode="r")
        if array.ndim == 2 and array.size <= _MOST_NUMBERS and array.dtype.kind in "iuf":
            return [[float(number) for number in row] for row in np.asarray(array[:]).tolist()]
    return None
