"""Display settings of a tree, from its attributes: colours and ranges of channels, or colours of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msi_lazy.ngff.channel_display import read_display
from msi_lazy.ngff.label_attributes import holds_labels, label_colors
from msi_lazy.ngff.omero import MOST_VISIBLE, describe_channels, fill_windows
from msi_lazy.ngff.specifications import ome_block
from msi_lazy.show.pictures.blend import blend_channels, paint_labels
from msi_lazy.tree.root_attributes import channel_block

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import xarray as xr

    from msi_lazy.ngff.omero import Range
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["DisplaySettings", "read_display_settings"]


@dataclass(frozen=True)
class DisplaySettings:
    """Channels, colours and ranges of a picture, or its labels."""

    channels: tuple[int, ...]
    """Numbers of the channels to show; 0 alone for an image without channels."""
    colors: tuple[str, ...]
    """Six hex digits for each of these channels."""
    ranges: tuple[Range | None, ...]
    """First and last value to show; ``None`` where it is to be measured on the samples."""
    labels: Mapping[int, str] | None = None
    """Known colours of labels; ``None`` where the samples are no labels."""

    @property
    def method(self) -> str:
        """Downsampling method that suits the samples."""
        return "mean" if self.labels is None else "nearest"

    def measured(self, planes: np.ndarray[Any, Any]) -> tuple[Range, ...]:
        """Display range of each channel of ``planes``."""
        return () if self.labels is not None else fill_windows(planes, self.colors, self.ranges)

    def paint(self, planes: np.ndarray[Any, Any], ranges: tuple[Range, ...]) -> np.ndarray[Any, Any]:
        """Paint samples ``(c, y, x)`` as a picture ``(y, x, 3)``."""
        if self.labels is not None:
            return paint_labels(planes[0], self.labels)
        return blend_channels(planes, self.colors, ranges)


def read_display_settings(tree: xr.DataTree, image: xr.DataArray, plan: PyramidPlan) -> DisplaySettings:
    """Read the display settings of a tree whose finest level is ``image``; no pixel is read.

    Raises
    ------
    TypeError
        Complex samples.
    """
    if plan.dtype.kind == "c":
        raise TypeError(f"the image has dtype {plan.dtype}, and a picture shows real numbers: take abs(tree), say")
    block = ome_block(tree.attrs)
    count = plan.channel_count
    if holds_labels(block, plan.dtype, plan.method, count):
        return DisplaySettings((0,), (), (), label_colors(block))
    described = channel_block(tree.attrs, image, plan)
    known = list(described["channels"]) if described else []
    if len(known) != count:  # too many to be described, or one of several and unknown which
        names = [str(number) for number in range(min(count, MOST_VISIBLE))]
        known = describe_channels(names, plan.dtype)["channels"]
    shown = {number: one for number, one in enumerate(read_display(known, plan.dtype)) if one.visible}
    return DisplaySettings(
        channels=tuple(shown),
        colors=tuple(one.color for one in shown.values()),
        ranges=tuple(one.stated for one in shown.values()),
    )
