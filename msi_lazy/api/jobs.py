"""Images to write, from the trees that users have: ordered as the specification wants, with their attributes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import xarray as xr

from msi_lazy.arguments.store_names import is_storable_name
from msi_lazy.errors import warn_user
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.ngff.kept_members import (
    custom_types,
    describe_missing_arrays,
    describe_unplaced,
    keep_members,
    name_system,
)
from msi_lazy.ngff.label_attributes import describe_labels
from msi_lazy.ngff.level_paths import DEFAULT_PATHS, LevelPaths
from msi_lazy.ngff.specifications import ome_block
from msi_lazy.ngff.write_attributes import check_holdable, image_attributes, left_out, spec_order
from msi_lazy.source.sources import lazy_array
from msi_lazy.tree.build_tree import transpose_tree
from msi_lazy.tree.read_plan import level_images, read_plan
from msi_lazy.tree.root_attributes import channel_block
from msi_lazy.write.job import ImageJob
from msi_lazy.write.layout import resolve_layouts
from msi_lazy.write.lost_coordinates import describe_lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.storage.place import Place

__all__ = ["default_shards", "image_job", "label_job", "name_systems", "warn_of_omissions"]


def image_job(
    tree: xr.DataTree, specification: Specification, *, colors: Any, windows: Any, paths: LevelPaths, **packing: Any
) -> ImageJob:
    """Describe an image with the layouts of its levels, and warn of what it has that OME-Zarr has no place for.

    ``packing`` is that of :func:`msi_lazy.write.layout.resolve_layouts`.
    """
    job = _image_job(tree, specification, colors=colors, windows=windows, paths=paths)
    warn_of_omissions(job, paths)
    layouts = resolve_layouts(job.plan, specification.zarr_format, paths=paths, **packing)
    return dataclasses.replace(job, layouts=layouts)


def _image_job(
    tree: xr.DataTree, specification: Specification, *, colors: Any, windows: Any, paths: LevelPaths = DEFAULT_PATHS
) -> ImageJob:
    """Describe the image of a pyramid; ``colors``, ``windows`` and ``paths`` as for :func:`msi_lazy.to_zarr`."""
    job = _ordered_job(tree)
    plan = job.plan
    omero = channel_block(job.tree.attrs, level_images(job.tree)[0], plan, colors, windows)
    channels = plan.channel_dim
    measured = None
    if isinstance(windows, str):
        if windows != "auto":
            raise ValueError(f"windows must be 'auto', a sequence of pairs or a dict, not {windows!r}")
        if channels is None:
            raise ValueError(
                "windows='auto' needs a channel dimension; give windows=[(start, end)] for an image without"
            )
        measured = channels
    attributes = image_attributes(plan, specification, omero, paths=paths)
    attributes = keep_members(attributes, job.tree.attrs, plan.axes)
    return dataclasses.replace(job, attributes=attributes, measured=measured)


def default_shards(shards: Any, place: Place, specification: Specification) -> Any:
    """Shards that are asked for; by default those of ``.ozx`` files are the blocks, as RFC-9 recommends."""
    return "auto" if shards is None and place.is_ozx and specification.fits(3) else shards


def label_job(
    tree: xr.DataTree,
    name: str,
    specification: Specification,
    *,
    colors: Any = None,
    properties: Any = None,
    paths: LevelPaths = DEFAULT_PATHS,
) -> ImageJob:
    """Describe a label image of a name; ``colors`` and ``properties`` as for :func:`msi_lazy.write_labels`."""
    if not is_storable_name(name):
        raise ValueError(
            f"the name of a label image must be a string without '/' that can be a path in a store, not {name!r}"
        )
    if not isinstance(tree, xr.DataTree):
        raise TypeError(f"labels {name!r} must be a pyramid, as to_multiscale builds it, not {type(tree).__name__}")
    job = _ordered_job(tree)
    stored = ome_block(job.tree.attrs).get("image-label")
    label = describe_labels(colors, properties, stored)
    attributes = image_attributes(job.plan, specification, label=label, paths=paths)
    attributes = keep_members(attributes, job.tree.attrs, job.plan.axes)
    return dataclasses.replace(job, attributes=attributes, path=f"labels/{name}")


def _ordered_job(tree: xr.DataTree) -> ImageJob:
    """Describe the image of a tree, transposed lazily to the order of the specification."""
    plan = read_plan(tree)
    check_holdable(plan.axes, plan.name)
    origin, order = None, spec_order(plan.axes)
    if order != plan.dims:
        origin = _levels_of(tree)
        tree, plan = transpose_tree(tree, order), plan.transposed(order)
    return ImageJob(tree, _levels_of(tree), plan, {}, origin=origin)


def name_systems(jobs: Sequence[ImageJob], name: Any) -> list[ImageJob]:
    """Name the coordinate system of an image and its labels; ``None`` leaves it.  Raises as ``name_system`` does."""
    if name is None:
        return list(jobs)
    return [dataclasses.replace(job, attributes=name_system(job.attributes, name)) for job in jobs]


def warn_of_omissions(job: ImageJob, paths: LevelPaths = DEFAULT_PATHS) -> None:
    """Warn of what the image has, and OME-Zarr, or levels at such paths, have no place for."""
    for missing in (
        left_out(job.plan.axes, custom_types(job.tree.attrs)),
        describe_unplaced(job.attributes),
        describe_missing_arrays(job.attributes),
    ):
        if missing:
            warn_user(missing)
    lost = "" if paths == DEFAULT_PATHS else describe_lost(job)
    if lost:
        of = f"the labels {job.path.rpartition('/')[2]!r}" if job.path else "the image"
        warn_user(
            f"{of}, with paths={paths!r}, whose levels have no group for coordinates, is stored without {lost}: "
            f"paths={DEFAULT_PATHS!r} stores that, too"
        )


def _levels_of(tree: xr.DataTree) -> LevelGraph:
    return LevelGraph.of([lazy_array(image) for image in level_images(tree)])
