"""How a tree looks: its channels' colours and windows, or its labels' colours, as its attributes have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.attributes import channel_block, ome_attributes
from msi_lazy.methods.table import makes_labels
from msi_lazy.ngff.omero import describe_channels
from msi_lazy.pictures.blend import blend_channels, measure_window, paint_labels
from msi_lazy.viewer.looks import label_colors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import xarray as xr

    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["Looks", "read_looks"]

_MOST_SHOWN = 4
"""Channels that are shown where the attributes choose none."""
_RGB = {"FF0000", "00FF00", "0000FF"}

Window = tuple[float, float]


@dataclass(frozen=True)
class Looks:
    """What a picture shows of each pixel's samples, and how."""

    channels: tuple[int, ...]
    """Numbers of the channels that are shown; 0 alone for an image without."""
    colors: tuple[str, ...]
    """Six hex digits for each of these channels."""
    windows: tuple[Window | None, ...]
    """First and last value to show; ``None`` is to be measured on the samples."""
    labels: Mapping[int, str] | None = None
    """Colours of labels, as far as they are known; ``None`` where the samples are no labels."""

    @property
    def method(self) -> str:
        """Downsampling method that suits the samples."""
        return "mean" if self.labels is None else "nearest"

    def measured(self, planes: np.ndarray[Any, Any]) -> tuple[Window, ...]:
        """Window of each channel of ``planes``; red, green and blue are measured together, so that gray stays gray."""
        if self.labels is not None:
            return ()
        together = set(self.colors) == _RGB and len(self.colors) == 3
        return tuple(
            measure_window(planes if together else plane) if window is None else window
            for plane, window in zip(planes, self.windows, strict=True)
        )

    def paint(self, planes: np.ndarray[Any, Any], windows: tuple[Window, ...]) -> np.ndarray[Any, Any]:
        """Picture ``(y, x, 3)`` of samples ``(c, y, x)``."""
        if self.labels is not None:
            return paint_labels(planes[0], self.labels)
        return blend_channels(planes, self.colors, windows)


def read_looks(tree: xr.DataTree, image: xr.DataArray, plan: PyramidPlan) -> Looks:
    """Looks of a tree whose finest level is ``image``; no pixel is read.

    It holds labels if its root has an ``image-label`` block, or if a method for labels made it (and no channels).

    Raises
    ------
    TypeError
        Complex samples.
    """
    if plan.dtype.kind == "c":
        raise TypeError(f"the image has dtype {plan.dtype}, and a picture shows real numbers: take abs(tree), say")
    block = ome_attributes(tree.attrs)
    count = 1 if plan.channel_dim is None else plan.axes[plan.channel_dim].length
    # by the method, not the dtype: integers of 32 bits may well be an image
    voted = count == 1 and makes_labels(plan.method)
    if plan.dtype.kind in "biu" and (voted or "image-label" in block):
        return Looks((0,), (), (), label_colors(block))
    described = channel_block(tree.attrs, image, plan)
    known = list(described["channels"]) if described else []
    if len(known) != count:  # too many to be described, or nobody can say which of several it is
        shown = min(count, _MOST_SHOWN)
        known = describe_channels([str(number) for number in range(shown)], plan.dtype)["channels"]
    active = [number for number, channel in enumerate(known) if channel.get("active", True)]
    chosen = active or list(range(min(len(known), _MOST_SHOWN)))
    return Looks(
        channels=tuple(chosen),
        colors=tuple(str(known[number]["color"]).upper() for number in chosen),
        windows=tuple(_told_window(known[number]["window"], plan.dtype) for number in chosen),
    )


def _told_window(window: Mapping[str, float], dtype: np.dtype[Any]) -> Window | None:
    """Window that says something of the image: the whole range of more than 8 bits does not, most would look black."""
    whole = describe_channels([""], dtype)["channels"][0]["window"]
    start, end = window["start"], window["end"]
    told = dtype.itemsize == 1 or (start, end) != (whole["start"], whole["end"])
    return (start, end) if told else None
