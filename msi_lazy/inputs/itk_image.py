"""ITK images, with their position and orientation in space."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.api.build import to_multiscale
from msi_lazy.arguments.choices import check_switches
from msi_lazy.axes import ORIENTATION
from msi_lazy.inputs.spatial_image import to_spatial_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import xarray as xr

    from msi_lazy.methods import Method, Methods

__all__ = ["itk_image_to_multiscale"]

_ITK_DIMS = ("x", "y", "z", "t")
_ANATOMICAL_NAMES = {"x": "right-left", "y": "anterior-posterior", "z": "inferior-superior"}
_ANATOMICAL_ORIENTATIONS = {"x": "right-to-left", "y": "anterior-to-posterior", "z": "inferior-to-superior"}
"""Directions of ITK's physical space in the body, as RFC-4 of OME-Zarr has them."""
_ITK_UNIT = "millimeter"
_STRAIGHTNESS = 1e-4
"""Largest departure of a direction cosine from 0, 1 or -1 that is rounding: a tenth of a sample over a thousand."""


@dataclass(frozen=True)
class _PixelBuffer:
    """Pixels of an ITK image, as NumPy's array interface: an array over it keeps the image, their owner, alive.

    ``numpy.asarray(view)`` would not: it drops the subclass of array that refers to the image.
    """

    view: Any
    """ITK's array view of an image."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        interface: dict[str, Any] = self.view.__array_interface__
        return interface


@dataclass(frozen=True)
class _Grid:
    """Pixels and their geometry; ``pixels`` has NumPy's order of dimensions, the others have ITK's (x, y, z, t)."""

    pixels: np.ndarray[Any, Any]
    """Samples; components of a sample come last."""
    spacing: np.ndarray[Any, Any]
    """Distance of samples along each axis."""
    origin: np.ndarray[Any, Any]
    """Position of the first sample's centre in physical space."""
    direction: np.ndarray[Any, Any]
    """Direction matrix: in its columns the direction of each axis in physical space."""

    @property
    def is_straight(self) -> bool:
        """``True`` if the axes are those of physical space."""
        return bool(np.abs(self.direction - np.eye(len(self.direction))).max() <= _STRAIGHTNESS)

    @property
    def is_turned_only(self) -> bool:
        """``True`` if the axes are those of physical space in another order, or reversed."""
        return bool(np.abs(self.direction - np.round(self.direction)).max() <= _STRAIGHTNESS)

    def oriented(self) -> _Grid:
        """Exchange and reverse the axes so that each lies along its axis of space, or nearest to it.

        The pixels are a view: nothing is copied, and any dtype works (ITK's ``OrientImageFilter`` knows only a few).
        """
        from scipy.optimize import linear_sum_assignment

        ndim = len(self.spacing)
        physical, order = linear_sum_assignment(-np.abs(self.direction))
        signs = np.sign(self.direction[physical, order])
        lengths = np.array(self.pixels.shape[:ndim][::-1])[order]
        spacing = self.spacing[order]
        steps = self.direction[:, order] * spacing
        axes = [ndim - 1 - axis for axis in order[::-1]]
        flips = tuple(slice(None, None, -1 if sign < 0 else 1) for sign in signs[::-1])
        return _Grid(
            pixels=self.pixels.transpose(*axes, *range(ndim, self.pixels.ndim))[flips],
            spacing=spacing,
            origin=self.origin + steps @ np.where(signs < 0, lengths - 1, 0),
            direction=self.direction[:, order] * signs,
        )


def itk_image_to_multiscale(
    image: Any,
    scale_factors: Sequence[int | Mapping[str, int]] | str,
    *,
    anatomical_axes: bool = False,
    axis_names: Mapping[str, str] | None = None,
    axis_units: Mapping[str, str] | None = None,
    name: str | None = None,
    method: str | Methods | Method | Callable[[np.ndarray[Any, Any], tuple[int, ...]], np.ndarray[Any, Any]] = "mean",
    chunks: int | Sequence[int] | Mapping[str, int] | None = None,
    **options: Any,
) -> xr.DataTree:
    """Build the pyramid of an ITK image; its pixels are not copied.

    Parameters
    ----------
    image
        An ``itk.Image`` or ``itk.VectorImage`` of 2, 3 or 4 dimensions, or a filter whose output is one: it is run.
        The components of vectors and colours become the dimension ``c``.
    scale_factors, method, chunks, **options
        As for :func:`msi_lazy.to_multiscale`.
    anatomical_axes
        Turn a 3D image so that x runs from right to left, y from anterior to posterior and z from inferior to superior
        (ITK's RAI), and name the axes so.  Axes are exchanged and reversed; no sample is changed.  Each coordinate
        states its direction as ``anatomical_orientation``, which OME-Zarr 0.6 has in its axes (RFC-4).
    axis_names, axis_units
        ``long_name`` and ``units`` by dimension.  Default: units of millimeters in space, as ITK has them.
    name
        Name of the image.  Default: the ``ObjectName`` of the image or of its meta-data, else ``"image"``.

    Returns
    -------
    xarray.DataTree
        The pyramid, with spacing and origin of the image, turned if the image was.

    Warns
    -----
    UserWarning
        The image is rotated: its direction matrix is not the identity, and OME-Zarr cannot store it.

    Raises
    ------
    ImportError
        ITK is not installed.
    TypeError
        ``image`` is no ITK image.
    ValueError
        The image has no pixels, or not 2 to 4 dimensions, or, with ``anatomical_axes``, not 3.

    Examples
    --------
    With an image from a file::

        head = itk.imread("head.nrrd")
        tree = itk_image_to_multiscale(head, [2, 4], anatomical_axes=True, method="gaussian")
    """
    check_switches(anatomical_axes=anatomical_axes)
    grid, image = _read_itk_image(image)
    ndim = len(grid.spacing)
    if anatomical_axes and ndim != 3:
        raise ValueError(f"anatomical_axes needs an image of 3 dimensions, and this one has {ndim}")
    if anatomical_axes:
        grid = grid.oriented()
    if not grid.is_straight:
        warnings.warn(_dropped_direction(grid, anatomical_axes), stacklevel=2)
    dims = _ITK_DIMS[:ndim]
    names = dict(_ANATOMICAL_NAMES) if anatomical_axes and axis_names is None else axis_names
    units = {dim: _ITK_UNIT for dim in dims if dim != "t"} if axis_units is None else axis_units
    wrapped = to_spatial_image(
        grid.pixels,
        dims=(*dims[::-1], "c")[: grid.pixels.ndim],
        scale=dict(zip(dims, grid.spacing.tolist(), strict=True)),
        translation=dict(zip(dims, grid.origin.tolist(), strict=True)),
        name=_object_name(image) if name is None else name,
        axis_names=names,
        axis_units=units,
    )
    if anatomical_axes:
        for dim, orientation in _ANATOMICAL_ORIENTATIONS.items():
            wrapped[dim].attrs[ORIENTATION] = orientation
    return to_multiscale(wrapped, scale_factors, method=method, chunks=chunks, **options)


def _read_itk_image(image: Any) -> tuple[_Grid, Any]:
    """Read pixels and geometry of an ITK image or of a filter's output; return the image, too."""
    try:
        itk = import_module("itk")
    except ImportError as error:
        raise ImportError("ITK images need ITK: pip install 'msi_lazy[itk]'") from error
    image = itk.output(image)
    if not hasattr(image, "GetImageDimension"):
        raise TypeError(
            f"image must be an itk.Image or a filter whose output is one, not {type(image).__name__}; "
            f"wrap an array with to_spatial_image(...)"
        )
    ndim = image.GetImageDimension()
    if not 2 <= ndim <= len(_ITK_DIMS):
        raise ValueError(f"the ITK image has {ndim} dimensions; those with 2 to {len(_ITK_DIMS)} can be converted")
    source = image.GetSource()
    if source is not None:
        source.UpdateLargestPossibleRegion()
    view = itk.array_view_from_image(image)
    if view is None or not view.size:
        raise ValueError("the ITK image has no pixels: call its Allocate(), or read the file")
    first = image.GetBufferedRegion().GetIndex()  # the origin belongs to index 0, which a cropped image may lack
    grid = _Grid(
        pixels=np.asarray(_PixelBuffer(view)),
        spacing=np.array([float(step) for step in image.GetSpacing()]),
        origin=np.array([float(position) for position in image.TransformIndexToPhysicalPoint(first)]),
        direction=np.asarray(itk.array_from_matrix(image.GetDirection())),
    )
    return grid, image


def _object_name(image: Any) -> str:
    """Name in the image or its meta-data, else ``"image"``."""
    meta_data = image.GetMetaDataDictionary()
    noted = meta_data["ObjectName"] if meta_data.HasKey("ObjectName") else ""
    return str(image.GetObjectName()).strip() or str(noted).strip() or "image"


def _dropped_direction(grid: _Grid, anatomical_axes: bool) -> str:
    """Warning that the direction of an image is dropped, and how to keep it."""
    matrix = np.round(grid.direction, 4).tolist()
    lost = f"the image has the direction matrix {matrix}, and OME-Zarr stores none, so the rotation is dropped"
    if anatomical_axes:
        return f"{lost}, but for the exchange and reversal of axes; resample the image to keep all of it"
    if len(grid.spacing) != 3:
        return f"{lost}: the samples keep their order, from the position of the first one"
    if grid.is_turned_only:
        return f"{lost}; anatomical_axes=True keeps it, as it only exchanges or reverses axes"
    return f"{lost}; anatomical_axes=True keeps the exchange and reversal of axes, resampling the image all of it"
