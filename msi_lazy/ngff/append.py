"""Adding levels to the attributes of an image that has some."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.ngff.read import parse_image, parse_transforms
from msi_lazy.ngff.write import method_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["appended_attributes", "next_paths"]


def next_paths(paths: Sequence[str], count: int) -> list[str]:
    """Paths of ``count`` more levels, in the pattern of those there are.

    Examples
    --------
    >>> next_paths(["scale0/image"], 2)
    ['scale1/image', 'scale2/image']
    >>> next_paths(["0", "1"], 1)
    ['2']
    >>> next_paths(["full"], 2)
    ['full-1', 'full-2']
    """
    last, number = paths[-1], len(paths) - 1
    for found in re.finditer(r"\d+", last):
        if int(found[0]) == number:
            before, after = last[: found.start()], last[found.end() :]
            return [f"{before}{number + step}{after}" for step in range(1, count + 1)]
    return [f"{last}-{number + step}" for step in range(1, count + 1)]


def appended_attributes(attributes: Mapping[str, Any], plan: PyramidPlan, paths: Sequence[str]) -> dict[str, Any]:
    """``attributes`` of an image with the levels of ``plan`` behind its own.

    Parameters
    ----------
    attributes
        Attributes of the group, 0.4 or 0.5.
    plan
        Its level 0 is the last level of the image, the others are new; dimensions in the order of the image's axes.
    paths
        Where the new levels are.
    """
    changed: dict[str, Any] = deepcopy(dict(attributes))
    multiscale = (changed["ome"] if isinstance(changed.get("ome"), dict) else changed)["multiscales"][0]
    outer_scale, outer_translation = parse_transforms(multiscale.get("coordinateTransformations"), len(plan.dims))
    for level, path in zip(plan.levels[1:], paths, strict=True):
        scale = np.array(level.scale) / outer_scale  # what the image-wide transformation leaves to be said
        translation = (np.array(level.translation) - outer_translation) / outer_scale
        multiscale["datasets"].append(
            {
                "path": path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale.tolist()},
                    {"type": "translation", "translation": translation.tolist()},
                ],
            }
        )
    multiscale.setdefault("type", plan.method)
    multiscale.setdefault("metadata", method_metadata(plan, list(range(len(plan.dims)))))
    parse_image(changed)
    return changed
