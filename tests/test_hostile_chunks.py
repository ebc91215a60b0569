"""Stored bytes that promise, or decode to, more than a chunk has: errors that name the chunk, and no memory taken."""

import bz2
import lzma
import os
import pickle
import resource
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import zarr
from numcodecs import BZ2, LZ4, LZMA, Blosc, GZip, Zlib, Zstd
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

import msi_lazy as msi
from msi_lazy.plan.windows import Interval
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.place import Place
from msi_lazy.storage.write_units import write_window
from tests.support.damage import write
from tests.support.optional import require

SAMPLES = np.arange(8192, dtype="u2")
MAGIC = b"\x28\xb5\x2f\xfd"
LARGEST = struct.pack("<I", (2**17 << 3) | 2)[:3] + b"\0"  # a block of 128 KiB of zeros, in 4 bytes
LAST = struct.pack("<I", (2**17 << 3) | 3)[:3] + b"\0"
MANY = 2**28
"""Bytes that each bomb decodes to."""


def promise(nbytes, blocks=1):
    """Return a zstd frame that promises ``nbytes`` and has ``blocks`` of 128 KiB."""
    return MAGIC + b"\xe0" + struct.pack("<Q", nbytes) + LARGEST * (blocks - 1) + LAST


def unsized(blocks):
    """Return a zstd frame that promises nothing."""
    return MAGIC + b"\x00" + bytes([7 << 3]) + LARGEST * (blocks - 1) + LAST


def skipped(content):
    return struct.pack("<II", 0x184D2A50, len(content)) + content


def blosc(nbytes, block, stored):
    return struct.pack("<BBBBIII", 2, 1, 0, 2, nbytes, block, stored) + bytes(24)


def bomb(stream):
    zeros = bytes(2**24)
    return b"".join(stream.compress(zeros) for _ in range(MANY // 2**24)) + stream.flush()


ZSTD = {
    "2**40 promised": promise(2**40),
    "2**63 promised": promise(2**63),
    "2**64 - 1 promised": promise(2**64 - 1),
    "nothing promised": unsized(MANY // 2**17),
    "another frame behind": Zstd().encode(SAMPLES) + promise(2**40),
    "an unsized frame behind": Zstd().encode(SAMPLES) + unsized(MANY // 2**17),
    "a frame behind a skipped one": skipped(b"abc") + promise(2**40),
    "frames that sum up": b"".join(promise(2**15) for _ in range(99)),
    "no end of empty blocks": MAGIC + b"\x00\x38" + b"\0\0\0" * 30_000 + b"\1\0\0",
    "an old format": b"\x27\xb5\x2f\xfd" + bytes(20),
}
BLOSC = {
    "2**31 promised": blosc(2**31 - 1, 2**31 - 1, 40),
    "2**32 promised": blosc(2**32 - 1, 64, 40),
    "large blocks": blosc(16384, 2**30, 40),
    "more stored than there is": blosc(16384, 16384, 2**31 - 1),
    "cut header": b"\2\1\0",
}
FORMS = {
    "zstd": (3, ZstdCodec(), ZSTD),
    "zstd, v2": (2, Zstd(), ZSTD),
    "zstd and checksum": (3, [ZstdCodec(), Crc32cCodec()], {"2**40 promised": promise(2**40)}),
    "blosc": (3, BloscCodec(), BLOSC),
    "blosc, v2": (2, Blosc(), BLOSC),
    "gzip": (3, GzipCodec(), {"bomb": bomb(zlib.compressobj(9, wbits=31)), "cut": GZip().encode(SAMPLES)[:-9]}),
    "gzip, v2": (2, GZip(), {"two members": GZip().encode(SAMPLES) + bomb(zlib.compressobj(9, wbits=31))}),
    "gzip twice": (
        3,
        [GzipCodec(), GzipCodec()],
        {"nested": zlib.compress(bomb(zlib.compressobj(9, wbits=31)), wbits=31)},
    ),
    "zlib, v2": (2, Zlib(), {"bomb": bomb(zlib.compressobj(9)), "cut": Zlib().encode(SAMPLES)[:-9]}),
    "bz2, v2": (2, BZ2(), {"bomb": bomb(bz2.BZ2Compressor()), "junk": b"333"}),
    "lzma, v2": (2, LZMA(), {"bomb": bomb(lzma.LZMACompressor(preset=0)), "cut": LZMA().encode(SAMPLES)[:-9]}),
    "lz4, v2": (2, LZ4(), {"2**31 promised": struct.pack("<i", 2**31 - 1) + bytes(20)}),
    "none": (3, None, {"large": bytes(MANY)}),
    "none, v2": (2, None, {"large": bytes(MANY)}),
}
CASES = [(form, name) for form, (_, _, bodies) in FORMS.items() for name in bodies]


def stored_array(path, zarr_format, compressors, **options):
    array = zarr.create_array(
        path, shape=(16384,), chunks=(8192,), dtype="u2", compressors=compressors, zarr_format=zarr_format, **options
    )
    array[:8192] = SAMPLES
    return path / ("c/0" if zarr_format == 3 else "0")


def openings(path):
    place = Place.parse(path)
    by_rust = open_array(place.store, "", mode="r")
    return [
        place.open_array(),
        by_rust,
        pickle.loads(pickle.dumps(by_rust)),
        pickle.loads(pickle.dumps(place.open_array())),
    ]


@pytest.mark.parametrize(("form", "name"), CASES)
def test_a_chunk_that_would_exhaust_memory_is_an_error_that_names_it(tmp_path, form, name):
    zarr_format, compressors, bodies = FORMS[form]
    chunk = stored_array(tmp_path / "a.zarr", zarr_format, compressors)
    chunk.write_bytes(bodies[name])
    named = str(chunk.relative_to(tmp_path / "a.zarr"))
    for array in openings(tmp_path / "a.zarr"):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ValueError, match=f"'{named}'.* cannot be decoded"):
            array[:]
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB
        assert not array[8192:].any()  # the other chunk


@pytest.mark.parametrize("form", FORMS)
def test_sound_chunks_are_read(tmp_path, form):
    zarr_format, compressors, _ = FORMS[form]
    stored_array(tmp_path / "a.zarr", zarr_format, compressors)
    for array in openings(tmp_path / "a.zarr"):
        np.testing.assert_array_equal(array[:8192], SAMPLES)
        np.testing.assert_array_equal(array[100:9000:7][:1100], SAMPLES[100::7][:1100])


def test_frames_that_promise_nothing_are_read(tmp_path):
    """Frames of a stream have no size; the library splits blocks where it is flushed."""
    body = (
        MAGIC
        + b"\x00\x38"
        + b"".join(
            struct.pack("<I", (256 << 3) | (at == SAMPLES.nbytes - 256))[:3] + SAMPLES.tobytes()[at : at + 256]
            for at in range(0, SAMPLES.nbytes, 256)
        )
    )
    stored_array(tmp_path / "a.zarr", 3, ZstdCodec()).write_bytes(skipped(b"abc") + body)
    for array in openings(tmp_path / "a.zarr"):
        np.testing.assert_array_equal(array[:8192], SAMPLES)


LAST_64 = 2**64 - 1
INDICES = {
    "beyond": lambda number: (2**40, 100),
    "overflow": lambda number: (LAST_64 - 5, 100),
    "huge": lambda number: (0, 2**63),
    "all but missing": lambda number: (10, LAST_64),
    "itself": lambda number: (0, 600),
    "promises": lambda number: (0, 17),
}


@pytest.mark.parametrize("inner", [ZstdCodec(), BloscCodec(), GzipCodec(), None], ids=["zstd", "blosc", "gzip", "none"])
@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("location", ["start", "end"])
def test_the_index_of_a_shard_may_point_anywhere(tmp_path, inner, index, location):
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(8192,),
        shards={"shape": (4096,), "index_location": location},
        chunks=(512,),
        dtype="u2",
        compressors=inner,
    )
    array[:] = SAMPLES
    entries = b"".join(struct.pack("<QQ", *INDICES[index](number)) for number in range(8))
    entries += struct.pack("<I", require("google_crc32c").value(entries))
    body = promise(2**40) + bytes(500)
    (tmp_path / "a.zarr/c/0").write_bytes(entries + body if location == "start" else body + entries)
    for opened in openings(tmp_path / "a.zarr"):
        with pytest.raises(Exception, match=r".") as caught:
            opened[:4096]
        assert isinstance(caught.value, Exception)
        with pytest.raises(Exception, match=r"."):
            opened[1000:1010]
        np.testing.assert_array_equal(opened[4096:], SAMPLES[4096:])


def test_a_window_looks_at_the_inner_chunks_that_it_touches(tmp_path):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(8192,), shards=(4096,), chunks=(512,), dtype="u2", compressors=ZstdCodec()
    )
    array[:] = SAMPLES
    shard = tmp_path / "a.zarr/c/0"
    content = bytearray(shard.read_bytes())
    start, _ = struct.unpack("<QQ", content[-4 - 8 * 16 : -4 - 7 * 16])
    content[start : start + 17] = promise(2**40)
    shard.write_bytes(content)
    opened = open_array(Place.parse(tmp_path / "a.zarr").store, "", mode="r")
    np.testing.assert_array_equal(opened[512:5000], SAMPLES[512:5000])
    for window in (slice(0, 4096), slice(511, 513)):
        with pytest.raises(ValueError, match=r"'c/0' cannot be decoded: the stored bytes would decode to"):
            opened[window]


@pytest.mark.parametrize("nbytes", [2**40, 2**63])
@pytest.mark.parametrize("command", [["verify"], ["verify", "--repair"], ["validate", "--decode", "all"]])
def test_seventeen_bytes_kill_no_command(tmp_path, nbytes, command):
    write(tmp_path / "a.zarr", compressors=ZstdCodec())
    first = min(path for path in (tmp_path / "a.zarr/scale1/image/c").rglob("*") if path.is_file())
    first.write_bytes(promise(nbytes))
    result = subprocess.run(
        [sys.executable, "-m", "msi_lazy", command[0], str(tmp_path / "a.zarr"), *command[1:]],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert result.returncode in (0, 1)
    assert "Traceback" not in result.stderr
    assert ("chunk-decodes" if command[0] == "validate" else "unreadable") in result.stdout + result.stderr
    if "--repair" in command:
        assert msi.verify(tmp_path / "a.zarr").ok


def test_a_damaged_chunk_that_the_end_cuts_is_written_over(tmp_path):
    """Both pipelines read such a chunk before they write it."""
    write(tmp_path / "a.zarr", compressors=ZstdCodec())
    array = open_array(Place.parse(tmp_path / "a.zarr").store, "scale0/image")
    last = (64, 80)
    (tmp_path / "a.zarr/scale0/image/c/4/5").write_bytes(promise(2**40))
    with pytest.raises(ValueError, match="'scale0/image/c/4/5' cannot be decoded"):
        array[last[0] :, last[1] :] = 7
    write_window(array, (Interval(64, 70), Interval(80, 90)), np.full((6, 10), 7, "u2"))
    assert (array[64:, 80:] == 7).all()
