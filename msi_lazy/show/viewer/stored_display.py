"""Display settings of a stored image, with display ranges measured where it states none."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.ngff.channel_display import read_display
from msi_lazy.ngff.channel_names import are_names
from msi_lazy.ngff.omero import describe_channels, fill_windows
from msi_lazy.storage.place import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    import zarr

    from msi_lazy.ngff.channel_display import ChannelDisplay
    from msi_lazy.ngff.stored_image import StoredImage

__all__ = ["stored_display"]

_MOST_MEASURED = 16 * 2**20
"""Most bytes of the coarsest level that are read to measure a display range."""


def stored_display(group: zarr.Group, image: StoredImage, block: Mapping[str, Any]) -> tuple[ChannelDisplay, ...]:
    """Return the display settings of each channel of an image, or of one if it has none.

    A display range that is not stated is measured on the coarsest level, if that is small.  No other pixel is read.
    """
    coarsest: Any = Place.of(group).child(image.levels[-1].path).open_array()
    axis = image.kinds.index("channel") if "channel" in image.kinds else None
    names = [image.name or "image"]
    if axis is not None:
        count = coarsest.shape[axis]
        names = [str(number) for number in range(count)]
        if len(image.channels) == count and are_names(image.channels):
            names = [str(label) for label in image.channels]
    display = read_display(describe_channels(names, coarsest.dtype, block.get("omero"))["channels"], coarsest.dtype)
    stated = [one.stated for one in display]
    if None not in stated or prod(coarsest.shape) * coarsest.dtype.itemsize > _MOST_MEASURED:
        return display
    samples = np.asarray(coarsest[...])
    planes = samples[np.newaxis] if axis is None else np.moveaxis(samples, axis, 0)
    ranges = fill_windows(planes, [one.color for one in display], stated)
    return tuple(one.with_range(measured) for one, measured in zip(display, ranges, strict=True))
