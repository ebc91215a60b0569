"""Parts of Blosc chunks: the blocks that hold them are decoded, and the others are not."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import Blosc
from numcodecs.blosc import list_compressors
from zarr.codecs import BloscCodec

from msi_lazy.plan.windows import Interval
from msi_lazy.storage import direct_chunks
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.blosc_blocks import cut_blocks, decoded_size
from msi_lazy.storage.thread_codecs import read_samples

SAMPLES = (np.arange(60_001, dtype="u4") ** 2 % 1013).astype("u2")


@given(
    cname=st.sampled_from(list_compressors()),
    shuffle=st.sampled_from([Blosc.NOSHUFFLE, Blosc.SHUFFLE, Blosc.BITSHUFFLE]),
    blocksize=st.sampled_from([512, 4096, 5000, 60_000]),
    ends=st.tuples(st.integers(0, SAMPLES.nbytes - 1), st.integers(1, SAMPLES.nbytes)),
)
def test_a_cut_frame_decodes_to_its_part_of_the_whole(cname, shuffle, blocksize, ends):
    start, stop = min(ends), max(ends)
    codec = Blosc(cname, 1, shuffle, blocksize)
    found = cut_blocks(codec.encode(SAMPLES), start, max(stop, start + 1))
    if found is None:
        return
    cut, begin = found
    part = codec.decode(cut)
    assert begin <= start
    assert begin + len(part) >= stop
    assert len(part) == decoded_size(cut) < SAMPLES.nbytes
    assert part == SAMPLES.tobytes()[begin : begin + len(part)]


def test_a_small_part_takes_a_small_frame():
    frame = Blosc("zstd", 1, Blosc.BITSHUFFLE, 4096).encode(SAMPLES)
    cut, _ = cut_blocks(frame, 50_000, 50_010)
    assert len(cut) < len(frame) / 10


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame[:10],
        lambda frame: frame[:-1],
        lambda frame: frame[:8] + b"\0\0\0\0" + frame[12:],
        lambda frame: frame[:8] + b"\1\0\0\0" + frame[12:],
        lambda frame: frame[:16] + b"\xff\xff\xff\x7f" + frame[20:],
        lambda frame: frame[:16] + b"\1\0\0\0" + frame[20:],
    ],
)
def test_frames_of_another_form_are_left_to_the_codec(spoil):
    frame = Blosc("zstd", 1, Blosc.SHUFFLE, 4096).encode(SAMPLES)
    assert cut_blocks(spoil(frame), 0, 100) is None


@pytest.fixture
def decoded(monkeypatch):
    """Bytes of the frames that are cut out."""
    sizes = []

    def cut(*arguments):
        found = cut_blocks(*arguments)
        sizes.append(None if found is None else decoded_size(found[0]))
        return found

    monkeypatch.setattr(direct_chunks, "cut_blocks", cut)
    return sizes


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_planes_of_a_chunk_are_read_from_their_blocks(tmp_path, decoded, zarr_format):
    samples = SAMPLES[:49_152].reshape(48, 32, 32)
    codec = BloscCodec(cname="zstd", blocksize=4096) if zarr_format == 3 else Blosc("zstd", blocksize=4096)
    zarr.create_array(tmp_path, data=samples, chunks=(32, 32, 32), compressors=codec, zarr_format=zarr_format)
    array = open_array(tmp_path, "", "r")
    for window in [((3, 5), (0, 32), (0, 32)), ((30, 34), (4, 9), (0, 32)), ((31, 48), (31, 32), (7, 8))]:
        intervals = tuple(Interval(*ends) for ends in window)
        np.testing.assert_array_equal(read_samples(array, intervals), samples[tuple(slice(*ends) for ends in window)])
    assert decoded[0] <= 8192
    assert all(size is not None and size <= 40_000 for size in decoded)
    np.testing.assert_array_equal(array[3:40:5, 5, 3:9], samples[3:40:5, 5, 3:9])


def test_a_block_that_a_damaged_start_cuts_short_is_left_to_the_codec():
    frame = bytearray(Blosc("zstd", 1, Blosc.SHUFFLE, 4096).encode(SAMPLES))
    starts = np.frombuffer(frame, "<u4", count=-(-SAMPLES.nbytes // 4096), offset=16).copy()
    starts[9] = (starts[1] + starts[2]) // 2  # of a block that is not needed, within one that is
    frame[16 : 16 + starts.nbytes] = starts.tobytes()
    assert cut_blocks(bytes(frame), 4096, 8192) is None
    assert cut_blocks(bytes(frame), 12_288, 16_384) is not None


@pytest.mark.parametrize("options", [{}, {"shards": (46, 52)}])
def test_items_of_blosc_that_samples_do_not_fill(tmp_path, options):
    samples = SAMPLES[: 55 * 80].reshape(55, 80)
    codec = BloscCodec(cname="zlib", typesize=8)
    zarr.create_array(tmp_path, data=samples, chunks=(23, 26), compressors=codec, **options)
    array = open_array(tmp_path, "", "r")
    np.testing.assert_array_equal(read_samples(array, (Interval(43, 46), Interval(76, 78))), samples[43:46, 76:78])
    np.testing.assert_array_equal(array[43:46, 76:78], samples[43:46, 76:78])
