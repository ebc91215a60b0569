"""Block ``omero`` of an image: display settings of each channel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from msi_lazy.ngff.channel_names import are_numbered, are_positions, match_channels, spells

__all__ = [
    "MOST_VISIBLE",
    "channel_colors",
    "channel_windows",
    "describe_channels",
    "fill_windows",
    "measure_window",
    "shown_channels",
    "stated_range",
    "with_measured_windows",
]

Range = tuple[float, float]

_NAMED = {
    **dict.fromkeys(("r", "red"), "FF0000"),
    **dict.fromkeys(("g", "green"), "00FF00"),
    **dict.fromkeys(("b", "blue"), "0000FF"),
}
_CYCLE = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF", "FFFFFF")
"""Default colours: green and magenta first, which everyone can tell apart."""
MOST_VISIBLE = 4
"""Most channels that are visible by default: more cannot be told apart."""
_QUANTILES = (0.001, 0.999)
"""Quantiles at which a measured window begins and ends, so that a few hot pixels change nothing."""


def describe_channels(
    names: Sequence[str],
    dtype: np.dtype[Any],
    stored: Any = None,
    colors: Mapping[str, str] | Sequence[str] | None = None,
    windows: Mapping[str, Range] | Sequence[Range] | str | None = None,
) -> dict[str, Any]:
    """Compose the ``omero`` block of channels with these names.

    Parameters
    ----------
    names
        Names of the channels.
    dtype
        Dtype of the samples; its range is the default window.
    stored
        Block that the image has already: members, and channels of the same names, are kept.  Channels that are matched
        in order take the new names, unless those are their numbers.
    colors, windows
        Settings by the user, see :func:`channel_colors` and :func:`channel_windows`; they override those stored.

    Examples
    --------
    >>> block = describe_channels(["DAPI", "GFP"], np.dtype("uint8"))
    >>> block["channels"][0]
    {'label': 'DAPI', 'color': '00FF00', 'active': True, 'window': {'min': 0, 'max': 255, 'start': 0, 'end': 255}}
    """
    known = match_channels(stored, names)
    renamed = not (are_numbered(names) or are_positions(stored, names))
    wanted = channel_colors(colors, names) if colors is not None else {}
    ranges = channel_windows(windows, names) if windows is not None and not isinstance(windows, str) else {}
    low, high = _dtype_range(dtype)
    channels = []
    for number, (name, default) in enumerate(zip(names, _default_colors(names), strict=True)):
        if number in known:
            channel = _repaired(known[number], name, default, low, high)
            if renamed and not spells(channel["label"], name):
                channel["label"] = name
        else:
            window = {"min": low, "max": high, "start": low, "end": high}
            channel = {"label": name, "color": default, "active": number < MOST_VISIBLE, "window": window}
        if number in wanted:
            channel["color"] = wanted[number]
        if number in ranges:
            channel["window"] = _window(low, high, *ranges[number])
        channels.append(channel)
    others = {key: value for key, value in stored.items() if key != "channels"} if isinstance(stored, Mapping) else {}
    return {**others, "channels": channels}


def channel_colors(colors: Any, names: Sequence[str]) -> dict[int, str]:
    """Check colours, by name or for all channels in order; return six hex digits by number.

    Raises
    ------
    TypeError, ValueError
        Not a sequence or dict, one of other channels, or not colours.

    Examples
    --------
    >>> channel_colors({"GFP": "#00ff00"}, ["DAPI", "GFP"])
    {1: '00FF00'}
    """
    found = _per_channel("colors", colors, names)
    return {number: _hex_color(color, names[number]) for number, color in found.items()}


def channel_windows(windows: Any, names: Sequence[str]) -> dict[int, Range]:
    """Check display ranges, by name or for all channels in order; return them by number.

    Raises
    ------
    TypeError, ValueError
        Not a sequence or dict, one of other channels, or not pairs of numbers.
    """
    found = {}
    for number, window in _per_channel("windows", windows, names).items():
        try:
            start, end = (float(value) for value in window)
        except (TypeError, ValueError):
            start = end = np.nan
        if not (np.isfinite([start, end]).all() and start < end):
            raise ValueError(
                f"windows: channel {names[number]!r} needs two numbers (start, end), start < end, not {window!r}"
            )
        found[number] = (start, end)
    return found


def with_measured_windows(omero: Mapping[str, Any], ranges: Sequence[Range]) -> dict[str, Any]:
    """Replace the windows of all channels by ``ranges``."""
    channels = [
        {**channel, "window": _window(channel["window"]["min"], channel["window"]["max"], *measured)}
        for channel, measured in zip(omero["channels"], ranges, strict=True)
    ]
    return {**omero, "channels": channels}


def shown_channels(channels: Sequence[Mapping[str, Any]]) -> list[int]:
    """Numbers of the visible ``omero`` channels: the active ones, else the first few.

    Examples
    --------
    >>> shown_channels([{"active": False}, {}, {"active": True}]), shown_channels([{"active": False}])
    ([1, 2], [0])
    """
    active = [number for number, channel in enumerate(channels) if channel.get("active") in (None, True)]
    return active or list(range(min(len(channels), MOST_VISIBLE)))


def stated_range(window: Mapping[str, float], dtype: np.dtype[Any]) -> Range | None:
    """Display range of an ``omero`` window, from black to the full colour; ``None`` if it is not meaningful.

    An empty one is not, nor is the whole range of more than 8 bits: most images would look black.

    Examples
    --------
    >>> stated_range({"start": 0, "end": 65535}, np.dtype("u2")), stated_range({"start": 0, "end": 255}, np.dtype("u1"))
    (None, (0, 255))
    """
    found = window["start"], window["end"]
    empty = found[0] == found[1]
    return None if empty or (dtype.itemsize > 1 and found == _dtype_range(dtype)) else found


def measure_window(samples: np.ndarray[Any, Any]) -> Range:
    """Measure a display range that holds almost all finite samples.

    If the quantiles are equal, the smallest and the largest sample are used instead; if those are equal too, the value
    is the full colour, or black if it is not above 0.

    Examples
    --------
    >>> measure_window(np.array([0.0, 4.0, np.nan, 2.0] * 999)), measure_window(np.array([3, 3], np.uint16))
    ((0.0, 4.0), (0, 3))
    """
    valid = samples[np.isfinite(samples)]
    if not valid.size:
        return 0, 1
    valid = valid.view(np.uint8) if valid.dtype.kind == "b" else valid
    low, high = (value.item() for value in np.quantile(valid, _QUANTILES, method="nearest"))
    if not low < high:
        low, high = valid.min().item(), valid.max().item()
    if low < high:
        return low, high
    return (0, high) if high > 0 else (low, low + 1 if low == 0 else 0)


def fill_windows(
    planes: np.ndarray[Any, Any], colors: Sequence[str], stated: Sequence[Range | None]
) -> tuple[Range, ...]:
    """Measure the windows of channels for which ``None`` is stated; ``planes`` has channels first.

    Red, green and blue are measured together, so that gray stays gray.
    """
    together = len(colors) == 3 and {color.upper() for color in colors} == set(_NAMED.values())
    return tuple(
        measure_window(planes if together else plane) if window is None else window
        for plane, window in zip(planes, stated, strict=True)
    )


def _window(low: float, high: float, start: float, end: float) -> dict[str, float]:
    return {"min": min(low, start), "max": max(high, end), "start": start, "end": end}


def _dtype_range(dtype: np.dtype[Any]) -> Range:
    """Range of the values of a dtype; of floats, and of bool, from 0 to 1."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return 0, 1


def _default_colors(names: Sequence[str]) -> list[str]:
    """Choose white for a single channel, their own for red, green and blue, else distinct colours."""
    if all(name.lower() in _NAMED for name in names):
        return [_NAMED[name.lower()] for name in names]
    return ["FFFFFF"] if len(names) == 1 else [_CYCLE[number % len(_CYCLE)] for number in range(len(names))]


def _hex_color(color: Any, name: str) -> str:
    digits = str(color).removeprefix("#").upper()
    if not isinstance(color, str) or not re.fullmatch("[0-9A-F]{6}", digits):
        raise ValueError(f"colors: channel {name!r} needs six hex digits such as '00FF00', not {color!r}")
    return digits


def _per_channel(argument: str, values: Any, names: Sequence[str]) -> dict[int, Any]:
    if isinstance(values, Mapping):
        unknown = [name for name in values if name not in names]
        if unknown:
            raise ValueError(f"{argument} name the channel {unknown[0]!r}; the image has {', '.join(map(repr, names))}")
        return {number: values[name] for number, name in enumerate(names) if name in values}
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{argument} are a sequence, one for each channel, or a dict by channel name, not {values!r}")
    if len(values) != len(names):
        raise ValueError(f"{argument} has {len(values)} entries, and the image {len(names)} channels")
    return dict(enumerate(values))


def _repaired(channel: Mapping[str, Any], name: str, default: str, low: float, high: float) -> dict[str, Any]:
    """Replace a label, a colour or a window that breaks the specification."""
    color, window = str(channel.get("color")).removeprefix("#"), channel.get("window")
    repaired = {**channel, "color": color if re.fullmatch("[0-9A-Fa-f]{6}", color) else default}
    repaired["label"] = channel["label"] if isinstance(channel.get("label"), str) else name
    known = {key: value for key, value in window.items() if _is_number(value)} if isinstance(window, Mapping) else {}
    start, end = known.get("start", known.get("min", low)), known.get("end", known.get("max", high))
    repaired["window"] = {"min": min(low, start), "max": max(high, end), "start": start, "end": end, **known}
    return repaired


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False
