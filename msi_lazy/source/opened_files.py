"""Local files behind what other libraries opened, as far as these show them."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["files_beside", "opened_file"]

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
