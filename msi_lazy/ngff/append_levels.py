"""Adding levels to the attributes of an image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.specifications import specification_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["appended_attributes", "next_paths"]


def next_paths(paths: Sequence[str], count: int) -> list[str]:
    """Choose the paths of ``count`` further levels, in the pattern of ``paths``.

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
            continue  # a single level has number 0, so this number counts something else
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
    """Append the levels of ``plan`` to the ``attributes`` of an image.

    Parameters
    ----------
    attributes
        Attributes of the group.
    plan
        Plan whose level 0 is the last level of the image; dimensions in the order of the image's axes.
    paths
        Paths of the new levels.
    """
    specification = specification_of(attributes)
    block = specification.append(specification.block_of(attributes), plan, paths)
    changed = {**attributes, **specification.extend(attributes, block)}
    parse_image(changed)
    return changed
