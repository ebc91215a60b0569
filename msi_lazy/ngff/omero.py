"""The ``omero`` block of an image: how viewers show each channel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["channel_colors", "channel_windows", "describe_channels", "with_measured_windows"]

Range = tuple[float, float]

_NAMED = {
    **dict.fromkeys(("r", "red"), "FF0000"),
    **dict.fromkeys(("g", "green"), "00FF00"),
    **dict.fromkeys(("b", "blue"), "0000FF"),
}
_CYCLE = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF", "FFFFFF")
"""Green and magenta first: two channels in these can be told apart by everyone."""
_SHOWN = 4
"""Channels that a viewer shows at first: with more, nothing can be told from anything."""


def describe_channels(
    names: Sequence[str],
    dtype: np.dtype[Any],
    stored: Any = None,
    colors: Mapping[str, str] | Sequence[str] | None = None,
    windows: Mapping[str, Range] | Sequence[Range] | str | None = None,
) -> dict[str, Any]:
    """``omero`` block of channels called ``names``.

    Parameters
    ----------
    names
        Names of the channels.
    dtype
        Of a sample: its range is the range of a window.
    stored
        An ``omero`` block that the image has already: what it says of a channel of the same name is kept, and all that
        it says besides.
    colors, windows
        What a user wants, see :func:`channel_colors` and :func:`channel_windows`; it goes before what is stored.

    Examples
    --------
    >>> block = describe_channels(["DAPI", "GFP"], np.dtype("uint8"))
    >>> block["channels"][0]
    {'label': 'DAPI', 'color': '00FF00', 'active': True, 'window': {'min': 0, 'max': 255, 'start': 0, 'end': 255}}
    """
    known = _stored_channels(stored, names)
    wanted = channel_colors(colors, names) if colors is not None else {}
    ranges = channel_windows(windows, names) if windows is not None and not isinstance(windows, str) else {}
    low, high = _dtype_range(dtype)
    channels = []
    for number, (name, default) in enumerate(zip(names, _default_colors(names), strict=True)):
        window = {"min": low, "max": high, "start": low, "end": high}
        if name in known:
            channel = {**known[name]}
            channel.setdefault("color", default)
            channel.setdefault("window", window)
        else:
            channel = {"label": name, "color": default, "active": number < _SHOWN, "window": window}
        if name in wanted:
            channel["color"] = wanted[name]
        if name in ranges:
            channel["window"] = _window(low, high, *ranges[name])
        channels.append(channel)
    others = {key: value for key, value in stored.items() if key != "channels"} if isinstance(stored, Mapping) else {}
    return {**others, "channels": channels}


def channel_colors(colors: Any, names: Sequence[str]) -> dict[str, str]:
    """Six hex digits for each channel that ``colors`` names, or for all of them in order.

    Raises
    ------
    TypeError, ValueError
        No sequence or dict, one for other channels than there are, or no colour.

    Examples
    --------
    >>> channel_colors({"GFP": "#00ff00"}, ["DAPI", "GFP"])
    {'GFP': '00FF00'}
    """
    return {name: _hex_color(color, name) for name, color in _per_channel("colors", colors, names).items()}


def channel_windows(windows: Any, names: Sequence[str]) -> dict[str, Range]:
    """First and last value to show for each channel that ``windows`` names, or for all of them in order.

    Raises
    ------
    TypeError, ValueError
        No sequence or dict, one for other channels than there are, or no pair of numbers.
    """
    found = {}
    for name, window in _per_channel("windows", windows, names).items():
        try:
            start, end = (float(value) for value in window)
        except (TypeError, ValueError):
            start = end = np.nan
        if not (np.isfinite([start, end]).all() and start < end):
            raise ValueError(f"windows: channel {name!r} needs two numbers (start, end), start < end, not {window!r}")
        found[name] = (start, end)
    return found


def with_measured_windows(omero: Mapping[str, Any], ranges: Sequence[Range]) -> dict[str, Any]:
    """``omero`` with windows from ``ranges``, one for each channel."""
    channels = [
        {**channel, "window": _window(channel["window"]["min"], channel["window"]["max"], *measured)}
        for channel, measured in zip(omero["channels"], ranges, strict=True)
    ]
    return {**omero, "channels": channels}


def _window(low: float, high: float, start: float, end: float) -> dict[str, float]:
    return {"min": min(low, start), "max": max(high, end), "start": start, "end": end}


def _dtype_range(dtype: np.dtype[Any]) -> Range:
    """Range of the values of a dtype; of floats, and of bool, from 0 to 1."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return 0, 1


def _default_colors(names: Sequence[str]) -> list[str]:
    """White for a single channel, their own for red, green and blue, else colours that can be told apart."""
    if all(name.lower() in _NAMED for name in names):
        return [_NAMED[name.lower()] for name in names]
    return ["FFFFFF"] if len(names) == 1 else [_CYCLE[number % len(_CYCLE)] for number in range(len(names))]


def _hex_color(color: Any, name: str) -> str:
    digits = str(color).removeprefix("#").upper()
    if not isinstance(color, str) or not re.fullmatch("[0-9A-F]{6}", digits):
        raise ValueError(f"colors: channel {name!r} needs six hex digits such as '00FF00', not {color!r}")
    return digits


def _per_channel(argument: str, values: Any, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(values, Mapping):
        unknown = [name for name in values if name not in names]
        if unknown:
            raise ValueError(f"{argument} name the channel {unknown[0]!r}; the image has {', '.join(map(repr, names))}")
        return dict(values)
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{argument} are a sequence, one for each channel, or a dict by channel name, not {values!r}")
    if len(values) != len(names):
        raise ValueError(f"{argument} has {len(values)} entries, and the image {len(names)} channels")
    return dict(zip(names, values, strict=True))


def _stored_channels(stored: Any, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What ``stored`` says of the channels in ``names``, in a form that can be written again."""
    channels = stored.get("channels") if isinstance(stored, Mapping) else None
    if not isinstance(channels, Sequence):
        return {}
    usable = [channel for channel in channels if isinstance(channel, Mapping)]
    if len(usable) == len(names) and not any(channel.get("label") for channel in usable):
        return dict(zip(names, usable, strict=True))
    return {str(channel.get("label")): channel for channel in usable if channel.get("label") in names}
