"""Attributes of a tree's root, with which xarray's own writer stores an OME-Zarr image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msi_lazy.axes import axis_kind
from msi_lazy.errors import UnsupportedImageError
from msi_lazy.ngff.channel_names import channel_name
from msi_lazy.ngff.omero import describe_channels
from msi_lazy.ngff.specifications import IN_MEMORY, ome_block
from msi_lazy.ngff.write_attributes import check_holdable, image_attributes, spec_order

if TYPE_CHECKING:
    import xarray as xr

    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["channel_block", "root_attributes"]

_MOST_CHANNELS = 2**14
"""Most channels that are described by default: more take time, and nobody views them one by one."""


def channel_block(
    attributes: Mapping[Any, Any], image: xr.DataArray, plan: PyramidPlan, colors: Any = None, windows: Any = None
) -> dict[str, Any] | None:
    """Compose the ``omero`` block of an image; ``None`` without channels, unless colours or windows are given.

    Channels of the same names in the root's ``attributes`` are kept.
    """
    channels = None if plan.channel_dim is None else plan.dims[plan.channel_dim]
    stored = ome_block(attributes).get("omero")
    if channels is None and colors is None and windows is None and stored is None:
        return None
    if channels is not None and image.sizes[channels] > _MOST_CHANNELS and colors is None and windows is None:
        return None
    if channels is None:
        single = [name for name, coord in image.coords.items() if not coord.ndim and axis_kind(str(name)) == "channel"]
        chosen = single[0] if single else None
        by_default = chosen is None and colors is None and windows is None
        known = stored.get("channels") if isinstance(stored, Mapping) else None
        if by_default and isinstance(stored, Mapping) and not (isinstance(known, list) and len(known) == 1):
            return {**stored, "channels": []}  # which of them this is, is unknown
        names = [plan.name if chosen is None else channel_name(image.coords[chosen].item())]
    elif channels in image.coords:
        names = [channel_name(name) for name in image.coords[channels].values]
    else:
        names = [str(number) for number in range(image.sizes[channels])]
    return describe_channels(names, plan.dtype, stored, colors, windows)


def root_attributes(plan: PyramidPlan, omero: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Compose the attributes of a tree's root; empty if OME-Zarr cannot hold the image in this order of dimensions."""
    try:
        check_holdable(plan.axes, plan.name)
    except UnsupportedImageError:
        return {}
    return image_attributes(plan, IN_MEMORY, omero) if spec_order(plan.axes) == plan.dims else {}
