"""Display settings of channels, initial in viewers, and in pictures."""

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
    """Display settings of one channel."""

    label: str
    """Name of the channel."""
    color: str
    """Colour, as six hex digits."""
    visible: bool
    """Whether the channel is shown."""
    limits: Range
    """Limits of the display ranges that can be chosen."""
    stated: Range | None
    """Display range; ``None`` if it is not stated, and to be measured if possible."""

    @property
    def range(self) -> Range:
        """Display range as stated, or else all values; never empty, as viewers divide by its length.

        Examples
        --------
        >>> ChannelDisplay("DAPI", "0000FF", True, (7, 7), None).range
        (7, 8)
        """
        start, end = self.stated or self.limits
        return start, end if end != start else start + 1

    def with_range(self, measured: Range) -> ChannelDisplay:
        """Replace the display range, and widen the limits to hold it."""
        low, high = self.limits
        return replace(self, stated=measured, limits=(min(low, measured[0]), max(high, measured[1])))


def read_display(channels: Sequence[Mapping[str, Any]], dtype: np.dtype[Any]) -> tuple[ChannelDisplay, ...]:
    """Read the ``omero`` channels that :func:`msi_lazy.ngff.omero.describe_channels` returns."""
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
