"""What users call: check the arguments, plan, and hand over to the rooms below."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from msi_lazy.axes import image_name, read_axes
from msi_lazy.graph.source import WindowSource, as_dask_source, find_source
from msi_lazy.graph.stages import build_levels
from msi_lazy.methods import resolve_method
from msi_lazy.methods.table import check_dtype
from msi_lazy.ngff.write import Version, check_holdable, spec_order
from msi_lazy.plan.factors import auto_factors, parse_boundary, parse_bytes_of, parse_chunks, parse_factors
from msi_lazy.plan.pyramid import PyramidPlan, plan_pyramid
from msi_lazy.store.read import open_image
from msi_lazy.store.write import write_tree
from msi_lazy.tree import build_tree, level_images, read_plan, stack_levels, transpose_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dask.delayed import Delayed

    from msi_lazy.methods import Method, Methods
    from msi_lazy.store.target import Mode

__all__ = ["explain", "open_multiscale", "to_multiscale", "to_zarr"]


def to_multiscale(
    image: xr.DataArray,
    scale_factors: Sequence[int | Mapping[str, int]] | str,
    method: str | Methods | Method = "mean",
    chunks: int | Sequence[int] | Mapping[str, int] | None = None,
    boundary: str = "trim",
    nodata: Any = None,
    block_bytes: int | str = "64 MiB",
) -> xr.DataTree:
    """Build the pyramid of an image; nothing is read or computed.

    Parameters
    ----------
    image
        1D to any number of dimensions, over NumPy, Dask, or a lazily opened file.  ``x``, ``y``,
        ``z`` are space, ``t`` time, ``c`` channel.  Spatial coordinates, where there are any, must
        be evenly spaced and ascending.
    scale_factors
        One entry per level, relative to the level before: 128 samples with ``[2, 4]`` become 64,
        then 16.  An entry is an integer for all spatial dimensions, or a dict ``{dim: integer}``
        in which a missing dimension means 1.  ``"auto"`` halves until the spatial dimensions fit one
        chunk (``[]`` makes one level); each time those whose spacing is within √2 of the finest, so that an anisotropic
        image becomes near-isotropic.
    method
        Name of the downsampling method, see :class:`msi_lazy.Methods`.
    chunks
        Chunk shape on disk: an integer for all spatial dimensions, a tuple, or a dict.  Default
        256 along each of two spatial dimensions, 64 along three, 1 for ``t`` and ``c``.  Kept in the
        ``encoding`` of each variable, which xarray drops when you do arithmetic with it.
    boundary
        What becomes of the ``n % factor`` samples at the end of a dimension that fill no window:
        ``"trim"`` leaves them out, ``"pad"`` reduces over the samples that exist, ``"exact"`` raises.
    nodata
        A value that every reduction leaves out; a window of nothing else becomes this value.
    block_bytes
        How much of level 0 one task holds, as an integer or a text.  Dask blocks are whole multiples of
        ``chunks`` up to this.

    Returns
    -------
    xarray.DataTree
        Root ``multiscales`` with a node ``scale0`` … ``scaleN`` per level, each a dataset of one lazy
        variable with the name of the image.

    Raises
    ------
    TypeError, ValueError
        An argument that cannot be used; the message names it, and what is allowed.

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
            f"image must be an xarray.DataArray, not {type(image).__name__}; wrap an array with to_spatial_image(...)"
        )
    row = resolve_method(method)
    dtype = image.dtype.newbyteorder("=")
    check_dtype(row, dtype)
    checked_boundary = parse_boundary(boundary)
    limit = parse_bytes_of("block_bytes", block_bytes)
    axes = read_axes(image)
    on_disk = parse_chunks(chunks, axes)
    if isinstance(scale_factors, str) and scale_factors == "auto":
        factors = auto_factors(axes, on_disk, checked_boundary)
    else:
        factors = parse_factors(scale_factors, axes, checked_boundary)
    nodata = _parse_nodata(nodata, dtype)
    source = find_source(image)
    planned = partial(
        plan_pyramid,
        name=image_name(image),
        axes=axes,
        dtype=dtype,
        factors=factors,
        method=row,
        chunks=on_disk,
        boundary=checked_boundary,
        block_bytes=limit,
        source_chunks=source.chunks,
    )
    plan = planned(by_window=isinstance(source, WindowSource))
    if isinstance(source, WindowSource) and not plan.reading.fits:
        source = as_dask_source(image, source)
        plan = planned(by_window=False)
    return build_tree(plan, build_levels(source, plan, row, nodata), image)


def _parse_nodata(nodata: Any, dtype: np.dtype[Any]) -> Any:
    """``nodata`` as a scalar of the image's dtype.

    Raises
    ------
    ValueError
        The dtype cannot hold it.
    """
    if nodata is None:
        return None
    try:
        with np.errstate(invalid="ignore"):
            scalar = np.asarray(nodata).astype(dtype)[()]
        same = np.ndim(nodata) == 0 and (scalar == nodata or (scalar != scalar and nodata != nodata))
    except (TypeError, ValueError, OverflowError):
        same = False
    if not same:
        raise ValueError(f"nodata {nodata!r} is not a value of the image's dtype {dtype}")
    return scalar


def explain(tree: xr.DataTree) -> PyramidPlan:
    """Plan of a pyramid: levels, blocks, tasks, bytes, memory.  No pixel is read.

    Parameters
    ----------
    tree
        A pyramid, also an edited or a reopened one.

    Returns
    -------
    PyramidPlan
        Printed, or shown in a notebook, it is a table.

    Raises
    ------
    ValueError
        The tree is no pyramid, or its levels no longer show the same extent.
    """
    return read_plan(tree)


def to_zarr(
    tree: xr.DataTree,
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
    """Write every level of a pyramid as OME-Zarr, in one Dask computation.

    Parameters
    ----------
    tree
        A pyramid, also an edited or a reopened one: it is written as it is, with true geometry.
    store
        Path, URL, or a zarr store.
    mode
        ``"w-"`` refuses an existing target, ``"w"`` overwrites one, if it is a Zarr hierarchy.
    version
        OME-Zarr version: ``"0.5"`` (Zarr v3) or ``"0.4"`` (Zarr v2).
    compressors
        Codecs of all levels, as ``zarr.create_array`` takes them: ``zarr.codecs.ZstdCodec()``, or for 0.4
        one of numcodecs.  ``"auto"`` is Blosc's zstd, level 3, after a bit shuffle.
    encoding
        Settings per level, in the form of xarray's ``DataTree.to_zarr``: ``{"/scale0": {"image": {...}}}``.
    compute
        ``False`` creates the arrays and returns a :class:`dask.delayed.Delayed` that does the rest; until
        it has run, the store does not open as an image.
    progress
        Show a progress bar on the terminal, of tasks done.
    storage_options
        Options of the file system behind a URL.
    memory_limit
        Most bytes that each process may hold, over what Python and its libraries take; an integer or a text such
        as ``"4 GiB"``.  The plan is held against it before anything is created.

    Returns
    -------
    None or dask.delayed.Delayed

    Raises
    ------
    StoreExistsError
        The target exists, and ``mode`` is ``"w-"``.
    MemoryLimitError
        The plan needs more than ``memory_limit``; the message says what to change.
    UnsupportedImageError
        OME-Zarr cannot hold the image; the message names the rule.
    ValueError
        An argument that cannot be used.  Nothing has been created then.

    Notes
    -----
    Dimensions are written in the order of the specification (t, c, z, y, x).  The image's attributes
    are written last of all, so a run that dies never looks complete.
    """
    plan = read_plan(tree)
    check_holdable(plan.axes, plan.name)
    order = spec_order(plan.axes)
    if order != plan.dims:
        tree, plan = transpose_tree(tree, order), plan.transposed(order)
    images = level_images(tree)
    return write_tree(
        tree,
        images,
        plan,
        store,
        mode,
        version,
        compressors,
        encoding,
        compute,
        progress,
        storage_options,
        memory_limit,
    )


def open_multiscale(store: Any, storage_options: Mapping[str, Any] | None = None) -> xr.DataTree:
    """Open any OME-Zarr image, version 0.4 or 0.5, as a lazy pyramid.

    Parameters
    ----------
    store
        Path, URL, or a zarr store or group of the image.
    storage_options
        Options of the file system behind a URL.

    Returns
    -------
    xarray.DataTree
        The same kind of tree that :func:`to_multiscale` builds, whatever the paths in the store.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group at ``store``.
    ValueError
        The group holds no OME-Zarr image, or one that contradicts itself.
    """
    images, attributes = open_image(store, storage_options)
    return stack_levels(images, attributes)
