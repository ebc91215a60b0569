"""The ``.pyramid`` accessor of ``xarray.DataTree``: edits, writes, and the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from msi_lazy.accessor.showing import Looking
from msi_lazy.api.write import to_zarr, write_labels
from msi_lazy.ngff.specifications import DEFAULT_VERSION
from msi_lazy.show.explanation import ExplainedPlan, explain
from msi_lazy.tree.build_tree import refresh
from msi_lazy.tree.edit import assign_coords, reindex_data_arrays, transpose

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from types import EllipsisType

    from dask.delayed import Delayed

    from msi_lazy.ngff.specifications import Version
    from msi_lazy.storage.place import Mode

__all__ = ["PyramidAccessor", "register_accessors"]


class PyramidAccessor(Looking):
    """What a tree can do as a pyramid: ``tree.pyramid``.

    Under the name of ``multiscale-spatial-image``, ``tree.msi``, the same class is registered only
    where that name is free: that library registers its own, whose default overwrites.
    """

    def __repr__(self) -> str:
        return str(self.explain())

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()

    def explain(self, measure: bool = False) -> ExplainedPlan:
        """Plan of the pyramid, no pixel read unless you ask to ``measure`` a block; see :func:`msi_lazy.explain`."""
        return explain(self._tree, measure)

    def to_zarr(
        self,
        store: Any,
        mode: Mode = "w-",
        version: Version = DEFAULT_VERSION,
        shards: int | Sequence[int] | Mapping[str, int] | str | None = None,
        compressors: Any = "auto",
        encoding: Mapping[str, Any] | None = None,
        compute: bool = True,
        progress: bool = False,
        storage_options: Mapping[str, Any] | None = None,
        memory_limit: int | str | None = None,
        group: str = "",
        colors: Mapping[str, str] | Sequence[str] | None = None,
        windows: Mapping[str, tuple[float, float]] | Sequence[tuple[float, float]] | str | None = None,
        labels: Mapping[str, xr.DataTree] | None = None,
        resume: bool = False,
        source_id: str | None = None,
        retries: int = 0,
    ) -> Delayed | None:
        """Write every level as OME-Zarr in one computation; see :func:`msi_lazy.to_zarr`."""
        layout = (version, shards, compressors, encoding)
        how = (compute, progress, storage_options, memory_limit)
        content = (group, colors, windows, labels)
        return to_zarr(self._tree, store, mode, *layout, *how, *content, resume, source_id, retries)

    def write_labels(self, store: Any, name: str, labels: xr.DataTree, **options: Any) -> Delayed | None:
        """Write a label image below this image, which is at ``store``; see :func:`msi_lazy.write_labels`."""
        return write_labels(store, name, labels, **options)

    def refresh(self) -> xr.DataTree:
        """Tree whose root attributes say what its levels are now: for xarray's own writer, after edits."""
        return refresh(self._tree)

    def transpose(self, *dims: Hashable | EllipsisType) -> xr.DataTree:
        """Tree with the dimensions of every image in another order; no pixel is read.

        Parameters
        ----------
        *dims
            Dimensions in the order that is wanted; ``...`` stands for those not named, and none at all reverses them.
            A variable takes those that it has.

        Returns
        -------
        xarray.DataTree
            A new tree.  The chunks on disk are turned along, and the root says what it is now: OME-Zarr's attributes,
            or none where the order is not that of OME-Zarr (``pyramid.to_zarr`` writes that order in any case).

        Raises
        ------
        TypeError, ValueError
            A dimension that is not there, is named twice, or is left out without ``...``.

        Examples
        --------
        >>> import numpy as np
        >>> from msi_lazy import to_multiscale, to_spatial_image
        >>> tree = to_multiscale(to_spatial_image(np.zeros((16, 16, 3)), dims="yxc"), [2])
        >>> tree.pyramid.transpose("c", ...)["scale1"]["image"].dims
        ('c', 'y', 'x')
        """
        return transpose(self._tree, *dims)

    def reindex_data_arrays(
        self,
        indexers: Mapping[Any, Any] | None = None,
        method: Literal["nearest", "pad", "ffill", "backfill", "bfill"] | None = None,
        tolerance: Any = None,
        copy: bool = False,
        fill_value: Any = None,
        **indexers_kwargs: Any,
    ) -> xr.DataTree:
        """Tree with other labels along dimensions that are the same at every level: channels, times; no pixel is read.

        Samples keep their labels: they are chosen, put in another order, and filled in where a label is new.
        To give samples other labels, use :meth:`assign_coords`.

        Parameters
        ----------
        indexers, **indexers_kwargs
            Labels by dimension.
        method, tolerance, copy
            What stands for a label that is not there, and how far away it may be; see ``xarray.Dataset.reindex``.
        fill_value
            Value of samples that are not there, or a dict of values by variable.  Default NaN, which makes floats of
            integers.

        Returns
        -------
        xarray.DataTree
            A new tree, whose root says what it is now: how channels look goes with them.

        Raises
        ------
        ValueError
            A dimension that is not there, or has no labels; or one whose labels differ from level to level, as those of
            an axis that is downsampled.

        Examples
        --------
        >>> import numpy as np
        >>> from msi_lazy import to_multiscale, to_spatial_image
        >>> image = to_spatial_image(np.zeros((16, 16, 3)), dims="yxc", c_coords=["r", "g", "b"])
        >>> tree = to_multiscale(image, [2]).pyramid.reindex_data_arrays(c=["b", "r"])
        >>> tree["scale1"].c.values.tolist()
        ['b', 'r']
        """
        return reindex_data_arrays(self._tree, indexers, method, tolerance, copy, fill_value, **indexers_kwargs)

    def assign_coords(self, coords: Mapping[Any, Any] | None = None, **coords_kwargs: Any) -> xr.DataTree:
        """Tree with new coordinates; no pixel is read.

        Parameters
        ----------
        coords, **coords_kwargs
            Coordinates by name, in any form that ``xarray.Dataset.assign_coords`` takes.  Each goes to every level that
            has its dimensions and lengths.  A function is called with the dataset of each level, so that spatial
            coordinates, which differ from level to level, can be changed all at once.

        Returns
        -------
        xarray.DataTree
            A new tree, whose root says what it is now.  A coordinate without attributes keeps those (unit, long name)
            of the one that it replaces.  Channels with new names look as before.

        Raises
        ------
        ValueError
            A coordinate that fits no level; spatial coordinates that are not evenly spaced and ascending.

        Examples
        --------
        >>> import numpy as np
        >>> from msi_lazy import to_multiscale, to_spatial_image
        >>> tree = to_multiscale(to_spatial_image(np.zeros((16, 16, 3)), dims="yxc"), [2])
        >>> tree = tree.pyramid.assign_coords(c=["r", "g", "b"], x=lambda level: level.x * 0.5)
        >>> tree["scale1"].c.values.tolist(), tree["scale1"].x.values[:3].tolist()
        (['r', 'g', 'b'], [0.25, 1.25, 2.25])
        """
        return assign_coords(self._tree, coords, **coords_kwargs)


def register_accessors() -> None:
    """Register ``.pyramid``, and ``.msi`` if no other library has it."""
    xr.register_datatree_accessor("pyramid")(PyramidAccessor)
    if not hasattr(xr.DataTree, "msi"):
        xr.register_datatree_accessor("msi")(PyramidAccessor)
