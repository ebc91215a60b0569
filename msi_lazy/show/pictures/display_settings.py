"""How a tree looks: its channels' colours and windows, or its labels' colours, as its attributes have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.ngff.label_attributes import holds_labels, label_colors
from msi_lazy.ngff.omero import describe_channels, fill_windows, shown_channels, told_window
from msi_lazy.show.pictures.blend import blend_channels, paint_labels
from msi_lazy.tree.root_attributes import channel_block, ome_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import xarray as xr

    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["Looks", "read_looks"]

_MOST_SHOWN = 4
"""Channels that are shown where the attributes choose none."""
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
        """Window of each channel of ``planes``."""
        return () if self.labels is not None else fill_windows(planes, self.colors, self.windows)

    def paint(self, planes: np.ndarray[Any, Any], windows: tuple[Window, ...]) -> np.ndarray[Any, Any]:
        """Picture ``(y, x, 3)`` of samples ``(c, y, x)``."""
        if self.labels is not None:
            return paint_labels(planes[0], self.labels)
        return blend_channels(planes, self.colors, windows)


def read_looks(tree: xr.DataTree, image: xr.DataArray, plan: PyramidPlan) -> Looks:
    """Looks of a tree whose finest level is ``image``; no pixel is read.

    Raises
    ------
    TypeError
        Complex samples.
    """
    if plan.dtype.kind == "c":
        raise TypeError(f"the image has dtype {plan.dtype}, and a picture shows real numbers: take abs(tree), say")
    block = ome_attributes(tree.attrs)
    count = plan.channel_count
    if holds_labels(block, plan.dtype, plan.method, count):
        return Looks((0,), (), (), label_colors(block))
    described = channel_block(tree.attrs, image, plan)
    known = list(described["channels"]) if described else []
    if len(known) != count:  # too many to be described, or nobody can say which of several it is
        shown = min(count, _MOST_SHOWN)
        known = describe_channels([str(number) for number in range(shown)], plan.dtype)["channels"]
    chosen = shown_channels(known)
    return Looks(
        channels=tuple(chosen),
        colors=tuple(str(known[number]["color"]).upper() for number in chosen),
        windows=tuple(told_window(known[number]["window"], plan.dtype) for number in chosen),
    )
