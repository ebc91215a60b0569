"""Stored levels against what the levels below give: every kind of damage is found, and only damage is repaired."""

import shutil

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.maintain import stored_pyramid
from msi_lazy.storage.manifest import MANIFEST
from tests.support.counting import CountingStore
from tests.support.damage import flip, found, samples, truncate, write
from tests.support.killing import contents


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks in a level of a few chunks."""
    monkeypatch.setattr(stored_pyramid, "BLOCK_BYTES", 6000)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("method", ["mean", "nearest", "median", "gaussian", "label_gaussian", "dask_image_gaussian"])
@pytest.mark.parametrize("boundary", ["trim", "pad"])
def test_what_was_written_holds(version, method, boundary, tmp_path, small_blocks):
    write(tmp_path / "a.zarr", factors=[2, 3], method=method, boundary=boundary, version=version)
    report = msi.verify(tmp_path / "a.zarr")
    assert report.ok
    assert not report.findings
    assert [(level.checked, level.total) for level in report.levels] in ([(9, 9), (1, 1)], [(9, 9), (4, 4)])


@pytest.mark.parametrize("dtype", ["?", "i1", "f2", "f4", "f8", "u8", ">u2", ">f4"])
def test_any_dtype(dtype, tmp_path):
    write(tmp_path / "a.zarr", samples().astype(dtype), method="mode", version="0.4")
    assert msi.verify(tmp_path / "a.zarr").ok


def test_up_to_five_dimensions_and_shards(tmp_path, small_blocks):
    image = msi.to_spatial_image(samples((2, 3, 9, 30, 20)), dims=("t", "c", "z", "y", "x"))
    tree = msi.to_multiscale(image, [{"y": 2, "x": 2}, 2], method="gaussian", chunks=4)
    tree.pyramid.to_zarr(tmp_path / "a.zarr", shards={"y": 8, "x": 8})
    assert msi.verify(tmp_path / "a.zarr").ok
    flip(tmp_path / "a.zarr/scale1/image/c/1/2/1/0/1")
    assert found(msi.verify(tmp_path / "a.zarr"))[0][1:] in (
        ((1, 2, 1, 0, 1), "differs"),
        ((1, 2, 1, 0, 1), "unreadable"),
    )
    assert msi.verify(tmp_path / "a.zarr", repair=True).ok
    assert not msi.verify(tmp_path / "a.zarr").findings


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_flipped_bit_is_found_and_repaired(version, tmp_path, small_blocks):
    write(tmp_path / "a.zarr", version=version)
    sound = contents(tmp_path / "a.zarr")
    flip(tmp_path / "a.zarr/scale1/image" / ("c/1/2" if version == "0.5" else "1/2"), 2 * (16 * 3 + 5))
    report = msi.verify(tmp_path / "a.zarr")
    assert not report.ok
    assert found(report) == [("scale1/image", (1, 2), "differs")]
    (root,) = report.roots
    assert (root.samples, root.first) == (1, (19, 37))
    assert [(f.path, f.unit, f.follows) for f in report.findings[1:]] in ([], [("scale2/image", (0, 1), True)])
    repaired = msi.verify(tmp_path / "a.zarr", repair=True)
    assert repaired.ok
    assert [finding.repaired for finding in repaired.findings] == [True]
    assert contents(tmp_path / "a.zarr") == sound


def without_manifests(files):
    """Files but the manifests: the chunks in a shard have no order, and those state the digest of the shard."""
    return {path: content for path, content in files.items() if path.name != MANIFEST}


@pytest.mark.parametrize("compressors", [None, ZstdCodec(level=1, checksum=True)])
@pytest.mark.parametrize(
    ("shards", "chunk"), [(None, "0/0"), (None, "2/2"), (None, "0/2"), (32, "0/0"), (32, "1/1"), (32, "0/1")]
)
def test_what_cannot_be_decoded_is_found_and_repaired(compressors, shards, chunk, tmp_path, small_blocks):
    write(tmp_path / "a.zarr", compressors=compressors, shards=shards, method="gaussian")
    sound = contents(tmp_path / "a.zarr")
    truncate(tmp_path / "a.zarr/scale1/image/c" / chunk)
    unit = tuple(map(int, chunk.split("/")))
    assert found(msi.verify(tmp_path / "a.zarr")) == [("scale1/image", unit, "unreadable")]
    assert msi.verify(tmp_path / "a.zarr", repair=True).ok
    assert msi.verify(tmp_path / "a.zarr").ok
    assert without_manifests(contents(tmp_path / "a.zarr")) == without_manifests(sound)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_a_missing_chunk_is_found_and_repaired_with_what_it_spoilt_above(dtype, tmp_path, small_blocks):
    write(tmp_path / "a.zarr", samples(dtype=dtype), factors=[2, 2, 2])
    sound = contents(tmp_path / "a.zarr")
    (tmp_path / "a.zarr/scale1/image/c/0/1").unlink()
    assert found(msi.verify(tmp_path / "a.zarr")) == [("scale1/image", (0, 1), "missing")]
    msi.update(tmp_path / "a.zarr", (60, 80))  # elsewhere: level 2 is made from what is there, and not from the gap
    assert msi.verify(tmp_path / "a.zarr", repair=True).ok
    assert contents(tmp_path / "a.zarr") == sound


def test_a_level_from_another_run(tmp_path, small_blocks):
    write(tmp_path / "a.zarr", factors=[2, 2, 2])
    write(tmp_path / "b.zarr", samples()[::-1], factors=[2, 2, 2])
    sound = contents(tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr/scale2")
    shutil.copytree(tmp_path / "b.zarr/scale2", tmp_path / "a.zarr/scale2")
    report = msi.verify(tmp_path / "a.zarr")
    assert {f.path for f in report.roots} == {"scale2/image"}
    assert len(report.roots) == 4  # all of its chunks
    assert {f.path for f in report.findings if f.follows} == {"scale3/image"}
    assert "follow" not in str(report)
    assert "1 block computed from these" in str(report)
    assert not msi.verify(tmp_path / "a.zarr", sample=0.3).ok
    repaired = msi.verify(tmp_path / "a.zarr", repair=True)
    assert repaired.ok
    assert {f.path for f in repaired.findings} == {"scale2/image"}
    after = contents(tmp_path / "a.zarr")
    assert {key: sound[key] for key in sound if "/c/" in str(key)} == {k: after[k] for k in after if "/c/" in str(k)}


def test_what_cannot_be_read_is_a_fault_whatever_is_below(tmp_path, small_blocks):
    write(tmp_path / "a.zarr")
    flip(tmp_path / "a.zarr/scale1/image/c/0/0")
    truncate(tmp_path / "a.zarr/scale2/image/c/0/0")
    expected = [("scale1/image", (0, 0), "differs"), ("scale2/image", (0, 0), "unreadable")]
    assert found(msi.verify(tmp_path / "a.zarr")) == expected


def test_a_chunk_of_level_0_that_cannot_be_read(tmp_path, small_blocks):
    write(tmp_path / "a.zarr", compressors=ZstdCodec(level=1, checksum=True))
    truncate(tmp_path / "a.zarr/scale0/image/c/1/2")
    truncate(tmp_path / "a.zarr/scale1/image/c/0/0")
    damaged = contents(tmp_path / "a.zarr")
    report = msi.verify(tmp_path / "a.zarr")
    assert found(report) == [("scale0/image", (1, 2), "unreadable"), ("scale1/image", (0, 0), "unreadable")]
    assert [(f.path, f.unit, f.kind) for f in report.findings if f.follows] == [
        ("scale1/image", (0, 1), "unchecked"),
        ("scale2/image", (0, 0), "unchecked"),
    ]
    after = msi.verify(tmp_path / "a.zarr", repair=True)
    assert not after.ok
    assert [f.unit for f in after.findings if f.repaired] == [(0, 0)]
    assert "not repaired: the finer level, scale0/image, cannot be read here" in after.findings[2].note
    changed = {str(key) for key, value in contents(tmp_path / "a.zarr").items() if damaged[key] != value}
    assert changed == {"scale1/image/c/0/0"}


def test_nothing_is_made_from_what_level_0_lacks(tmp_path, small_blocks):
    write(tmp_path / "a.zarr", factors=[2, 2, 2])
    sound = contents(tmp_path / "a.zarr")
    lost = tmp_path / "a.zarr/scale0/image/c/1/1"
    lost.unlink()
    for file in ("scale1/image/c/0/0", "scale2/image/c/0/0", "scale1/image/c/2/2"):
        flip(tmp_path / "a.zarr" / file)
    damaged = contents(tmp_path / "a.zarr")
    report = msi.verify(tmp_path / "a.zarr", repair=True)
    assert found(report)[0] == ("scale0/image", (1, 1), "missing")
    assert [(f.path, f.unit) for f in report.findings if f.repaired] == [("scale1/image", (2, 2))]
    assert "level 0" not in str(report.findings[0])
    assert "restore it" in str(report)
    changed = {str(key) for key, value in contents(tmp_path / "a.zarr").items() if damaged[key] != value}
    assert changed == {"scale1/image/c/2/2"}
    lost.write_bytes(sound[lost.relative_to(tmp_path / "a.zarr")])
    assert msi.verify(tmp_path / "a.zarr", repair=True).ok
    assert contents(tmp_path / "a.zarr") == sound


def test_what_cannot_be_read_is_not_made_from_what_level_0_lacks(tmp_path):
    write(tmp_path / "a.zarr")
    (tmp_path / "a.zarr/scale0/image/c/1/1").unlink()
    truncate(tmp_path / "a.zarr/scale1/image/c/0/0")
    damaged = contents(tmp_path / "a.zarr")
    report = msi.verify(tmp_path / "a.zarr", repair=True)
    assert "not repaired: the finer level, scale0/image, lacks c/1/1" in str(report)
    assert [(f.path, f.kind) for f in report.findings] == [
        ("scale0/image", "missing"),
        ("scale1/image", "unreadable"),
        ("scale2/image", "unchecked"),
    ]
    assert contents(tmp_path / "a.zarr") == damaged


def test_chunks_that_are_empty_on_purpose_are_no_fault(tmp_path, small_blocks):
    array = samples()
    array[:, :40] = 0
    write(tmp_path / "a.zarr", array, method="gaussian")
    sound = contents(tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr/scale1/image/c/0/0").exists()
    assert not msi.verify(tmp_path / "a.zarr").findings
    flip(tmp_path / "a.zarr/scale1/image/c/0/1", -2)  # beside them
    assert msi.verify(tmp_path / "a.zarr", repair=True).ok
    assert contents(tmp_path / "a.zarr") == sound


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_empty_chunks_may_have_had_another_zero_or_nan(fill, where, tmp_path):
    """Level 1 is nothing but such samples, and zarr-python stores no chunk of NaN; level 0 has others."""
    odd = np.frombuffer(np.uint32(0x7FC00001).tobytes(), "f4")[0] if fill != fill else np.float32(-0.0)
    array = np.ones((64, 64), "f4")
    array[::2, ::2] = odd
    array[40:, 40:] = 3
    store = MemoryStore() if where == "memory" else tmp_path / "a.zarr"
    encoding = {f"/scale{level}": {"image": {"fill_value": fill}} for level in range(3)}
    write(store, array, method="nearest", chunks=8, encoding=encoding)
    assert not msi.verify(store).findings
    stored = zarr.open_group(store)["scale1/image"]
    dropped = where == "memory" and fill != fill
    assert stored.nchunks_initialized == (4 if dropped else 16)
    stored[30, 30] = -3  # in a chunk that is not empty
    assert msi.verify(store).findings[0].first == (30, 30)


def test_the_sign_of_zero_counts(tmp_path):
    array = samples(dtype="f4")
    array[:10] = 0
    write(tmp_path / "a.zarr", array, method="max")
    stored = zarr.open_array(tmp_path / "a.zarr/scale1/image")
    stored[2, 3] = -0.0
    assert [(f.kind, f.samples, f.first) for f in msi.verify(tmp_path / "a.zarr").roots] == [("differs", 1, (2, 3))]


@pytest.mark.parametrize("nodata", [7, 0])
def test_the_value_left_out_is_read_from_the_metadata(nodata, tmp_path):
    array = (samples() % 9).astype("u1")
    write(tmp_path / "a.zarr", array, nodata=nodata)
    assert not msi.verify(tmp_path / "a.zarr").findings


def test_nan_left_out(tmp_path):
    array = samples(dtype="f4")
    array[array > 40000] = np.nan
    write(tmp_path / "a.zarr", array, nodata=np.nan, method="gaussian")
    assert not msi.verify(tmp_path / "a.zarr").findings


def test_an_image_of_one_level_is_decoded(tmp_path, small_blocks):
    write(tmp_path / "a.zarr", factors=[])
    report = msi.verify(tmp_path / "a.zarr")
    assert (report.ok, [(level.path, level.checked) for level in report.levels]) == (True, [("scale0/image", 30)])
    truncate(tmp_path / "a.zarr/scale0/image/c/4/5")
    truncate(tmp_path / "a.zarr/scale0/image/c/0/3")
    kinds = [("scale0/image", (0, 3), "unreadable"), ("scale0/image", (4, 5), "unreadable")]
    assert found(msi.verify(tmp_path / "a.zarr", repair=True)) == kinds


def test_samples_that_trim_leaves_out_are_decoded_too(tmp_path, small_blocks):
    write(tmp_path / "a.zarr", samples((70, 97)), factors=[16])
    truncate(tmp_path / "a.zarr/scale0/image/c/4/6")
    assert found(msi.verify(tmp_path / "a.zarr")) == [("scale0/image", (4, 6), "unreadable")]


def test_a_spot_check_reads_about_its_fraction_and_is_repeatable(counting_store):
    array = samples((512, 512))
    write(counting_store, array, factors=[2], chunks=16)
    counting_store.reads.clear(), counting_store.writes.clear()
    report = msi.verify(counting_store, sample=0.05)
    (level,) = report.levels
    assert (level.checked, level.total) == (13, 256)
    read = {key for key in counting_store.chunk_reads() if "/image/" in key}
    assert len(read) == 13 * 5
    counting_store.reads.clear()
    msi.verify(counting_store, sample=0.05)
    assert read == {key for key in counting_store.chunk_reads() if "/image/" in key}
    counting_store.reads.clear()
    msi.verify(counting_store, sample=0.05, seed=1)
    assert read != {key for key in counting_store.chunk_reads() if "/image/" in key}
    assert msi.verify(counting_store, sample=1e-9).levels[0].checked == 1
    assert not counting_store.chunk_writes()


def test_without_halos_each_chunk_is_read_once(counting_store):
    write(counting_store, factors=[2, 2])
    counting_store.reads.clear()
    writes = dict(counting_store.writes)
    assert msi.verify(counting_store).ok
    reads = {key: n for key, n in counting_store.chunk_reads().items() if "/image/" in key}
    assert {n for key, n in reads.items() if key.startswith(("scale0", "scale2"))} == {1}
    assert {n for key, n in reads.items() if key.startswith("scale1")} == {2}  # compared, and made level 2 from
    assert dict(counting_store.writes) == writes


def test_only_faulty_blocks_are_written(tmp_path, small_blocks):
    contained = MemoryStore()
    write(contained, factors=[2, 2])
    array = zarr.open_array(contained, path="scale1/image")
    array[20, 40] += 1
    store = CountingStore(contained)
    assert msi.verify(store, repair=True).ok
    assert set(store.chunk_writes()) == {"scale1/image/c/1/2"}


def test_labels_are_verified_by_their_own_method(tmp_path):
    write(tmp_path / "a.zarr")
    labels = msi.to_spatial_image((samples() % 5).astype("u4"))
    msi.write_labels(
        tmp_path / "a.zarr", "cells", msi.to_multiscale(labels, [2, 2], method="mode", chunks=16), compressors=None
    )
    assert len(msi.verify(tmp_path / "a.zarr").levels) == 4
    flip(tmp_path / "a.zarr/labels/cells/scale1/image/c/0/0")
    assert found(msi.verify(tmp_path / "a.zarr")) == [("labels/cells/scale1/image", (0, 0), "differs")]
    assert msi.verify(tmp_path / "a.zarr", labels=False).ok
    assert not msi.verify(tmp_path / "a.zarr", group="labels/cells").ok
    assert msi.verify(tmp_path / "a.zarr", repair=True).ok
    assert not msi.verify(tmp_path / "a.zarr").findings
