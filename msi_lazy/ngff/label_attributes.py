"""Block ``image-label`` of a label image: colours and properties of its labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.arguments.numbers import parse_integer
from msi_lazy.methods.table import makes_labels

if TYPE_CHECKING:
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["check_labels", "describe_labels", "holds_labels", "label_colors"]

_SOURCE = {"image": "../../"}
"""Path from ``labels/<name>`` back to the image."""


def describe_labels(colors: Any = None, properties: Any = None, stored: Any = None) -> dict[str, Any]:
    """Compose the ``image-label`` block, to which the writer of a specification adds its version.

    Parameters
    ----------
    colors
        Colour of each label, ``{label: colour}``: a colour is three or four integers from 0 to 255 (red, green, blue
        and opacity), or six or eight hex digits.
    properties
        Other properties of each label, ``{label: {name: value}}``, or a list of dicts with a ``label-value`` each.
    stored
        Block that the labels have already: members are kept unless others are given.

    Raises
    ------
    TypeError, ValueError
        A label that is not an integer, an invalid colour, or two entries for one label.

    Examples
    --------
    >>> describe_labels(colors={1: "FF0000"})["colors"]
    [{'label-value': 1, 'rgba': [255, 0, 0, 255]}]
    """
    kept = stored.items() if isinstance(stored, Mapping) else ()
    known = {key: value for key, value in kept if value is not None and key != "version"}
    block: dict[str, Any] = {**known, "source": dict(_SOURCE)}
    if colors is not None:
        if not isinstance(colors, Mapping):
            raise TypeError(f"colors of labels are a dict such as {{1: 'FF0000', 2: (0, 255, 0)}}, not {colors!r}")
        block["colors"] = [
            {"label-value": _label(label, "colors"), "rgba": _rgba(color, label)} for label, color in colors.items()
        ]
    if properties is not None:
        block["properties"] = _properties(properties)
    return block


def check_labels(labels: PyramidPlan, image: PyramidPlan, name: str) -> None:
    """Refuse label images that do not lie on the image.

    Raises
    ------
    ValueError
        Another number of levels, or another shape or place along a common dimension; names both.
    TypeError
        Samples that are not integers.
    """
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels {name!r} have dtype {labels.dtype}; OME-Zarr allows integers only: convert them")
    if len(labels.levels) != len(image.levels):
        raise ValueError(
            f"labels {name!r} have {len(labels.levels)} levels, and the image {len(image.levels)}; build them with the "
            f"same scale factors"
        )
    unknown = [dim for dim in labels.dims if dim not in image.dims]
    missing = [a.name for a in image.axes if a.kind == "space" and a.name not in labels.dims]
    if unknown or missing:
        raise ValueError(f"labels {name!r} have the dimensions {labels.dims}, and the image {image.dims}")
    _check_place(labels, image, name)
    for ours, theirs in zip(labels.levels, image.levels, strict=True):
        shape, other = dict(zip(labels.dims, ours.shape, strict=True)), dict(zip(image.dims, theirs.shape, strict=True))
        for axis in image.axes:
            dim = axis.name
            if dim in shape and shape[dim] != other[dim] and not (axis.kind == "channel" and shape[dim] == 1):
                raise ValueError(
                    f"labels {name!r} have {shape[dim]} samples along {dim!r} at {ours.name}, "
                    f"and the image {other[dim]}"
                )


def _check_place(labels: PyramidPlan, image: PyramidPlan, name: str) -> None:
    """Refuse labels whose pixels do not lie on the image's."""
    axes = {axis.name: axis for axis in image.axes}
    for axis in labels.axes:
        other = axes[axis.name]
        same_scale = abs(axis.scale - other.scale) * axis.length <= other.scale / 2
        if axis.kind == "space" and not (same_scale and abs(axis.translation - other.translation) <= other.scale / 2):
            raise ValueError(
                f"labels {name!r} do not lie on the image along {axis.name!r}: their spacing is {axis.scale:g} from "
                f"{axis.translation:g}, the image's {other.scale:g} from {other.translation:g}"
            )


def holds_labels(block: Mapping[str, Any], dtype: np.dtype[Any], method: str | None, channels: int = 1) -> bool:
    """Tell whether an image holds labels: by an ``image-label`` block, or a method for labels of one channel.

    The dtype does not tell: integers of 32 bits may well be an image.

    Examples
    --------
    >>> holds_labels({}, np.dtype("u4"), "mode"), holds_labels({}, np.dtype("u4"), "mean")
    (True, False)
    """
    voted = channels == 1 and method is not None and makes_labels(method)
    return dtype.kind in "biu" and (voted or "image-label" in block)


def label_colors(block: Mapping[str, Any]) -> dict[int, str]:
    """Colours of labels in an ``image-label`` block, as ``#rrggbb``; malformed ones are left out.

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


def _label(label: Any, argument: str) -> int:
    return parse_integer(label, f"{argument} are given by label,")


def _rgba(color: Any, label: Any) -> list[int]:
    if isinstance(color, str):
        digits = color.removeprefix("#")
        values: list[Any] = list(bytes.fromhex(digits)) if re.fullmatch("(?:[0-9a-fA-F]{2}){3,4}", digits) else []
    else:
        values = list(color) if isinstance(color, (Sequence, np.ndarray)) else []
    whole = all(isinstance(value, (int, np.integer)) and 0 <= value <= 255 for value in values)
    if len(values) not in (3, 4) or not whole:
        raise ValueError(
            f"colors: label {label} needs three or four integers from 0 to 255, or hex digits, not {color!r}"
        )
    return [int(value) for value in (*values, 255)[:4]]


def _properties(properties: Any) -> list[dict[str, Any]]:
    form = "properties of labels are a dict {label: {name: value}} or a list of dicts with a 'label-value' each"
    if isinstance(properties, Mapping):
        if not all(isinstance(known, Mapping) for known in properties.values()):
            raise TypeError(f"{form}, not {properties!r}")
        properties = [{"label-value": label, **known} for label, known in properties.items()]
    if isinstance(properties, str) or not isinstance(properties, Sequence):
        raise TypeError(f"{form}, not {properties!r}")
    found = []
    for known in properties:
        if not isinstance(known, Mapping) or "label-value" not in known:
            raise TypeError(f"{form}, not {properties!r}")
        found.append({**known, "label-value": _label(known["label-value"], "properties")})
    values = [known["label-value"] for known in found]
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"properties name the label {twice} twice")
    return found
