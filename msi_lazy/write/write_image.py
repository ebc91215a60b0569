"""Writing pyramids as OME-Zarr: check everything, create, compute."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version as package_version
from math import prod
from typing import TYPE_CHECKING
from uuid import uuid4

from msi_lazy.errors import StoreExistsError
from msi_lazy.graph.direct import block_geometry
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.write_graph import LevelArrays, align_blocks, write_graph
from msi_lazy.ngff.write_attributes import array_path, check_holdable
from msi_lazy.run.compute import compute
from msi_lazy.run.scheduler import check_processes
from msi_lazy.run.watch import watch_write
from msi_lazy.source.origins import origins
from msi_lazy.source.sources import is_in_memory as is_loaded
from msi_lazy.source.sources import lazy_array
from msi_lazy.storage.arrays import is_lossless
from msi_lazy.storage.ledger import LEDGER, StoredLedger, empty_group
from msi_lazy.storage.target import Target, find_target, open_target
from msi_lazy.write.begin import begin_write
from msi_lazy.write.fingerprint import fingerprint_part
from msi_lazy.write.finish import Completion, ListImage, ListLabels
from msi_lazy.write.hierarchy import (
    asked_settings,
    check_encoding,
    compose_hierarchy,
    create_hierarchy,
    loaded_coordinates,
)
from msi_lazy.write.layout import write_unit
from msi_lazy.write.overlap import refuse_overlap
from msi_lazy.write.projection import project_write
from msi_lazy.write.target_checks import check_parents, check_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import xarray as xr
    from dask.delayed import Delayed
    from zarr.core.buffer import Buffer

    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.source.origins import Source
    from msi_lazy.storage.place import Place, ZarrFormat
    from msi_lazy.write.job import Part, WriteOptions

__all__ = ["write_image", "write_labels_into"]

_RESUMABLE = "what is stored so far is kept: to_zarr(..., resume=True) goes on from there"


def write_image(parts: Sequence[Part], place: Place, options: WriteOptions) -> Delayed | None:
    """Write an image, the first of ``parts``, and the label images below it; see :func:`msi_lazy.to_zarr`."""
    names = tuple(part.path.rpartition("/")[2] for part in parts[1:])
    parts = [parts[0], *sorted(parts[1:], key=lambda part: part.path)]  # blocks are numbered in this order
    for part in parts:
        _check_part(part)
    levels = [LevelGraph.of([lazy_array(image) for image in part.images]) for part in parts]
    read = [array for one in levels for array in one.arrays]
    read += [lazy_array(variable) for part in parts for variable in _lazy_variables(part.tree, part.plan)]
    specification = options.specification
    zarr_format = specification.zarr_format
    check_parents(place, specification)
    doubtful = check_target(place, options.mode, origins(read), options.resume)
    check_processes(place)
    prepared = _prepare(parts, levels, zarr_format, options)
    images = {
        image.part.path: fingerprint_part(image.part, image.levels, image.contents, options.source_id)
        for image in prepared
    }
    fingerprint = {"msi_lazy": package_version("msi-lazy"), "images": images}
    blocks = sum(prod(grid.counts) for image in prepared for grid in block_geometry(image.levels))
    begun = begin_write(place, options, zarr_format, fingerprint, blocks, doubtful)
    target = begun.target
    completions: list[Callable[[], None]] = []
    if names:
        completions = [_completion(part, target.child(part.path)) for part in parts[1:]]
        completions.append(ListLabels(target, names, specification))
    completions.append(_completion(parts[0], target))
    if place.group:
        root = Target(target.store, place.base, place.given, place.base, zarr_format)
        completions.append(ListImage(root, place.group, specification))
    completions += [*begun.completions, begun.ledger.remove]
    created = [_create(image, target) for image in prepared]
    watch = watch_write(created, options.run, begun.ledger, begun.done)
    return compute(write_graph(created, completions, watch.ledger, begun.done), options.run, watch, _RESUMABLE)


def write_labels_into(part: Part, place: Place, options: WriteOptions) -> Delayed | None:
    """Write a label image below an image that exists; see :func:`msi_lazy.write_labels`."""
    _check_part(part)
    levels = LevelGraph.of([lazy_array(image) for image in part.images])
    others = [lazy_array(variable) for variable in _lazy_variables(part.tree, part.plan)]
    image = find_target(place)
    if not options.specification.fits(image.zarr_format):
        raise ValueError(
            f"the image says that it is OME-Zarr {options.specification.version}, but it is stored as Zarr "
            f"v{image.zarr_format}; write it again, and labels with it"
        )
    where = image.child(part.path)
    exists = where.open_node() is not None
    if exists and options.mode == "w-":
        raise StoreExistsError(f"the store holds {where.path!r} already; pass mode='w' to overwrite it")
    doubtful = check_target(where, options.mode, origins([*levels.arrays, *others]))
    check_processes(place)
    (prepared,) = _prepare([part], [levels], image.zarr_format, options)
    label = open_target(where, image.zarr_format, exists=exists)
    if exists:
        _refuse_overlap_unledgered(label, doubtful)
        empty_group(label)
    name = part.path.rpartition("/")[2]
    listing = ListLabels(image, (name,), options.specification)
    completions: list[Callable[[], None]] = [_completion(part, where), listing]
    created = [_create(prepared, image)]
    watch = watch_write(created, options.run)
    return compute(write_graph(created, completions, watch.ledger), options.run, watch)


def _refuse_overlap_unledgered(target: Target, doubtful: Sequence[Source]) -> None:
    """Refuse a target that holds a source, of a write that keeps no ledger: one is laid for a moment."""
    if doubtful:
        ledger = StoredLedger(target, uuid4().hex)
        try:
            ledger.lay_witness()
            refuse_overlap(ledger, doubtful)
        finally:
            target.delete(LEDGER)


@dataclass(frozen=True)
class _Prepared:
    """An image that can be stored: everything that can go wrong before a sample is read has been tried."""

    part: Part
    tree: xr.DataTree
    levels: LevelGraph
    contents: Mapping[str, Buffer]
    read_back: Sequence[bool]
    lossless: bool


def _prepare(
    parts: Sequence[Part], images: Sequence[LevelGraph], zarr_format: ZarrFormat, options: WriteOptions
) -> list[_Prepared]:
    lossless = [not part.encoding and (part.compressors == "auto" or is_lossless(part.compressors)) for part in parts]
    may = [same and levels.is_whole for same, levels in zip(lossless, images, strict=True)]
    read_back = project_write(parts, images, options.memory_limit, may)
    prepared = []
    for part, levels, again, same in zip(parts, images, read_back, lossless, strict=True):
        tree = loaded_coordinates(part.tree)
        contents = compose_hierarchy(part, tree, zarr_format)
        prepared.append(_Prepared(part, tree, _aligned(part, levels), contents, again, same))
    return prepared


def _aligned(part: Part, levels: LevelGraph) -> LevelGraph:
    """Every level in blocks of whole chunks or shards."""
    asked = (asked_settings(part.encoding, level, part.plan) for level in part.plan.levels)
    pairs = zip(part.plan.levels, asked, strict=True)
    return align_blocks(levels, [write_unit(level, part.plan, part.shards, settings) for level, settings in pairs])


def _create(image: _Prepared, target: Target) -> LevelArrays:
    """Create what is prepared below ``target``."""
    plan, below = image.part.plan, target.child(image.part.path)
    create_hierarchy(below, image.tree, plan, image.contents)
    targets = []
    for level in plan.levels:
        settings = asked_settings(image.part.encoding, level, plan)
        targets.append(below.open_level(level.number, plan.name, settings.get("write_empty_chunks", False)))
    return LevelArrays(image.levels, targets, image.read_back, image.lossless, path=image.part.path)


def _completion(part: Part, target: Target) -> Completion:
    if part.measured is None:
        return Completion(target, part.attributes)
    coarsest = array_path(part.plan.levels[-1].number, part.plan.name)
    return Completion(target, part.attributes, coarsest, part.measured)


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
