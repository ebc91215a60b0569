"""Storing more levels of an image that exists, without touching those it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zarr
from zarr.errors import ContainsArrayError, ContainsGroupError

from msi_lazy.errors import StoreExistsError
from msi_lazy.graph.pipeline import open_array
from msi_lazy.graph.source import lazy_array
from msi_lazy.store.completion import Completion
from msi_lazy.store.compute import crosses_processes, run
from msi_lazy.store.graph import LevelArrays, write_graph
from msi_lazy.store.hierarchy import write_coordinates
from msi_lazy.store.layout import array_settings
from msi_lazy.store.projection import project_write
from msi_lazy.store.target import Target, as_store, find_target, is_in_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dask.delayed import Delayed

    from msi_lazy.store.part import Part, WriteOptions

__all__ = ["Extension", "write_levels"]


@dataclass(frozen=True)
class Extension:
    """Levels to add to an image."""

    part: Part
    """Pyramid whose level 0 is the image's last level; its attributes are those of the whole image."""
    last: str
    """Path of that level's array."""
    paths: Sequence[str]
    """Paths of the new ones."""


def write_levels(extension: Extension, store: Any, options: WriteOptions) -> Delayed | None:
    """Store the new levels, and then the attributes that list them; see :func:`msi_lazy.add_levels`."""
    part, store = extension.part, as_store(store)
    target = find_target(store, options.group, options.storage_options)
    if is_in_memory(store) and crosses_processes():
        raise ValueError("a store in memory cannot be written by worker processes; use a path")
    arrays = [lazy_array(image) for image in part.images]
    (read_back,) = project_write([part], [arrays], options.memory_limit, [False])
    existing = open_array(target.store, target.below(extension.last), mode="r")
    settings = [_settings(extension, number, existing, target) for number in range(1, len(arrays))]
    for path in extension.paths:
        _check_free(target, path, options.mode)
    targets = [existing]
    for number, (path, layout) in enumerate(zip(extension.paths, settings, strict=True), start=1):
        targets.append(_create(target, path, layout))
        if "/" in path:
            write_coordinates(target, path.rpartition("/")[0], part.tree.children[f"scale{number}"])
    levels = LevelArrays(arrays, targets, read_back, kept=1)
    delayed = write_graph([levels], [Completion(target, part.attributes)])
    if not options.compute:
        return delayed
    run(delayed, options.progress)
    return None


def _settings(extension: Extension, number: int, existing: zarr.Array[Any], target: Target) -> dict[str, Any]:
    """Keyword arguments of ``zarr.create_array`` for a new level: what is not asked for is as the image has it."""
    part, level = extension.part, extension.part.plan.levels[number]
    compressors = existing.compressors if part.compressors == "auto" else part.compressors
    settings = array_settings(part.plan, level, part.shards, compressors, {}, target.zarr_format)
    settings.pop("chunk_key_encoding", None)
    if target.zarr_format == 3:
        settings["dimension_names"] = part.plan.dims
    else:
        settings["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        settings["order"] = existing.order
    settings |= {"fill_value": existing.fill_value, "attributes": dict(existing.attrs)}
    return {"shape": level.shape, "dtype": existing.dtype, **settings}


def _check_free(target: Target, path: str, mode: str) -> None:
    """Refuse a path that holds something, unless it may be overwritten."""
    if mode == "w":
        return
    try:
        zarr.open(target.store, path=target.below(path), mode="r")
    except (FileNotFoundError, KeyError):
        return
    raise StoreExistsError(
        f"the store holds {path!r} already, which the image does not list; pass mode='w' to overwrite it"
    )


def _create(target: Target, path: str, layout: dict[str, Any]) -> zarr.Array[Any]:
    try:
        zarr.create_array(
            target.store, name=target.below(path), zarr_format=target.zarr_format, overwrite=True, **layout
        )
    except (ContainsArrayError, ContainsGroupError, TypeError, ValueError) as error:
        raise ValueError(f"the level {path!r} cannot be stored like this: {error!r}") from error
    return open_array(target.store, target.below(path))
