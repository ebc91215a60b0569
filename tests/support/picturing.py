"""What the tests of thumbnails and of plots share."""

import numpy as np
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.counting import CountingStore
from tests.support.optional import require


def build(array, dims=None, factors=(2,), method="mean", **options):
    return msi.to_multiscale(msi.to_spatial_image(array, dims=dims, **options), list(factors), method=method)


def random_array(shape, dtype="u1", high=255, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def panels(count, inches=4):
    return require("matplotlib.figure").Figure(figsize=(inches * count, inches)).subplots(1, count, squeeze=False)


def drawn(panel):
    (image,) = panel.images
    return np.asarray(image.get_array())


def gray(array):
    return np.repeat(array[..., np.newaxis], 3, axis=-1)


def stored_tree(array, chunk, factors, dims=None, **options):
    store = CountingStore(MemoryStore())
    image = msi.to_spatial_image(array, dims=dims, **options)
    msi.to_multiscale(image, list(factors), chunks=chunk).pyramid.to_zarr(store)
    tree = msi.open_multiscale(store)
    store.reads.clear()  # of the coordinates
    return store, tree


def levels_read(store):
    return {key.split("/")[0] for key in store.chunk_reads()}


def never(*args, **kwargs):
    raise AssertionError("a block of the source was computed")
