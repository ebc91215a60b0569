"""Local files behind what other libraries opened, as far as these show them."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["files_beside", "named_files", "opened_file"]

_HDF5_DRIVERS = ("sec2", "stdio", "direct", "windows")
"""Drivers of HDF5 that read the file of the name they state, and not a copy of it, or something else."""


def opened_file(value: Any) -> str | None:
    """Find the file that a dataset of h5py, or pixels of tifffile, are read from; ``None`` for anything else."""
    try:
        file = value.file
        library = type(file).__module__.partition(".")[0]
        if library == "h5py" and file.driver in _HDF5_DRIVERS:
            name = file.filename
        elif library == "tifffile":
            name = file.filehandle.path
        else:
            return None
    except Exception:  # other libraries have attributes of this name, and files may be closed
        return None
    return os.path.realpath(name) if isinstance(name, str) and os.path.isfile(name) else None


def files_beside(dataset: Any) -> list[str]:
    """List the other files that a dataset of h5py is read from: those of a virtual one, and external ones."""
    folder = os.path.dirname(dataset.file.filename)
    names = [name for name, *_ in getattr(dataset, "external", None) or ()]
    if getattr(dataset, "is_virtual", False):
        names += [source.file_name for source in dataset.virtual_sources()]
    return sorted({os.path.join(folder, name) for name in names if name != "."})


def named_files(value: Any) -> Iterator[str]:
    """Yield the existing files that ``value`` names: a path, several, or those that an object keeps."""
    if isinstance(value, (str, os.PathLike)):
        try:
            name = os.fspath(value)
            if (os.sep in name or "." in name) and os.path.isfile(name):  # not any word, such as "mean"
                yield os.path.realpath(name)
        except (TypeError, ValueError):  # no path at all
            return
    elif isinstance(value, np.ndarray):
        if value.dtype.kind == "U":
            for name in value.flat:
                yield from named_files(str(name))
    elif isinstance(value, partial):
        for part in (*value.args, *value.keywords.values()):
            yield from named_files(part)
    elif not isinstance(value, type) and isinstance(getattr(value, "__dict__", None), dict):
        for part in vars(value).values():
            if isinstance(part, (str, os.PathLike)):
                yield from named_files(part)
