"""Adding levels to a stored image, in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.api.build import to_multiscale
from msi_lazy.arguments.choices import check_switches
from msi_lazy.arguments.nodata import is_auto, parse_nodata, same_nodata
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.methods import Method, resolve_method
from msi_lazy.ngff.append_levels import appended_attributes, next_paths
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.provenance import read_method, read_nodata, recorded_method
from msi_lazy.ngff.specifications import ome_block, specification_of
from msi_lazy.run.options import RunOptions
from msi_lazy.run.scheduler import check_waiting
from msi_lazy.source.sources import lazy_array
from msi_lazy.storage.open_image import open_image
from msi_lazy.storage.place import Place
from msi_lazy.tree.read_plan import level_images, read_plan
from msi_lazy.write.added_levels import write_levels
from msi_lazy.write.job import ImageJob, WriteOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from dask.delayed import Delayed

    from msi_lazy.ngff.stored_image import StoredImage
    from msi_lazy.storage.place import Mode

__all__ = ["add_levels"]


def add_levels(
    store: Any,
    scale_factors: Sequence[int | Mapping[str, int]] | str = "auto",
    *,
    method: Any = None,
    mode: Mode = "w-",
    chunks: int | Sequence[int] | Mapping[str, int] | None = None,
    boundary: str = "trim",
    nodata: Any = "auto",
    block_bytes: int | str = "64 MiB",
    shards: int | Sequence[int] | Mapping[str, int] | str | None = None,
    compressors: Any = "auto",
    compute: bool = True,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    memory_limit: int | str | None = None,
    group: str = "",
    durable: bool = True,
) -> Delayed | None:
    """Add coarser levels to an OME-Zarr image in place; its own levels are not rewritten.

    Parameters
    ----------
    store
        Path, URL, or zarr store of the image, with one level or more.
    scale_factors, boundary, nodata, block_bytes
        As for :func:`msi_lazy.to_multiscale`; factors are relative to the image's last level, and ``nodata="auto"`` is
        that of the image's levels.
    method
        As for :func:`msi_lazy.to_multiscale`; by default that of the image's levels, else ``mode`` for labels and
        ``mean`` for others.
    mode
        ``"w-"`` refuses to overwrite an array that the image does not list, ``"w"`` overwrites it; what an interrupted
        run left goes in any case.  Groups, and arrays that the image lists, are never overwritten.
    chunks, compressors
        Settings of the new levels; by default those of the image's last one.
    shards, compute, progress, storage_options, memory_limit, group, durable
        As for :func:`msi_lazy.to_zarr`; the OME-Zarr version is the image's.

    Returns
    -------
    None or dask.delayed.Delayed

    Raises
    ------
    FileNotFoundError
        There is no Zarr group.
    StoreExistsError
        The place of a new level is taken, and ``mode`` is ``"w-"``.
    TypeError, ValueError
        An unusable argument, or label images that would have fewer levels than the image.  Nothing has been created
        then.

    Notes
    -----
    The new levels are named in the pattern of the others, and listed in the image's attributes last of all.
    """
    place = Place.parse(store, group, storage_options)
    check_switches(compute=compute, progress=progress, durable=durable)
    check_waiting(compute)
    opened = open_image(place)
    stored, attributes, base = opened.stored, opened.attributes, opened.images[-1]
    specification = specification_of(attributes)
    specification.check_written()
    if [level.path for level in parse_image(attributes).levels] != [level.path for level in stored.levels]:
        raise ValueError(
            f"the image does not list its datasets from the largest on, so that none can be added behind them; list "
            f"them as {[level.path for level in stored.levels]}"
        )
    chunks = base.encoding["chunks"] if chunks is None else chunks
    row = _method_of(stored, attributes, method, base.dtype)
    nodata = _nodata_of(stored, row, nodata, base.dtype)
    tree = to_multiscale(
        base, scale_factors, method=row, chunks=chunks, boundary=boundary, nodata=nodata, block_bytes=block_bytes
    )
    plan = read_plan(tree)
    listed = [level.path for level in stored.levels]
    paths = next_paths(listed, len(plan.levels) - 1)
    levels = LevelGraph.of([lazy_array(image) for image in level_images(tree)])
    job = ImageJob(tree, levels, plan, appended_attributes(attributes, plan, paths), kept=1)
    options = WriteOptions(
        specification,
        mode,
        memory_limit=memory_limit,
        durable=durable,
        run=RunOptions(compute, progress),
    )
    return write_levels(job, place, options, shards=shards, compressors=compressors)


def _nodata_of(stored: StoredImage, row: Method, nodata: Any, dtype: np.dtype[Any]) -> Any:
    """Choose the value that further levels leave out: that of the image's levels, as one recipe holds for all."""
    known = read_nodata(stored, row, dtype)
    if len(stored.levels) == 1:
        return known if is_auto(nodata) and known is not None else nodata
    nodata = nodata if is_auto(nodata) else parse_nodata(nodata, dtype.newbyteorder("="))
    if not is_auto(nodata) and recorded_method(stored) is not None and not same_nodata(nodata, known):
        raise ValueError(f"the image's levels were computed with nodata={known}, and not {nodata}: leave nodata= out")
    return known if is_auto(nodata) else nodata


def _method_of(stored: StoredImage, attributes: Mapping[str, Any], method: Any, dtype: np.dtype[Any]) -> Method:
    """Choose the method of further levels: by default that of the image's levels, if known, else mode or mean."""
    labels = "image-label" in ome_block(attributes)
    default = recorded_method(stored) or ("mode" if labels else "mean")
    row = resolve_method(default if method is None else method)
    if labels and not row.keeps_values:
        raise ValueError(f"method {row.name!r} invents labels; use one that keeps values, such as 'mode'")
    return read_method(stored, row, dtype)
