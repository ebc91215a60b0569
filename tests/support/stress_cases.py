"""What a stress run tries: one random pyramid per case, drawn from the run's seed and the case's number alone.

Any change to what is drawn here, or to the order, gives other cases for the seeds of old reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr

from tests.support.oracles import ORACLES

DIMS = ["yx", "zyx", "cyx", "tyx", "czyx", "tzyx", "tcyx", "tczyx"]
OTHER_ORDERS = ["xy", "yxc", "xyz", "zyxc", "ctyx", "zcyx", "yxt", "ytx", "tzyxc"]
"""Those that are transposed when they are written."""
DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
KEEPING = ("median", "min", "max", "mode", "nearest", "label_gaussian")
"""Methods for bool too."""
VALUES = ("any", "any", "few", "pool", "cells", "constant", "zeros", "sparse", "top")
FORCED = (None, "read back", "runs")
"""Ways of working that the library keeps for large images, and is made to take for these small ones."""
MOST_CHUNKS = (32, 32, 32, 128)
"""Chunks of a level or of the source: what they cost is what a case costs."""
MOST_LABELLED = 2**21
"""Samples times labels for ``label_gaussian``, whose oracle looks at each label in turn."""


@dataclass(frozen=True, eq=False)
class Case:
    """One pyramid, and how it is to be made."""

    seed: int
    number: int
    dims: str
    shape: tuple[int, ...]
    dtype: str
    values: str
    """What the samples are like, see :func:`draw_samples`."""
    method: str
    factors: list[Any]
    boundary: str
    nodata: Any
    source: str
    source_chunks: Any
    chunks: Any
    block_bytes: int
    version: str
    shards: Any
    scheduler: str
    on_disk: bool
    """Whether source and target are directories, for which zarr arrays go through the Rust pipeline, or in memory."""
    forced: str | None
    array: np.ndarray = field(repr=False)

    @property
    def steps(self):
        """Factors of each level for every dimension."""
        return [
            tuple(step.get(dim, 1) if isinstance(step, dict) else step if dim in "zyx" else 1 for dim in self.dims)
            for step in self.factors
        ]

    def open_source(self, store):
        """The image; ``store`` is where it lies if it is a zarr array."""
        return xr.DataArray(self._wrap(store), dims=tuple(self.dims), name="image")

    def _wrap(self, store):
        if self.source == "numpy":
            return self.array
        if self.source == "zarr":
            # chunks of -0.0 are to be stored, not to be read as 0.0
            made = zarr.create_array(
                store, data=self.array, chunks=self.source_chunks, config={"write_empty_chunks": True}
            )
            return da.from_zarr(made)
        chunked = da.from_array(self.array, chunks=self.source_chunks)
        return chunked.map_blocks(np.copy, dtype=self.array.dtype) if self.source == "mapped" else chunked


def draw_case(seed, number):
    """Case ``number`` of the run with this seed; nothing in it is refused by the library."""
    rng = np.random.default_rng([seed, number])
    method = pick(rng, sorted(ORACLES))
    dtype = np.dtype(pick(rng, [*DTYPES, "?", "?"] if method in KEEPING else DTYPES))
    if rng.random() < 0.2:
        dtype = dtype.newbyteorder(">")
    values = pick(rng, VALUES)
    dims = pick(rng, DIMS if rng.random() < 0.8 else OTHER_ORDERS)
    boundary = pick(rng, ["trim", "trim", "pad", "pad", "exact"])
    shape = draw_shape(rng, dims, boundary)
    array = draw_samples(rng, dtype, shape, values)
    if method == "label_gaussian" and len(np.unique(array)) * array.size > MOST_LABELLED:
        values, array = "few", draw_samples(rng, dtype, shape, "few")
    chunks, chunk_shape = draw_chunks(rng, dims, shape)
    version = pick(rng, ["0.4", "0.5", "0.5"])
    source = pick(rng, ["numpy", "dask", "mapped", "zarr", "zarr"])
    return Case(
        seed=seed,
        number=number,
        dims=dims,
        shape=shape,
        dtype=dtype.str,
        values=values,
        method=method,
        factors=draw_factors(rng, dims, shape, boundary),
        boundary=boundary,
        nodata=draw_nodata(rng, array) if rng.random() < 0.3 else None,
        source=source,
        source_chunks=draw_source_chunks(rng, shape, source, chunk_shape),
        chunks=chunks,
        block_bytes=max(64, int(array.nbytes * 2 ** -rng.uniform(0, 8))),
        version=version,
        shards=draw_shards(rng, dims, chunks, chunk_shape) if version == "0.5" else None,
        scheduler=pick(rng, ["threads", "synchronous"]),
        on_disk=bool(rng.random() < 0.25),
        forced=pick(rng, FORCED),
        array=array,
    )


def pick(rng, choices):
    return choices[rng.integers(len(choices))]


def draw_shape(rng, dims, boundary):
    """Extents of 1 to 70, or 200 of planes, mostly no multiples of anything, but for those that have to be."""
    most, least = pick(rng, [1000, 10000, 60000]), pick(rng, [0, 0.5, 0.8])
    longest = 70 if "z" in dims else 200
    shape = [int(rng.integers(1, 6)) if dim in "tc" else int(longest ** rng.uniform(least, 1)) for dim in dims]
    if boundary == "exact" or rng.random() < 0.15:
        shape = [n if n < 4 else n // 4 * 4 for n in shape]
    while prod(shape) > most:
        axis = int(np.argmax(shape))
        shape[axis] -= 4 if boundary == "exact" and shape[axis] > 4 else 1
    return tuple(shape)


def draw_factors(rng, dims, shape, boundary):
    """Up to three entries, none larger than the level it divides, for ``exact`` none that leaves a rest."""
    factors, extents = [], dict(zip(dims, shape, strict=True))
    for _ in range(rng.integers(1, 4)):
        fitting = {
            dim: [f for f in range(1, min(n, 7 if rng.random() < 0.1 else 4) + 1) if boundary != "exact" or not n % f]
            for dim, n in extents.items()
        }
        common = set.intersection(*(set(fitting[dim]) for dim in dims if dim in "zyx")) - {1}
        if common and rng.random() < 0.5:
            entry = pick(rng, sorted(common))
            step = {dim: entry for dim in dims if dim in "zyx"}
        else:
            step = entry = {
                dim: int(pick(rng, fitting[dim]))
                for dim in rng.permutation(list(dims)).tolist()
                if rng.random() < (0.85 if dim in "zyx" else 0.3)
            }
        if max(step.values(), default=1) == 1 and rng.random() < 0.9:
            continue
        factors.append(entry)
        for dim, factor in step.items():
            extents[dim] = -(-extents[dim] // factor) if boundary == "pad" else extents[dim] // factor
    return factors


def draw_samples(rng, dtype, shape, values):
    """Samples of any value, of few or of a pool of values, in cells, all equal, mostly zero, or near the largest."""
    native = dtype.newbyteorder("=")
    few = 1 + int(rng.integers(1, 6))
    if values == "pool":
        array = pick_from(rng, draw_any(rng, native, 1 + rng.integers(20)), shape)
    elif values == "cells":
        places = np.ix_(*(np.arange(n) // rng.integers(1, 9) for n in shape))
        array = pick_from(rng, draw_any(rng, native, few), shape)[places]
    elif values == "any":
        array = draw_any(rng, native, shape)
    elif values == "constant":
        array = np.full(shape, draw_any(rng, native, 1)[0])
    elif values == "top" and native.kind in "iu":
        array = np.iinfo(native).max - rng.integers(0, few, shape, dtype=native)
    else:
        array = rng.integers(0, few, shape).astype(native)
        array[rng.random(shape) < {"zeros": 1.1, "sparse": 0.97}.get(values, 0)] = 0
    if native.kind == "f" and rng.random() < 0.5:
        for special in rng.permutation([np.nan, np.nan, np.inf, -np.inf, 0.0, -0.0])[: rng.integers(4)]:
            array[rng.random(shape) < pick(rng, [0.003, 0.1, 0.6])] = special
        if rng.random() < 0.3:  # a region without a sample, so that windows of nothing come about
            array[tuple(slice(int(rng.integers(n + 1))) for n in shape)] = pick(rng, [np.nan, -0.0, np.inf])
    return array.astype(dtype)


def draw_any(rng, dtype, shape):
    """Values over the whole range of integers, or of many magnitudes, negative ones too."""
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return (rng.standard_normal(shape) * 10 ** rng.uniform(-3, 4)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def pick_from(rng, values, shape):
    return values[rng.integers(0, len(values), shape)]


def draw_nodata(rng, array):
    """A value of the image or zero; of the two zeros 0.0, as nothing is said of -0.0."""
    value = pick(rng, array.ravel()) if rng.random() < 0.8 else array.dtype.type(0)
    return (value + array.dtype.type(0)).item()


def draw_chunks(rng, dims, shape):
    """Chunks as they are asked for, and their shape; not so many that zarr takes all the time."""
    space = [n for dim, n in zip(dims, shape, strict=True) if dim in "zyx"]
    kind = pick(rng, ["default", "integer", "integer", "dict", "tuple"])
    if kind == "default":
        edge = 64 if len(space) == 3 else 256
        return None, tuple(min(n, edge if dim in "zyx" else 1) for dim, n in zip(dims, shape, strict=True))
    lengths = [int(max(n, 12) ** rng.uniform(0, 1)) for n in shape]
    if kind == "integer":
        edge = pick(rng, lengths)
        lengths = [edge if dim in "zyx" else 1 for dim in dims]
    grows = [dim in "zyx" or kind != "integer" for dim in dims]
    lengths = grow(shape, lengths, grows, pick(rng, MOST_CHUNKS))
    chunks = {"integer": max(lengths), "dict": dict(zip(dims, lengths, strict=True)), "tuple": tuple(lengths)}[kind]
    return chunks, tuple(map(min, lengths, shape))


def draw_source_chunks(rng, shape, source, chunk_shape):
    """Any split of the image for Dask, a regular one for zarr: that of the target, as is common, or another."""
    if source == "numpy":
        return None
    most = pick(rng, MOST_CHUNKS)
    if source == "zarr":
        another = [int(rng.integers(max(1, n // 6), n + 1)) for n in shape]
        return pick(rng, [chunk_shape, tuple(map(min, grow(shape, another, [True] * len(shape), most), shape))])
    cuts = [sorted({0, n, *rng.integers(0, n + 1, rng.integers(0, 4)).tolist()}) for n in shape]
    while prod(len(borders) - 1 for borders in cuts) > most:
        del max(cuts, key=len)[1]
    return tuple(tuple(stop - start for start, stop in pairwise(borders)) for borders in cuts)


def grow(shape, lengths, grows, most):
    """``lengths`` of chunks, doubled where one may until there are no more than ``most`` of them."""
    while prod(-(-n // length) for n, length in zip(shape, lengths, strict=True)) > most:
        lengths = [length * 2 if able else length for length, able in zip(lengths, grows, strict=True)]
    return lengths


def draw_shards(rng, dims, chunks, chunk_shape):
    """None, those of the blocks, or whole chunks along some of the dimensions."""
    kind = pick(rng, [None, None, "auto", "whole"])
    if kind != "whole":
        return kind
    if isinstance(chunks, int) and rng.random() < 0.5:
        return chunks * int(rng.integers(1, 5))
    return {
        dim: chunk * int(rng.integers(1, 5)) for dim, chunk in zip(dims, chunk_shape, strict=True) if rng.random() < 0.8
    }
