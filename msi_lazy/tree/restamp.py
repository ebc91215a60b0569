"""Root attributes of a tree after an edit, display settings of channels included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from msi_lazy.axes import axis_kind
from msi_lazy.ngff.channel_names import channel_name
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.specifications import IN_MEMORY, foreign_attributes, image_members, ome_block
from msi_lazy.tree.build_tree import refresh
from msi_lazy.tree.map_levels import dims_of, level_along
from msi_lazy.tree.read_plan import level_images, read_plan

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np

__all__ = ["name_channels", "order_channels", "restamp"]


def restamp(edited: xr.DataTree) -> xr.DataTree:
    """Update the root attributes of an edited tree in place, if it is a pyramid, and return it."""
    pyramid = _pyramid_of(edited)
    if pyramid is None:
        return edited
    others = {
        name: value for name, value in image_members(edited.attrs).items() if name not in ("multiscales", "version")
    }
    read_plan(pyramid, check_nesting=False)
    try:
        edited.attrs = refresh(pyramid).attrs
    except ValueError:  # levels that are edited one by one contradict each other for a while
        edited.attrs = foreign_attributes(edited.attrs)
    if others and not ome_block(edited.attrs):  # display settings hold in any order of dimensions
        edited.attrs = {**edited.attrs, **IN_MEMORY.place(others)}
    return edited


def _pyramid_of(tree: xr.DataTree) -> xr.DataTree | None:
    """Select the image of a tree: the only one in its levels, or that of the root's attributes."""
    try:
        level_images(tree)
        return tree
    except ValueError:
        pass
    try:
        name = parse_image({str(key): value for key, value in tree.attrs.items()}).name
        nodes = {path: node.to_dataset()[[name]] for path, node in tree.children.items() if name in node.data_vars}
        pyramid = xr.DataTree.from_dict({"/": xr.Dataset(attrs=tree.attrs), **nodes}, name=tree.name)
        level_images(pyramid)
        return pyramid
    except ValueError:
        return None


def order_channels(tree: xr.DataTree, dim: Hashable, positions: np.ndarray[Any, Any]) -> None:
    """Reorder the display settings in the root's attributes as the channels were."""
    channels = _channels(tree, dim)
    if channels:
        known = [position for position in positions if 0 <= position < len(channels)]
        ome_block(tree.attrs)["omero"]["channels"] = [dict(channels[position]) for position in known]


def name_channels(tree: xr.DataTree, dim: Hashable) -> None:
    """Rename the channels in the root's attributes by the coordinates."""
    channels = _channels(tree, dim)
    names = level_along(dim, tree)[dim].values if channels else ()
    for channel, name in zip(channels, names, strict=False):
        channel["label"] = channel_name(name)


def _channels(tree: xr.DataTree, dim: Hashable) -> list[dict[str, Any]]:
    """Display settings of channels in the root's attributes, if ``dim`` is that of the channels."""
    omero, dims = ome_block(tree.attrs).get("omero"), dims_of(tree)
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list) or not all(isinstance(channel, dict) for channel in channels):
        return []
    return channels if dim in dims and axis_kind(str(dim)) == "channel" else []
