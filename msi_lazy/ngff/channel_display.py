"""Display settings of channels: how viewers and pictures show each of them at first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from msi_lazy.ngff.omero import shown_channels, stated_range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from msi_lazy.ngff.omero import Range

__all__ = ["ChannelDisplay", "read_display"]


@dataclass(frozen=True)
class ChannelDisplay:
    """How one channel is shown at first."""

    label: str
    """Its name."""
    color: str
    """Six hex digits."""
    visible: bool
    """Whether it is shown at all."""
    limits: Range
    """Values between which a display range can be chosen."""
    stated: Range | None
    """First and last value to show; ``None`` where nothing says which, so that they are measured if they can be."""

    @property
    def range(self) -> Range:
        """First and last value to show: those stated, or else all; never the same, as viewers divide by the difference.

        Examples
        --------
        >>> ChannelDisplay("DAPI", "0000FF", True, (7, 7), None).range
        (7, 8)
        """
        start, end = self.stated or self.limits
        return start, end if end != start else start + 1

    def with_range(self, measured: Range) -> ChannelDisplay:
        """The same channel with another display range, within limits that hold it."""
        low, high = self.limits
        return replace(self, stated=measured, limits=(min(low, measured[0]), max(high, measured[1])))


def read_display(channels: Sequence[Mapping[str, Any]], dtype: np.dtype[Any]) -> tuple[ChannelDisplay, ...]:
    """Display settings of ``omero`` channels, as :func:`msi_lazy.ngff.omero.describe_channels` has them."""
    visible = set(shown_channels(channels))
    return tuple(
        ChannelDisplay(
            label=str(channel["label"]),
            color=str(channel["color"]).upper(),
            visible=number in visible,
            limits=(channel["window"]["min"], channel["window"]["max"]),
            stated=stated_range(channel["window"], dtype),
        )
        for number, channel in enumerate(channels)
    )
