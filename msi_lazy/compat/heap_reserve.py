"""Free memory in a thread's part of the C library's heap, for what libraries allocate and free again and again."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

__all__ = ["HeapReserve"]

_PIECE = 120 * 2**10
"""Bytes of a piece: glibc maps no block of fewer than 128 KiB, unless it is told to."""
_HEADER = 16
"""Bytes from the end of one block to the next: glibc's header."""
_MOST_TRIES = 4
"""Times as many pieces as are needed that are asked for until as many lie in one row."""


class HeapReserve:
    """A stretch of free memory in the heap of the thread that creates it, held until :meth:`close`.

    A block of 128 KiB or more that glibc's allocator has no room for is mapped into memory by the kernel, each of its
    pages is cleared when it is first touched, and all are unmapped when it is freed.  Where the process was started
    with ``MALLOC_TRIM_THRESHOLD_`` set, as Dask starts its workers, that holds for each such block; Blosc's zstd alone
    has several of them for each chunk.  Here small blocks are allocated until they lie in a row, and freed but for the
    last, so that the row can neither be given back nor is missed by the thread's next large block.  No setting
    of the process is changed.

    Assumes of glibc that neighbouring free blocks are joined, and that a large block is cut from such a one, in the
    same thread, before anything is mapped.  Where there is another allocator, nothing is reserved.

    Parameters
    ----------
    nbytes
        Bytes to reserve.
    """

    def __init__(self, nbytes: int) -> None:
        self._pin: int | None = None
        library = _glibc()
        if library is None or nbytes <= 0:
            return
        needed = -(-nbytes // _PIECE) + 1
        row: list[int] = [library.malloc(_PIECE)]
        others: list[int] = []
        while row[-1] and len(row) < needed and len(row) + len(others) < _MOST_TRIES * needed:
            piece = library.malloc(_PIECE)
            if piece != row[-1] + _PIECE + _HEADER:
                others += row
                row = []
            row.append(piece)
        self._pin = row.pop() if len(row) == needed else None
        for piece in (*others, *row):
            library.free(piece)

    @property
    def is_held(self) -> bool:
        """True if there is something reserved."""
        return self._pin is not None

    def close(self) -> None:
        """Give the memory back."""
        pin, self._pin = self._pin, None
        library = _glibc()
        if pin is not None and library is not None:
            library.free(pin)

    def __del__(self) -> None:
        self.close()


@cache
def _glibc() -> Any:
    """Return glibc, to be called without releasing the interpreter's lock; ``None`` if this is another C library."""
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return None
        library = ctypes.PyDLL(None)
        library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    except (AttributeError, OSError, ValueError):  # another system
        return None
    return library
