"""The contenders of ``benchmarks.compare``: each writes a pyramid of a zarr array, as its own users would.

``source`` and ``target`` are paths; ``levels`` halvings of every dimension; ``chunk`` the chunk edge on disk.
Where a tool lets us choose the codec, it is Blosc zstd-3 with a bit shuffle; ngff-zarr and ome-zarr-py keep their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import zarr
from zarr.codecs import BloscCodec

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CONTENDERS"]

_CODEC = {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle"}


def msi_lazy(source: Path, target: Path, levels: int, chunk: int) -> None:
    """Ourselves, with the defaults a user gets."""
    import msi_lazy as msi

    image = msi.to_spatial_image(da.from_zarr(str(source)))
    msi.to_multiscale(image, [2] * levels, chunks=chunk).pyramid.to_zarr(target)


def tensorstore_copy(source: Path, target: Path, levels: int, chunk: int) -> None:
    """The floor: TensorStore copies level 0 and makes no other."""
    opened = _ts_open(source)
    _ts_create(target / "0", opened.shape, opened.dtype.name, chunk).write(opened).result()


def tensorstore_cascade(source: Path, target: Path, levels: int, chunk: int) -> None:
    """TensorStore level by level, each from the one it wrote before."""
    import tensorstore as ts

    level = _ts_open(source)
    for number in range(levels + 1):
        if number:
            level = ts.downsample(level, [2] * level.rank, "mean")[ts.d[:].translate_to[0]]
        stored = _ts_create(target / str(number), level.shape, level.dtype.name, chunk)
        stored.write(level).result()
        level = stored


def plain_dask(source: Path, target: Path, levels: int, chunk: int) -> None:
    """Coarsen and store every level in one computation, with nothing but Dask."""
    level = da.from_zarr(str(source))
    arrays, targets = [], []
    for number in range(levels + 1):
        if number:
            halves = dict.fromkeys(range(level.ndim), 2)
            level = da.coarsen(np.mean, level, halves, trim_excess=True).astype(level.dtype)
        level = level.rechunk((chunk,) * level.ndim)
        arrays.append(level)
        targets.append(_create(target / str(number), level.shape, level.dtype, chunk))
    da.store(arrays, targets, lock=False)


def xarray_multiscale(source: Path, target: Path, levels: int, chunk: int) -> None:
    """xarray-multiscale's windowed mean, stored by Dask."""
    from xarray_multiscale import multiscale, windowed_mean

    made = multiscale(da.from_zarr(str(source)), windowed_mean, 2)[: levels + 1]
    arrays = [level.data.rechunk((chunk,) * level.ndim) for level in made]
    targets = [_create(target / str(n), a.shape, a.dtype, chunk) for n, a in enumerate(arrays)]
    da.store(arrays, targets, lock=False)


def ngff_zarr(source: Path, target: Path, levels: int, chunk: int) -> None:
    """ngff-zarr's Dask bin shrink, with its own codec."""
    import ngff_zarr as nz

    image = nz.to_ngff_image(da.from_zarr(str(source)))
    factors = [2 ** (number + 1) for number in range(levels)]
    made = nz.to_multiscales(image, scale_factors=factors, method=nz.Methods.DASK_BIN_SHRINK, chunks=chunk)
    nz.to_ngff_zarr(str(target), made, version="0.5")


def ome_zarr_py(source: Path, target: Path, levels: int, chunk: int) -> None:
    """ome-zarr-py's writer, with its own method and codec."""
    from ome_zarr.writer import write_image

    array = da.from_zarr(str(source))
    factors = [2 ** (number + 1) for number in range(levels)]
    group = zarr.open_group(target, mode="w")
    axes = "zyx"[-array.ndim :]
    write_image(array, group, scale_factors=factors, axes=axes, storage_options={"chunks": (chunk,) * array.ndim})


CONTENDERS = {
    "TensorStore, only copying scale 0": tensorstore_copy,
    "msi_lazy": msi_lazy,
    "TensorStore, level by level": tensorstore_cascade,
    "plain Dask": plain_dask,
    "xarray-multiscale": xarray_multiscale,
    "ngff-zarr": ngff_zarr,
    "ome-zarr-py": ome_zarr_py,
}
"""By name; the first one is the floor that the others are compared with."""


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype, chunk: int) -> zarr.Array:
    chunks = tuple(min(chunk, n) for n in shape)
    return zarr.create_array(path, shape=shape, dtype=dtype, chunks=chunks, compressors=BloscCodec(**_CODEC))


def _ts_open(path: Path):
    import tensorstore as ts

    return ts.open({"driver": "zarr3", "kvstore": f"file://{path}/"}, read=True).result()


def _ts_create(path: Path, shape: tuple[int, ...], dtype: str, chunk: int):
    import tensorstore as ts

    blosc = {**_CODEC, "typesize": np.dtype(dtype).itemsize, "blocksize": 0}
    codecs = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "blosc", "configuration": blosc},
    ]
    grid = {"name": "regular", "configuration": {"chunk_shape": [min(chunk, n) for n in shape]}}
    metadata = {"shape": list(shape), "chunk_grid": grid, "data_type": dtype, "codecs": codecs}
    spec = {"driver": "zarr3", "kvstore": f"file://{path}/", "metadata": metadata}
    return ts.open(spec, create=True).result()
