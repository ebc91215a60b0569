"""Memory that the container of this process may use: Linux's control groups, however deep this one is nested."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["container_memory"]

_ROOT = Path("/")
_LIMITS = {"": "memory.max", "memory": "memory/memory.limit_in_bytes"}
"""By the controller that a group is listed under (version 2, version 1): where its limit is, below ``/sys/fs/cgroup``,
with the path of the group before the file."""


def container_memory() -> int | None:
    """Find the least limit, in bytes, of the groups that this process is in; ``None`` where there is none.

    A group's limit holds for the groups inside it.  Paths and files are those of Linux's ``cgroups(7)``.
    """
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # another system
        return None
    return min((limit for line in lines for limit in _limits(line)), default=None)


def _limits(line: str) -> Iterator[int]:
    """Limits of a group, of those around it, and of the root, of a line ``number:controllers:path``."""
    _, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    for controller in set(controllers.split(",")) & set(_LIMITS):
        folder, _, name = _LIMITS[controller].rpartition("/")
        group = PurePosixPath(path.lstrip("/"))
        for inside in (group, *group.parents):
            try:
                yield int((_ROOT / "sys/fs/cgroup" / folder / inside / name).read_text())
            except (OSError, ValueError):  # not mounted here; "max", which is no limit
                continue
