"""How a graph is computed, as users ask for it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """How a graph is computed; see :func:`msi_lazy.to_zarr`."""

    compute: bool = True
    """Whether it is computed now; else a ``Delayed`` is returned."""
    progress: bool = False
    """Whether progress is shown, where anybody can see it."""
    retries: int = 0
    """How often a failing task is tried again."""
