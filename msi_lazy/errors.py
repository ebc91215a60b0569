"""Package's exceptions, each a subclass of the built-in one that users expect."""

from __future__ import annotations

__all__ = ["MemoryLimitError", "ResumeError", "StoreExistsError", "UnfinishedImageError", "UnsupportedImageError"]


class MemoryLimitError(ValueError):
    """A write would hold more in memory than it was allowed to (its message says what to change)."""


class UnsupportedImageError(ValueError):
    """Image is sound, but OME-Zarr cannot hold it (its message says which rule it breaks)."""


class ResumeError(ValueError):
    """An interrupted write cannot be resumed (the message says what differs)."""


class UnfinishedImageError(ValueError):
    """An image is incomplete: its write was interrupted, or is still running."""


class StoreExistsError(FileExistsError):
    """Target of a write exists already and overwriting was not asked for."""
