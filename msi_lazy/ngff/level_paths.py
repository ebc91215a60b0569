"""Paths of the levels of an image, below its group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DEFAULT_PATHS", "LevelPaths", "level_path", "parse_paths", "style_of"]

LevelPaths = Literal["scale0", "0", "s0"]
"""Style of paths, by that of the first level: in a group of its own, with its coordinates, or an array alone."""
DEFAULT_PATHS: LevelPaths = "scale0"


def level_path(paths: LevelPaths, level: int, name: str) -> str:
    """Path of a level's array below the image's group.

    Examples
    --------
    >>> [level_path(paths, 2, "image") for paths in ("scale0", "0", "s0")]
    ['scale2/image', '2', 's2']
    """
    path = f"{paths.removesuffix('0')}{level}"
    return f"{path}/{name}" if paths == DEFAULT_PATHS else path


def parse_paths(paths: Any) -> LevelPaths:
    """Check the style of the paths of levels.

    Raises
    ------
    ValueError
        An unknown one.
    """
    if isinstance(paths, str) and paths in get_args(LevelPaths):
        checked: Any = paths
        found: LevelPaths = checked
        return found
    raise ValueError(
        f"paths must be 'scale0' (scale0/image, scale1/image, ...: each level in a group, with its coordinates), '0' "
        f"(0, 1, ...) or 's0' (s0, s1, ...), not {paths!r}"
    )


def style_of(paths: Sequence[str]) -> LevelPaths:
    """Style of the paths that an image has, for labels that are added to it; the default for any other.

    Examples
    --------
    >>> style_of(["s0", "s1"]), style_of(["0"]), style_of(["level_0"])
    ('s0', '0', 'scale0')
    """
    flat: tuple[LevelPaths, ...] = ("0", "s0")
    known = (one for one in flat if list(paths) == [level_path(one, level, "") for level in range(len(paths))])
    return next(known, DEFAULT_PATHS)
