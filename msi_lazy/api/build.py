"""Building and opening pyramids: check the arguments, plan, and build the tree."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import xarray as xr

from msi_lazy.arguments.choices import parse_boundary
from msi_lazy.arguments.factors import auto_factors, parse_factors
from msi_lazy.arguments.image_kinds import advice_on, check_dims
from msi_lazy.arguments.nodata import find_nodata, is_auto, parse_nodata
from msi_lazy.arguments.sizes import parse_bytes_of, parse_chunks
from msi_lazy.axes import image_name, read_axes
from msi_lazy.graph.stage_layers import build_levels
from msi_lazy.methods import resolve_method
from msi_lazy.methods.table import check_dtype, check_nodata
from msi_lazy.plan.flat_chunks import default_chunks, describe_flat
from msi_lazy.plan.pyramid import plan_pyramid
from msi_lazy.source.sources import DaskSource, WindowSource, as_dask_source, find_source
from msi_lazy.storage.open_image import open_image
from msi_lazy.storage.place import Place
from msi_lazy.tree.build_tree import build_tree, stack_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from msi_lazy.methods import Method, Methods
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["open_multiscale", "to_multiscale"]


def to_multiscale(
    image: xr.DataArray,
    scale_factors: Sequence[int | Mapping[str, int]] | str,
    method: str | Methods | Method | Callable[[np.ndarray[Any, Any], tuple[int, ...]], np.ndarray[Any, Any]] = "mean",
    *,
    chunks: int | Sequence[int] | Mapping[str, int] | None = None,
    boundary: str = "trim",
    nodata: Any = "auto",
    block_bytes: int | str = "64 MiB",
) -> xr.DataTree:
    """Build the pyramid of an image; nothing is read or computed.

    Parameters
    ----------
    image
        Image of any number of dimensions, over NumPy, Dask, or a lazily opened file.  Known names, in any case, are
        for space ``z``; ``y``, ``lat``, ``latitude``, ``row``, ``rows``; ``x``, ``lon``, ``longitude``, ``col``,
        ``cols``, ``column``, ``columns``; for time ``t``, ``time``; for channels ``c``, ``ch``, ``channel``, ``s``.
        Spatial coordinates, if any, must be evenly spaced and ascending.
    scale_factors
        One entry per level, relative to the finer level: 128 samples with ``[2, 4]`` become 64,
        then 16.  An entry is an integer for all spatial dimensions that have as many samples, or a dict
        ``{dim: integer}`` in which a missing dimension means 1; ``[]`` is a single level.  ``"auto"`` halves until the
        spatial dimensions fit one chunk; each time those whose spacing, in one unit, is within √2 of the finest, so
        that an anisotropic image becomes near-isotropic.  Dimensions of other names are only reduced by a dict.
    method
        Name of the downsampling method, see :class:`msi_lazy.Methods`; or a function ``f(array, factors)`` that
        reduces a NumPy array of whole windows to one sample for each, see :meth:`msi_lazy.Method.from_function`.
    chunks
        Chunk shape on disk: an integer for all spatial dimensions, a tuple, or a dict.  Default
        256 along each of two spatial dimensions, 64 along three, 1 for ``t`` and ``c``; flatter ones of as many samples
        where the image is computed or stored in large planes, of which a chunk's depth is held in memory.  Kept in the
        ``encoding`` of each variable, which xarray drops when you do arithmetic with it.
    boundary
        Treatment of the ``n % factor`` samples at the end of a dimension that fill no window: ``"trim"`` leaves them
        out, ``"pad"`` reduces over the samples that exist, ``"exact"`` raises.
    nodata
        Value that every reduction leaves out; a window of nothing else becomes this value.  ``"auto"`` is what the
        image states in its attributes or its encoding (``_FillValue``, ``missing_value``, ``nodata``): NaN for floats
        in which xarray has masked it.  ``None`` leaves nothing out but NaN.
    block_bytes
        Most bytes of level 0 that one task holds, as an integer or a string.  Dask blocks are whole multiples of
        ``chunks`` up to this.

    Returns
    -------
    xarray.DataTree
        Root ``multiscales`` with a node ``scale0`` … ``scaleN`` per level, each a dataset of one lazy
        variable with the name of the image.

    Raises
    ------
    TypeError, ValueError
        An unusable argument; the message names it, and what is allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from msi_lazy import to_spatial_image
    >>> image = to_spatial_image(np.zeros((128, 128), np.uint8))
    >>> tree = to_multiscale(image, [2, 4])
    >>> [node["image"].shape for node in tree.children.values()]
    [(128, 128), (64, 64), (16, 16)]
    >>> tree["scale1"].x.values[:3]
    array([0.5, 2.5, 4.5])
    """
    if not isinstance(image, xr.DataArray):
        raise TypeError(
            f"image must be an xarray.DataArray, not {type(image).__name__}; "
            f"{advice_on(image) or 'wrap an array with to_spatial_image(...)'}"
        )
    check_dims(image.dims)
    row = resolve_method(method)
    dtype = image.dtype.newbyteorder("=")
    check_dtype(row, dtype)
    checked_boundary = parse_boundary(boundary)
    limit = parse_bytes_of("block_bytes", block_bytes)
    axes = read_axes(image)
    on_disk = parse_chunks(chunks, axes)
    factors = None if is_auto(scale_factors) else parse_factors(scale_factors, axes, checked_boundary)
    if is_auto(nodata):
        nodata = find_nodata(image.attrs, image.encoding, dtype, row.takes_nodata)
    check_nodata(row, nodata)
    nodata = parse_nodata(nodata, dtype)
    planned = partial(
        _plan_source,
        factors=factors,
        name=image_name(image),
        axes=axes,
        dtype=dtype,
        method=row,
        boundary=checked_boundary,
        block_bytes=limit,
    )
    source = found = find_source(image)
    plan = planned(source, on_disk)
    if isinstance(source, WindowSource) and not plan.reading.fits:
        source = as_dask_source(image, source)
        plan = planned(source, on_disk)
    if chunks is None and isinstance(source, DaskSource):
        flat = default_chunks(on_disk, source.chunks, [axis.is_spatial for axis in axes], dtype.itemsize)
        if flat != on_disk:
            plan = planned(source, flat, notes=(describe_flat(flat, on_disk),))
    decoded = -(-found.decoded_bytes // dtype.itemsize)
    reading = replace(plan.reading, decoded_samples=decoded, is_sliceable=isinstance(found, WindowSource))
    plan = replace(plan, nodata=nodata, reading=reading)
    return build_tree(plan, build_levels(source, plan, row, nodata), image)


def _plan_source(
    source: WindowSource | DaskSource,
    chunks: tuple[int, ...],
    *,
    factors: tuple[tuple[int, ...], ...] | None,
    notes: tuple[str, ...] = (),
    **settings: Any,
) -> PyramidPlan:
    """Plan the pyramid of ``source``, in ``chunks``, with the factors that fit them by default."""
    plan = plan_pyramid(
        factors=auto_factors(settings["axes"], chunks, settings["boundary"]) if factors is None else factors,
        chunks=chunks,
        source_chunks=source.chunks,
        source_is_known=source.is_known,
        by_window=isinstance(source, WindowSource),
        **settings,
    )
    return replace(plan, notes=(*notes, *plan.notes))


def open_multiscale(store: Any, *, storage_options: Mapping[str, Any] | None = None, group: str = "") -> xr.DataTree:
    """Open any OME-Zarr image, version 0.4 or 0.5, as a lazy pyramid.

    Parameters
    ----------
    store
        Path, URL, or a zarr store or group of the image; also of a zip file (``.ozx``, ``.zip``), read in parts.
    storage_options
        Options of the file system behind a URL.
    group
        Path of the image in the store: one of several, or a label image, ``"labels/cells"``.

    Returns
    -------
    xarray.DataTree
        Tree as :func:`to_multiscale` builds it, whatever the paths in the store.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group at ``store``.
    TypeError
        An argument of the wrong type.
    ValueError
        The group holds no OME-Zarr image, or one that contradicts itself, or cannot be read; errors of zarr, xarray
        or NumPy are the cause.

    Notes
    -----
    Nothing is unpickled: arrays stored as pickles are refused.
    """
    return stack_levels(open_image(Place.parse(store, group, storage_options)))
