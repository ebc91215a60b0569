"""The part of the ``.pyramid`` accessor that shows a tree: windows of it, pictures, a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.show.pictures import make_thumbnail, plot_levels
from msi_lazy.show.viewer import view_tree
from msi_lazy.tree.select import level_for, select_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import xarray as xr

    from msi_lazy.show.viewer import Viewer

__all__ = ["Looking"]


class Looking:
    """What can be seen of a tree."""

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def level_for(self, spacing: float | Mapping[str, float]) -> str:
        """Name of the coarsest level whose samples lie no wider apart than ``spacing``; no pixel is read.

        Parameters
        ----------
        spacing
            In the units of the coordinates: a number for all spatial dimensions, or a dict by dimension.

        Returns
        -------
        str
            ``"scale0"`` where even the finest level is coarser.

        Raises
        ------
        TypeError, ValueError
            No such spacing or dimension, or a tree that is no pyramid.

        Examples
        --------
        >>> import numpy as np
        >>> from msi_lazy import to_multiscale, to_spatial_image
        >>> tree = to_multiscale(to_spatial_image(np.zeros((64, 64), np.uint8), scale={"y": 0.5, "x": 0.5}), [2, 2])
        >>> tree.pyramid.level_for(0.25), tree.pyramid.level_for(1.9), tree.pyramid.level_for({"x": 100})
        ('scale0', 'scale1', 'scale2')
        """
        return level_for(self._tree, spacing)

    def sel(
        self,
        indexers: Mapping[Any, Any] | None = None,
        spacing: float | Mapping[str, float] | None = None,
        **indexers_by_name: Any,
    ) -> xr.DataArray:
        """Window of the level that is fine enough for ``spacing``, by physical positions; no pixel is read.

        Parameters
        ----------
        indexers, **indexers_by_name
            What is selected along each dimension, as a dict or by name.  Along dimensions of space a slice takes every
            sample that reaches into it, half the spacing to either side of its centre, and a position takes the sample
            that it lies in: whatever the level, the result covers what was asked for (xarray's ``sel`` takes the
            centres inside, and of a coarse level perhaps none).  Other dimensions, such as ``c``, are selected as
            xarray does.
        spacing
            The coarsest level no coarser than this is taken, see :meth:`level_for`; ``None`` takes the finest.

        Returns
        -------
        xarray.DataArray
            The image of that level, lazily, with its coordinates.

        Raises
        ------
        KeyError
            A channel or a time that is not there.
        TypeError, ValueError
            No position, a window outside of the image, an unknown dimension, no such spacing.

        Examples
        --------
        >>> import numpy as np
        >>> from msi_lazy import to_multiscale, to_spatial_image
        >>> tree = to_multiscale(to_spatial_image(np.zeros((64, 64), np.uint8), scale={"y": 0.5, "x": 0.5}), [2, 2])
        >>> window = tree.pyramid.sel(x=slice(10, 20), y=slice(None, 4), spacing=1)
        >>> window.shape, window.x.values[[0, -1]]
        ((5, 11), array([10.25, 20.25]))
        """
        return select_window(self._tree, indexers, spacing, indexers_by_name)

    def thumbnail(self, max_size: int = 256) -> np.ndarray[Any, Any]:
        """Small picture of the image, as an array of colours.

        It is made from the coarsest level with a sample for each pixel, and nothing else is read.  Channels add up in
        the colours and windows of the root's ``omero`` attributes, those that are active.  Where these say nothing of
        the values, 8 bits are shown as they are, and the middle 99.8 % of what is read from black to the full colour.
        An image that has neither is gray.  Labels, of a label image or made by a method for labels, have distinct
        colours, or their own from the attributes, and 0 is black.

        Parameters
        ----------
        max_size
            Pixels along the longer side, at most.  A smaller image is not enlarged.

        Returns
        -------
        numpy.ndarray
            ``(y, x, 3)``, uint8, in the image's physical proportions: the middle plane of ``z``, the first time.

        Raises
        ------
        TypeError, ValueError
            No such size; an image of complex numbers, or with one dimension of space; a tree that is no pyramid.

        Notes
        -----
        The coarse levels of a pyramid that is not stored are made from its source, and all of that is read for them:
        write a large image, and take the thumbnail from :func:`msi_lazy.open_multiscale`.

        Examples
        --------
        >>> import numpy as np
        >>> from msi_lazy import to_multiscale, to_spatial_image
        >>> image = to_spatial_image(np.full((64, 128), 7, np.uint8), scale={"y": 2, "x": 1})
        >>> picture = to_multiscale(image, [2, 2]).pyramid.thumbnail(max_size=32)
        >>> picture.shape, picture.dtype, picture.max()
        ((32, 32, 3), dtype('uint8'), np.uint8(7))
        """
        return make_thumbnail(self._tree, max_size)

    def plot(self, axes: Any = None, levels: Sequence[str | int] | None = None) -> np.ndarray[Any, Any]:
        """Draw the levels side by side, at the same physical extent, with matplotlib (extra ``plot``).

        The colours are those of :meth:`thumbnail`, the same in all panels; samples are drawn as squares, in place, and
        ``y`` runs downwards.  A level with more samples than its panel has pixels is drawn from the coarsest level that
        has enough, and the title says so: of a stored image, however large, little is read.

        Parameters
        ----------
        axes
            Axes to draw in, one for each level, as ``plt.subplots`` gives them.  Default: those of a new figure.
        levels
            Names or numbers of the levels to draw, such as ``["scale0", "scale3"]``.  Default: all.

        Returns
        -------
        numpy.ndarray
            The axes, 1D, one for each level.

        Raises
        ------
        ImportError
            The extra ``plot`` is not installed.
        TypeError, ValueError
            No such levels, not one of the axes for each; else as :meth:`thumbnail`.

        Notes
        -----
        The coarse levels of a pyramid that is not stored are made from its source, and all of that is read for them:
        an image that does not fit memory is to be opened from a store.  What is drawn fits the figure as it is now:
        zooming in shows no more samples.

        Examples
        --------
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from msi_lazy import to_multiscale, to_spatial_image
        >>> tree = to_multiscale(to_spatial_image(np.zeros((32, 48), np.uint8), scale={"y": 0.5, "x": 0.5}), [2])
        >>> axes = tree.pyramid.plot(Figure().subplots(1, 2))
        >>> print(axes[1].get_title())
        scale1
        16 x 24, spacing 1 x 1
        """
        return plot_levels(self._tree, axes, levels)

    def view(self, port: int = 0, open_browser: bool = True) -> Viewer:
        """Look at the tree in Neuroglancer, as it is now, edits and all; returns once it is written to memory.

        A pyramid of up to 256 MiB, all levels together, is computed and written to memory, never to disk.  A larger one
        is refused: write it with :meth:`to_zarr`.  To look at what is stored, however large, and read only what is on
        the screen, use :func:`msi_lazy.view`, which also says what the arguments are.
        """
        return view_tree(self._tree, port, open_browser)
