"""The ``.pyramid`` accessor of ``xarray.DataTree``: edits, writes, pictures, and the plan."""

from __future__ import annotations

import xarray as xr

from msi_lazy.accessor.tree_methods import tree_method
from msi_lazy.api import write
from msi_lazy.show import explanation, pictures, viewer
from msi_lazy.tree import build_tree, edit, reindex, select

__all__ = ["PyramidAccessor", "register_accessors"]


class PyramidAccessor:
    """Methods of a tree as a pyramid: ``tree.pyramid``.

    The same class is registered as ``tree.msi``, the name of ``multiscale-spatial-image``, only where that is free:
    that library registers its own, whose default overwrites.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def __repr__(self) -> str:
        return str(self.explain())

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()

    explain = tree_method(explanation.explain, "explain")

    to_zarr = tree_method(write.to_zarr, "to_zarr")
    write_labels = staticmethod(write.write_labels)

    refresh = tree_method(build_tree.refresh, "refresh")
    transpose = tree_method(edit.transpose, "transpose")
    reindex_data_arrays = tree_method(reindex.reindex_data_arrays, "reindex_data_arrays")
    assign_coords = tree_method(edit.assign_coords, "assign_coords")

    level_for = tree_method(select.level_for, "level_for")
    sel = tree_method(select.select_window, "sel")
    thumbnail = tree_method(pictures.make_thumbnail, "thumbnail")
    plot = tree_method(pictures.plot_levels, "plot")
    view = tree_method(viewer.view_tree, "view")


def register_accessors() -> None:
    """Register ``.pyramid``, and ``.msi`` if no other library has it."""
    xr.register_datatree_accessor("pyramid")(PyramidAccessor)
    if not hasattr(xr.DataTree, "msi"):
        xr.register_datatree_accessor("msi")(PyramidAccessor)
