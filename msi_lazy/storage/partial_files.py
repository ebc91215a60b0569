"""Files that zarr-python was writing when it was killed: it writes each under another name first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PARTIAL", "is_partial", "remove_partial_files"]

PARTIAL = ".partial"
"""Suffix of local files that zarr-python is writing."""
_PARTIAL_NAME = re.compile(rf".+\.[0-9a-f]{{32}}\{PARTIAL}")


def remove_partial_files(directory: Path, *, below: bool = True) -> None:
    """Remove such files in a directory, and ``below`` it if asked to; nobody must be writing there."""
    for path in (directory.rglob if below else directory.glob)(f"*{PARTIAL}"):
        if is_partial(path):
            path.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Tell by the name of a file whether zarr-python was writing it."""
    return _PARTIAL_NAME.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()
