"""Package's exceptions, each a subclass of the built-in one that users expect, and its warnings."""

from __future__ import annotations

import inspect
import warnings

__all__ = [
    "DiskSpaceError",
    "LeaseLostError",
    "MemoryLimitError",
    "ResumeError",
    "StoreExistsError",
    "TargetInUseError",
    "UnfinishedImageError",
    "UnsupportedImageError",
    "warn_user",
]


class MemoryLimitError(ValueError):
    """A write would hold more in memory than it was allowed to (its message says what to change)."""


class DiskSpaceError(OSError):
    """A write would store its source for a while, and the disk has no room for it (the message says what to do)."""


class UnsupportedImageError(ValueError):
    """Image is sound, but OME-Zarr cannot hold it (its message says which rule it breaks)."""


class ResumeError(ValueError):
    """An interrupted write cannot be resumed (the message says what differs)."""


class UnfinishedImageError(ValueError):
    """An image is incomplete: its write was interrupted, or is still running."""


class StoreExistsError(FileExistsError):
    """Target of a write exists already and overwriting was not asked for."""


class TargetInUseError(StoreExistsError):
    """Another write is storing at the target (its message names the process)."""


class LeaseLostError(RuntimeError):
    """Another write has taken over the target of this one, which stores nothing more."""


def warn_user(message: str) -> None:
    """Warn at the line outside of the package that led here."""
    package = __name__.partition(".")[0]
    frame, depth = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, UserWarning, stacklevel=depth)
