"""The codec pipeline of each array: Rust where store, dtype and codecs allow it, zarr-python's elsewhere."""

import pickle

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from numcodecs import LZMA, Blosc, Delta, Zstd
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore

import msi_lazy as msi
from msi_lazy.graph.fused_task import BlockContext
from msi_lazy.source.sources import find_source
from msi_lazy.storage.arrays import open_array, reopen_array


def pipeline(array):
    return type(array._async_array.codec_pipeline).__name__


RUST, PYTHON = "CheckedRustPipeline", "CheckedPipeline"
DEFAULT = "BatchedCodecPipeline"
"""Pipeline of arrays that others open."""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, RUST),
        ({"compressors": BloscCodec(cname="lz4")}, RUST),
        ({"compressors": ZstdCodec()}, RUST),
        ({"compressors": GzipCodec()}, RUST),
        ({"compressors": None}, RUST),
        ({"shards": (16, 16)}, RUST),
        ({"dtype": "f4"}, RUST),
        ({"dtype": "bool"}, RUST),
        ({"serializer": BytesCodec(endian="big")}, RUST),
        ({"dtype": "f2"}, RUST),
        ({"dtype": "M8[s]"}, PYTHON),
        ({"zarr_format": 2, "compressors": Blosc()}, RUST),
        ({"zarr_format": 2, "compressors": Zstd(), "chunk_key_encoding": {"name": "v2", "separator": "/"}}, RUST),
        ({"zarr_format": 2, "compressors": None, "dtype": "bool"}, RUST),
        ({"zarr_format": 2, "filters": [Delta("u2")]}, PYTHON),
        ({"zarr_format": 2, "order": "F"}, PYTHON),
        ({"zarr_format": 2, "fill_value": None}, PYTHON),
        ({"zarr_format": 2, "compressors": LZMA()}, PYTHON),
        ({"zarr_format": 2, "compressors": Zstd(), "dtype": ">u2"}, PYTHON),
    ],
)
@pytest.mark.filterwarnings("ignore:The data type")  # zarr's own remark on dates
def test_pipeline_follows_the_table_and_both_give_the_same_samples(tmp_path, options, expected):
    array = (np.arange(40 * 30).reshape(40, 30) % 7).astype(options.pop("dtype", "u2"))
    stored = zarr.create_array(tmp_path / "a.zarr", shape=array.shape, dtype=array.dtype, chunks=(8, 8), **options)
    opened = open_array(LocalStore(tmp_path / "a.zarr"), "")
    assert pipeline(opened) == expected
    opened[:] = array
    np.testing.assert_array_equal(stored[:], array)
    np.testing.assert_array_equal(opened[3:17, 5:], array[3:17, 5:])
    assert pipeline(pickle.loads(pickle.dumps(opened))) == expected


def test_a_path_that_dask_opens_through_fsspec_is_read_as_files(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=np.arange(8, dtype="u2"), chunks=(4,))
    source = find_source(xr.DataArray(da.from_zarr(str(tmp_path / "a.zarr")), dims="x"))
    assert pipeline(source.array) == RUST
    np.testing.assert_array_equal(source.array[2:6], [2, 3, 4, 5])


def test_stores_that_rust_does_not_know_keep_the_python_pipeline():
    assert pipeline(reopen_array(zarr.create_array(MemoryStore(), shape=(8,), dtype="u1"))) == PYTHON


class Inverted(LocalStore):
    """Files whose chunks others cannot read, as if they were encrypted."""

    async def get(self, key, prototype=None, byte_range=None):
        return self._inverted(key, await super().get(key, prototype, byte_range))

    async def set(self, key, value):
        await super().set(key, self._inverted(key, value))

    @staticmethod
    def _inverted(key, value):
        if value is None or key.endswith(".json"):
            return value
        return type(value).from_bytes((~np.frombuffer(value.to_bytes(), "u1")).tobytes())


@pytest.mark.parametrize("codecs", ["auto", GzipCodec()])
def test_stores_of_files_with_bytes_of_their_own_are_asked_for_them(tmp_path, codecs):
    samples = np.arange(64 * 64, dtype="u2").reshape(64, 64)
    tree = msi.to_multiscale(xr.DataArray(samples, dims=("y", "x")), [2])
    store = Inverted(tmp_path / "a.zarr")
    msi.to_zarr(tree, store, compressors=codecs)
    np.testing.assert_array_equal(zarr.open_array(store, path="scale0/image")[...], samples)
    np.testing.assert_array_equal(msi.open_multiscale(store)["scale0"]["image"], samples)
    assert msi.verify(store).ok
    msi.update(store, {"y": slice(0, 8), "x": slice(0, 8)})
    assert msi.verify(store).ok


def test_the_pipeline_is_not_configured_for_others(tmp_path):
    stored = zarr.create_array(tmp_path / "a.zarr", shape=(8,), dtype="u1")
    assert pipeline(reopen_array(stored)) == RUST
    assert pipeline(zarr.open_array(tmp_path / "a.zarr")) == DEFAULT


def test_pyramids_are_read_and_written_through_rust(tmp_path):
    stored = zarr.create_array(tmp_path / "a.zarr", data=np.ones((32, 32), "u2"), chunks=(8, 8))
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2])
    delayed = tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    (context,) = [
        node.value for node in dict(delayed.dask).values() if isinstance(getattr(node, "value", None), BlockContext)
    ]
    arrays = [getattr(value, "array", value) for value in context.held.values()]
    arrays = [array for array in arrays if isinstance(array, zarr.Array)]  # not the ledger
    assert sorted(map(pipeline, arrays)) == [RUST] * 3


def test_read_only_arrays_stay_read_only(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(8,), dtype="u1")
    assert reopen_array(zarr.open_array(tmp_path / "a.zarr", mode="r")).read_only


SETTINGS = [
    {"array.order": "F"},
    {"array.write_empty_chunks": True},
    {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True},
    {"array.read_missing_chunks": False},  # of zarr 3.2
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_what_zarr_is_configured_to_changes_no_array_that_is_opened_or_created(tmp_path, settings, version):
    pixels = np.arange(1, 40 * 48 + 1).reshape(40, 48).astype("u2")
    pixels[:16, :16] = 0  # a chunk that is not stored
    zarr.create_array(tmp_path / "source.zarr", data=pixels, chunks=(16, 16))

    def write_and_use(store):
        stored = zarr.open_array(tmp_path / "source.zarr", mode="r")
        tree = msi.to_multiscale(msi.to_spatial_image(stored, dims="yx"), [2], chunks=16)
        tree.pyramid.to_zarr(store, version=version)
        msi.add_levels(store, [2])
        msi.update(store, {"x": slice(0, 20)})
        assert msi.verify(store, repair=True).ok
        assert msi.validate(store).ok
        for scheduler in ("threads", "synchronous"):
            level = msi.open_multiscale(store)["scale0"].image.data.compute(scheduler=scheduler)
            np.testing.assert_array_equal(level, pixels)
            assert level.flags.c_contiguous
        return {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}

    expected = write_and_use(tmp_path / "expected.zarr")
    before = dict(zarr.config.config)
    with zarr.config.set(settings):
        assert write_and_use(tmp_path / "found.zarr") == expected
    assert dict(zarr.config.config) == before
