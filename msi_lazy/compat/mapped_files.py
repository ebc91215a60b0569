"""Files behind memory maps, which neither Python nor NumPy tells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["is_still_mapped"]

_MAPS = Path("/proc/self/maps")
"""Linux's list of a process's maps."""


def is_still_mapped(array: np.ndarray[Any, Any], filename: str) -> bool:
    """Tell whether a memory map's file still has the name it was mapped by; true where that is not known.

    Assumes Linux's list of maps, in which the path of a file that was removed or replaced ends with ``(deleted)``.
    """
    address = array.ctypes.data
    try:
        lines = _MAPS.read_text(errors="surrogateescape").splitlines()
    except OSError:  # other systems have none
        return True
    for line in lines:
        extent, *_, path = line.split(maxsplit=5)
        start, stop = (int(end, 16) for end in extent.split("-"))
        if start <= address < stop:
            renamed = os.path.exists(path) and os.path.exists(filename) and not os.path.samefile(path, filename)
            return not (renamed or (path.endswith(" (deleted)") and not os.path.exists(path)))
    return True
