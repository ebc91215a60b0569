"""The contenders of ``benchmarks.compare``: each writes a pyramid of a zarr array, as its own users would.

Where a tool lets us choose the codec, it is the one of the work; ngff-zarr and ome-zarr-py keep their own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import zarr
from zarr.codecs import BloscCodec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["CONTENDERS", "FLOORS", "Work"]

THREADS = 2
_BLOSC = {
    "zstd": {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle"},
    "lz4": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle"},
}


@dataclass(frozen=True)
class Work:
    """What is to be done."""

    levels: int
    """Halvings of every dimension."""
    chunk: int
    """Chunk edge on disk."""
    method: str = "mean"
    """``mean``, ``mode`` or ``gaussian``."""
    codec: str = "zstd"
    """``zstd``, ``lz4`` or ``none``."""

    @property
    def compressors(self) -> BloscCodec | None:
        """The codec, for zarr-python."""
        return BloscCodec(**_BLOSC[self.codec]) if self.codec in _BLOSC else None


def msi_lazy(source: Path, target: Path, work: Work) -> None:
    """Ourselves, with the defaults a user gets."""
    make_tree(source, work).pyramid.to_zarr(target, compressors="auto" if work.codec == "zstd" else work.compressors)


def msi_lazy_sharded(source: Path, target: Path, work: Work) -> None:
    """Ourselves, with a file for each block."""
    compressors = "auto" if work.codec == "zstd" else work.compressors
    make_tree(source, work).pyramid.to_zarr(target, compressors=compressors, shards="auto")


def make_tree(source: Path, work: Work) -> Any:
    """Our pyramid, lazily."""
    import msi_lazy as msi

    image = msi.to_spatial_image(da.from_zarr(str(source)))
    return msi.to_multiscale(image, [2] * work.levels, method=work.method, chunks=work.chunk)


def tensorstore_copy(source: Path, target: Path, work: Work) -> None:
    """Copy level 0 alone with TensorStore: the lower bound."""
    opened = _ts_open(source)
    _ts_create(target / "0", opened.shape, opened.dtype.name, work).write(opened).result()


def haloed_copy(source: Path, target: Path, work: Work) -> None:
    """Read each of our blocks with its halo, and copy its level 0: the lower bound of a method with a halo."""
    from msi_lazy.storage.arrays import reopen_array

    stage = make_tree(source, work).pyramid.explain().stages[0]
    opened = reopen_array(zarr.open_array(source, mode="r"))
    made = reopen_array(_create(target / "0", opened.shape, opened.dtype, work))

    def copy(index: tuple[int, ...]) -> None:
        window, owned = stage.needed(index)[0], stage.owned(0, index)
        block = opened[tuple(slice(*interval) for interval in window)]
        inner = tuple(slice(o.start - w.start, o.stop - w.start) for o, w in zip(owned, window, strict=True))
        made[tuple(slice(*interval) for interval in owned)] = block[inner]

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(copy, product(*map(range, stage.counts))))


def tensorstore_cascade(source: Path, target: Path, work: Work) -> None:
    """TensorStore level by level, each from the one it wrote before."""
    import tensorstore as ts

    level = _ts_open(source)
    for number in range(work.levels + 1):
        if number:
            level = ts.downsample(level, [2] * level.rank, work.method)[ts.d[:].translate_to[0]]
        stored = _ts_create(target / str(number), level.shape, level.dtype.name, work)
        stored.write(level).result()
        level = stored


def plain_dask(source: Path, target: Path, work: Work) -> None:
    """Coarsen and store every level in one computation, with nothing but Dask."""
    level = da.from_zarr(str(source))
    arrays, targets = [], []
    for number in range(work.levels + 1):
        if number:
            halves = dict.fromkeys(range(level.ndim), 2)
            level = da.coarsen(np.mean, level, halves, trim_excess=True).astype(level.dtype)
        level = level.rechunk((work.chunk,) * level.ndim)
        arrays.append(level)
        targets.append(_create(target / str(number), level.shape, level.dtype, work))
    da.store(arrays, targets, lock=False)


def xarray_multiscale(source: Path, target: Path, work: Work) -> None:
    """xarray-multiscale's windowed mean or mode, stored by Dask."""
    from xarray_multiscale import multiscale, windowed_mean, windowed_mode

    reduction = {"mean": windowed_mean, "mode": windowed_mode}[work.method]
    made = multiscale(da.from_zarr(str(source)), reduction, 2)[: work.levels + 1]
    arrays = [level.data.rechunk((work.chunk,) * level.ndim) for level in made]
    targets = [_create(target / str(n), a.shape, a.dtype, work) for n, a in enumerate(arrays)]
    da.store(arrays, targets, lock=False)


def ngff_zarr(source: Path, target: Path, work: Work) -> None:
    """ngff-zarr's Dask bin shrink or Gaussian, with its own codec."""
    import ngff_zarr as nz

    image = nz.to_ngff_image(da.from_zarr(str(source)))
    factors = [2 ** (number + 1) for number in range(work.levels)]
    method = {"mean": nz.Methods.DASK_BIN_SHRINK, "gaussian": nz.Methods.DASK_IMAGE_GAUSSIAN}[work.method]
    made = nz.to_multiscales(image, scale_factors=factors, method=method, chunks=work.chunk)
    nz.to_ngff_zarr(str(target), made, version="0.5")


def ome_zarr_py(source: Path, target: Path, work: Work) -> None:
    """ome-zarr-py's writer, with its own method and codec."""
    from ome_zarr.writer import write_image

    array = da.from_zarr(str(source))
    factors = [2 ** (number + 1) for number in range(work.levels)]
    group = zarr.open_group(target, mode="w")
    axes = "zyx"[-array.ndim :]
    write_image(array, group, scale_factors=factors, axes=axes, storage_options={"chunks": (work.chunk,) * array.ndim})


FLOORS = ("TensorStore, only copying scale 0", "haloed reads, only copying scale 0")
CONTENDERS: dict[str, tuple[Callable[[Path, Path, Work], None], tuple[str, ...]]] = {
    FLOORS[0]: (tensorstore_copy, ("mean", "mode", "gaussian")),
    FLOORS[1]: (haloed_copy, ("gaussian",)),
    "msi_lazy": (msi_lazy, ("mean", "mode", "gaussian")),
    "msi_lazy, sharded": (msi_lazy_sharded, ("mean", "mode", "gaussian")),
    "TensorStore, level by level": (tensorstore_cascade, ("mean", "mode")),
    "plain Dask": (plain_dask, ("mean",)),
    "xarray-multiscale": (xarray_multiscale, ("mean", "mode")),
    "ngff-zarr": (ngff_zarr, ("mean", "gaussian")),
    "ome-zarr-py": (ome_zarr_py, ("mean",)),
}
"""By name, each with the methods that it has; the first one is the floor that the others are compared with."""


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype, work: Work) -> zarr.Array:
    chunks = tuple(min(work.chunk, n) for n in shape)
    return zarr.create_array(path, shape=shape, dtype=dtype, chunks=chunks, compressors=work.compressors)


def _ts_open(path: Path):
    import tensorstore as ts

    return ts.open({"driver": "zarr3", "kvstore": f"file://{path}/"}, read=True).result()


def _ts_create(path: Path, shape: tuple[int, ...], dtype: str, work: Work):
    import tensorstore as ts

    codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
    if work.codec in _BLOSC:
        blosc = {**_BLOSC[work.codec], "typesize": np.dtype(dtype).itemsize, "blocksize": 0}
        codecs.append({"name": "blosc", "configuration": blosc})
    grid = {"name": "regular", "configuration": {"chunk_shape": [min(work.chunk, n) for n in shape]}}
    metadata = {"shape": list(shape), "chunk_grid": grid, "data_type": dtype, "codecs": codecs}
    spec = {"driver": "zarr3", "kvstore": f"file://{path}/", "metadata": metadata}
    return ts.open(spec, create=True).result()
