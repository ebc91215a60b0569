"""Rules for ``omero``, the display settings of the channels."""

from __future__ import annotations

import re
import reprlib
from typing import TYPE_CHECKING

from msi_lazy.arguments.numbers import is_real

if TYPE_CHECKING:
    from msi_lazy.ngff.specification import Specification
    from msi_lazy.validation.metadata import Field

__all__ = ["check_omero"]

_COLOR = re.compile(r"[0-9A-Fa-f]{6}")
_WINDOW = ("min", "start", "end", "max")
"""The numbers of a window, in the order of their size."""


def check_omero(fields: Field, specification: Specification, count: int | None) -> None:
    """Check the display settings of an image with ``count`` channels, if the metadata have any."""
    omero = fields.member("omero", "object", required=False)
    channels = None if omero is None else omero.listed("channels", "object")
    if omero is None or channels is None:
        return
    if count is not None:
        fault = f"{omero.where}.channels has {len(channels)}, and the image has {count}; list each channel once"
        omero.checks.hold("omero-channels", len(channels) == count, fault)
    for channel in channels:
        _check_color(channel, specification.channel_display_required)
        window = channel.member("window", "object", specification.channel_display_required)
        if window is not None:
            _check_window(window)


def _check_color(channel: Field, required: bool) -> None:
    if "color" not in channel.value and not required:
        return
    color = channel.member("color", "string")
    if color is None:
        return
    fault = (
        f"{color.where} is {reprlib.repr(color.value)}; it must be six hexadecimal digits, without '#', such as "
        f"'00FF00'"
    )
    channel.checks.hold("omero-color", _COLOR.fullmatch(color.value) is not None, fault)


def _check_window(window: Field) -> None:
    numbers = [window.value.get(name) for name in _WINDOW]
    text = reprlib.repr(window.value)
    fault = f"{window.where} is {text}; it must have the numbers min, max, start and end"
    if not window.checks.hold("omero-window", all(map(is_real, numbers)), fault):
        return
    fault = f"{window.where} is {text}; min <= start <= end <= max should hold: start and end are the displayed range"
    window.checks.hold("omero-window-order", numbers == sorted(numbers), fault)
