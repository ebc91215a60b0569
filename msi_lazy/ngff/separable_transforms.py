"""Coordinate transformations of further kinds that amount to a scale and a translation of each axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["separate"]

Amount = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""Scale and translation of each axis."""


def separate(transform: Mapping[str, Any], ndim: int) -> Amount | None:
    """Scale and translation that a transformation amounts to; ``None`` if none, or if it is read otherwise.

    Scales and translations themselves, and sequences, are read by
    :func:`msi_lazy.ngff.read_transforms.read_transforms`.

    Parameters
    ----------
    transform
        Transformation of any kind.
    ndim
        Number of axes.

    Examples
    --------
    >>> affine = {"type": "affine", "affine": [[2, 0, 5], [0, 3, 0]]}
    >>> [part.tolist() for part in separate(affine, 2)]
    [[2.0, 3.0], [5.0, 0.0]]
    >>> separate({"type": "affine", "affine": [[2, 1, 5], [0, 3, 0]]}, 2) is None
    True
    """
    found = _READERS.get(transform.get("type", ""), _none)(transform, ndim)
    if found is None or not np.isfinite(found).all() or not (found[0] > 0).all():
        return None
    return found


def _none(transform: Mapping[str, Any], ndim: int) -> Amount | None:
    return None


def _identity(transform: Mapping[str, Any], ndim: int) -> Amount | None:
    return np.ones(ndim), np.zeros(ndim)


def _map_axis(transform: Mapping[str, Any], ndim: int) -> Amount | None:
    """Permutation that leaves each axis in its place."""
    return _identity(transform, ndim) if transform.get("mapAxis") == list(range(ndim)) else None


def _matrix(kind: str, columns: int) -> Callable[[Mapping[str, Any], int], Amount | None]:
    """Reader of a matrix without any entry off its diagonal, and with ``columns`` besides that are a translation."""

    def read(transform: Mapping[str, Any], ndim: int) -> Amount | None:
        try:
            matrix = np.array(transform.get(kind), dtype=float)
        except (TypeError, ValueError):
            return None
        if matrix.shape != (ndim, ndim + columns):
            return None
        scale = matrix.diagonal()
        if (matrix[:, :ndim] != np.diag(scale)).any():
            return None
        return scale, matrix[:, ndim] if columns else np.zeros(ndim)

    return read


def _by_dimension(transform: Mapping[str, Any], ndim: int) -> Amount | None:
    """Combine transformations of some axes each, of which every one stays in its place."""
    scale, translation = np.ones(ndim), np.zeros(ndim)
    seen: list[int] = []
    for one in _objects(transform.get("transformations")):
        axes, inner = one.get("inputAxes"), one.get("transformation")
        if not isinstance(axes, list) or axes != one.get("outputAxes") or not isinstance(inner, Mapping):
            return None
        if not all(type(axis) is int and 0 <= axis < ndim for axis in axes):
            return None
        amount = _inner(inner, len(axes))
        if amount is None:
            return None
        seen += axes
        scale[axes], translation[axes] = amount
    return (scale, translation) if sorted(seen) == list(range(ndim)) else None


def _inner(transform: Mapping[str, Any], ndim: int) -> Amount | None:
    """Amount of a transformation inside of another, where it may also be a scale, a translation or a sequence."""
    kind = transform.get("type")
    if kind in ("scale", "translation"):
        try:
            values = np.array(transform.get(kind), dtype=float)
        except (TypeError, ValueError):
            return None
        if values.shape != (ndim,):
            return None
        return (values, np.zeros(ndim)) if kind == "scale" else (np.ones(ndim), values)
    if kind != "sequence":
        return separate(transform, ndim)
    scale, translation = np.ones(ndim), np.zeros(ndim)
    for one in _objects(transform.get("transformations")):
        amount = _inner(one, ndim)
        if amount is None:
            return None
        scale, translation = scale * amount[0], translation * amount[0] + amount[1]
    return scale, translation


def _forward(transform: Mapping[str, Any], ndim: int) -> Amount | None:
    forward = transform.get("forward")
    return _inner(forward, ndim) if isinstance(forward, Mapping) else None


def _objects(listed: Any) -> list[Mapping[str, Any]]:
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


_READERS: Mapping[str, Callable[[Mapping[str, Any], int], Amount | None]] = {
    "identity": _identity,
    "mapAxis": _map_axis,
    "affine": _matrix("affine", 1),
    "rotation": _matrix("rotation", 0),
    "byDimension": _by_dimension,
    "bijection": _forward,
}
