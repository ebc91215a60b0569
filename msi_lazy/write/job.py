"""Images to write, and the options of a write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msi_lazy.run.options import RunOptions
from msi_lazy.storage.spill_folder import SpillChoice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from zarr.abc.buffer import Buffer

    from msi_lazy.graph.level_graph import LevelGraph
    from msi_lazy.ngff.specification import Specification
    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.storage.place import Mode
    from msi_lazy.storage.replacement import Replace
    from msi_lazy.write.layout import LevelLayout

__all__ = ["ImageJob", "WriteOptions"]


@dataclass(frozen=True)
class ImageJob:
    """One multiscale image to write, its dimensions in the order of the specification."""

    tree: xr.DataTree
    """Pyramid of the image."""
    levels: LevelGraph
    """Lazy samples of every level."""
    plan: PyramidPlan
    """Plan of the pyramid."""
    attributes: Mapping[str, Any]
    """Attributes of the image's group, written last of all."""
    layouts: Sequence[LevelLayout] = ()
    """Layout of every level that is written."""
    path: str = ""
    """Path of the image's group below that of the write; empty for the image itself."""
    origin: LevelGraph | None = None
    """Levels before their dimensions were reordered, if they were."""
    measured: int | None = None
    """Dimension of the channels whose windows are measured at the end; ``None`` if none are."""
    kept: int = 0
    """Number of levels, from the finest, that are stored already, and not written."""
    contents: Mapping[str, Buffer] = field(default_factory=dict)
    """Groups, coordinates and empty arrays as they are stored, by key, once composed."""
    final: Mapping[str, Buffer] = field(default_factory=dict)
    """Documents that differ from ``contents`` once the image is complete, if it has no ``others``, nor ``measured``."""
    others: Mapping[str, xr.Dataset] = field(default_factory=dict)
    """Nodes of the tree besides its scales, by path, coordinates in memory; composed like ``contents``."""

    @property
    def lossless(self) -> bool:
        """True if all levels are known to be read back as they were written."""
        return all(layout.lossless for layout in self.layouts)


@dataclass(frozen=True)
class WriteOptions:
    """Options of a write; see :func:`msi_lazy.to_zarr`."""

    specification: Specification
    mode: Mode = "w-"
    memory_limit: int | str | None = None
    resume: bool = False
    source_id: str | None = None
    delete_labels: bool = False
    replace: Replace = "beside"
    durable: bool = True
    spill: SpillChoice = field(default_factory=SpillChoice)
    run: RunOptions = field(default_factory=RunOptions)
