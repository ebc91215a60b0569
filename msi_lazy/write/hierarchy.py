"""Creating the groups, coordinates and empty arrays of a pyramid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask.array as da
import xarray as xr
from zarr.storage import MemoryStore

from msi_lazy.arguments.json_values import Omissions, to_json
from msi_lazy.compat.dask_arrays import classic_array
from msi_lazy.compat.xarray_backends import PlainZarrStore
from msi_lazy.ngff.specifications import foreign_attributes
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.target import Target, store_contents, write_attributes
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zarr.abc.buffer import Buffer

    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.storage.place import ZarrFormat
    from msi_lazy.write.job import ImageJob
    from msi_lazy.write.layout import LevelLayout

__all__ = ["compose_hierarchy", "create_hierarchy", "write_coordinates"]


def compose_hierarchy(job: ImageJob, zarr_format: ZarrFormat) -> ImageJob:
    """Compose groups, coordinates and empty arrays in memory, so that a failure leaves the store untouched.

    The job is one of :func:`msi_lazy.write.storable.make_storable`, whose coordinates are in memory.
    The image's own attributes are tried too, but left out of the contents: they are written last of all.

    Returns
    -------
    ImageJob
        The same image, with ``contents``, ``final`` and ``others``.

    Raises
    ------
    ValueError
        A setting or an attribute that zarr or xarray refuses, in their words.
    """
    composed: dict[str, Buffer] = {}
    target = Target(MemoryStore(composed), zarr_format=zarr_format)
    tree = job.tree
    others = dict(_others(tree, job.plan))
    try:
        target.open_group("w-", zarr_format)
        root = tree.to_dataset(inherit=False)
        root.attrs = foreign_attributes(tree.attrs)
        _write_dataset(target, "", root, {})
        for level, layout in zip(job.plan.levels, job.layouts, strict=True):
            _write_level(target, tree.children[level.name], job.plan.name, layout)
            open_array(target.store, layout.path)
        contents = dict(composed)
        write_attributes(target, job.attributes)
        final = {key: content for key, content in composed.items() if contents.get(key) is not content}
        _try_others(others, zarr_format)
    except Exception as error:  # whatever a codec, or an attribute that is no JSON, may raise
        raise ValueError(
            f"the pyramid cannot be stored with these encoding, compressors and attributes: {error!r}"
        ) from error
    return replace(job, contents=contents, final=final, others=others)


def create_hierarchy(target: Target, job: ImageJob, *, unseen: bool) -> None:
    """Store what :func:`compose_hierarchy` composed, and write other nodes of the tree as they are."""
    store_contents(target, job.contents, unseen=unseen)
    for name, dataset in job.others.items():
        _write_dataset(target, name, dataset, {})


def _others(tree: xr.DataTree, plan: PyramidPlan) -> Iterator[tuple[str, xr.Dataset]]:
    """Nodes of a tree besides its scales."""
    levels = {level.name for level in plan.levels}
    for node in tree.subtree:
        name = node.path.strip("/")
        if name and name not in levels:
            yield name, node.to_dataset(inherit=False)


def _try_others(others: Mapping[str, xr.Dataset], zarr_format: ZarrFormat) -> None:
    """Write the metadata of other nodes into memory, without computing their arrays."""
    target = Target(MemoryStore(), zarr_format=zarr_format)
    target.open_group("w-", zarr_format)
    for name, dataset in others.items():
        _write_dataset(target, name, dataset.chunk(), {}, compute=False)


def _write_level(target: Target, node: xr.DataTree, image_name: str, layout: LevelLayout) -> None:
    """Create the array of a level, empty, and write coordinates and attributes into its group, if it has one."""
    group, _, name = layout.path.rpartition("/")
    dataset = node.to_dataset(inherit=False)
    image = dataset[image_name].variable
    blank = classic_array(da.zeros(image.shape, dtype=image.dtype, chunks=image.shape))
    level = xr.Variable(image.dims, blank, image.attrs)
    dataset = dataset.assign({name: level}).drop_encoding() if group else xr.Dataset({name: level})
    # as to_zarr(compute=False) does, which also builds a graph that would store the samples
    dataset.dump_to_store(_open_plain(target, group), encoding={name: layout.encoding})
    if "_FillValue" in image.attrs and store_format(target.zarr_format).fill_value_is_mask:  # stated as it was, too
        array = open_array(target.store, target.below(layout.path), "r+")
        array.attrs["_FillValue"] = to_json(image.attrs, "attrs", Omissions())["_FillValue"]


def write_coordinates(target: Target, name: str, node: xr.DataTree) -> None:
    """Write the coordinates and attributes of a level into the group that its array is in."""
    dataset = node.to_dataset(inherit=False)
    dataset.drop_vars(list(dataset.data_vars)).drop_encoding().dump_to_store(_open_plain(target, name))


def _open_plain(target: Target, group: str) -> PlainZarrStore:
    options: dict[str, Any] = {"group": target.below(group), "zarr_format": target.zarr_format}
    store: PlainZarrStore = PlainZarrStore.open_group(target.store, mode="a", **options)
    return store


def _write_dataset(
    target: Target, name: str, dataset: xr.Dataset, settings: Mapping[Any, Any], compute: bool = True
) -> None:
    options: dict[str, Any] = {"mode": "a", "zarr_format": target.zarr_format, "consolidated": False}
    options |= {"compute": compute, "encoding": settings}
    dataset.to_zarr(target.store, group=target.below(name) or None, **options)
