"""Opening arrays with the codec pipeline that suits them: Rust ``zarrs`` where it can, else zarr-python's."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import LocalStore

if TYPE_CHECKING:
    from zarr.abc.store import Store

__all__ = ["open_array", "reopen_array", "runs_in_rust"]

_RUST_PIPELINE = "zarrs.ZarrsCodecPipeline"
_RUST_CODECS = frozenset({"BytesCodec", "BloscCodec", "ZstdCodec", "GzipCodec", "Crc32cCodec", "ShardingCodec"})
_RUST_KINDS = "biuf"
_CONFIGURING = Lock()
"""Held while zarr is configured for one opening: threads that did it together would leave it so."""


def open_array(store: Store, path: str, mode: Any = "r+") -> zarr.Array[Any]:
    """Open an array, with the Rust pipeline if the array is on its list.

    The pipeline is chosen for this one array: it is configured around the opening only, and an array
    keeps it through pickling.
    """
    return reopen_array(zarr.open_array(store, path=path, mode=mode))


def reopen_array(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """The same array with the pipeline that suits it; its own if none suits better."""
    if not runs_in_rust(array):
        return array
    with _CONFIGURING, zarr.config.set({"codec_pipeline.path": _RUST_PIPELINE}):
        mode = "r" if array.read_only else "r+"
        return zarr.open_array(array.store, path=array.path, mode=mode, zarr_format=3)


def runs_in_rust(array: zarr.Array[Any]) -> bool:
    """Whether store, dtype and codecs of an array are on the list of the ``zarrs`` pipeline."""
    if not isinstance(array.store, LocalStore) or array.metadata.zarr_format != 3:
        return False
    if array.dtype.kind not in _RUST_KINDS or array.dtype.itemsize not in (1, 2, 4, 8) or not array.dtype.isnative:
        return False
    return all(type(codec).__name__ in _RUST_CODECS for codec in array.metadata.codecs)
