"""What POSIX and Linux offer beyond Python's ``os``: syncing a file system, and exchanging two directories."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["exchange_paths", "sync_directory", "sync_file_system"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def sync_file_system(directory: Path) -> None:
    """Return once everything that was written to the file system of ``directory`` is on disk.

    Raises
    ------
    OSError
        Something could not be written; Linux says so since 5.8.
    """
    library = _c_library()
    if not hasattr(library, "syncfs"):
        getattr(os, "sync", lambda: None)()  # not on Windows
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if library.syncfs(descriptor):
            raise _last_error(directory)
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Return once the names in a directory are on disk, where the system can tell."""
    if os.name != "posix":  # others open no directories
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange_paths(one: Path, other: Path) -> bool:
    """Exchange two files or directories of one file system at once; ``False`` where the system cannot."""
    library = _c_library()
    if not hasattr(library, "renameat2"):
        return False
    names = (os.fsencode(one), os.fsencode(other))
    if not library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
        return True
    error = _last_error(other)
    if error.errno in _UNSUPPORTED:
        return False
    raise error


@cache
def _c_library() -> Any:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _last_error(path: Path) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(path))
