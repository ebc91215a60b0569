"""Creating what a pyramid is stored in: groups, coordinates, empty arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import xarray as xr
import zarr
from xarray.backends import ZarrStore
from zarr.storage import MemoryStore

from msi_lazy.axes import storable_coordinate
from msi_lazy.compat.dask_arrays import classic_array
from msi_lazy.ngff.specifications import foreign_attributes
from msi_lazy.source.sources import is_in_memory
from msi_lazy.storage.target import Target, store_contents, write_attributes
from msi_lazy.write.layout import array_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zarr.core.buffer import Buffer

    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan
    from msi_lazy.storage.place import ZarrFormat
    from msi_lazy.write.job import Part

__all__ = [
    "asked_settings",
    "check_encoding",
    "compose_hierarchy",
    "create_hierarchy",
    "loaded_coordinates",
    "write_coordinates",
]

_LAYOUT = ("chunks", "shards")
_CODECS = ("compressors", "filters", "serializer")
_SETTINGS = (*_LAYOUT, *_CODECS, "fill_value", "write_empty_chunks")


def check_encoding(encoding: Any, plan: PyramidPlan) -> Mapping[str, Any]:
    """Refuse an ``encoding`` that names what is not in the tree, or settings that change values.

    Raises
    ------
    TypeError
        Not a mapping of nodes to mappings of variables to mappings of settings.
    ValueError
        An unknown node, variable or setting, or chunks of another rank than the image.
    """
    if encoding is None:
        return {}
    form = "encoding has the form {'/scale0': {'image': {'chunks': (64, 64)}}}"
    if not isinstance(encoding, dict) or not all(isinstance(value, dict) for value in encoding.values()):
        raise TypeError(f"{form}, not {encoding!r}")
    for node, variables in encoding.items():
        if str(node).removeprefix("/") not in {level.name for level in plan.levels}:
            raise ValueError(f"encoding names the node {node!r}; the scales are '/scale0' to '/{plan.levels[-1].name}'")
        for name, settings in variables.items():
            if name != plan.name:
                raise ValueError(f"encoding names the variable {name!r}; the image is called {plan.name!r}")
            if not isinstance(settings, dict):
                raise TypeError(f"{form}, not {encoding!r}")
            unknown = [setting for setting in settings if setting not in _SETTINGS]
            if unknown:
                raise ValueError(
                    f"encoding of {node!r} has the setting {unknown[0]!r}; those that leave the values as they are can "
                    f"be set: {', '.join(_SETTINGS)}"
                )
            for setting in _LAYOUT:
                _check_lengths(settings.get(setting), setting, node, len(plan.dims))
    return encoding


def _check_lengths(lengths: Any, setting: str, node: str, ndim: int) -> None:
    if lengths is None:
        return
    whole = isinstance(lengths, (tuple, list)) and all(type(n) is int and n > 0 for n in lengths)
    if not whole or len(lengths) != ndim:
        raise ValueError(f"encoding of {node!r}: {setting} must be {ndim} positive integers, not {lengths!r}")


def asked_settings(encoding: Mapping[str, Any], level: LevelPlan, plan: PyramidPlan) -> Mapping[str, Any]:
    """The settings that ``encoding`` has for the image of a level."""
    settings: Mapping[str, Any] = encoding.get(f"/{level.name}", encoding.get(level.name, {})).get(plan.name, {})
    return settings


def loaded_coordinates(tree: xr.DataTree) -> xr.DataTree:
    """Tree whose coordinates, and variables of a single value, are in memory: they are small, and written at once."""
    nodes = {}
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        coords = {name: _loaded(c.variable) for name, c in dataset.coords.items()}
        changed = {name: loaded for name, loaded in coords.items() if loaded is not dataset[name].variable}
        single = {name: _loaded(v.variable) for name, v in dataset.data_vars.items() if not v.ndim}
        nodes[node.path] = dataset.assign_coords(changed).assign(single)
    return xr.DataTree.from_dict(nodes, name=tree.name)


def _loaded(coordinate: xr.Variable) -> xr.Variable:
    """``coordinate`` in memory, as it can be stored."""
    return storable_coordinate(coordinate if is_in_memory(coordinate) else coordinate.compute())


def compose_hierarchy(part: Part, tree: xr.DataTree, zarr_format: ZarrFormat) -> dict[str, Buffer]:
    """Make groups, coordinates and empty arrays in memory: what cannot be stored is found before anything is touched.

    The image's own attributes are tried too, but left out of what is returned: they come last of all.

    Parameters
    ----------
    part
        The image.
    tree
        Its tree, coordinates in memory.
    zarr_format
        Zarr version.

    Returns
    -------
    dict
        What to store, by key.

    Raises
    ------
    ValueError
        A setting or an attribute that zarr or xarray refuses, in their words.
    """
    made: dict[str, Buffer] = {}
    target = Target(MemoryStore(made), zarr_format=zarr_format)
    plan = part.plan
    settings = [
        array_settings(
            plan, level, part.shards, part.compressors, asked_settings(part.encoding, level, plan), zarr_format
        )
        for level in plan.levels
    ]
    try:
        zarr.open_group(target.store, mode="w-", zarr_format=zarr_format)
        root = tree.to_dataset(inherit=False)
        root.attrs = foreign_attributes(tree.attrs)
        _write_dataset(target, "", root, {})
        for level, layout in zip(plan.levels, settings, strict=True):
            _write_level(target, tree.children[level.name], plan, level, layout)
            target.open_level(level.number, plan.name)
        contents = dict(made)
        write_attributes(target, part.attributes)
        _try_others(tree, plan, zarr_format)
    except Exception as error:  # whatever a codec, or an attribute that is no JSON, may raise
        raise ValueError(
            f"the pyramid cannot be stored with these encoding, compressors and attributes: {error!r}"
        ) from error
    return contents


def create_hierarchy(target: Target, tree: xr.DataTree, plan: PyramidPlan, contents: Mapping[str, Buffer]) -> None:
    """Store ``contents``, as :func:`compose_hierarchy` made them, and write other nodes of the tree as they are."""
    store_contents(target, contents)
    for name, dataset in _others(tree, plan):
        _write_dataset(target, name, dataset, {})


def _others(tree: xr.DataTree, plan: PyramidPlan) -> Iterator[tuple[str, xr.Dataset]]:
    """The nodes of a tree that are no scales."""
    levels = {level.name for level in plan.levels}
    for node in tree.subtree:
        name = node.path.strip("/")
        if name and name not in levels:
            yield name, node.to_dataset(inherit=False)


def _try_others(tree: xr.DataTree, plan: PyramidPlan, zarr_format: ZarrFormat) -> None:
    """Write the metadata of other nodes into memory; their arrays are not computed."""
    target = Target(MemoryStore(), zarr_format=zarr_format)
    zarr.open_group(target.store, mode="w-", zarr_format=zarr_format)
    for name, dataset in _others(tree, plan):
        _write_dataset(target, name, dataset.chunk(), {}, compute=False)


def _write_level(
    target: Target, node: xr.DataTree, plan: PyramidPlan, level: LevelPlan, layout: Mapping[str, Any]
) -> None:
    """Write the coordinates and attributes of a level, and create its array, empty."""
    dataset = node.to_dataset(inherit=False)
    image = dataset[plan.name].variable
    blank = classic_array(da.zeros(image.shape, dtype=image.dtype, chunks=image.shape))
    dataset = dataset.assign({plan.name: xr.Variable(image.dims, blank, image.attrs)}).drop_encoding()
    options: dict[str, Any] = {"group": target.below(level.name), "zarr_format": target.zarr_format}
    # as to_zarr(compute=False) does, which also makes a graph of what is not to be stored
    dataset.dump_to_store(ZarrStore.open_group(target.store, mode="a", **options), encoding={plan.name: layout})


def write_coordinates(target: Target, name: str, node: xr.DataTree) -> None:
    """Write the coordinates and attributes of a level into the group that its array is in."""
    dataset = node.to_dataset(inherit=False)
    bare = dataset.drop_vars(list(dataset.data_vars)).drop_encoding()
    _write_dataset(target, name, bare.assign_coords({k: _loaded(c.variable) for k, c in bare.coords.items()}), {})


def _write_dataset(
    target: Target, name: str, dataset: xr.Dataset, settings: Mapping[Any, Any], compute: bool = True
) -> None:
    options: dict[str, Any] = {"mode": "a", "zarr_format": target.zarr_format, "consolidated": False}
    options |= {"compute": compute, "encoding": settings}
    dataset.to_zarr(target.store, group=target.below(name) or None, **options)
