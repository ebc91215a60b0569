"""Writing images and labels: check the arguments, and describe the images to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from msi_lazy.api.jobs import default_shards, image_job, label_job, name_systems, warn_of_omissions
from msi_lazy.arguments.choices import check_source_id, check_switches
from msi_lazy.arguments.numbers import parse_retries
from msi_lazy.ngff.level_paths import DEFAULT_PATHS, LevelPaths, parse_paths, style_of
from msi_lazy.ngff.specifications import DEFAULT_VERSION, Version, find_specification, specification_of
from msi_lazy.run.options import RunOptions
from msi_lazy.run.scheduler import check_waiting
from msi_lazy.storage.open_image import open_image
from msi_lazy.storage.place import Place
from msi_lazy.storage.spill_folder import SpillChoice
from msi_lazy.tree.build_tree import stack_levels
from msi_lazy.tree.read_plan import read_plan
from msi_lazy.write.job import WriteOptions
from msi_lazy.write.label_checks import check_label_job
from msi_lazy.write.layout import label_layouts, resolve_layouts
from msi_lazy.write.write_image import write_image, write_labels_into

if TYPE_CHECKING:
    import os

    import xarray as xr
    from dask.delayed import Delayed

    from msi_lazy.storage.place import Mode
    from msi_lazy.storage.replacement import Replace

__all__ = ["to_zarr", "write_labels"]


def to_zarr(
    tree: xr.DataTree,
    store: Any,
    *,
    mode: Mode = "w-",
    version: Version = DEFAULT_VERSION,
    shards: int | Sequence[int] | Mapping[str, int] | str | None = None,
    compressors: Any = "auto",
    encoding: Mapping[str, Any] | None = None,
    paths: LevelPaths = DEFAULT_PATHS,
    coordinate_system: str | None = None,
    compute: bool = True,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    memory_limit: int | str | None = None,
    spill: str | os.PathLike[str] | Literal[False] | None = None,
    group: str = "",
    colors: Mapping[str, str] | Sequence[str] | None = None,
    windows: Mapping[str, tuple[float, float]] | Sequence[tuple[float, float]] | str | None = None,
    labels: Mapping[str, xr.DataTree] | None = None,
    delete_labels: bool = False,
    replace: Replace = "beside",
    durable: bool = True,
    resume: bool = False,
    source_id: str | None = None,
    retries: int = 0,
) -> Delayed | None:
    """Write all levels of a pyramid as OME-Zarr, in one Dask computation.

    Parameters
    ----------
    tree
        Pyramid, also an edited or a reopened one: it is written as it is, with true geometry.
    store
        Path, URL, or a zarr store: also one of obstore, wrapped in ``zarr.storage.ObjectStore``, or of Icechunk.  A
        path that ends with ``.ozx`` (RFC-9; Zarr v3) or ``.zip`` becomes a zip file: written to a hidden directory
        beside it, for which there must be room too, and packed at the end.
    mode
        ``"w-"`` refuses an existing target, ``"w"`` overwrites one, if it is a Zarr hierarchy
        without files, or nodes, that are no part of an image.
    version
        OME-Zarr version: ``"0.5"`` or ``"0.6"`` (Zarr v3), or ``"0.4"`` (Zarr v2).
    shards
        Shape of the shards, files that hold many chunks each (0.5 only): ``"auto"`` takes the blocks that a level is
        computed in; else a tuple, a dict, or an integer for the spatial dimensions, in whole chunks.  Default none, and
        ``"auto"`` in ``.ozx`` files, as RFC-9 recommends.
    compressors
        Codecs of all levels, as ``zarr.create_array`` takes them: ``zarr.codecs.ZstdCodec()``, or for 0.4 one of
        numcodecs; or a name, for ``labels`` too.  ``"auto"`` is zstd-3: for images in Blosc, after a bit shuffle;
        alone for labels (integers of 32 or 64 bits, bool, methods for labels).  ``"fast"`` is lz4 for images: encoded 4
        times as fast, 3 to 8 % larger for camera noise, 7 to 29 % for 8 bits; for labels zstd, level 1.
    encoding
        Settings per level, in the form of xarray's ``DataTree.to_zarr``: ``{"/scale0": {"image": {...}}}``.
    paths
        Paths of the levels, and of those of ``labels``: ``"scale0"`` is ``scale0/image``, ``scale1/image``, ..., each
        in a group that holds its coordinates, so that ``xarray.open_datatree`` opens the image as well; ``"0"`` is
        ``0``, ``1``, ..., and ``"s0"`` is ``s0``, ``s1``, ..., as some readers insist.  These lack the groups:
        xarray alone cannot open such an image, as its levels lie in one group and differ in size, and coordinates that
        OME-Zarr cannot state (dates, uneven times, any besides the dimensions) are lost, with a warning.
    coordinate_system
        Name of the coordinate system that the levels of the image, and of ``labels``, lie in (0.6 only); by default the
        one that was read, else ``"physical"``.
    compute
        ``False`` creates the arrays and returns a :class:`dask.delayed.Delayed` that does the rest; until it has run,
        the store does not open as an image.
    progress
        Show the progress, speed and remaining time of each level, in a terminal or a notebook only.
    storage_options
        Options of the file system behind a URL.
    memory_limit
        Most bytes that each process may hold, in addition to Python and its libraries; an integer or a string such as
        ``"4 GiB"``.  The plan is checked before anything is created.
    spill
        Directory in which a source is stored, chunk by chunk as it is computed, until the write ends, where memory
        cannot hold its chunks: on a quick disk with room for level 0, which all workers share.  By default it is beside
        the image.  ``False`` holds the chunks in memory nevertheless.
    group
        Path of the image in the store, for several images in one: its root lists them as bioformats2raw does, and
        nothing else in it is changed.
    colors
        Colour of each channel, six hex digits, as a sequence or a dict by channel name.
    windows
        Display range (first and last value) of each channel, as a sequence of pairs or a dict by channel name; by
        default the range of the dtype.  ``"auto"`` takes quantiles of the coarsest level, in the same computation.
    labels
        Label images to write below the image, in the same computation, by name: pyramids as for :func:`write_labels`,
        which also takes colours; with the default codecs of labels.
    delete_labels
        Whether ``mode="w"`` may delete label images that lie below the target, and that ``labels`` does not replace.
    replace
        How ``mode="w"`` replaces an image of local files: ``"beside"`` writes the new one beside it, in a hidden
        folder, and exchanges the two at the end, so that readers, and a kill, see the old image until the new one is
        whole; there must be room for both.  ``"in place"`` deletes the old image first, as it is in other stores.
    durable
        Whether what is written to local files is on disk when it is marked as stored, and when this returns, so that a
        power cut takes nothing of it.  ``False`` leaves it to the operating system, which is quicker where the disk is
        slow, or busy with what others write.
    resume
        Complete an image that an interrupted write of the same pyramid left incomplete, or begin one.
    source_id
        String that names the source, where its samples cannot be identified otherwise, for ``resume``.
    retries
        Number of retries of a failing task.

    Returns
    -------
    None or dask.delayed.Delayed

    Raises
    ------
    StoreExistsError
        The target exists, and ``mode`` is ``"w-"``; it holds labels, other images, or files of yours that would be
        deleted; or another write is running there (``TargetInUseError``).
    ResumeError
        The incomplete image has another source, method or layout; the message names the difference.
    MemoryLimitError
        The plan needs more than ``memory_limit``; the message says what to change.
    DiskSpaceError
        The source must be stored until the write ends, and there is no room for it.
    UnsupportedImageError
        OME-Zarr cannot hold the image; the message names the rule.
    TypeError, ValueError
        An unusable argument.  Nothing has been created then.

    Notes
    -----
    Dimensions are written in the order of the specification (t, c, z, y, x).  The image's attributes
    are written last of all, so an interrupted run never looks complete.  Until then a ledger in the image's group,
    ``.msi_lazy-unfinished``, marks the blocks that are stored.  Errors in a block have a note that names it.
    """
    check_switches(compute=compute, progress=progress, resume=resume, delete_labels=delete_labels, durable=durable)
    check_waiting(compute)
    check_source_id(source_id)
    place = Place.parse(store, group, storage_options, new=True)
    specification = find_specification(version)
    options = WriteOptions(
        specification,
        mode=mode,
        memory_limit=memory_limit,
        resume=resume,
        source_id=source_id,
        delete_labels=delete_labels,
        replace=replace,
        durable=durable,
        spill=SpillChoice.parse(spill, place),
        run=RunOptions(compute, progress, parse_retries(retries, compute)),
    )
    paths = parse_paths(paths)
    shards = default_shards(shards, place, specification)
    packing: Any = {"shards": shards, "compressors": compressors, "paths": paths}
    image = image_job(tree, specification, colors=colors, windows=windows, encoding=encoding, **packing)
    jobs = [image]
    if labels is not None and not isinstance(labels, Mapping):
        raise TypeError(f"labels are a dict of pyramids by name, not {type(labels).__name__}")
    for name, labelled in (labels or {}).items():
        job = label_job(labelled, name, specification, paths=paths)
        check_label_job(job, image.plan, name)
        if paths != DEFAULT_PATHS:
            warn_of_omissions(job, paths)
        layouts = label_layouts(job.plan, image.plan, specification.zarr_format, **packing)
        jobs.append(dataclasses.replace(job, layouts=layouts))
    return write_image(name_systems(jobs, coordinate_system), place, options)


def write_labels(
    store: Any,
    name: str,
    labels: xr.DataTree,
    *,
    mode: Mode = "w-",
    colors: Mapping[int, Any] | None = None,
    properties: Mapping[int, Mapping[str, Any]] | Sequence[Mapping[str, Any]] | None = None,
    shards: int | Sequence[int] | Mapping[str, int] | str | None = None,
    compressors: Any = "auto",
    compute: bool = True,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    memory_limit: int | str | None = None,
    spill: str | os.PathLike[str] | Literal[False] | None = None,
    group: str = "",
    replace: Replace = "beside",
    durable: bool = True,
    resume: bool = False,
    source_id: str | None = None,
) -> Delayed | None:
    """Write a label image below an OME-Zarr image that exists.

    Parameters
    ----------
    store
        Path, URL, or zarr store of the image.
    name
        Name of the label image.
    labels
        Pyramid of integers, by a method for labels such as ``mode``, as a mean invents labels.  It has as many levels
        as the image, which OME-Zarr asks for, and the image's shape; or it lies on the image as a coarser level does,
        on which it was computed, with transformations of its own.  Along ``c``, ``t`` and ``z`` it may have a single
        sample, and dimensions of which the image has one sample, and ``c`` and ``t``, may be missing.
    mode
        ``"w-"`` refuses a name that is taken, ``"w"`` overwrites that label image.
    colors
        Colour of each label, ``{label: colour}``: hex digits, or three or four integers from 0 to 255.
    properties
        Other properties of each label, ``{label: {name: value}}``.
    shards, compressors, compute, progress, storage_options, memory_limit, spill, group
        As for :func:`to_zarr`; the OME-Zarr version, and the style of the paths of levels, are the image's.
    replace, durable, resume, source_id
        As for :func:`to_zarr`.

    Returns
    -------
    None or dask.delayed.Delayed

    Raises
    ------
    FileNotFoundError
        There is no image.
    StoreExistsError
        The name is taken, and ``mode`` is ``"w-"``.
    TypeError, ValueError
        Labels that are no integers, do not lie on the image, or were computed by a method that invents labels.
        Nothing has been created then.
    """
    place = Place.parse(store, group, storage_options)
    check_switches(compute=compute, progress=progress, resume=resume, durable=durable)
    check_waiting(compute)
    check_source_id(source_id)
    opened = open_image(place)
    specification = specification_of(opened.attributes)
    paths = style_of([level.path for level in opened.stored.levels])
    job = label_job(labels, name, specification, colors=colors, properties=properties, paths=paths)
    check_label_job(job, read_plan(stack_levels(opened)), name)
    warn_of_omissions(job, paths)
    options = WriteOptions(
        specification,
        mode=mode,
        memory_limit=memory_limit,
        resume=resume,
        source_id=source_id,
        replace=replace,
        durable=durable,
        spill=SpillChoice.parse(spill, place),
        run=RunOptions(compute, progress),
    )
    layouts = resolve_layouts(job.plan, specification.zarr_format, shards=shards, compressors=compressors, paths=paths)
    return write_labels_into(dataclasses.replace(job, layouts=layouts), place, options)
