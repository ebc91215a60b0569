"""An image whose chunks are computed, and counted: in memory, or in files that worker processes share."""

from collections import Counter
from functools import partial
from uuid import uuid4

import dask.array as da
import numpy as np
import xarray as xr

SAMPLES = np.random.default_rng(0).integers(0, 250, (40, 50, 61)).astype("u2")


class CountedImage:
    """A computed image, which counts how often each chunk is computed.

    ``times`` has the count of each, by its first sample; ``name`` is that of its tasks.
    """

    def __init__(self, samples, chunks, dims="zyx", folder=None, fails=(), name="counted"):
        self.folder, self._counts = folder, None if folder else Counter()
        count = partial(_count, folder, self._counts)
        whole, meta = da.core.normalize_chunks(chunks, samples.shape), np.empty((0,) * samples.ndim, samples.dtype)
        compute = partial(_compute, samples, count, fails)
        pixels = da.map_blocks(compute, chunks=whole, dtype=samples.dtype, meta=meta, name=name)
        self.image = xr.DataArray(pixels, dims=tuple(dims), name="image")

    @property
    def times(self):
        if self._counts is not None:
            return self._counts
        return Counter(tuple(map(int, path.name.split("_")[0].split("-"))) for path in self.folder.iterdir())


def _count(folder, counts, corner):
    if folder is None:
        counts[corner] += 1
    else:
        (folder / f"{'-'.join(map(str, corner))}_{uuid4().hex}").touch()


def _compute(samples, count, fails, block_info=None):
    window = tuple(slice(*along) for along in block_info[None]["array-location"])
    corner = tuple(part.start for part in window)
    count(corner)
    if corner in fails:
        raise OSError("the reader is gone")
    return samples[window].copy()
