"""Attributes of a tree's root: what makes it an OME-Zarr image when xarray writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msi_lazy.errors import UnsupportedImageError
from msi_lazy.ngff.omero import describe_channels
from msi_lazy.ngff.specifications import IN_MEMORY, ome_block
from msi_lazy.ngff.write_attributes import check_holdable, image_attributes, spec_order

if TYPE_CHECKING:
    import xarray as xr

    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["channel_block", "root_attributes"]

_MOST_CHANNELS = 2**14
"""Channels that are described unasked: nobody looks at more of them one by one, and it takes time."""


def channel_block(
    attributes: Mapping[Any, Any], image: xr.DataArray, plan: PyramidPlan, colors: Any = None, windows: Any = None
) -> dict[str, Any] | None:
    """``omero`` block of an image; none for one without channels, unless colours or windows are given.

    What the tree's root ``attributes`` say of a channel of the same name is kept.
    """
    channels = None if plan.channel_dim is None else plan.dims[plan.channel_dim]
    stored = ome_block(attributes).get("omero")
    if channels is None and colors is None and windows is None and stored is None:
        return None
    if channels is not None and image.sizes[channels] > _MOST_CHANNELS and colors is None and windows is None:
        return None
    if channels is None:
        chosen = next((c for c in ("c", "channel") if c in image.coords and not image.coords[c].ndim), None)
        unasked = chosen is None and colors is None and windows is None
        known = stored.get("channels") if isinstance(stored, Mapping) else None
        if unasked and isinstance(stored, Mapping) and not (isinstance(known, list) and len(known) == 1):
            return {**stored, "channels": []}  # nobody can say which of them this is
        names = [plan.name if chosen is None else str(image.coords[chosen].item())]
    elif channels in image.coords:
        names = [str(name) for name in image.coords[channels].values]
    else:
        names = [str(number) for number in range(image.sizes[channels])]
    return describe_channels(names, plan.dtype, stored, colors, windows)


def root_attributes(plan: PyramidPlan, omero: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Attributes that make the tree, written by xarray as it is, an OME-Zarr image.

    Empty where OME-Zarr cannot hold the image, or not with its dimensions in this order.
    """
    try:
        check_holdable(plan.axes, plan.name)
    except UnsupportedImageError:
        return {}
    return image_attributes(plan, IN_MEMORY, omero) if spec_order(plan.axes) == plan.dims else {}
