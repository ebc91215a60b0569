"""Settings of the C library's allocator: of the whole process, so only where that is ours, or its owner asks for it."""

from __future__ import annotations

import ctypes
import os

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's options, as in its ``malloc.h``."""
_KEPT, _LARGEST = 2**28, 2**25
"""Free bytes at the end of a heap that are kept, and the largest block that is cut from it: glibc takes no larger."""


def keep_freed_memory() -> bool:
    """Let glibc keep up to 256 MiB that were freed in each heap, for what is allocated next; tell whether it does.

    Otherwise it gives large blocks back when they are freed, so that the kernel maps and clears them anew the next
    time.  Other C libraries are left alone.
    """
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return False
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, ValueError):  # another system
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
