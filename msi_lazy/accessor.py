"""The ``.pyramid`` accessor of ``xarray.DataTree``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from msi_lazy.api import explain, to_zarr
from msi_lazy.tree import refresh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dask.delayed import Delayed

    from msi_lazy.ngff.write import Version
    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.store.target import Mode

__all__ = ["PyramidAccessor", "register_accessors"]


class PyramidAccessor:
    """What a tree can do as a pyramid: ``tree.pyramid``.

    Under the name of ``multiscale-spatial-image``, ``tree.msi``, the same class is registered only
    where that name is free: that library registers its own, whose default overwrites.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def __repr__(self) -> str:
        return str(self.explain())

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()

    def explain(self) -> PyramidPlan:
        """Plan of the pyramid, no pixel read; see :func:`msi_lazy.explain`."""
        return explain(self._tree)

    def to_zarr(
        self,
        store: Any,
        mode: Mode = "w-",
        version: Version = "0.5",
        compressors: Any = "auto",
        encoding: Mapping[str, Any] | None = None,
        compute: bool = True,
        progress: bool = False,
        storage_options: Mapping[str, Any] | None = None,
        memory_limit: int | str | None = None,
    ) -> Delayed | None:
        """Write every level as OME-Zarr in one computation; see :func:`msi_lazy.to_zarr`."""
        options = (version, compressors, encoding, compute, progress, storage_options, memory_limit)
        return to_zarr(self._tree, store, mode, *options)

    def refresh(self) -> xr.DataTree:
        """Tree whose root attributes say what its levels are now: for xarray's own writer, after edits."""
        return refresh(self._tree)


def register_accessors() -> None:
    """Register ``.pyramid``, and ``.msi`` if no other library has it."""
    xr.register_datatree_accessor("pyramid")(PyramidAccessor)
    if not hasattr(xr.DataTree, "msi"):
        xr.register_datatree_accessor("msi")(PyramidAccessor)
