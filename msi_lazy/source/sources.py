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
from dask.array.core import normalize_chunks

from msi_lazy.compat.dask_arrays import classic_array, from_array
from msi_lazy.compat.xarray_backends import is_in_memory
from msi_lazy.methods.samples import as_plain
from msi_lazy.plan.block_names import naming_samples
from msi_lazy.plan.windows import slices
from msi_lazy.source.memory_map import MemmapFile
from msi_lazy.source.views import CroppedArray, find_view
from msi_lazy.storage.arrays import reopen_array

if TYPE_CHECKING:
    import dask.array as da

    from msi_lazy.plan.windows import Window

__all__ = [
    "ChunkReader",
    "DaskSource",
    "WindowSource",
    "as_dask_source",
    "find_source",
    "lazy_array",
]

Chunks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class WindowSource:
    """Something sliceable: an array, a Zarr array, a lazy xarray variable, an HDF5 dataset."""

    array: Any
    """Sliceable array-like."""
    token: str
    """Identity of the pixels in task names."""
    chunks: Chunks | None
    """Chunks that it is stored in, per dimension, if it has any."""
    lock: Any = False
    """Lock to hold while reading, as Dask's ``from_array`` takes it."""

    def read(self, window: Window) -> np.ndarray[Any, Any]:
        """Read the samples of ``window``."""
        key = slices(window)
        with naming_samples("reading the source", key):
            if isinstance(self.array, xr.Variable):
                return as_plain(self.array[key].data)
            with self.lock or nullcontext():
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


@dataclass(frozen=True)
class DaskSource:
    """A Dask array of any other kind: its blocks are rechunked."""

    array: da.Array
    """Array."""

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
        array = classic_array(image.data)
        return _unwrap(array) or DaskSource(array)
    variable = image.variable
    if is_in_memory(variable):
        return WindowSource(MemmapFile.of(variable.values) or variable.values, uuid4().hex, None)
    stored = variable.encoding.get("preferred_chunks") or {}
    chunks = [stored.get(dim, n) for dim, n in variable.sizes.items()]
    return WindowSource(variable, uuid4().hex, normalize_chunks(chunks, variable.shape) if stored else None)


def as_dask_source(image: xr.DataArray, source: WindowSource) -> DaskSource:
    """Convert the source to a Dask array in the stored chunks, each decoded once, to be rechunked."""
    if image.chunks is None:
        chunks: Any = dict(zip(image.dims, source.chunks or image.shape, strict=True))
        return DaskSource(lazy_array(image.chunk(chunks)))
    if isinstance(source.array, CroppedArray):
        return DaskSource(lazy_array(image))
    # Dask's own name for it would differ from process to process, as the codec pipeline does
    name = f"pyramid-chunks-{source.token}"
    return DaskSource(from_array(ChunkReader(source.array), source.chunks, lock=source.lock, name=name))


def lazy_array(image: xr.DataArray) -> da.Array:
    """Return the pixels of ``image`` as a Dask array; a lazily opened one is not loaded."""
    if image.chunks is None:
        image = image.chunk("auto")
    return classic_array(image.data)


def _unwrap(array: da.Array) -> WindowSource | None:
    """Find the source that ``array`` is a plain chunked view of; ``None`` if that is not certain."""
    view = find_view(array)
    if view is None or not (view.plain or isinstance(view.array, np.ndarray)):  # some other kind of array
        return None
    wrapped = view.array
    if isinstance(wrapped, zarr.Array):
        wrapped = reopen_array(wrapped)
    elif isinstance(wrapped, np.ndarray):
        wrapped = MemmapFile.of(wrapped) or wrapped
    if any(crop != (0, n) for crop, n in zip(view.crop, view.array.shape, strict=True)):
        wrapped = CroppedArray(wrapped, view.crop)
    return WindowSource(wrapped, str(array.name), view.stored_chunks, view.lock)
