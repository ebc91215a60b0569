"""Private parts of tifffile's zarr stores, which do not tell what they show."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["tiff_page"]


def tiff_page(store: Any) -> tuple[str, int] | None:
    """Find the file, and the offset of the first page in it, that a store of tifffile shows; ``None`` if unknown.

    Assumes that the store keeps its series as ``_data``, finest level first, and a change of samples as ``_transform``.
    """
    if not type(store).__module__.startswith("tifffile"):
        return None
    series = getattr(store, "_data", None)
    if not series or getattr(store, "_transform", None) is not None or series[0].is_multifile:
        return None
    path = getattr(series[0].parent.filehandle, "path", "")
    return (path, int(series[0].keyframe.offset)) if os.path.isfile(path) else None
