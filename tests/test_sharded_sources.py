"""Sources in shards: a window decodes the chunks inside that it needs, and no more."""

import subprocess
import sys
from math import prod

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import BytesCodec, ShardingCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore, WrapperStore, ZipStore

import msi_lazy as msi
from msi_lazy.storage.arrays import decoded_chunks
from tests.support.counting import CountingStore

SHAPE = (32, 128, 256)
CHUNKS = (32, 64, 64)
PIXELS = np.random.default_rng(0).integers(0, 60000, SHAPE, dtype="u2")  # incompressible: 256 KiB for each chunk
DIMS = ("z", "y", "x")


def plan_and_write(image, **options):
    tree = msi.to_multiscale(image, [{"z": 2}], chunks=CHUNKS, block_bytes=prod(CHUNKS) * 2, **options)
    target = MemoryStore()
    tree.pyramid.to_zarr(target)
    return msi.explain(tree), zarr.open_array(target, path="scale0/image")[:]


OPENINGS = {
    "to_spatial_image": msi.to_spatial_image,
    "from_zarr": lambda stored: xr.DataArray(da.from_zarr(stored), dims=DIMS),
    "slabs": lambda stored: xr.DataArray(da.from_array(stored, chunks=(32, 16, 256)), dims=DIMS),
}


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("shards", [None, (32, 128, 128), SHAPE, (64, 256, 256)])
def test_shards_do_not_matter_to_the_plan(opening, shards):
    store = CountingStore(MemoryStore())
    stored = zarr.create_array(store, data=PIXELS, chunks=CHUNKS, shards=shards, name="image")
    store.reads.clear()
    plan, level = plan_and_write(OPENINGS[opening](stored))
    np.testing.assert_array_equal(level, PIXELS)
    assert plan.reading.by_window
    assert plan.reading.chunk_shape == CHUNKS
    assert plan.reading.chunks == plan.reading.source_chunks == PIXELS.size // prod(CHUNKS)
    # each chunk once; and of each shard that a window touches the index, 16 bytes for each chunk and a checksum
    windows, inside = plan.blocks, 0 if shards is None else prod(shards) // prod(CHUNKS)
    assert PIXELS.nbytes <= store.bytes_read <= PIXELS.nbytes * 1.01 + windows * (16 * inside + 4)
    assert store.chunk_reads().total() <= plan.reading.chunks + (0 if shards is None else windows)


def test_shards_in_shards_are_read_by_the_outer_ones_chunks():
    inner = ShardingCodec(chunk_shape=(16, 16, 16), codecs=[BytesCodec(), ZstdCodec()])
    store = CountingStore(MemoryStore())
    stored = zarr.create_array(
        store,
        shape=SHAPE,
        dtype="u2",
        chunks=SHAPE,
        serializer=ShardingCodec(chunk_shape=CHUNKS, codecs=[inner]),
        compressors=None,
    )
    stored[:] = PIXELS
    store.bytes_read = 0
    plan, level = plan_and_write(OPENINGS["from_zarr"](stored))
    np.testing.assert_array_equal(level, PIXELS)
    assert plan.reading.chunk_shape == CHUNKS
    assert store.bytes_read <= 1.1 * PIXELS.nbytes


@pytest.mark.filterwarnings("ignore:Combining a `sharding_indexed` codec")
def test_shards_that_are_compressed_as_a_whole_are_read_as_a_whole():
    sharding = ShardingCodec(chunk_shape=CHUNKS, codecs=[BytesCodec()])
    options = {"chunks": SHAPE, "serializer": sharding, "compressors": [ZstdCodec()]}
    stored = zarr.create_array(MemoryStore(), shape=SHAPE, dtype="u2", **options)
    assert decoded_chunks(stored) == SHAPE or decoded_chunks(stored) == tuple((n,) for n in SHAPE)


class Wrapper(WrapperStore):
    """A store of a user's own."""


def test_shards_in_zip_files_are_read_as_a_whole(tmp_path):
    """A member of a zip file is read from its beginning, for each chunk again."""
    with ZipStore(tmp_path / "a.zip", mode="w") as store:
        zarr.create_array(store, data=PIXELS, chunks=CHUNKS, shards=SHAPE)
    with ZipStore(tmp_path / "a.zip", mode="r") as store:
        for opened in (store, Wrapper(store)):
            stored = zarr.open_array(opened, mode="r")
            assert decoded_chunks(stored) == SHAPE
            plan, level = plan_and_write(OPENINGS["from_zarr"](stored))
            np.testing.assert_array_equal(level, PIXELS)
            assert plan.reading.source_chunks == 1
    zarr.create_array(LocalStore(tmp_path / "a.zarr"), data=PIXELS, chunks=CHUNKS, shards=SHAPE)
    assert decoded_chunks(zarr.open_array(tmp_path / "a.zarr"))[0] in (CHUNKS[0], (CHUNKS[0],))


@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_huge_shards_need_no_more_memory_than_the_plan_of_the_same_image_without(method):
    totals = {}
    for shards in (None, (512, 1024, 1024)):
        stored = zarr.create_array({}, shape=(512, 2048, 2048), chunks=(64, 64, 64), shards=shards, dtype="u1")
        for name, image in (("stored", msi.to_spatial_image(stored)), ("Dask", OPENINGS["from_zarr"](stored))):
            tree = msi.to_multiscale(image, [2, 2, 2], method=method)
            totals[shards, name] = msi.explain(tree).memory(8).total
    assert len(set(totals.values())) == 1


def test_a_pyramid_in_huge_shards_is_opened_in_smaller_blocks():
    store = MemoryStore()
    image = xr.DataArray(da.zeros((128, 512, 1024), chunks=-1, dtype="u2"), dims=DIMS)
    tree = msi.to_multiscale(image, [], chunks=32)
    tree.pyramid.to_zarr(store, shards=(128, 512, 1024))
    opened = msi.open_multiscale(store)["scale0"].image
    largest = prod(lengths[0] for lengths in opened.chunks) * 2
    assert 2**24 <= largest <= 2**26
    assert all(lengths[0] % 32 == 0 for lengths in opened.chunks)
    again = msi.explain(msi.to_multiscale(opened, [2]))
    assert again.reading.chunk_shape == (32, 32, 32)
    assert again.reading.by_window


MEASURE = """if True:
    import sys
    import dask, numpy as np, zarr
    import msi_lazy as msi
    from benchmarks.build import peak_memory
    source, target = sys.argv[1:]
    warm = msi.to_multiscale(msi.to_spatial_image(np.zeros((64, 64, 64), "u2")), [2, 2])
    with dask.config.set(num_workers=2):
        warm.pyramid.to_zarr(target + ".warm")
        tree = msi.to_multiscale(msi.to_spatial_image(zarr.open_array(source, mode="r")), [2], block_bytes="2 MiB")
        before = peak_memory()
        tree.pyramid.to_zarr(target)
    print(peak_memory() - before)
"""


def test_a_large_shard_is_never_held(tmp_path):
    shape = (128, 512, 512)
    pixels = np.random.default_rng(0).integers(0, 60000, shape, dtype="u2")  # 64 MiB
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(32, 32, 32), shards=shape)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "a.zarr"), str(tmp_path / "out")]
    grown = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < pixels.nbytes / 2**20  # as one chunk, it was twice that
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out/scale0/image")[:], pixels)
