"""Private parts of tifffile's zarr stores, which do not tell what they show."""

from __future__ import annotations

import os
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_segments", "tiff_page"]


def check_segments(page: Any, check: Callable[[str, bytes], None]) -> None:
    """Have ``check`` look at the name of the codec and the bytes of each strip or tile before they are decoded.

    Assumes that zarr stores of tifffile decode each by ``decode`` of the key page, a cached property, with these bytes
    first.
    """
    kind, decode = _CODECS.get(int(page.compression)), page.decode
    if kind is None:
        return

    @wraps(decode)
    def checked(stored: Any, *arguments: Any, **settings: Any) -> Any:
        if stored is not None:
            check(kind, bytes(stored))
        return decode(stored, *arguments, **settings)

    page.decode = checked


_CODECS = MappingProxyType({8: "zlib", 32946: "zlib", 34925: "lzma", 34926: "zstd", 50000: "zstd"})
"""Codecs of strips and tiles whose decoded size is not bounded by tifffile, by the number of the tag."""


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
