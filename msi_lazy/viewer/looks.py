"""How each channel looks at first: what the image says, and windows measured where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.ngff.omero import describe_channels, with_measured_windows

if TYPE_CHECKING:
    import zarr

    from msi_lazy.ngff.read import StoredImage

__all__ = ["channel_looks", "label_colors"]

_MOST_MEASURED = 16 * 2**20
"""Bytes of the coarsest level that are read to find a window, at most."""


def channel_looks(group: zarr.Group, image: StoredImage, block: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``omero`` channels of an image; one for an image without.

    A window that spans the whole dtype, of more than 8 bits, says nothing of the image: most would look black.  The
    range of the coarsest level takes its place, if that level is small.  No other pixel is read.
    """
    coarsest = _array(group, image.levels[-1].path)
    axis = image.kinds.index("channel") if "channel" in image.kinds else None
    names = [image.name or "image"]
    if axis is not None:
        count = coarsest.shape[axis]
        names = list(image.channels) if len(image.channels) == count else [str(number) for number in range(count)]
    omero = describe_channels(names, coarsest.dtype, block.get("omero"))
    known = describe_channels(names, coarsest.dtype)["channels"]
    untold = [one["window"] == whole["window"] for one, whole in zip(omero["channels"], known, strict=True)]
    small = prod(coarsest.shape) * coarsest.dtype.itemsize <= _MOST_MEASURED
    if coarsest.dtype.itemsize > 1 and small and any(untold):
        ranges = _measure(np.asarray(coarsest[...]), axis)
        ranges = [
            found if no_window else (channel["window"]["start"], channel["window"]["end"])
            for found, no_window, channel in zip(ranges, untold, omero["channels"], strict=True)
        ]
        omero = with_measured_windows(omero, ranges)
    return list(omero["channels"])


def _measure(samples: np.ndarray[Any, Any], axis: int | None) -> list[tuple[float, float]]:
    """Smallest and largest finite sample of each channel."""
    found = []
    for channel in [samples] if axis is None else np.moveaxis(samples, axis, 0):
        valid = channel[np.isfinite(channel)]
        start, end = (valid.min().item(), valid.max().item()) if valid.size else (0, 1)
        found.append((start, end if end > start else start + 1))
    return found


def _array(group: zarr.Group, path: str) -> zarr.Array[Any]:
    array: Any = group[path]
    return array  # type: ignore[no-any-return]


def label_colors(block: Mapping[str, Any]) -> dict[int, str]:
    """Colours that an ``image-label`` block gives to labels, as ``#rrggbb``; what is malformed is left out.

    Examples
    --------
    >>> label_colors({"image-label": {"colors": [{"label-value": 1, "rgba": [255, 128, 0, 255]}, {"label-value": 2}]}})
    {1: '#ff8000'}
    """
    described = block.get("image-label")
    colors = described.get("colors") if isinstance(described, Mapping) else None
    found = {}
    for color in colors if isinstance(colors, list) else ():
        value, rgba = (
            (color.get(key) for key in ("label-value", "rgba")) if isinstance(color, Mapping) else (None, None)
        )
        if isinstance(value, bool) or not isinstance(value, int) or not isinstance(rgba, list) or len(rgba) < 3:
            continue
        if all(isinstance(part, int) and 0 <= part <= 255 for part in rgba[:3]):
            found[value] = "#" + bytes(rgba[:3]).hex()
    return found
