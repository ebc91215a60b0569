"""Block ``image-label`` of a label image: colours and properties of its labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.arguments.json_values import Omissions, to_json
from msi_lazy.arguments.numbers import parse_integer
from msi_lazy.axes import axis_meaning, unit_sizes
from msi_lazy.errors import warn_user
from msi_lazy.methods.table import invents_values, makes_labels

if TYPE_CHECKING:
    from msi_lazy.axes import Axis
    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan

__all__ = ["check_label_method", "check_labels", "describe_labels", "holds_labels", "label_colors"]

_SOURCE = {"image": "../../"}
"""Path from ``labels/<name>`` back to the image."""
_PLANE = ("y", "x")
"""Dimensions, by meaning, of which labels have as many samples as the image; of others, one may stand for all."""


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
    """Refuse label images that do not lie on the image, pixel by pixel, or each on several pixels of it.

    "Within the multiscales object, the JSON array associated with the datasets key MUST have the same number of entries
    (scale levels) as the original unlabeled image."  That each level has the shape of the image's is no MUST: labels
    may have been segmented on a coarser level.

    Raises
    ------
    ValueError
        Another number of levels, or another place, or shape of pixels of the same size; names both.
    TypeError
        Samples that are not integers.
    """
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels {name!r} have dtype {labels.dtype}; OME-Zarr allows integers only: convert them")
    if len(labels.levels) != len(image.levels):
        raise ValueError(
            f"labels {name!r} have {len(labels.levels)} levels, and the image {len(image.levels)}, and OME-Zarr asks "
            f"for as many; build them with the same scale factors, or {len(image.levels) - 1} others, of which 1 "
            f"repeats a level"
        )
    _check_dims(labels, image, name)
    coarser = _check_place(labels, image, name)
    for ours, theirs in zip(labels.levels, image.levels, strict=True):
        shape = dict(zip(_folded(labels), ours.shape, strict=True))
        other = dict(zip(_folded(image), theirs.shape, strict=True))
        for named, dim in zip(image.dims, other, strict=True):
            stands_for_all = shape.get(dim) == 1 and axis_meaning(dim) not in _PLANE
            if dim in shape and shape[dim] != other[dim] and not (stands_for_all or dim in coarser):
                raise ValueError(
                    f"labels {name!r} have {shape[dim]} samples along {named!r} at {ours.name}, "
                    f"and the image {other[dim]}"
                )


def check_label_method(labels: PyramidPlan, name: str, *, certain: bool) -> None:
    """Refuse a pyramid of labels by a method that computes labels which do not exist.

    Parameters
    ----------
    labels
        Plan of the pyramid; of a single level, no method is known to have made it.
    name
        Name of the label image.
    certain
        Whether its levels are known to be those that the method computed: else the user is only warned.

    Raises
    ------
    ValueError
        The method is a mean, a Gaussian, or the like; the message has the call that builds them anew.
    """
    if len(labels.levels) < 2 or not invents_values(labels.method):
        return
    fault = f"{labels.method!r} computes labels that do not exist, such as 500 from 0 and 1000"
    if not certain:
        warn_user(
            f"labels {name!r}: by the attributes of the tree, {labels.method!r} computed the levels before they were "
            f"edited, and {fault}; if no such labels are left, clear the attributes: tree.attrs = {{}}"
        )
        return
    factors = ", ".join(_factors_of(labels, level) for level in labels.levels[1:])
    raise ValueError(
        f"labels {name!r} were built by the method {labels.method!r}, and {fault}; build them by one for labels: "
        f"to_multiscale(labels, [{factors}], method='mode')"
    )


def _factors_of(labels: PyramidPlan, level: LevelPlan) -> str:
    """Write the factors of a level as ``to_multiscale`` takes them."""
    factors = dict(zip(labels.dims, level.factors, strict=True))
    spatial = {factors[axis.name] for axis in labels.axes if axis.is_spatial}
    others = {factors[axis.name] for axis in labels.axes if not axis.is_spatial}
    if len(spatial) == 1 and others <= {1}:
        return str(*spatial)
    return repr({dim: factor for dim, factor in factors.items() if factor > 1})


def _folded(plan: PyramidPlan) -> list[str]:
    """Names of dimensions in lower case, as ``Y`` is where ``y`` is, unless two would be the same."""
    folded = [dim.lower() for dim in plan.dims]
    return folded if len(set(folded)) == len(folded) else list(plan.dims)


def _check_dims(labels: PyramidPlan, image: PyramidPlan, name: str) -> None:
    """Refuse labels whose dimensions differ from the image's in one of more than a single sample."""
    ours, theirs = (dict(zip(_folded(plan), plan.axes, strict=True)) for plan in (labels, image))
    unknown = [dim for dim, axis in ours.items() if dim not in theirs and axis.length > 1]
    missing = [dim for dim, axis in theirs.items() if dim not in ours and axis.kind == "space" and axis.length > 1]
    if unknown or missing:
        raise ValueError(f"labels {name!r} have the dimensions {labels.dims}, and the image {image.dims}")


def _check_place(labels: PyramidPlan, image: PyramidPlan, name: str) -> set[str]:
    """Refuse labels that do not cover the image; a single sample along z or t stands for all of them.

    Returns
    -------
    set of str
        Dimensions along which a label lies on several of the image's pixels.
    """
    axes = dict(zip(_folded(image), image.axes, strict=True))
    coarser = set()
    for dim, axis in zip(_folded(labels), labels.axes, strict=True):
        other = axes.get(dim)
        if other is None or axis.kind != "space" or (axis.length == 1 and axis.meaning not in _PLANE):
            continue
        scale, translation = (unit_sizes([axis, other])[0] * n for n in (axis.scale, axis.translation))
        same_scale = abs(scale - other.scale) * axis.length <= other.scale / 2
        offset = (translation - other.translation) / other.scale
        if same_scale and abs(offset) <= 0.5:
            continue
        factor = scale / other.scale
        covers = factor > 1 and abs(axis.length - other.length / factor) < 1
        if not (covers and any(abs(offset - start) <= 0.25 for start in _window_offsets(image, other, factor))):
            unit = f" {other.unit}" if other.unit else ""
            raise ValueError(
                f"labels {name!r} do not lie on the image along {axis.name!r}: their spacing is {scale:g}{unit} from "
                f"{translation:g}, the image's {other.scale:g}{unit} from {other.translation:g}"
                f"{_advise_level(labels, image)}"
            )
        coarser.add(dim)
    return coarser


def _window_offsets(image: PyramidPlan, axis: Axis, factor: float) -> list[float]:
    """Offsets, in samples of an image, of the first sample of a level: the window's middle, and as the image has it."""
    position = image.axes.index(axis)
    levels = ((level.scale[position], level.translation[position]) for level in image.levels[1:])
    found = [
        (start - axis.translation) / axis.scale
        for scale, start in levels
        if abs(scale / axis.scale / factor - 1) < 0.01
    ]
    return [(factor - 1) / 2, *found]


def _advise_level(labels: PyramidPlan, image: PyramidPlan) -> str:
    """Advise to give labels the geometry of the level that they were computed on; empty if none has their shape."""
    dims = [dim for dim in _folded(image) if dim in _folded(labels)]
    shape = dict(zip(_folded(labels), labels.levels[0].shape, strict=True))
    for level in image.levels[1:]:
        geometry = zip(image.dims, image.axes, level.shape, level.scale, level.translation, strict=True)
        spatial = [(dim, n, scale, start) for dim, axis, n, scale, start in geometry if axis.kind == "space"]
        if all(shape.get(dim.lower(), shape.get(dim)) == n for dim, n, *_ in spatial) and dims:
            scale, translation = ({dim: found[i] for dim, *found in spatial} for i in (1, 2))
            return (
                f"; they have the shape of {level.name}: if they were computed on it, keep its coordinates, or give "
                f"to_spatial_image scale={scale} and translation={translation}"
            )
    return ""


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
    lost = Omissions()
    plain = [to_json(known, f"properties[{known['label-value']}]", lost) for known in found]
    for name, kind in lost.found.items():
        raise ValueError(f"{name} is of type {kind}, which JSON cannot hold; give numbers, strings, lists or dicts")
    return plain
