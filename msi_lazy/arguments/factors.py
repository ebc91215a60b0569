"""Scale factors, given or automatic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.numbers import parse_integer
from msi_lazy.axes import rename_advice, unit_sizes, usual_names
from msi_lazy.plan.windows import level_extent

if TYPE_CHECKING:
    from msi_lazy.axes import Axis
    from msi_lazy.plan.windows import Boundary

__all__ = ["auto_factors", "parse_factors"]

_STRINGS = (str, bytes, bytearray, memoryview)
"""Sequences that are never meant as numbers."""
_MOST_SHOWN = 8
"""Most levels in the example of a message."""


def parse_factors(scale_factors: Any, axes: Sequence[Axis], boundary: Boundary) -> tuple[tuple[int, ...], ...]:
    """Turn ``scale_factors`` into one tuple of integers per step, in the order of ``axes``.

    An integer is for the spatial dimensions that have as many samples; a dict must fit.

    Raises
    ------
    TypeError
        An entry is neither an integer nor a dict of integers (2.0 and True are not integers).
    ValueError
        An unknown dimension, a factor below 1, one in a dict that exceeds the level it is applied to, an integer that
        exceeds it along all spatial dimensions, or, with ``boundary="exact"``, one that does not divide it; an integer
        where no dimension is known to be space.
    """
    if isinstance(scale_factors, _STRINGS) or not isinstance(scale_factors, Sequence):
        raise TypeError(
            f"scale_factors must be 'auto' or a sequence such as [2, 4] or [{{'y': 2, 'x': 2}}], not {scale_factors!r}"
        )
    if any(not isinstance(entry, Mapping) for entry in scale_factors):
        _check_space(axes, scale_factors)
    extents = [axis.length for axis in axes]
    parsed = []
    for level, entry in enumerate(scale_factors, start=1):
        if isinstance(entry, Mapping):
            step = _parse_step(entry, axes, extents, level, boundary)
        else:
            step = _spread_factor(entry, axes, extents, scale_factors[: level - 1], boundary)
        extents = [level_extent(n, factor, boundary) for n, factor in zip(extents, step, strict=True)]
        parsed.append(step)
    return tuple(parsed)


def _check_space(axes: Sequence[Axis], entries: Sequence[Any]) -> None:
    """Refuse integers for an image none of whose dimensions is known to be space; show the same factors as dicts."""
    if any(axis.is_spatial for axis in axes):
        return
    dims = [axis.name for axis in axes if axis.kind is None] or [axis.name for axis in axes]
    factors = [
        entry if isinstance(entry, Mapping) else dict.fromkeys(dims, _parse_factor(entry, dims[0], level))
        for level, entry in enumerate(entries[:_MOST_SHOWN], start=1)
    ]
    words = " ".join(",".join(f"{dim}={factor}" for dim, factor in entry.items()) for entry in factors)
    example = f"say which to reduce with a dict, as in scale_factors={factors} (--factors {words})"
    unknown = [axis for axis in axes if axis.kind is None]
    helps = unknown and len(usual_names(axes)) == len(unknown)
    raise ValueError(
        f"none of the dimensions {tuple(axis.name for axis in axes)} is known to be space (z, y, x, lat, lon, row, "
        f"col), which 'auto' and integer factors reduce; {example}"
        + (f", or rename them: {rename_advice(axes)}" if helps else "")
    )


def _parse_step(
    entry: Mapping[Any, Any], axes: Sequence[Axis], extents: Sequence[int], level: int, boundary: Boundary
) -> tuple[int, ...]:
    """Factors of one level for every axis, from a dict; those not named get 1."""
    names = [axis.name for axis in axes]
    unknown = [dim for dim in entry if dim not in names]
    if unknown:
        raise ValueError(
            f"scale_factors for level {level} name the dimension {unknown[0]!r}, but the image has {tuple(names)}; "
            f"name these, as in {_example(axes)}"
        )
    factors = {dim: _parse_factor(value, dim, level) for dim, value in entry.items()}
    for name, extent in zip(names, extents, strict=True):
        _check_fit(factors.get(name, 1), extent, name, entry, level, boundary)
    return tuple(factors.get(name, 1) for name in names)


def _spread_factor(
    entry: Any, axes: Sequence[Axis], extents: Sequence[int], before: Sequence[Any], boundary: Boundary
) -> tuple[int, ...]:
    """Factors of one level for every axis, from an integer: 1 along those that are too short for it, or not space."""
    level = len(before) + 1
    spatial = [axis.name for axis in axes if axis.is_spatial]
    factor = _parse_factor(entry, spatial[0], level)
    step = tuple(factor if axis.is_spatial and factor <= n else 1 for axis, n in zip(axes, extents, strict=True))
    if factor > 1 and max(step) == 1:
        known = {axis.name: n for axis, n in zip(axes, extents, strict=True) if axis.is_spatial}
        raise ValueError(
            f"the factor {entry} at level {level} is larger than the finer level, which has the samples {known}; use a "
            f"smaller factor, or fewer levels: scale_factors={list(before)}"
        )
    for axis, n, found in zip(axes, extents, step, strict=True):
        _check_fit(found, n, axis.name, {}, level, boundary)
    return step


def _example(axes: Sequence[Axis]) -> str:
    """Write scale factors that halve the last two dimensions of an image, of space if there are any."""
    dims = [axis.name for axis in axes if axis.is_spatial] or [axis.name for axis in axes]
    return f"scale_factors=[{dict.fromkeys(dims[-2:], 2)}]"


def _parse_factor(value: Any, dim: str, level: int) -> int:
    argument = f"the factor for dimension {dim!r} at level {level} must be"
    return parse_integer(value, argument, kind="an integer (1, 2, 3, ...) or a dict of integers", least=1)


def _check_fit(factor: int, extent: int, dim: str, entry: Any, level: int, boundary: Boundary) -> None:
    if factor > extent:
        raise ValueError(
            f"the factor {factor} for dimension {dim!r} at level {level} is larger than the finer level, "
            f"which has {extent} samples there; leave the dimension out there: { ({**entry, dim: 1}) }"
        )
    if boundary == "exact" and extent % factor:
        raise ValueError(
            f"boundary='exact': the factor {factor} for dimension {dim!r} at level {level} does not divide "
            f"the {extent} samples of the finer level; use boundary='trim' or 'pad'"
        )


def auto_factors(axes: Sequence[Axis], chunks: tuple[int, ...], boundary: Boundary) -> tuple[tuple[int, ...], ...]:
    """Choose factors of 2 until the spatial dimensions fit one chunk, so that levels become near-isotropic.

    Each step halves the spatial dimensions whose spacing is within √2 of the finest one that still exceeds a chunk: an
    image of 2 x 0.5 x 0.5 µm is first halved twice along ``y`` and ``x`` only.  Spacings are compared in one unit
    (:func:`msi_lazy.axes.unit_sizes`).

    Raises
    ------
    ValueError
        No dimension is known to be space.

    Examples
    --------
    >>> from msi_lazy.axes import Axis
    >>> axes = [Axis("z", "space", 100, 2.0), Axis("y", "space", 512, 0.5), Axis("x", "space", 512, 0.5)]
    >>> auto_factors(axes, (64, 64, 64), "trim")
    ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    """
    _check_space(axes, [2])
    extents = [axis.length for axis in axes]
    spacings = [abs(axis.scale) * size for axis, size in zip(axes, unit_sizes(axes), strict=True)]
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
