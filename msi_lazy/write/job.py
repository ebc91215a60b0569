"""What one write is made of: an image, and label images below it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msi_lazy.run.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.storage.place import Mode

__all__ = ["Part", "WriteOptions"]


@dataclass(frozen=True)
class Part:
    """One multiscale image to be written, its dimensions in the order of the specification."""

    tree: xr.DataTree
    """The pyramid."""
    images: Sequence[xr.DataArray]
    """The image of every scale."""
    plan: PyramidPlan
    """What it is made of."""
    attributes: Mapping[str, Any]
    """Attributes of its group, which come last of all."""
    path: str = ""
    """Path of its group below the image's; empty for the image itself."""
    shards: Any = None
    """Shape of the shards, as :func:`msi_lazy.write.layout.level_layouts` takes it."""
    compressors: Any = "auto"
    """Codecs of all levels."""
    encoding: Mapping[str, Any] = field(default_factory=dict)
    """Settings per level, in the form of xarray's ``DataTree.to_zarr``."""
    origin: Sequence[xr.DataArray] = ()
    """The image of every scale before its dimensions were put in order, where they were."""
    measured: int | None = None
    """Dimension of the channels whose windows are measured when all is stored; ``None`` if none are."""


@dataclass(frozen=True)
class WriteOptions:
    """How a write is done; see :func:`msi_lazy.to_zarr`."""

    specification: Specification
    mode: Mode = "w-"
    memory_limit: int | str | None = None
    resume: bool = False
    source_id: str | None = None
    run: RunOptions = field(default_factory=RunOptions)
