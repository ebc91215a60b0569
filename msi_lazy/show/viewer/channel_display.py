"""How each channel looks at first: what the image says, and windows measured where it says nothing."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.ngff.omero import (
    describe_channels,
    fill_windows,
    shown_channels,
    told_window,
    with_measured_windows,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import zarr

    from msi_lazy.ngff.parse_attributes import StoredImage

__all__ = ["channel_looks"]

_MOST_MEASURED = 16 * 2**20
"""Bytes of the coarsest level that are read to find a window, at most."""


def channel_looks(group: zarr.Group, image: StoredImage, block: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``omero`` channels of an image; one for an image without.

    Where a window says nothing of the image, one that is measured on the coarsest level takes its place, if that level
    is small.  No other pixel is read.
    """
    coarsest = _array(group, image.levels[-1].path)
    axis = image.kinds.index("channel") if "channel" in image.kinds else None
    names = [image.name or "image"]
    if axis is not None:
        count = coarsest.shape[axis]
        names = list(image.channels) if len(image.channels) == count else [str(number) for number in range(count)]
    omero = describe_channels(names, coarsest.dtype, block.get("omero"))
    told = [told_window(channel["window"], coarsest.dtype) for channel in omero["channels"]]
    small = prod(coarsest.shape) * coarsest.dtype.itemsize <= _MOST_MEASURED
    if small and None in told:
        samples = np.asarray(coarsest[...])
        planes = samples[np.newaxis] if axis is None else np.moveaxis(samples, axis, 0)
        colors = [channel["color"] for channel in omero["channels"]]
        omero = with_measured_windows(omero, fill_windows(planes, colors, told))
    shown = set(shown_channels(omero["channels"]))
    return [{**channel, "active": number in shown} for number, channel in enumerate(omero["channels"])]


def _array(group: zarr.Group, path: str) -> zarr.Array[Any]:
    array: Any = group[path]
    return array  # type: ignore[no-any-return]
