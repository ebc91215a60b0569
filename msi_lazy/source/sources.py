"""Sources of level 0: something that a block can slice its window from, or a Dask array.

A Dask array that is only a view of something sliceable (``from_array``, ``from_zarr``, xarray's
chunked backends) is unwrapped, so that blocks read at their own size instead of one task per stored chunk.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import xarray as xr
import zarr

from msi_lazy.arguments.image_kinds import check_held
from msi_lazy.compat.dask_arrays import classic_array, from_array, meta_of
from msi_lazy.compat.xarray_backends import backend_array, is_adapter, is_in_memory
from msi_lazy.methods.lending import fresh
from msi_lazy.methods.samples import as_plain
from msi_lazy.plan.block_names import naming_samples
from msi_lazy.plan.windows import slices
from msi_lazy.source.memory_map import MemmapFile
from msi_lazy.source.selection import SlicedArray
from msi_lazy.source.stored_chunks import WholeChunks, decoded_bytes, restore_order, stored_chunks
from msi_lazy.source.views import find_view
from msi_lazy.storage.arrays import reopen_array
from msi_lazy.storage.thread_codecs import read_samples

if TYPE_CHECKING:
    import dask.array as da

    from msi_lazy.methods.lending import Lend
    from msi_lazy.plan.windows import Window
    from msi_lazy.source.selection import Chunks
    from msi_lazy.source.stored_chunks import Stored
    from msi_lazy.source.views import View

__all__ = [
    "ChunkReader",
    "DaskSource",
    "UnknownChunks",
    "WindowSource",
    "as_dask_source",
    "find_source",
    "lazy_array",
]


@dataclass(frozen=True)
class WindowSource:
    """Something sliceable: an array, a Zarr array, a lazy xarray variable, an HDF5 dataset."""

    array: Any
    """Sliceable array-like."""
    token: str
    """Identity of the pixels in task names."""
    chunks: Chunks | None
    """Chunks that it is stored in, per dimension, if it is known to have any."""
    lock: Any = False
    """Lock to hold while reading, as Dask's ``from_array`` takes it."""
    is_known: bool = True
    """Whether it is known to have those chunks, or none; otherwise, how much a window costs is unknown."""

    @property
    def decoded_bytes(self) -> int:
        """Bytes of its largest chunk as it is decoded, with what a view leaves out; 0 if that is unknown."""
        return 0 if self.chunks is None else decoded_bytes(self.array)

    def read(self, window: Window, lend: Lend = fresh) -> np.ndarray[Any, Any]:
        """Read the samples of ``window``, into a lent array where that saves an allocation."""
        key = slices(window)
        with naming_samples("reading the source", key):
            if isinstance(self.array, xr.Variable):
                return as_plain(self.array[key].data)
            with self.lock or nullcontext():
                if isinstance(self.array, zarr.Array):
                    return as_plain(read_samples(self.array, window, lend))
                return as_plain(self.array[key])


@dataclass(frozen=True)
class ChunkReader:
    """A sliceable array for Dask to read chunk by chunk; its errors say which samples could not be read."""

    array: Any
    """Sliceable array-like."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        """Its number of dimensions."""
        return len(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        found: np.dtype[Any] = self.array.dtype
        return found

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        with naming_samples("reading the source", key):
            return as_plain(self.array[key])


class UnknownChunks(ChunkReader):
    """An array-like that was given without chunks: those in which Dask would read it say nothing of it."""


@dataclass(frozen=True)
class DaskSource:
    """A Dask array of any other kind: its blocks are rechunked."""

    array: da.Array
    """Array."""
    is_known = True
    """Its chunks are those of the Dask array."""
    decoded_bytes = 0
    """Its chunks leave nothing out that is decoded."""

    @property
    def token(self) -> str:
        """Identity of the pixels in task names."""
        return str(self.array.name)

    @property
    def chunks(self) -> Chunks:
        """Its own chunks."""
        return tuple(map(tuple, self.array.chunks))


def find_source(image: xr.DataArray) -> WindowSource | DaskSource:
    """Find the source of the pixels of ``image``; nothing is read.

    Raises
    ------
    ValueError
        A Dask array whose chunks have unknown lengths.
    """
    if image.chunks is not None:
        if any(np.isnan(length) for lengths in image.chunks for length in lengths):
            raise ValueError("the Dask array has chunks of unknown length; call its compute_chunk_sizes() first")
        check_held(meta_of(image.data))
        array = classic_array(image.data)
        return _unwrap(array) or DaskSource(array)
    variable = image.variable
    held = backend_array(variable)
    if not is_adapter(held):
        check_held(held)
    if is_in_memory(variable):
        return WindowSource(MemmapFile.of(variable.values) or variable.values, uuid4().hex, None)
    array = restore_order(variable)
    return _window_source(array, uuid4().hex, stored_chunks(array))


def as_dask_source(image: xr.DataArray, source: WindowSource) -> DaskSource:
    """Convert the source to a Dask array in the stored chunks, each decoded once, to be rechunked."""
    if any(isinstance(array, WholeChunks) for array in (source.array, getattr(source.array, "array", None))):
        return DaskSource(lazy_array(image))  # which asks for the same chunks, each in a task that others wait for
    # Dask's own name for it would differ from process to process, as the codec pipeline does
    name = f"pyramid-chunks-{source.token}"
    return DaskSource(from_array(ChunkReader(source.array), source.chunks, lock=source.lock, name=name))


def lazy_array(image: xr.DataArray) -> da.Array:
    """Return the pixels of ``image`` as a Dask array; a lazily opened one is not loaded."""
    if image.chunks is None:
        image = image.reset_coords(drop=True).chunk("auto")  # of coordinates, Dask cannot cut those of strings
    return classic_array(image.data)


def _unwrap(array: da.Array) -> WindowSource | None:
    """Find the source that ``array`` is a plain chunked view of; ``None`` if that is not certain."""
    view = find_view(array)
    if view is None or not (view.plain or isinstance(view.array, np.ndarray)):  # some other kind of array
        return None
    wrapped, stored = _read_directly(view)
    if not view.selection.is_whole(tuple(wrapped.shape)) or view.casts:
        wrapped = SlicedArray(wrapped, view.selection, view.casts)
        stored = view.selection.chunks(stored) if isinstance(stored, tuple) else stored
    return _window_source(wrapped, str(array.name), stored, view.lock)


def _read_directly(view: View) -> tuple[Any, Stored]:
    """Return what a view's windows are read from, and its chunks; of what is unknown, only what Dask would read."""
    array = view.array
    if isinstance(array, UnknownChunks):
        return array.array, None
    if is_adapter(array):
        array = restore_order(array)
    stored = stored_chunks(array)
    if stored is None and not (is_adapter(array) and all(len(lengths) == 1 for lengths in view.reads)):
        return WholeChunks(array, view.reads), view.reads
    if isinstance(array, zarr.Array):
        array = reopen_array(array)
    elif isinstance(array, np.ndarray):
        array = MemmapFile.of(array) or array
    return array, stored


def _window_source(array: Any, token: str, stored: Stored, lock: Any = False) -> WindowSource:
    return WindowSource(array, token, stored if isinstance(stored, tuple) else None, lock, stored is not None)
