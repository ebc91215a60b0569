"""Options of a computation."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """Options of a computation; see :func:`msi_lazy.to_zarr`."""

    compute: bool = True
    """Whether it is computed now; else a ``Delayed`` is returned."""
    progress: bool = False
    """Whether progress is shown, in a terminal or a notebook."""
    retries: int = 0
    """Number of times that a failing task is tried again."""
