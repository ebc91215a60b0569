"""Writing plates: check the arguments, and describe the fields."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from msi_lazy.api.jobs import default_shards, image_job
from msi_lazy.api.plates import Plate
from msi_lazy.arguments.choices import check_source_id, check_switches
from msi_lazy.arguments.numbers import parse_retries
from msi_lazy.arguments.plate_names import parse_acquisitions, parse_fields, parse_names
from msi_lazy.ngff.level_paths import DEFAULT_PATHS, LevelPaths, parse_paths
from msi_lazy.ngff.specifications import DEFAULT_VERSION, Version, find_specification
from msi_lazy.run.options import RunOptions
from msi_lazy.run.scheduler import check_waiting
from msi_lazy.storage.place import Place
from msi_lazy.storage.spill_folder import SpillChoice
from msi_lazy.write.fields import check_names
from msi_lazy.write.job import WriteOptions
from msi_lazy.write.plate_job import FieldForms, PlateJob, PlateLayout
from msi_lazy.write.whole_plate import write_plate_to

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from dask.delayed import Delayed

    from msi_lazy.storage.place import Mode
    from msi_lazy.storage.replacement import Replace

__all__ = ["write_plate"]


def write_plate(
    store: Any,
    fields: Mapping[Any, xr.DataTree],
    *,
    name: str | None = None,
    rows: int | Sequence[str] | None = None,
    columns: int | Sequence[str] | None = None,
    acquisitions: Mapping[int, str | Mapping[str, Any]] | None = None,
    acquisition_of: Mapping[Any, int] | None = None,
    mode: Mode = "w-",
    version: Version = DEFAULT_VERSION,
    shards: int | Sequence[int] | Mapping[str, int] | str | None = None,
    compressors: Any = "auto",
    paths: LevelPaths = DEFAULT_PATHS,
    compute: bool = True,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    memory_limit: int | str | None = None,
    spill: str | os.PathLike[str] | Literal[False] | None = None,
    group: str = "",
    colors: Mapping[str, str] | Sequence[str] | None = None,
    windows: Mapping[str, tuple[float, float]] | Sequence[tuple[float, float]] | str | None = None,
    delete_labels: bool = False,
    replace: Replace = "beside",
    durable: bool = True,
    resume: bool = False,
    source_id: str | None = None,
    retries: int = 0,
) -> Delayed | None:
    """Write the fields of a plate of a high-content screen, and its metadata, in one Dask computation.

    Each field has the same bits as :func:`to_zarr` writes.  Metadata of the plate and of its wells are written last
    of all, so that an interrupted run never looks complete; ``resume=True`` stores only what is not stored yet.

    Parameters
    ----------
    store
        Path, URL, or a zarr store of the plate.
    fields
        Pyramids by row, column and field: ``{("A", "1", 0): tree, ...}``, or by path, ``"A/1/0"``; or a plate that
        :func:`open_plate` returned, or a part of one, whose names and acquisitions are taken over, too.  Rows and
        columns have letters and digits only.
    name
        Name of the plate.
    rows, columns
        Names of all rows and columns, also those without wells, in their order; or how many there are:
        ``rows=8, columns=12`` are A to H and 1 to 12.  By default those that have wells, in the order of plates: A to
        Z, then AA; 1, 2, 10.
    acquisitions
        Name of each acquisition, by its id, or what OME-Zarr has of one: ``{0: "day 1", 1: {"name": "day 2",
        "starttime": 1343731272000}}``.
    acquisition_of
        Id of the acquisition that took each field, by its key, or by its number in all wells: ``{0: 0, 1: 1}``.  Not
        needed where there is one acquisition.
    mode
        ``"w-"`` refuses an existing target, ``"w"`` replaces a plate of no other fields.
    version, shards, compressors, paths, compute, progress, storage_options, memory_limit, spill, group
        As for :func:`to_zarr`; ``group`` is the path of the plate in the store.
    colors, windows
        As for :func:`to_zarr`, for all fields.
    delete_labels, replace, durable, resume, source_id, retries
        As for :func:`to_zarr`.

    Returns
    -------
    None or dask.delayed.Delayed

    Raises
    ------
    StoreExistsError
        The target exists, and ``mode`` is ``"w-"``; or it holds fields, labels or files that would be deleted.
    ResumeError
        The incomplete plate has other fields, sources, methods or layouts; the message names the difference.
    MemoryLimitError
        The plan needs more than ``memory_limit``; the message says what to change.
    UnsupportedImageError
        OME-Zarr cannot hold the image of a field; the message names the rule.
    TypeError, ValueError
        An unusable argument, such as a name that OME-Zarr does not allow.  Nothing has been created then.

    Notes
    -----
    What fields have in common is planned and composed once, so that thousands of them are written nearly as fast as
    one image of their size.  Fields need not be alike.
    """
    check_switches(compute=compute, progress=progress, resume=resume, delete_labels=delete_labels, durable=durable)
    check_waiting(compute)
    check_source_id(source_id)
    place = Place.parse(store, group, storage_options, new=True)
    specification = find_specification(version)
    run = RunOptions(compute, progress, parse_retries(retries, compute))
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
        run=run,
    )
    paths = parse_paths(paths)
    if isinstance(fields, Plate):
        name = (fields.name or None) if name is None else name
        rows, columns = fields.rows if rows is None else rows, fields.columns if columns is None else columns
        if acquisitions is None and acquisition_of is None:
            acquisition_of = fields.acquisitions_of_fields()
            acquisitions = {**{number: {} for number in acquisition_of.values()}, **fields.acquisitions}
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be the name of the plate, a string, not {name!r}")
    keys = parse_fields(fields)
    for key in keys:
        check_names(*key, specification)
    known, taken = parse_acquisitions(acquisitions, acquisition_of, keys)
    wells: dict[tuple[str, str], dict[str, int | None]] = {}
    for row, column, field in keys:
        wells.setdefault((row, column), {})[field] = taken[row, column, field]
    layout = PlateLayout(
        name, parse_names("rows", rows, [key[0] for key in keys]),
        parse_names("columns", columns, [key[1] for key in keys]), wells, known,
    )  # fmt: skip

    forms = FieldForms(
        partial(
            image_job,
            specification=specification,
            colors=colors,
            windows=windows,
            paths=paths,
            shards=default_shards(shards, place, specification),
            compressors=compressors,
        )
    )
    described = [("/".join(key), *_find_form(forms, fields[given], given)) for key, given in keys.items()]
    return write_plate_to(PlateJob(layout, forms.jobs, described), place, options)


def _find_form(forms: FieldForms, tree: Any, key: Any) -> Any:
    if not isinstance(tree, xr.DataTree):
        raise TypeError(f"the field {key!r} must be a pyramid, as to_multiscale builds it, not {type(tree).__name__}")
    try:
        return forms.find(tree)
    except Exception as error:
        error.add_note(f"in the field {key!r} of the plate")
        raise
