"""Writes that fail after some keys, and sources that remember what was read of them."""

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from zarr.storage import MemoryStore, WrapperStore

import msi_lazy as msi

LEDGER = ".msi_lazy-unfinished/"
"""Group of a write that is not complete."""
PICTURE = np.random.default_rng(1).integers(0, 4000, (160, 160), dtype="u2")
"""Image that is written in 5 x 5 blocks by :func:`halved`."""


class FailingStore(WrapperStore):
    """A store that fails after some keys have been set, until it is mended."""

    def __init__(self, store, left=10**9):
        super().__init__(store)
        self.state = {"left": left, "set": []}

    def with_read_only(self, read_only=False):
        other = super().with_read_only(read_only)
        other.state = self.state
        return other

    async def set(self, key, value):
        if self.state["left"] <= 0:
            raise OSError("no space left")
        self.state["left"] -= 1
        self.state["set"].append(key)
        await super().set(key, value)


class Source:
    """Something sliceable that remembers which windows were read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.windows = []

    def __getitem__(self, key):
        if all(isinstance(part, slice) for part in key) and self.array[key].size:
            self.windows.append(key)
        return self.array[key]


def image_of(array, dims=None, name="the image"):
    """An image over a :class:`Source` in one chunk, and that source."""
    source = Source(array)
    data = da.from_array(
        source, chunks=array.shape, name=name, asarray=True, meta=np.empty((0,) * array.ndim, array.dtype)
    )
    return xr.DataArray(data, dims=dims or ("z", "y", "x")[-array.ndim :]), source


def snapshot(store):
    """Everything in a store in memory."""
    inner = store._store if isinstance(store, WrapperStore) else store
    return {key: value.to_bytes() for key, value in inner._store_dict.items()}


def failed_write(tree, keys, **options):
    """A store on which a write failed after so many keys."""
    store = FailingStore(MemoryStore(), keys)
    with dask.config.set(scheduler="synchronous"), pytest.raises(OSError, match="no space"):
        tree.pyramid.to_zarr(store, **options)
    store.state["left"] = 10**9
    return store


def halved(array, method="mean", **options):
    """A pyramid of three halvings in small blocks, and the source that it reads."""
    image, source = image_of(array)
    return msi.to_multiscale(image, [2, 2, 2], method=method, chunks=8, **{"block_bytes": 2 * 32**2, **options}), source


def picture_tree(array=PICTURE):
    """A pyramid of three halvings of a picture."""
    return halved(array)[0]


def assert_complete(back, tree):
    """Compare every sample of two pyramids."""
    for level in tree.children:
        (one,), (other,) = back[level].data_vars.values(), tree[level].data_vars.values()
        np.testing.assert_array_equal(one, other)
