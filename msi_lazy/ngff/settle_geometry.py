"""Geometry of stored levels, settled by their shapes where the attributes leave it open or contradict them."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from msi_lazy.axes import axis_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.ngff.stored_image import StoredImage, StoredLevel

__all__ = ["settle_geometry"]

Extents = tuple[int, ...]

_ROUNDING = 1e-6
"""Rounding of a position, in samples."""


class _Grid(NamedTuple):
    """Samples of a level along one axis."""

    length: int
    scale: float
    translation: float


def settle_geometry(stored: StoredImage, shapes: Sequence[Extents]) -> tuple[StoredImage, tuple[int, ...]]:
    """Settle the order and the geometry of the levels of an image.

    Parameters
    ----------
    stored
        Image, as its attributes describe it.
    shapes
        Shapes of its arrays, in the order of its levels.

    Returns
    -------
    StoredImage
        The image with its largest level first, and a spacing of each level that agrees with its shape: the one that
        is stated, or else that of the finer level times the factor by the shapes.  Its ``notes`` say what was changed.
    tuple of int
        Number of each level in the list as it was stored.

    Raises
    ------
    ValueError
        An array has another number of dimensions than the image has axes.
    """
    stored = _fit_axes(stored, [len(shape) for shape in shapes])
    order = tuple(sorted(range(len(shapes)), key=lambda number: -prod(shapes[number])))
    stated = [stored.levels[number] for number in order]
    notes = []
    if order != tuple(range(len(shapes))):
        paths = ", ".join(repr(level.path) for level in stated)
        notes.append(f"its datasets are not listed from the largest on, and are read in the order {paths}")
    lists = [_grids(level, shapes[number]) for level, number in zip(stated, order, strict=True)]
    settled = lists[:1]
    kinds = [kind or axis_kind(dim) for dim, kind in zip(stored.dims, stored.kinds, strict=True)]
    has_geometry = [kind != "channel" for kind in kinds]
    contradictions = []
    for number, grids in enumerate(lists[1:], start=1):
        known = [one and first for one, first in zip(_known(stated[number]), _known(stated[0]), strict=True)]
        settled.append(list(map(_settle, grids, settled[0], settled[-1], has_geometry, known)))
        if any(one and grid != found for one, grid, found in zip(known, grids, settled[-1], strict=True)):
            by_scale, by_shape = _factors(lists[number - 1], grids), _factors(settled[-2], settled[-1])
            contradictions.append(f"level {stated[number].path!r}: {by_scale} by its scale, {by_shape} by its shape")
    if contradictions:
        notes.append(f"scales contradict shapes, and the factors by the shapes are used ({'; '.join(contradictions)})")
    levels = tuple(_placed(level, grids) for level, grids in zip(stated, settled, strict=True))
    return replace(stored, levels=levels, notes=(*stored.notes, *notes)), order


def _fit_axes(stored: StoredImage, dimensions: Sequence[int]) -> StoredImage:
    """Compare axes with the dimensions of arrays; keep the last axes if none are listed, and the arrays have fewer."""
    count = min(len(stored.dims), dimensions[0]) if stored.by_order else len(stored.dims)
    for level, dims in zip(stored.levels, dimensions, strict=True):
        if dims != count:
            axes = "by their order the axes are" if stored.by_order else "the image lists the axes"
            raise ValueError(f"level {level.path!r} has {dims} dimensions, but {axes} {stored.dims[-count:]}")
    if count == len(stored.dims):
        return stored
    levels = tuple(
        replace(level, scale=level.scale[-count:], translation=level.translation[-count:], known=level.known[-count:])
        for level in stored.levels
    )
    note = f"its arrays have {count} dimensions, which are taken for {', '.join(stored.dims[-count:])}"
    kept = {name: getattr(stored, name)[-count:] for name in ("dims", "kinds", "units")}
    return replace(stored, **kept, levels=levels, notes=(*stored.notes, note))


def _grids(level: StoredLevel, extents: Extents) -> list[_Grid]:
    return list(map(_Grid, extents, level.scale, level.translation))


def _known(level: StoredLevel) -> tuple[bool, ...]:
    """Return whether the spacing is stated, for each axis."""
    return level.known or (True,) * len(level.scale)


def _placed(level: StoredLevel, grids: Sequence[_Grid]) -> StoredLevel:
    scale, translation = tuple(grid.scale for grid in grids), tuple(grid.translation for grid in grids)
    return replace(level, scale=scale, translation=translation)


def _settle(grid: _Grid, finest: _Grid, finer: _Grid, has_geometry: bool, known: bool) -> _Grid:
    """Return the samples of a level as stated, if they can be so, else those by the finer level."""
    if not has_geometry or (known and (_nests(grid, finest, finer) or grid.length > finer.length)):
        return grid
    factor = _factor(finer.length, grid.length)
    return _Grid(grid.length, finer.scale * factor, finer.translation + (factor - 1) / 2 * finer.scale)


def _nests(grid: _Grid, finest: _Grid, finer: _Grid) -> bool:
    """Tell whether a level covers what the finest one does, up to a sample, as a level of its pyramid would."""
    begins = (grid.translation - grid.scale / 2) - (finest.translation - finest.scale / 2)
    longer = grid.length * grid.scale - finest.length * finest.scale
    stalls = finer.length >= 2 * grid.length and grid.scale < 1.5 * finer.scale
    return max(abs(begins), abs(longer)) <= grid.scale * (1 + _ROUNDING) and not stalls


def _factor(finer: int, length: int) -> float:
    """Find the factor between two lengths: an integer that gives one from the other, or else their ratio.

    Examples
    --------
    >>> _factor(64, 32), _factor(7, 3), _factor(5, 3), _factor(10, 6)
    (2, 2, 2, 1.6666666666666667)
    """
    ratio = finer / length
    integers = [round(ratio), int(ratio), int(ratio) + 1]
    return next((n for n in integers if n and length in (finer // n, -(-finer // n))), ratio)


def _factors(finer: Sequence[_Grid], coarser: Sequence[_Grid]) -> str:
    return f"({', '.join(f'{coarse.scale / fine.scale:.4g}' for coarse, fine in zip(coarser, finer, strict=True))})"
