"""Building an ``xarray.DataTree`` from a plan and arrays, with coordinates and attributes of every level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from msi_lazy.ngff.kept_members import KEPT_ASIDE, keep_aside, keep_members
from msi_lazy.ngff.specifications import IN_MEMORY, foreign_attributes, image_members
from msi_lazy.tree.level_attributes import level_attributes
from msi_lazy.tree.level_coordinates import level_coordinates, warn_of_lost_coordinates
from msi_lazy.tree.read_plan import level_images, read_plan
from msi_lazy.tree.root_attributes import channel_block, root_attributes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.ngff.stored_image import StoredImage
    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.storage.open_image import OpenedImage

__all__ = ["ROOT_NAME", "build_tree", "refresh", "stack_levels", "transpose_tree"]

ROOT_NAME = "multiscales"


def build_tree(plan: PyramidPlan, arrays: Sequence[Any], image: xr.DataArray) -> xr.DataTree:
    """Build the tree of ``plan`` from ``arrays``, with the coordinates and attributes of ``image``."""
    nodes = {"/": xr.Dataset(attrs=root_attributes(plan, channel_block({}, image, plan)))}
    for level, array in zip(plan.levels, arrays, strict=True):
        coords = level_coordinates(plan, level, image)
        attrs = level_attributes(image.attrs, plan, level)
        encoding = {"chunks": level.chunks} | ({} if plan.nodata is None else {"nodata": plan.nodata.item()})
        nodes[level.name] = xr.Dataset({plan.name: (image.dims, array, attrs, encoding)}, coords, attrs)
    warn_of_lost_coordinates(image, coords)
    return xr.DataTree.from_dict(nodes, name=ROOT_NAME)


def stack_levels(opened: OpenedImage) -> xr.DataTree:
    """Build the tree of a stored image from its levels and the attributes of its group."""
    nodes = {"/": xr.Dataset(attrs=opened.attributes)}
    nodes |= {f"scale{number}": image.to_dataset(promote_attrs=True) for number, image in enumerate(opened.images)}
    return _stamp(xr.DataTree.from_dict(nodes, name=ROOT_NAME), opened.stored)


def refresh(tree: xr.DataTree) -> xr.DataTree:
    """Update the root attributes of a copy of a tree after edits, for xarray's own writer; others are kept."""
    return _stamp(tree, None)


def _stamp(tree: xr.DataTree, stored: StoredImage | None) -> xr.DataTree:
    """Update the root attributes of a copy of a tree; ``stored`` describes its image better than they do."""
    plan = read_plan(tree, check_nesting=False, stored=stored)
    stamped = root_attributes(plan, channel_block(tree.attrs, level_images(tree)[0], plan))
    if stamped:
        paths = [level.path for level in stored.levels] if stored else None
        stamped = keep_members(stamped, tree.attrs, plan.axes, paths)
        others = {name: value for name, value in image_members(tree.attrs).items() if name != KEPT_ASIDE}
        stamped = IN_MEMORY.place({**others, **IN_MEMORY.block_of(stamped)})
    else:
        stamped = keep_aside(tree.attrs)
    stamped_tree = tree.copy(deep=False)
    stamped_tree.attrs = {**foreign_attributes(tree.attrs), **stamped}
    return stamped_tree


def transpose_tree(tree: xr.DataTree, dims: Sequence[str]) -> xr.DataTree:
    """Transpose every image of a tree lazily."""
    nodes = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
    for number, image in enumerate(level_images(tree)):
        path = f"/scale{number}"
        nodes[path] = nodes[path].assign({image.name: image.transpose(*dims)})
    return xr.DataTree.from_dict(nodes, name=tree.name)
