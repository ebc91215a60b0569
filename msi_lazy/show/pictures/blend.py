"""Colours of samples: channels add up as light does, labels have a colour each.  Arrays only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["blend_channels", "paint_labels"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Fraction of 2**64 by the golden ratio: its multiples, modulo 2**64, lie far apart, neighbours the most."""


def blend_channels(
    planes: np.ndarray[Any, Any], colors: Sequence[str], ranges: Sequence[tuple[float, float]]
) -> np.ndarray[Any, Any]:
    """Blend channels, each black at the start of its range, its colour at the end; they add up; NaN is black.

    Parameters
    ----------
    planes
        Samples, ``(c, y, x)``.
    colors
        Six hex digits for each channel.
    ranges
        First and last value to show, for each channel.

    Returns
    -------
    numpy.ndarray
        ``(y, x, 3)``, uint8: ``255 * sum(color * clip((sample - start) / (end - start), 0, 1))``, at most 255.

    Examples
    --------
    >>> blend_channels(np.array([[[0, 5]], [[5, 10]]]), ["FF0000", "00FFFF"], [(0, 10), (0, 10)]).tolist()
    [[[0, 128, 128], [128, 255, 255]]]
    """
    light = np.zeros((*planes.shape[1:], 3))
    for plane, color, (start, end) in zip(planes, colors, ranges, strict=True):
        # halved, as the difference of large floats may overflow
        with np.errstate(invalid="ignore"):
            strength = np.clip((plane.astype(np.float64) / 2 - start / 2) / (end / 2 - start / 2), 0, 1)
        light += np.nan_to_num(strength)[..., np.newaxis] * (np.frombuffer(bytes.fromhex(color), np.uint8) / 255)
    picture: np.ndarray[Any, Any] = np.rint(255 * np.minimum(light, 1)).astype(np.uint8)
    return picture


def paint_labels(plane: np.ndarray[Any, Any], colors: Mapping[int, str]) -> np.ndarray[Any, Any]:
    """Paint labels: in the colours (``#rrggbb``) given, 0 black, the others in distinct colours.

    Parameters
    ----------
    plane
        Integers or bool, ``(y, x)``.
    colors
        Colours by label.

    Returns
    -------
    numpy.ndarray
        ``(y, x, 3)``, uint8.  A label has the same colour in every picture.

    Examples
    --------
    >>> paint_labels(np.array([[0, 7]]), {7: "#ff8000"}).tolist()
    [[[0, 0, 0], [255, 128, 0]]]
    """
    labels, places = np.unique(plane, return_inverse=True)
    palette = _distinct_colors(labels)
    palette[labels == 0] = 0
    for number, label in enumerate(labels.tolist() if colors else ()):
        if label in colors:
            palette[number] = list(bytes.fromhex(colors[label].removeprefix("#")))
    return palette[places.reshape(plane.shape)]


def _distinct_colors(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Bright colours, ``(label, 3)``: the hue steps by the golden ratio from label to label."""
    wrapped = labels.astype(np.uint64 if labels.dtype.kind == "u" else np.int64).view(np.uint64)
    hashed = wrapped * _GOLDEN
    hue = hashed.astype(np.float64)[:, np.newaxis] / 2.0**64
    saturation = 0.5 + (hashed * _GOLDEN).astype(np.float64)[:, np.newaxis] / 2.0**65
    pure = np.clip(np.abs((6 * hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    colors: np.ndarray[Any, Any] = np.rint(255 * (1 - saturation * (1 - pure))).astype(np.uint8)
    return colors
