"""Opening arrays with the codec pipeline that suits them: Rust ``zarrs`` where it can, else zarr-python's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import FsspecStore, LocalStore, ZipStore

from msi_lazy.compat.zarr_arrays import in_forked_process, run_in_python
from msi_lazy.compat.zarr_stores import wrapped_store
from msi_lazy.storage.archive_store import ArchiveStore
from msi_lazy.storage.checked_pipeline import checked
from msi_lazy.storage.location import locate_store
from msi_lazy.storage.regular_files import RegularStore, holds_plain_files
from msi_lazy.storage.store_errors import retried_read
from msi_lazy.storage.zarr_formats import RUST_CODECS, store_format

if TYPE_CHECKING:
    from zarr.abc.store import Store

__all__ = ["decoded_chunks", "is_lossless", "local_store", "open_array", "reopen_array", "runs_in_rust"]

_RUST_KINDS = "biuf"
_LOGGER = logging.getLogger(__name__)


def open_array(store: Store, path: str, mode: Any = "r+", write_empty_chunks: bool = False) -> zarr.Array[Any]:
    """Open an array, with the Rust pipeline if that can run its codecs.

    The array keeps its pipeline and settings through pickling, whatever zarr is configured to.  With
    ``write_empty_chunks``, chunks of nothing but the fill value are stored too: by zarr-python, as ``zarrs`` never
    stores them.
    """
    array = retried_read(lambda: zarr.open_array(store, path=path, mode=mode))
    return run_in_python(array, write_empty_chunks=True) if write_empty_chunks else reopen_array(array)


def reopen_array(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return an array with the Rust pipeline if that can run its codecs, else with zarr's own, and bounded ones."""
    in_rust = runs_in_rust(array)
    _LOGGER.debug("%s has its codecs run by %s", array.store_path, "zarrs" if in_rust else "zarr-python")
    return checked(array, local_store(array.store), in_rust=in_rust)


def runs_in_rust(array: zarr.Array[Any]) -> bool:
    """Tell whether ``zarrs`` can run the codecs of an array: by its store, dtype and codecs; never in a fork."""
    metadata = array.metadata
    if in_forked_process() or local_store(array.store) is None:
        return False
    if array.dtype.kind not in _RUST_KINDS or array.dtype.itemsize not in (1, 2, 4, 8) or not array.dtype.isnative:
        return False
    facts = store_format(metadata.zarr_format)
    known = (type(codec).__name__ in RUST_CODECS for codec in facts.codecs_of(metadata))
    return facts.is_plain(metadata) and all(known)


def decoded_chunks(array: zarr.Array[Any]) -> tuple[Any, ...]:
    """Return the shape, or lengths, of the chunks that a window decodes: of a shard, its inner chunks alone.

    Both pipelines read a shard's index and then its inner chunks, by their ranges of bytes.  A zip file has no such
    ranges, but for our own store of one that is not compressed: what lies before them is read too, so that a shard in
    one is better read as a whole.
    """
    if array.shards is not None:
        return array.shards if _in_archive(array.store) else array.chunks
    lengths = getattr(array, "read_chunk_sizes", None)  # of zarr 3.2: chunks may have different lengths
    return array.chunks if lengths is None else tuple(lengths)


def is_lossless(codecs: Any) -> bool:
    """Tell whether ``codecs``, one or several, or none, are known to be lossless."""
    several = codecs if isinstance(codecs, (list, tuple)) else [codecs]
    return all(codec is None or type(codec).__name__ in RUST_CODECS for codec in several)


def _in_archive(store: Store) -> bool:
    inner: Any = store
    while wrapped_store(inner) is not None:
        inner = wrapped_store(inner)
    if isinstance(inner, ArchiveStore):
        return not inner.has_parts
    return isinstance(inner, ZipStore) or locate_store(inner).member is not None


def local_store(store: Store) -> LocalStore | None:
    """Return a store of local files as one of regular files; Dask's ``from_zarr`` opens a path through fsspec.

    A class made from zarr's, which may read and write them in its own way, is none.
    """
    if isinstance(store, LocalStore) and holds_plain_files(store):
        plain = isinstance(store, RegularStore)
        return store if plain else RegularStore(store.root, read_only=store.read_only)
    directory = locate_store(store).directory if isinstance(store, FsspecStore) else None
    return None if directory is None else RegularStore(directory, read_only=store.read_only)
