"""Locks of local directories, held against other threads and processes, where the system has them."""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["locked_directory"]

fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None
"""Standard module of POSIX systems; ``None`` elsewhere."""
_PATIENCE = 60.0
"""Seconds that a lock is waited for; it is held for milliseconds, unless its process is stopped."""
_TAKEN = {errno.EAGAIN, errno.EACCES, errno.EINTR}


@contextmanager
def locked_directory(directory: Path) -> Iterator[bool]:
    """Hold the lock of a directory, and say whether there is one: some network file systems have none.

    Assumes that ``flock`` takes the descriptor of a directory, and that two descriptors of one process exclude each
    other, as on Linux, macOS and the BSDs.  The lock goes with its process; no file is created.

    Raises
    ------
    FileNotFoundError
        There is no such directory.
    TimeoutError
        Another process has held the lock for a minute.
    """
    if fcntl is None:
        yield False
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        locked = _lock(descriptor, directory)
        try:
            yield locked
        finally:
            if locked:  # a process forked meanwhile has the descriptor too: closing it here is not enough
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> bool:
    until, pause = time.monotonic() + _PATIENCE, 0.001
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _TAKEN:
                return False
        else:
            return True
        if time.monotonic() > until:
            raise TimeoutError(
                errno.ETIMEDOUT,
                f"another process has held the lock for {_PATIENCE:g} s; end it, or wait",
                str(directory),
            )
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
