"""Memory-mapped arrays: read from the map itself, and in other processes from the same file."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from mmap import mmap
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.compat.mapped_files import is_still_mapped

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FileMark", "MappedFile", "MemmapFile"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FileMark:
    """A file, as it is told from others of the same name."""

    machine: str
    """Machine that saw it."""
    device: int
    """Its file system there."""
    inode: int
    """Its number there."""
    size: int
    """Its bytes."""
    modified: int
    """Time of its last change, in nanoseconds."""

    @classmethod
    def of(cls, filename: str) -> FileMark | None:
        """Mark the file of this name; ``None`` if there is none."""
        try:
            found = os.stat(filename)
        except OSError:
            return None
        return cls(platform.node(), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def is_same(self, other: FileMark) -> bool:
        """Tell whether both are one file.

        On one file system of one machine its number says so, as samples may be written to it meanwhile; on another
        machine, which may have a copy, its size and the time of its last change.
        """
        if (self.machine, self.device) == (other.machine, other.device):
            return self.inode == other.inode
        return (self.size, self.modified) == (other.size, other.modified)


@dataclass(frozen=True)
class MappedFile:
    """An array in a file, mapped anew by each process that reads it."""

    filename: str
    """Path of the file."""
    shape: tuple[int, ...]
    """Shape of the array."""
    dtype: np.dtype[Any]
    """Its dtype."""
    begin: int
    """Byte of the file that its first sample begins at."""
    strides: tuple[int, ...]
    """Bytes from one sample to the next, per dimension."""
    mark: FileMark | None
    """File that was meant; ``None`` if that is gone."""

    def is_there(self) -> bool:
        """Tell whether the file of this name is still the one that was mapped, and whole."""
        found = FileMark.of(self.filename)
        if self.mark is None or found is None:
            return False
        return self.mark.is_same(found) and found.size >= self.mark.size

    def check(self) -> None:
        """Refuse a file that is not the one that was mapped.

        Raises
        ------
        ValueError
            It was removed, replaced or cut off.
        """
        if not self.is_there():
            raise ValueError(
                f"the memory-mapped file {self.filename} was removed, replaced or cut off since it was mapped, and "
                f"other processes can open it by its name only; keep it until all is computed, compute in threads "
                f"(dask.config.set(scheduler='threads')), or give the samples: image.copy(data=np.array(image))"
            )

    def __getitem__(self, key: Any) -> Array:
        self.check()
        mapped = np.memmap(self.filename, np.uint8, "r")
        view: Array = np.ndarray(self.shape, self.dtype, mapped, self.begin, self.strides)
        return np.array(view[key])


@dataclass(frozen=True, eq=False)
class MemmapFile:
    """A view of a memory-mapped file: the map itself, pickled as the place of the samples in its file."""

    array: Array
    """View of the map."""
    file: MappedFile
    """The same in its file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.file.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        return self.file.dtype

    def __getitem__(self, key: Any) -> Array:
        return np.array(self.array[key])

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        file = self.file
        return MappedFile, (file.filename, file.shape, file.dtype, file.begin, file.strides, file.mark)

    @classmethod
    def of(cls, array: Array) -> MemmapFile | None:
        """Find the file behind ``array``, if that is a view of one; nothing is read."""
        mapped: Any = array
        while isinstance(mapped.base, np.ndarray):
            mapped = mapped.base
        if not isinstance(mapped, np.memmap) or mapped.filename is None or not isinstance(mapped.base, mmap):
            return None
        if mapped.mode == "c":  # changes are in memory only
            return None
        filename = str(mapped.filename)
        begin = array.ctypes.data - mapped.ctypes.data + mapped.offset
        mark = FileMark.of(filename) if is_still_mapped(mapped, filename) else None
        return cls(array, MappedFile(filename, array.shape, array.dtype, begin, array.strides, mark))
