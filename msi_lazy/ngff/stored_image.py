"""Multiscale images as their attributes describe them, whatever the version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StoredImage", "StoredLevel"]


@dataclass(frozen=True)
class StoredLevel:
    """Dataset of a multiscale image."""

    path: str
    """Path of the array below the image group."""
    scale: tuple[float, ...]
    """Spacing along each axis; 1 where none is stated."""
    translation: tuple[float, ...]
    """Position of the first sample's centre along each axis."""
    known: tuple[bool, ...] = ()
    """Whether the spacing is stated, for each axis; empty if it is along all."""


@dataclass(frozen=True)
class StoredImage:
    """Multiscale image as its attributes describe it."""

    version: str
    """OME-Zarr version."""
    name: str | None
    """Name, if it has one."""
    dims: tuple[str, ...]
    """Axis names, in order."""
    kinds: tuple[str | None, ...]
    """Type of each axis."""
    units: tuple[str | None, ...]
    """Unit of each axis."""
    levels: tuple[StoredLevel, ...]
    """Datasets, largest first."""
    method: str | None
    """Downsampling method, if the attributes name it."""
    metadata: Mapping[str, Any]
    """Further attributes of the method."""
    channels: tuple[str | None, ...]
    """Labels of the channels as they are listed, distinct or not; ``None`` for one without."""
    words: tuple[Mapping[str, str], ...] = ()
    """What each axis says of itself in words, as attributes of its coordinate; empty if none does."""
    channel_count: int | None = None
    """Number of channels whose display settings are listed; ``None`` without a list."""
    by_order: bool = False
    """Whether no axes are listed: arrays of fewer dimensions than ``dims`` then have the last of them."""
    notes: tuple[str, ...] = ()
    """Remarks on what the attributes state and is not used, for a warning to whoever opens the image."""
