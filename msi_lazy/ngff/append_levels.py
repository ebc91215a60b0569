"""Adding levels to the attributes of an image that has some."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.ngff.parse_attributes import parse_image, parse_transforms
from msi_lazy.ngff.write_attributes import method_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["appended_attributes", "next_paths"]


def next_paths(paths: Sequence[str], count: int) -> list[str]:
    """Paths of ``count`` more levels, in the pattern of those there are; never one of these.

    Examples
    --------
    >>> next_paths(["scale0/image"], 2)
    ['scale1/image', 'scale2/image']
    >>> next_paths(["level_08", "level_09"], 1)
    ['level_10']
    >>> next_paths(["full"], 2)
    ['full-1', 'full-2']
    """
    last = paths[-1]
    for found in reversed(list(re.finditer(r"\d+", last))):
        number, width = int(found[0]), len(found[0])
        before, after = last[: found.start()], last[found.end() :]
        if len(paths) == 1 and number:
            continue  # a single level is number 0, so this one counts something else
        counted = [f"{before}{number + step:0{width}d}{after}" for step in range(1 - len(paths), count + 1)]
        if counted[: len(paths)] == list(paths):
            return counted[len(paths) :]
    taken, step = set(paths), 0
    free: list[str] = []
    while len(free) < count:
        step += 1
        if f"{last}-{step}" not in taken:
            free.append(f"{last}-{step}")
    return free


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
    made = method_metadata(plan, list(range(len(plan.dims))))
    known = multiscale.get("metadata")
    if len(multiscale["datasets"]) == len(plan.levels) or not isinstance(known, dict):
        multiscale["type"], multiscale["metadata"] = plan.method, made  # no level was made by anything else
    elif isinstance(known.get("kwargs"), dict) and isinstance(known["kwargs"].get("scale_factors"), list):
        known["kwargs"]["scale_factors"] += made["kwargs"]["scale_factors"]
    parse_image(changed)
    return changed
