"""Storing more levels of an image that exists, without touching those it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import MemoryStore

from msi_lazy.errors import StoreExistsError
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.write_graph import LevelArrays, align_blocks, write_graph
from msi_lazy.ngff.append_levels import appended_attributes
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.run.compute import compute
from msi_lazy.run.scheduler import check_processes
from msi_lazy.run.watch import watch_write
from msi_lazy.source.sources import lazy_array
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.target import Target, find_target, label_paths, write_attributes
from msi_lazy.storage.zarr_formats import store_format
from msi_lazy.write.hierarchy import write_coordinates
from msi_lazy.write.layout import array_settings
from msi_lazy.write.projection import project_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dask.delayed import Delayed

    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.storage.place import Place
    from msi_lazy.write.job import Part, WriteOptions

__all__ = ["Extension", "write_levels"]


@dataclass(frozen=True)
class Extension:
    """Levels to add to an image."""

    part: Part
    """Pyramid whose level 0 is the image's last level."""
    listed: Sequence[str]
    """Paths of the levels that the image has."""
    dims: tuple[str, ...]
    """Names of the dimensions in the store."""
    paths: Sequence[str]
    """Paths of the new levels."""


@dataclass(frozen=True)
class _ListLevels:
    """The last act: the image's attributes, as they are then, list the new levels."""

    target: Target
    plan: PyramidPlan
    paths: tuple[str, ...]

    def __call__(self) -> None:
        """Append the levels to the image's attributes."""
        group = self.target.open_group()
        write_attributes(self.target, appended_attributes(dict(group.attrs), self.plan, self.paths))


def write_levels(extension: Extension, place: Place, options: WriteOptions) -> Delayed | None:
    """Store the new levels, and then list them; see :func:`msi_lazy.add_levels`."""
    part = extension.part
    if options.mode not in ("w-", "w"):
        raise ValueError(f"mode must be 'w-' (refuse what exists) or 'w' (overwrite it), not {options.mode!r}")
    target = find_target(place)
    check_processes(place)
    _check_labels(target, len(extension.listed) + len(extension.paths))
    levels = LevelGraph.of([lazy_array(image) for image in part.images])
    (read_back,) = project_write([part], [levels], options.memory_limit, [False])
    existing = open_array(target.store, target.below(extension.listed[-1]), mode="r")
    layouts = [_layout(extension, number, existing, target) for number in range(1, len(levels.arrays))]
    for path in extension.paths:
        _check_free(target, path, extension.listed, options.mode)
    _create(
        Target(MemoryStore(), zarr_format=target.zarr_format), extension, layouts
    )  # what cannot be stored fails here
    _create(target, extension, layouts)
    made = [open_array(target.store, target.below(path)) for path in extension.paths]
    units = [(1,) * existing.ndim, *(array.shards or array.chunks for array in made)]  # level 0 is only read
    aligned = align_blocks(levels, units)
    images = [LevelArrays(aligned, [existing, *made], read_back, kept=1, first=len(extension.listed) - 1)]
    watch = watch_write(images, options.run)
    listed = _ListLevels(target, part.plan, tuple(extension.paths))
    return compute(write_graph(images, [listed], watch.ledger), options.run, watch)


def _layout(extension: Extension, number: int, existing: zarr.Array[Any], target: Target) -> dict[str, Any]:
    """Keyword arguments of ``zarr.create_array`` for a new level: what is not asked for is as the image has it."""
    part, level = extension.part, extension.part.plan.levels[number]
    compressors = existing.compressors if part.compressors == "auto" else part.compressors
    layout = array_settings(part.plan, level, part.shards, compressors, {}, target.zarr_format)
    layout.pop("chunk_key_encoding", None)
    layout |= store_format(target.zarr_format).like(existing, extension.dims)
    layout |= {"fill_value": existing.fill_value, "attributes": dict(existing.attrs)}
    return {"shape": level.shape, "dtype": existing.dtype, **layout}


def _check_labels(target: Target, levels: int) -> None:
    """Refuse to leave label images behind with fewer levels than the image."""
    for path in label_paths(target):
        has = _count_levels(dict(target.child(path).open_group().attrs))
        if has < levels:
            raise ValueError(
                f"the label image {path.removeprefix('labels/')!r} has {has} levels, and must have as many as the "
                f"image, which would have {levels}; add them to it first: add_levels(store, ..., "
                f"group={target.below(path)!r})"
            )


def _count_levels(attributes: Mapping[str, Any]) -> int:
    try:
        return len(parse_image(attributes).levels)
    except ValueError:  # none that can be read
        return 0


def _check_free(target: Target, path: str, listed: Sequence[str], mode: str) -> None:
    """Refuse a path that a level of the image has, or that holds a group; or, unless it may go, an array."""
    one = PurePosixPath(path)
    for other in map(PurePosixPath, listed):
        if one == other or one in other.parents or other in one.parents:
            raise StoreExistsError(f"the new level {path!r} would lie where the image's level {str(other)!r} is")
    parent = path.rpartition("/")[0]
    for place in filter(None, (path, parent)):
        found = target.child(place).open_node(target.zarr_format)
        if isinstance(found, zarr.Array) and mode == "w" and place == path:
            continue
        left_over = place == parent and isinstance(found, zarr.Group) and mode == "w"
        if found is not None and not left_over:
            advice = "pass mode='w' to overwrite it" if mode == "w-" else "remove it yourself: it is no array"
            raise StoreExistsError(f"the store holds {place!r} already, which the image does not list; {advice}")


def _create(target: Target, extension: Extension, layouts: Sequence[dict[str, Any]]) -> None:
    """Create the arrays of the new levels, and their coordinates where they have a group for them."""
    settings: dict[str, Any] = {"zarr_format": target.zarr_format, "overwrite": True}
    for number, (path, layout) in enumerate(zip(extension.paths, layouts, strict=True), start=1):
        try:
            zarr.create_array(target.store, name=target.below(path), **settings, **layout)
            if "/" in path:
                write_coordinates(target, path.rpartition("/")[0], extension.part.tree.children[f"scale{number}"])
        except Exception as error:  # whatever a codec, or a setting, may raise
            raise ValueError(f"the level {path!r} cannot be stored like this: {error!r}") from error
