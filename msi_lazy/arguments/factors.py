"""Scale factors, given or automatic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.numbers import parse_integer
from msi_lazy.plan.windows import level_extent

if TYPE_CHECKING:
    from msi_lazy.axes import Axis
    from msi_lazy.plan.windows import Boundary

__all__ = ["auto_factors", "parse_factors"]

_STRINGS = (str, bytes, bytearray, memoryview)
"""Sequences that are never meant as numbers."""


def parse_factors(scale_factors: Any, axes: Sequence[Axis], boundary: Boundary) -> tuple[tuple[int, ...], ...]:
    """Turn ``scale_factors`` into one tuple of integers per step, in the order of ``axes``.

    Raises
    ------
    TypeError
        An entry is neither an integer nor a dict of integers (2.0 and True are not integers).
    ValueError
        An unknown dimension, a factor below 1, one that exceeds the level it is applied to, or,
        with ``boundary="exact"``, one that does not divide it.
    """
    if isinstance(scale_factors, _STRINGS) or not isinstance(scale_factors, Sequence):
        raise TypeError(
            f"scale_factors must be 'auto' or a sequence such as [2, 4] or [{{'y': 2, 'x': 2}}], not {scale_factors!r}"
        )
    extents = [axis.length for axis in axes]
    parsed = []
    for level, entry in enumerate(scale_factors, start=1):
        step = _parse_step(entry, axes, level)
        for dim, (axis, factor) in enumerate(zip(axes, step, strict=True)):
            _check_fit(factor, extents[dim], axis.name, level, boundary)
            extents[dim] = level_extent(extents[dim], factor, boundary)
        parsed.append(step)
    return tuple(parsed)


def _parse_step(entry: Any, axes: Sequence[Axis], level: int) -> tuple[int, ...]:
    """Factors of one level for every axis; those not named get 1."""
    if isinstance(entry, Mapping):
        unknown = [dim for dim in entry if dim not in {axis.name for axis in axes}]
        if unknown:
            raise ValueError(
                f"scale_factors for level {level} name the dimension {unknown[0]!r}, "
                f"but the image has {tuple(axis.name for axis in axes)}"
            )
        factors = {dim: _parse_factor(value, dim, level) for dim, value in entry.items()}
        return tuple(factors.get(axis.name, 1) for axis in axes)
    for axis in axes:
        if axis.is_spatial:
            factor = _parse_factor(entry, axis.name, level)
    return tuple(factor if axis.is_spatial else 1 for axis in axes)


def _parse_factor(value: Any, dim: str, level: int) -> int:
    argument = f"the factor for dimension {dim!r} at level {level} must be"
    return parse_integer(value, argument, kind="an integer (1, 2, 3, ...) or a dict of integers", least=1)


def _check_fit(factor: int, extent: int, dim: str, level: int, boundary: Boundary) -> None:
    if factor > extent:
        raise ValueError(
            f"the factor {factor} for dimension {dim!r} at level {level} is larger than the finer level, "
            f"which has {extent} samples there; use a smaller factor or fewer levels"
        )
    if boundary == "exact" and extent % factor:
        raise ValueError(
            f"boundary='exact': the factor {factor} for dimension {dim!r} at level {level} does not divide "
            f"the {extent} samples of the finer level; use boundary='trim' or 'pad'"
        )


def auto_factors(axes: Sequence[Axis], chunks: tuple[int, ...], boundary: Boundary) -> tuple[tuple[int, ...], ...]:
    """Choose factors of 2 until the spatial dimensions fit one chunk, so that levels become near-isotropic.

    Each step halves the spatial dimensions whose spacing is within √2 of the finest one that still exceeds a chunk: an
    image of 2 x 0.5 x 0.5 µm is first halved twice along ``y`` and ``x`` only.

    Examples
    --------
    >>> from msi_lazy.axes import Axis
    >>> axes = [Axis("z", "space", 100, 2.0), Axis("y", "space", 512, 0.5), Axis("x", "space", 512, 0.5)]
    >>> auto_factors(axes, (64, 64, 64), "trim")
    ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    """
    extents = [axis.length for axis in axes]
    spacings = [abs(axis.scale) for axis in axes]
    steps: list[tuple[int, ...]] = []
    while True:
        open_dims = [
            dim
            for dim, axis in enumerate(axes)
            if axis.is_spatial and extents[dim] > max(chunks[dim], 1) and extents[dim] > 1
        ]
        if not open_dims:
            return tuple(steps)
        limit = min(spacings[dim] for dim in open_dims) * sqrt(2)
        step = tuple(
            2 if axis.is_spatial and extents[dim] > 1 and spacings[dim] <= limit else 1 for dim, axis in enumerate(axes)
        )
        extents = [level_extent(n, factor, boundary) for n, factor in zip(extents, step, strict=True)]
        if boundary == "exact" and any(n * f != m for n, f, m in zip(extents, step, _before(steps, axes), strict=True)):
            return tuple(steps)
        spacings = [spacing * factor for spacing, factor in zip(spacings, step, strict=True)]
        steps.append(step)


def _before(steps: list[tuple[int, ...]], axes: Sequence[Axis]) -> list[int]:
    """Extents after ``steps``, when all of them divided exactly."""
    return [axis.length // prod(step[dim] for step in steps) for dim, axis in enumerate(axes)]
