"""Files that zarr-python, or this library, was writing when it was killed: each is written under another name first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PARTIAL_NAME", "is_partial", "partial_name", "remove_partial_files"]

_SUFFIX = ".partial"
"""Suffix of local files that zarr-python, or this library, is writing."""
PARTIAL_NAME = re.compile(rf".+\.[0-9a-f]{{32}}\{_SUFFIX}")
"""Name of such a file."""


def partial_name(name: str) -> str:
    """Name under which a file is written that is to be called ``name``; another one each time."""
    return f"{name}.{uuid4().hex}{_SUFFIX}"


def remove_partial_files(directory: Path, *, below: bool = True) -> None:
    """Remove such files in a directory, and ``below`` it if asked to; nobody must be writing there."""
    for path in (directory.rglob if below else directory.glob)(f"*{_SUFFIX}"):
        if is_partial(path):
            path.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Tell by the name of a file whether it was being written."""
    return PARTIAL_NAME.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()
