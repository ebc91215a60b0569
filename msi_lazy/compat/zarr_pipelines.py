"""Private parts of zarr's codec pipelines."""

from __future__ import annotations

from typing import Any

from zarr.codecs._v2 import V2Codec

__all__ = ["codec_of_format_2"]


def codec_of_format_2(filters: Any, compressor: Any) -> Any:
    """Return the one codec that zarr-python makes of the filters and the compressor of an array of Zarr v2.

    Assumes that it calls nothing of them but ``decode`` and ``encode``, and asks for their ``codec_id``.
    """
    return V2Codec(filters=tuple(filters) if filters else None, compressor=compressor)
