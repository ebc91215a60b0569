"""Chunks of Blosc and zstd in local files, which are encoded and decoded without a pipeline of zarr's."""

import itertools
import pickle
import struct
from dataclasses import replace
from threading import current_thread, main_thread

import numpy as np
import pytest
import zarr
from numcodecs import Blosc, Zstd
from zarr.buffer import default_buffer_prototype
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec
from zarr.codecs.numcodecs import Blosc as NumcodecsBlosc
from zarrs import ZarrsCodecPipeline

from msi_lazy.plan.windows import Interval
from msi_lazy.storage import stored_units as units
from msi_lazy.storage.arrays import reopen_array
from msi_lazy.storage.stored_units import stored_units
from msi_lazy.storage.thread_codecs import read_samples, thread_codecs
from msi_lazy.storage.write_units import chunk_key

SAMPLES = np.random.default_rng(0).integers(1, 300, (21, 37)).astype("u2")
SAMPLES[:8, 8:24] = 0
BITS = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")


INDEX = (BytesCodec(), Crc32cCodec())


def sharded(location="end", index=INDEX, inner=BITS):
    codecs = [BytesCodec(), inner]
    return {
        "chunks": (16, 16),
        "serializer": ShardingCodec(
            chunk_shape=(8, 8), codecs=codecs, index_codecs=list(index), index_location=location
        ),
        "compressors": None,
    }


LAYOUTS = {
    "blosc": {"compressors": BITS},
    "lz4, bytes": {"compressors": BloscCodec(cname="lz4", shuffle="shuffle")},
    "zstd": {"compressors": ZstdCodec(level=1, checksum=True)},
    "v2, blosc": {"zarr_format": 2, "compressors": Blosc(cname="lz4", shuffle=Blosc.AUTOSHUFFLE)},
    "v2, zstd": {"zarr_format": 2, "compressors": Zstd(level=1)},
    "shards": sharded(),
    "index first": sharded("start", inner=ZstdCodec()),
    "no checksum": sharded(index=[BytesCodec()]),
}


def created(path, dtype="u2", **options):
    options = {"chunks": (8, 8), **options}
    return zarr.create_array(path, shape=SAMPLES.shape, dtype=dtype, **options)


def files(path):
    return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}


@pytest.fixture
def no_rust(monkeypatch):
    """Nothing is encoded by Rust, nor decoded."""

    async def refuse(*arguments):
        raise AssertionError("Rust's pipeline was used")

    monkeypatch.setattr(ZarrsCodecPipeline, "write", refuse)
    monkeypatch.setattr(ZarrsCodecPipeline, "read", refuse)


@pytest.mark.usefixtures("no_rust")
@pytest.mark.parametrize("dtype", ["u2", "f4", "bool", "i8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_zarrs_own_codecs_read_what_is_written(tmp_path, layout, dtype):
    stored = created(tmp_path / "a.zarr", dtype, fill_value=0, **LAYOUTS[layout])
    samples = SAMPLES.astype(dtype)
    reopen_array(stored)[:] = samples
    np.testing.assert_array_equal(stored[:], samples)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[3:19, 5:], samples[3:19, 5:])


@pytest.mark.usefixtures("no_rust")
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "serializer" not in LAYOUTS[name]])
def test_the_bytes_are_those_of_zarrs_own_codecs_which_are_read(tmp_path, layout):
    created(tmp_path / "a.zarr", **LAYOUTS[layout])[:] = SAMPLES
    reopen_array(created(tmp_path / "b.zarr", **LAYOUTS[layout]))[:] = SAMPLES
    assert files(tmp_path / "a.zarr") == files(tmp_path / "b.zarr")
    array = reopen_array(zarr.open_array(tmp_path / "a.zarr"))
    for selection in (np.s_[:], np.s_[3:19, 5:], np.s_[20], np.s_[4:, 7], np.s_[::3, 30:], np.s_[..., 2:3], (1, 2)):
        np.testing.assert_array_equal(array[selection], SAMPLES[selection])
    np.testing.assert_array_equal(array.oindex[[1, 20], 4:9], SAMPLES[[1, 20], 4:9])
    np.testing.assert_array_equal(array.oindex[[1, 20], 5], SAMPLES[[1, 20], 5])


@pytest.mark.parametrize("layout", ["zstd", "shards", "index first"])
@pytest.mark.parametrize("fill", [0.0, np.nan, 7.5])
def test_chunks_of_nothing_but_the_fill_value_are_removed_bit_by_bit(tmp_path, layout, fill):
    stored = created(tmp_path / "a.zarr", "f4", fill_value=fill, **LAYOUTS[layout])
    array = reopen_array(stored)
    documents = set(files(tmp_path / "a.zarr"))
    array[:] = np.ones(SAMPLES.shape, "f4")
    array[:] = np.full(SAMPLES.shape, fill, "f4")
    assert set(files(tmp_path / "a.zarr")) == documents
    array[:16, :16] = np.full((16, 16), -0.0, "f4")  # which is no 0
    assert len(set(files(tmp_path / "a.zarr")) - documents) == (4 if layout == "zstd" else 1)
    assert np.signbit(stored[:16, :16]).all()
    np.testing.assert_array_equal(stored[16:], np.full((5, 37), fill, "f4"))


@pytest.mark.parametrize("location", ["start", "end"])
def test_a_shard_has_no_inner_chunks_of_nothing_but_the_fill_value_or_beyond_the_end(tmp_path, location):
    reopen_array(created(tmp_path / "a.zarr", **sharded(location)))[:] = SAMPLES
    found = {}
    for shard in itertools.product(range(2), range(3)):
        content = (tmp_path / "a.zarr" / "c" / str(shard[0]) / str(shard[1])).read_bytes()
        index = content[:64] if location == "start" else content[-68:-4]
        found[shard] = [start != 2**64 - 1 for start in struct.unpack("<8Q", index)[::2]]
    assert found[0, 0] == [True, False, True, True]
    assert found[0, 1] == [False, True, True, True]
    assert found[1, 2] == [True, False, False, False]


@pytest.mark.parametrize("codec", [BloscCodec(cname="zstd", typesize=2), ZstdCodec()])
def test_a_chunk_that_decodes_to_less_is_an_error_that_names_it(tmp_path, codec):
    array = reopen_array(created(tmp_path / "a.zarr", compressors=codec))
    array[:] = SAMPLES
    chunk = tmp_path / "a.zarr/c/2/1"
    short = np.ones(32, "u2")
    chunk.write_bytes(Zstd().encode(short) if isinstance(codec, ZstdCodec) else Blosc(cname="zstd").encode(short))
    with pytest.raises(ValueError, match=r"'c/2/1' cannot be decoded: .* decode to 64 bytes, and a chunk has 128"):
        array[:]


@pytest.mark.parametrize("layout", ["zstd", "v2, blosc", "shards", "index first"])
def test_sizes_and_digests_of_what_is_stored_are_those_of_the_files(tmp_path, monkeypatch, layout):
    array = reopen_array(created(tmp_path / "a.zarr", fill_value=0, **LAYOUTS[layout]))
    window = tuple(Interval(0, n) for n in array.shape)
    array[:] = SAMPLES
    copied = pickle.loads(pickle.dumps(array))  # where nothing was stored
    expected = stored_units(copied, window)
    monkeypatch.setattr(units, "digest_file", None)
    assert stored_units(array, window) == expected
    assert ((0, 0) in {entry[1:] for entry in expected.units}) == (layout not in ("shards", "index first"))
    monkeypatch.undo()
    (tmp_path / "a.zarr" / chunk_key(array, (0, 0))).write_bytes(b"altered")
    assert stored_units(array, window) != expected  # each record is taken once


class OffMain:
    """Codec that refuses to run in the main thread, in which Blosc has threads of its own."""

    def encode(self, chunk):
        assert current_thread() is not main_thread()
        return bytes(chunk)

    def decode(self, stored):
        assert current_thread() is not main_thread()
        return stored


def test_the_main_thread_neither_encodes_nor_decodes(tmp_path):
    array = reopen_array(created(tmp_path / "a.zarr", compressors=ZstdCodec()))
    codecs = thread_codecs(array, writes=True)
    codecs = replace(codecs, direct=replace(codecs.direct, codec=OffMain(), kind=""))
    window, out = tuple(Interval(0, n) for n in array.shape), np.empty_like(SAMPLES)
    codecs.write(window, SAMPLES)
    codecs.read(window, out)
    np.testing.assert_array_equal(out, SAMPLES)
    with pytest.raises(ValueError, match="cannot be decoded"):  # errors are the caller's
        array[:]


def test_other_codecs_and_parts_of_chunks_are_left_to_the_pipelines(tmp_path):
    for options in ({"compressors": [ZstdCodec(), Crc32cCodec()]}, {"compressors": None}, LAYOUTS["shards"]):
        array = reopen_array(created(tmp_path / "a.zarr", overwrite=True, **options))
        array[:] = SAMPLES
        array[2:11, 3:30] = SAMPLES[:9, :27]
        expected = SAMPLES.copy()
        expected[2:11, 3:30] = SAMPLES[:9, :27]
        np.testing.assert_array_equal(array[:], expected)


@pytest.mark.parametrize("layout", ["zstd", "v2, blosc", "shards"])
def test_samples_in_another_order_of_bytes_are_stored_and_read_as_they_are(tmp_path, layout):
    stored = created(tmp_path / "a.zarr", **LAYOUTS[layout])
    array = reopen_array(stored)
    array[:] = SAMPLES.astype(">u2")
    np.testing.assert_array_equal(stored[:], SAMPLES)
    out = np.empty(SAMPLES.shape, ">u2")
    if layout != "shards":  # which Rust refuses to read so
        array.get_basic_selection(..., out=default_buffer_prototype().nd_buffer(out))
        np.testing.assert_array_equal(out, SAMPLES)


def test_snappy_in_blosc_which_numcodecs_lacks_is_left_to_rust(tmp_path):
    array = reopen_array(created(tmp_path / "a.zarr", compressors=BloscCodec(cname="snappy")))
    array[:] = SAMPLES
    np.testing.assert_array_equal(array[:], SAMPLES)


@pytest.mark.filterwarnings("ignore:Numcodecs codecs")
@pytest.mark.parametrize("shuffle", [-1, 1])
def test_the_codec_of_numcodecs_in_format_3_is_left_to_zarr(tmp_path, shuffle):
    stored = created(tmp_path / "a.zarr", compressors=NumcodecsBlosc(shuffle=shuffle))
    stored[:] = SAMPLES
    array = reopen_array(stored)
    np.testing.assert_array_equal(array[:], SAMPLES)
    array[:] = SAMPLES[::-1]
    np.testing.assert_array_equal(stored[:], SAMPLES[::-1])


@pytest.mark.parametrize("options", [{"shards": (4,)}, {"compressors": None}])
def test_samples_selected_one_by_one_of_chunks_that_are_not_stored_are_the_fill_value(tmp_path, options):
    stored = zarr.create_array(tmp_path / "a.zarr", shape=(8,), chunks=(2,), dtype="u1", fill_value=7, **options)
    array = reopen_array(stored)
    np.testing.assert_array_equal(array.vindex[[0, 4, 1]], [7, 7, 7])
    array.oindex[[1, 6]] = 3
    np.testing.assert_array_equal(stored[:], [7, 3, 7, 7, 7, 7, 3, 7])


def test_a_row_of_shards_is_read_and_written(tmp_path):
    stored = zarr.create_array(tmp_path / "a.zarr", shape=(13, 13), chunks=(2, 2), shards=(4, 4), dtype="u1")
    array = reopen_array(stored)
    array[8, 9:] = 5
    np.testing.assert_array_equal(array[8, 10:], [5, 5, 5])
    assert stored[:].sum() == 20


def test_an_error_of_rust_names_the_chunk(tmp_path):
    array = reopen_array(created(tmp_path / "a.zarr", **sharded(index=[BytesCodec()])))
    array[:] = SAMPLES
    shard = tmp_path / "a.zarr/c/0/1"
    content = bytearray(shard.read_bytes())
    content[16:40] = b"\xff" * 24  # behind the header of its first inner chunk
    shard.write_bytes(content)
    for read in (lambda: array[:16, 16:32], lambda: read_samples(array, (Interval(0, 16), Interval(16, 32)))):
        with pytest.raises(RuntimeError) as caught:
            read()
        assert "'c/0/1'" in str(caught.value.__notes__)
