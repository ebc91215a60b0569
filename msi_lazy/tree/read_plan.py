"""Plans of trees: geometry from coordinates and attributes, stages from the Dask graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import xarray as xr

from msi_lazy.arguments.sizes import parse_chunks
from msi_lazy.axes import Axis, read_axes
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.provenance import recorded_nodata
from msi_lazy.plan.flat_chunks import default_chunks
from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan
from msi_lazy.plan.reading import Reading
from msi_lazy.source.sources import lazy_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.ngff.stored_image import StoredImage

__all__ = ["level_images", "read_plan"]

_AGREEMENT = 1e-6
"""Largest difference, in samples, between stored geometry and coordinates that count as equal."""


def level_images(tree: xr.DataTree) -> list[xr.DataArray]:
    """List the images of all scales, from ``scale0`` down.

    Raises
    ------
    TypeError
        Not a tree.
    ValueError
        The tree has no ``scale0``, a scale is missing, or one holds no image.
    """
    if not isinstance(tree, xr.DataTree):
        raise TypeError(
            f"a pyramid is an xarray.DataTree, as to_multiscale and open_multiscale build it, not {type(tree).__name__}"
        )
    if "scale0" not in tree.children:
        raise ValueError(f"not a pyramid: the tree has no node 'scale0', only {sorted(tree.children)}")
    known = [name for name in tree.children if name.startswith("scale") and name[5:].isdigit()]
    names = sorted(known, key=lambda name: int(name[5:]))
    if names != [f"scale{number}" for number in range(len(names))]:
        raise ValueError(f"not a pyramid: its scales are {names}, and some are missing in between")
    images = []
    for name in names:
        dataset = tree.children[name].to_dataset(inherit=False)
        candidates = [variable for variable in dataset.data_vars.values() if variable.ndim]
        if len(candidates) != 1:
            raise ValueError(f"node {name!r} holds {len(candidates)} image variables; a scale holds one")
        images.append(candidates[0])
    if len({image.name for image in images}) > 1:
        raise ValueError(f"the scales hold variables of different names: {[image.name for image in images]}")
    return images


def read_plan(tree: xr.DataTree, check_nesting: bool = True, stored: StoredImage | None = None) -> PyramidPlan:
    """Derive the plan of a tree as it is, also after edits; no pixel is read.

    Parameters
    ----------
    tree
        The tree.
    check_nesting
        Whether to refuse levels of different extents.
    stored
        Image as the attributes describe it; by default that of the root.

    Raises
    ------
    ValueError
        The tree is not a pyramid, or its levels no longer have the same extent.
    """
    images = level_images(tree)
    stored = stored or _stored_image(tree)
    read = [_true_axes(image, stored, number) for number, image in enumerate(images)]
    chunked = [lazy_array(image) for image in images if image.chunks is not None]
    graph = LevelGraph.of(chunked)
    recipes = _matching_recipes(graph.recipes, images)
    readings = [stage.recipe.reading for stage in graph.first_stages]
    axes = _counted_axes(read, stored, recipes)
    for number in range(1, len(axes) if check_nesting else 0):
        _check_nests(axes[0], axes[number], number)
    levels = tuple(_read_level(number, image, axes, readings) for number, image in enumerate(images))
    reading = recipes[0].reading if recipes else Reading(False, images[0].size)
    kwargs = stored.metadata.get("kwargs") if stored else None
    kept = str(kwargs.get("boundary", "unknown")) if isinstance(kwargs, Mapping) else "unknown"
    return PyramidPlan(
        name=str(images[0].name),
        axes=axes[0],
        levels=levels,
        stages=tuple(recipe.stage for recipe in recipes),
        reading=reading,
        method=recipes[0].method.name if recipes else (stored.method or "" if stored else ""),
        boundary=recipes[0].boundary if recipes else kept,
        block_bytes=recipes[0].block_bytes if recipes else 0,
        notes=recipes[0].notes if recipes else (),
        nodata=recipes[0].nodata if recipes else (recorded_nodata(stored) if stored else None),
        provenance=stored.metadata if stored and stored.metadata and not recipes else None,
    )


def _stored_image(tree: xr.DataTree) -> StoredImage | None:
    """Parse the root's ``ome`` attributes; ``None`` if they cannot be read."""
    try:
        return parse_image({str(key): value for key, value in tree.attrs.items()})
    except ValueError:
        return None


def _true_axes(image: xr.DataArray, stored: StoredImage | None, number: int) -> tuple[Axis, ...]:
    """Axes of a level by its coordinates; exact values by the attributes where these agree.

    A single coordinate has no spacing, which the attributes supply.
    """
    axes = read_axes(image)
    if stored is None or number >= len(stored.levels):
        return axes
    level = stored.levels[number]
    found = []
    for axis in axes:
        if axis.name in stored.dims and axis.regular:
            dim = stored.dims.index(axis.name)
            scale, translation = level.scale[dim], level.translation[dim]
            known = axis.length == 1 and "spacing" not in image.coords[axis.name].attrs
            same_scale = known or abs(axis.scale - scale) * axis.length <= _AGREEMENT * scale
            if scale > 0 and same_scale and abs(axis.translation - translation) <= _AGREEMENT * scale:
                axis = replace(axis, scale=scale, translation=translation)
            elif known and scale > 0:
                axis = replace(axis, scale=scale)
        found.append(axis)
    return tuple(found)


def _counted_axes(
    axes: Sequence[tuple[Axis, ...]], stored: StoredImage | None, recipes: Sequence[StageRecipe]
) -> list[tuple[Axis, ...]]:
    """Axes of all levels, those without a regular grid (dates, names) counted in samples of level 0.

    Their coordinates do not tell by how much they were reduced; the graph does, or the attributes, else the lengths.
    """
    counted = []
    for number, here in enumerate(axes):
        grids = _recorded_grids(number, axes, stored, recipes)
        pairs = zip(here, axes[0], grids, strict=True) if len(here) == len(axes[0]) else ()
        counted.append(
            tuple(
                axis if finest.regular else replace(axis, regular=False, scale=scale, translation=translation)
                for axis, finest, (scale, translation) in pairs
            )
            or here
        )
    return counted


def _recorded_grids(
    number: int, axes: Sequence[tuple[Axis, ...]], stored: StoredImage | None, recipes: Sequence[StageRecipe]
) -> list[tuple[float, float]]:
    """Scale and translation of a level along each dimension, in samples of level 0."""
    if recipes:
        grids = [(1.0, 0.0)] * len(axes[0])
        for recipe in recipes:
            for step in recipe.stage.factors[: max(number - recipe.stage.first, 0)]:
                grids = [
                    (scale * factor, translation + recipe.method.offset(factor) * scale)
                    for (scale, translation), factor in zip(grids, step, strict=True)
                ]
        return grids
    grids = []
    for finest, axis in zip(axes[0], axes[number], strict=False):
        if stored is not None and number < len(stored.levels) and finest.name in stored.dims:
            dim, base, level = stored.dims.index(finest.name), stored.levels[0], stored.levels[number]
            scale = level.scale[dim] / base.scale[dim]
            grids.append((scale, (level.translation[dim] - base.translation[dim]) / base.scale[dim]))
        else:
            factor = max(round(finest.length / axis.length), 1)
            grids.append((float(factor), (factor - 1) / 2))
    return grids


def _check_nests(finest: tuple[Axis, ...], axes: tuple[Axis, ...], number: int) -> None:
    """Refuse a level that does not cover the image as a level of its pyramid would."""
    if [axis.name for axis in finest] != [axis.name for axis in axes]:
        raise ValueError(
            f"scale{number} has dims {tuple(a.name for a in axes)}, scale0 {tuple(a.name for a in finest)}"
        )
    for fine, coarse in zip(finest, axes, strict=True):
        if not (fine.regular and coarse.regular):
            continue
        begins = (coarse.translation - coarse.scale / 2) - (fine.translation - fine.scale / 2)
        longer = coarse.length * coarse.scale - fine.length * fine.scale
        if max(abs(begins), abs(longer)) > coarse.scale * (1 + _AGREEMENT) or coarse.length > fine.length:
            raise ValueError(
                f"scale{number} no longer nests in scale0 along {fine.name!r}: it has {coarse.length} samples of "
                f"{coarse.scale:g} from {coarse.translation:g}, scale0 {fine.length} of {fine.scale:g} from "
                f"{fine.translation:g}; edit every level alike, or rebuild the pyramid from the edited scale0"
            )


def _matching_recipes(recipes: tuple[StageRecipe, ...], images: Sequence[xr.DataArray]) -> tuple[StageRecipe, ...]:
    """Return ``recipes`` if together they compute exactly these levels, else none."""
    written = [level for recipe in recipes for level in recipe.stage.written]
    if written != list(range(len(images))):
        return ()
    for recipe in recipes:
        for level in recipe.stage.written:
            if recipe.stage.extents[level - recipe.stage.first] != images[level].shape:
                return ()
            if images[level].chunks != recipe.stage.block_chunks(level):
                return ()
    return recipes


def _read_level(
    number: int, image: xr.DataArray, axes: Sequence[tuple[Axis, ...]], readings: Sequence[Reading]
) -> LevelPlan:
    here = axes[number]
    finer = axes[max(number - 1, 0)]
    factors = []
    for coarse, fine in zip(here, finer, strict=True):
        ratio = coarse.scale / fine.scale
        factors.append(max(round(ratio), 1) if isfinite(ratio) else 1)
    return LevelPlan(
        number=number,
        shape=image.shape,
        dtype=image.dtype,
        chunks=_disk_chunks(image, here, readings),
        blocks=image.shape if image.chunks is None else tuple(lengths[0] for lengths in image.chunks),
        factors=tuple(factors),
        scale=tuple(axis.scale for axis in here),
        translation=tuple(axis.translation for axis in here),
    )


def _disk_chunks(image: xr.DataArray, axes: tuple[Axis, ...], readings: Sequence[Reading]) -> tuple[int, ...]:
    """Chunk shape in the variable's encoding, else the default, which fits the blocks of an edited tree."""
    asked: Any = image.encoding.get("chunks")
    if isinstance(asked, tuple) and len(asked) == image.ndim:
        return tuple(map(min, asked, image.shape))
    usual = parse_chunks(None, axes)
    for reading in readings:
        if not reading.by_window and reading.lengths is not None and len(reading.lengths) == image.ndim:
            spatial = [axis.is_spatial for axis in axes]
            flat = default_chunks(usual, reading.lengths, spatial, image.dtype.itemsize)
            pairs = zip(image.chunks or (), flat, strict=False)
            if all(length % chunk == 0 for lengths, chunk in pairs for length in lengths[:-1]):
                return tuple(map(min, flat, image.shape))
    return usual
