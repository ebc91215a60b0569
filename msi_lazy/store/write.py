"""Writing pyramids as OME-Zarr: check everything, create, compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.errors import StoreExistsError
from msi_lazy.graph.direct import can_emit
from msi_lazy.graph.origins import origins
from msi_lazy.graph.pipeline import is_lossless
from msi_lazy.graph.source import is_in_memory as is_loaded
from msi_lazy.graph.source import lazy_array
from msi_lazy.ngff.write import VERSIONS, array_path, check_holdable
from msi_lazy.store.completion import Completion, ListImage, ListLabels
from msi_lazy.store.compute import crosses_processes, run
from msi_lazy.store.graph import LevelArrays, write_graph
from msi_lazy.store.hierarchy import (
    asked_settings,
    check_encoding,
    compose_hierarchy,
    create_hierarchy,
    loaded_coordinates,
)
from msi_lazy.store.projection import project_write
from msi_lazy.store.target import (
    Target,
    as_store,
    check_parents,
    check_target,
    find_target,
    holds_zarr,
    is_in_memory,
    open_target,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dask.array as da
    import xarray as xr
    from dask.delayed import Delayed
    from zarr.core.buffer import Buffer

    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.store.part import Part, WriteOptions
    from msi_lazy.store.target import ZarrFormat

__all__ = ["write_image", "write_labels_into"]


def write_image(parts: Sequence[Part], store: Any, options: WriteOptions) -> Delayed | None:
    """Write an image, the first of ``parts``, and the label images below it; see :func:`msi_lazy.to_zarr`."""
    if options.version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(map(repr, VERSIONS))}, not {options.version!r}")
    store = as_store(store)
    for part in parts:
        _check_part(part)
    arrays = [[lazy_array(image) for image in part.images] for part in parts]
    read = [array for levels in arrays for array in levels]
    read += [lazy_array(variable) for part in parts for variable in _lazy_variables(part.tree, part.plan)]
    check_parents(store, options.group, _zarr_format(options.version), options.storage_options)
    check_target(store, options.group, options.mode, origins(read), options.storage_options)
    _check_processes(store)
    prepared = _prepare(parts, arrays, _zarr_format(options.version), options)
    target = open_target(store, options.group, options.mode, _zarr_format(options.version), options.storage_options)
    completions: list[Callable[[], None]] = []
    names = tuple(part.path.rpartition("/")[2] for part in parts[1:])
    if names:
        completions = [*(_completion(part, _below(target, part.path)) for part in parts[1:]), ListLabels(target, names)]
    completions.append(_completion(parts[0], target))
    if options.group:
        completions.append(ListImage(*_root_of(target, options.group)))
    return _write(prepared, target, completions, options)


def write_labels_into(part: Part, store: Any, options: WriteOptions) -> Delayed | None:
    """Write a label image below an image that exists; see :func:`msi_lazy.write_labels`."""
    store = as_store(store)
    _check_part(part)
    arrays = [lazy_array(image) for image in part.images]
    others = [lazy_array(variable) for variable in _lazy_variables(part.tree, part.plan)]
    image = find_target(store, options.group, options.storage_options)
    if image.zarr_format != _zarr_format(options.version):
        raise ValueError(
            f"the image says that it is OME-Zarr {options.version}, but it is stored as Zarr v{image.zarr_format}; "
            f"write it again, and labels with it"
        )
    where = "/".join(filter(None, (options.group, part.path)))
    exists = holds_zarr(store, options.storage_options, where)
    if exists and options.mode == "w-":
        raise StoreExistsError(f"the store holds {where!r} already; pass mode='w' to overwrite it")
    check_target(store, where, options.mode, origins([*arrays, *others]), options.storage_options)
    _check_processes(store)
    prepared = _prepare([part], [arrays], _zarr_format(options.version), options)
    open_target(store, where, options.mode, image.zarr_format, options.storage_options)
    name = part.path.rpartition("/")[2]
    return _write(prepared, image, [_completion(part, _below(image, part.path)), ListLabels(image, (name,))], options)


@dataclass(frozen=True)
class _Prepared:
    """An image that can be stored: everything that can go wrong before a sample is read has been tried."""

    part: Part
    tree: xr.DataTree
    arrays: Sequence[da.Array]
    contents: Mapping[str, Buffer]
    read_back: Sequence[bool]


def _prepare(
    parts: Sequence[Part], arrays: Sequence[Sequence[da.Array]], zarr_format: ZarrFormat, options: WriteOptions
) -> list[_Prepared]:
    lossless = [
        can_emit(levels) and not part.encoding and (part.compressors == "auto" or is_lossless(part.compressors))
        for part, levels in zip(parts, arrays, strict=True)
    ]
    read_back = project_write(parts, arrays, options.memory_limit, lossless)
    prepared = []
    for part, levels, again in zip(parts, arrays, read_back, strict=True):
        tree = loaded_coordinates(part.tree)
        prepared.append(_Prepared(part, tree, levels, compose_hierarchy(part, tree, zarr_format), again))
    return prepared


def _write(
    prepared: Sequence[_Prepared], target: Target, completions: Sequence[Callable[[], None]], options: WriteOptions
) -> Delayed | None:
    """Create what is prepared below ``target``, and store it."""
    images = []
    for image in prepared:
        below = _below(target, image.part.path)
        create_hierarchy(below, image.tree, image.part.plan, image.contents)
        targets = [
            below.open_level(
                level.number,
                image.part.plan.name,
                asked_settings(image.part.encoding, level, image.part.plan).get("write_empty_chunks", False),
            )
            for level in image.part.plan.levels
        ]
        images.append(LevelArrays(image.arrays, targets, image.read_back))
    delayed = write_graph(images, completions)
    if not options.compute:
        return delayed
    run(delayed, options.progress)
    return None


def _zarr_format(version: str) -> ZarrFormat:
    return 3 if version == "0.5" else 2


def _below(target: Target, path: str) -> Target:
    return Target(target.store, target.below(path), target.zarr_format)


def _root_of(target: Target, group: str) -> tuple[Target, str]:
    """The group that the user's store is, and the path of the image below it."""
    path = group.strip("/")
    return Target(target.store, target.path.removesuffix(path).strip("/"), target.zarr_format), path


def _completion(part: Part, target: Target) -> Completion:
    if part.measured is None:
        return Completion(target, part.attributes)
    coarsest = array_path(part.plan.levels[-1].number, part.plan.name)
    return Completion(target, part.attributes, coarsest, part.measured)


def _check_processes(store: Any) -> None:
    if is_in_memory(store) and crosses_processes():
        raise ValueError("a store in memory cannot be written by worker processes; write to a path")


def _check_part(part: Part) -> None:
    check_holdable(part.plan.axes, part.plan.name)
    check_encoding(part.encoding, part.plan)
    for number, image in enumerate(part.images):
        if image.dtype != part.images[0].dtype:  # which OME-Zarr's readers do not expect
            raise ValueError(
                f"scale{number} has dtype {image.dtype}, scale0 {part.images[0].dtype}; convert them alike, "
                f"e.g. with tree.map_over_datasets"
            )


def _lazy_variables(tree: xr.DataTree, plan: PyramidPlan) -> list[xr.DataArray]:
    """Everything in the tree that is still to be read, but the images of its scales."""
    levels = {f"/{level.name}" for level in plan.levels}
    found: list[xr.DataArray] = []
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        names = [name for name in dataset.variables if not (node.path in levels and name == plan.name)]
        found.extend(dataset[name] for name in names if not is_loaded(dataset[name].variable))
    return found
