"""Names of channels: labels in the ``omero`` block, and values of the coordinate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["are_names", "are_numbered", "are_positions", "channel_name", "match_channels", "spells"]


def channel_name(value: Any) -> str:
    """Label of a channel, by the value of its coordinate.

    Examples
    --------
    >>> channel_name("DAPI"), channel_name(1.0), channel_name(488.5), channel_name(b"GFP")
    ('DAPI', '1', '488.5', 'GFP')
    """
    value = value.item() if hasattr(value, "item") and getattr(value, "dtype", None) is not None else value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def spells(label: str, value: Any) -> bool:
    """Tell whether a label is a spelling of the value of a coordinate.

    Examples
    --------
    >>> spells("1.0", 1), spells("1", 1.0), spells("DAPI", "DAPI"), spells("1", 2)
    (True, True, True, False)
    """
    return _plain(label) == _plain(channel_name(value))


def are_names(labels: Sequence[Any]) -> bool:
    """Tell whether the labels of all channels tell them apart: none is missing or empty, no two are the same.

    Examples
    --------
    >>> are_names(["GFP", "RFP"]), are_names(["GFP", "GFP"]), are_names(["GFP", ""]), are_names(["GFP", None])
    (True, False, False, False)
    """
    return all(isinstance(label, str) and label for label in labels) and len(set(labels)) == len(labels)


def are_positions(stored: Any, names: Sequence[str]) -> bool:
    """Tell whether names are numbers of the channels of a stored block, whose labels do not tell them apart.

    Examples
    --------
    >>> are_positions({"channels": [{"label": "GFP"}, {"label": "empty"}, {"label": "empty"}]}, ["0", "2"])
    True
    """
    channels = stored.get("channels") if isinstance(stored, Mapping) else None
    if not isinstance(channels, Sequence):
        return False
    labels = [channel.get("label") if isinstance(channel, Mapping) else None for channel in channels]
    numbered = all(name.isdecimal() and int(name) < len(channels) for name in names)
    return numbered and len(set(names)) == len(names) and not are_names(labels)


def are_numbered(names: Sequence[str]) -> bool:
    """Tell whether the names of all channels are their numbers, which is what channels without names are called."""
    return list(names) == [str(number) for number in range(len(names))]


def match_channels(stored: Any, names: Sequence[str]) -> dict[int, Mapping[str, Any]]:
    """Match the channels of a stored ``omero`` block to those with ``names``, by number.

    They are matched by label, or by names that are numbers if their labels are no names (:func:`are_positions`).  Where
    both are impossible they are matched in order, if there are as many.
    """
    channels = stored.get("channels") if isinstance(stored, Mapping) else None
    if not isinstance(channels, Sequence):
        return {}
    if are_positions(stored, names):
        found = [channels[int(name)] for name in names]
        return {number: channel for number, channel in enumerate(found) if isinstance(channel, Mapping)}
    usable = [channel for channel in channels if isinstance(channel, Mapping)]
    labels = [_plain(channel["label"]) for channel in usable if isinstance(channel.get("label"), str)]
    wanted = [_plain(name) for name in names]
    distinct = len(set(labels)) == len(usable)
    if distinct and len(set(wanted)) == len(wanted) and set(wanted) & set(labels):
        by_label = dict(zip(labels, usable, strict=True))
        return {number: by_label[name] for number, name in enumerate(wanted) if name in by_label}
    return dict(enumerate(usable)) if len(usable) == len(channels) == len(names) else {}


def _plain(label: str) -> str:
    """One spelling of a number: that of :func:`channel_name`."""
    try:
        return channel_name(float(label))
    except ValueError:
        return label
