"""Levels brought up to date after an edit: what a full rebuild gives, and no chunk touched that need not be."""

import sys
from itertools import product

import pytest
import zarr
from distributed import Client, LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.maintain import stored_pyramid
from msi_lazy.methods import resolve_method
from msi_lazy.storage.manifest import MANIFEST
from tests.support.counting import CountingStore
from tests.support.damage import largest, samples, truncate, write
from tests.support.killing import contents

ONE_STORE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
METHODS = ["mean", "max", "mode", "nearest", "gaussian", "label_gaussian", "dask_image_gaussian", "itk_gaussian"]


@st.composite
def edits(draw):
    """An image, how its pyramid is written, and a region of it."""
    shape = draw(st.tuples(st.integers(9, 24), st.integers(9, 24)))
    factors, extents = [], list(shape)
    for _ in range(draw(st.integers(1, 2))):
        step = {dim: draw(st.integers(1, min(3, n))) for dim, n in zip("yx", extents, strict=True)}
        factors.append(step)
        extents = [n // step[dim] for dim, n in zip("yx", extents, strict=True)]
    version = draw(st.sampled_from(["0.4", "0.5"]))
    region = []
    for n in shape:
        start = draw(st.sampled_from([0, n - 1]) | st.integers(0, n - 1))
        region.append(slice(start, draw(st.just(n) | st.integers(start + 1, n))))
    options = {
        "factors": factors,
        "method": draw(st.sampled_from(METHODS)),
        "boundary": draw(st.sampled_from(["trim", "pad"])),
        "chunks": draw(st.integers(3, 9)),
        "version": version,
    }
    if version == "0.5" and draw(st.booleans()):
        options["shards"] = 2 * options["chunks"]
    return samples(shape, draw(st.sampled_from(["u1", "u2", "f4", "f2"]))), options, tuple(region)


@pytest.fixture
def block_bytes(monkeypatch):
    """Several blocks in a level of a few chunks."""
    monkeypatch.setattr(stored_pyramid, "BLOCK_BYTES", 500)


@settings(ONE_STORE, max_examples=settings.default.max_examples // 2)
@given(edits())
def test_an_update_gives_what_a_rebuild_gives(block_bytes, edit):
    array, options, region = edit
    updated, rebuilt = {}, {}
    write(MemoryStore(updated), array, **options)
    edited = array.copy()
    edited[region] = edited[region][::-1, ::-1] // 2 + 1
    zarr.open_array(MemoryStore(updated), path="scale0/image")[region] = edited[region]
    msi.update(MemoryStore(updated), region)
    write(MemoryStore(rebuilt), edited, **options)
    assert updated.keys() == rebuilt.keys()
    differs = [key for key in rebuilt if rebuilt[key].to_bytes() != updated[key].to_bytes()]
    assert all(key.endswith(MANIFEST) for key in differs)  # of stores that would have to be read for it
    assert msi.verify(MemoryStore(updated)).ok


def reached(changed, factor, radius, n, extent):
    """Outputs along a dimension that are made from any sample of ``changed``, one by one."""
    windows = (range(max(a * factor - radius, 0), min(a * factor + factor + radius, n)) for a in range(extent))
    return {a for a, window in enumerate(windows) if changed.intersection(window)}


@settings(ONE_STORE)
@given(edits())
def test_only_chunks_in_reach_are_written_and_level_0_only_where_needed(block_bytes, edit):
    array, options, region = edit
    store = CountingStore(MemoryStore())
    write(store, array, **options)
    arrays = [zarr.open_array(store, path=f"scale{level}/image") for level in range(len(options["factors"]) + 1)]
    radius = resolve_method(options["method"]).radius
    changed = [set(range(n)[part]) for n, part in zip(array.shape, region, strict=True)]
    expected, read = set(), set()
    for level, factors in enumerate(options["factors"], start=1):
        finer, coarser, units = (
            arrays[level - 1].shape,
            arrays[level].shape,
            arrays[level].shards or arrays[level].chunks,
        )
        sides, needed = [], []
        for dim, factor in enumerate(factors.values()):
            reach = radius(factor) if factor > 1 else 0
            changed[dim] = reached(changed[dim], factor, reach, finer[dim], coarser[dim])
            touched = {a // units[dim] for a in changed[dim]}
            sides.append(sorted(touched))
            made = {a for a in range(coarser[dim]) if a // units[dim] in touched}
            windows = (range(max(a * factor - reach, 0), min(a * factor + factor + reach, finer[dim])) for a in made)
            needed.append({i for window in windows for i in window})
        expected |= {f"scale{level}/image/{_key(arrays[level], unit)}" for unit in product(*sides)}
        if level == 1 and all(sides):
            units = arrays[0].shards or arrays[0].chunks
            sides = [{i // unit for i in side} for side, unit in zip(needed, units, strict=True)]
            read = {f"scale0/image/{_key(arrays[0], unit)}" for unit in product(*sides)}
    store.reads.clear(), store.writes.clear()
    msi.update(store, region)
    assert set(store.chunk_writes()) == expected
    assert set(store.chunk_writes().values()) <= {1}
    assert {key for key in store.chunk_reads() if key.startswith("scale0/image")} == read


def _key(array, unit):
    return "/".join(map(str, unit if array.metadata.zarr_format == 2 else ("c", *unit)))


def test_a_small_edit_of_a_volume_touches_a_chunk_or_two_of_each_level(counting_store):
    image = msi.to_spatial_image(samples((64, 128, 128)))
    msi.to_multiscale(image, [2, 2, 2], method="gaussian", chunks=16).pyramid.to_zarr(counting_store)
    zarr.open_array(counting_store, path="scale0/image")[20:24, 62:66, 34] = 5
    counting_store.reads.clear(), counting_store.writes.clear()
    delayed = msi.update(counting_store, {"z": slice(20, 24), "y": slice(62, 66), "x": 34}, compute=False)
    assert not [key for key in counting_store.chunk_reads() if "/image/" in key]
    delayed.compute()
    assert [len(counting_store.chunk_writes(f"scale{level}")) for level in range(4)] == [0, 2, 2, 1]
    assert msi.verify(counting_store).ok


def test_a_block_waits_for_those_it_is_made_from_and_no_others(monkeypatch):
    monkeypatch.setattr(stored_pyramid, "BLOCK_BYTES", 1)  # blocks are chunks
    store = write(MemoryStore(), samples((64, 64)), chunks=8)
    graph = dict(msi.update(store, (slice(None), slice(None)), compute=False).dask)
    blocks = {key: task for key, task in graph.items() if isinstance(key, tuple) and "block" in key[0]}
    levels = sorted({key[0] for key in blocks})
    waits = {key: {other for other in task.dependencies if other in blocks} for key, task in blocks.items()}
    expected = {(levels[0], (y, x)): set() for y in range(4) for x in range(4)}
    for y, x in product(range(2), range(2)):
        below = product((2 * y, 2 * y + 1), (2 * x, 2 * x + 1))
        expected[levels[1], (y, x)] = {(levels[0], index) for index in below}
    assert waits == expected


def test_channels_and_times_that_are_not_named_are_whole(counting_store):
    image = msi.to_spatial_image(samples((2, 3, 40, 40)), dims=("t", "c", "y", "x"))
    msi.to_multiscale(image, [2, 2], chunks=10).pyramid.to_zarr(counting_store)
    zarr.open_array(counting_store, path="scale0/image")[:, 1, 35:, :5] = 5
    counting_store.writes.clear()
    msi.update(counting_store, {"c": 1, "y": slice(-5, None), "x": slice(5)})
    written = {f"scale1/image/c/{t}/1/1/0" for t in range(2)} | {f"scale2/image/c/{t}/1/0/0" for t in range(2)}
    assert set(counting_store.chunk_writes()) == written
    assert msi.verify(counting_store).ok


def test_what_trim_leaves_out_changes_nothing(counting_store):
    write(counting_store, samples((64, 65)))
    counting_store.writes.clear()
    assert msi.update(counting_store, {"x": -1}) is None
    assert not counting_store.chunk_writes()


def test_an_update_can_wait_and_mends_what_a_dead_run_left(tmp_path):
    write(tmp_path / "a.zarr", factors=[2, 2])
    edited = samples()
    edited[50:, 60:] = 9
    zarr.open_array(tmp_path / "a.zarr/scale0/image")[50:, 60:] = 9
    before = contents(tmp_path / "a.zarr")
    delayed = msi.update(tmp_path / "a.zarr", (slice(50, None), slice(60, None)), compute=False)
    assert contents(tmp_path / "a.zarr") == before
    truncate(tmp_path / "a.zarr/scale1/image/c/2/2")  # a chunk that the array's end cuts
    (tmp_path / "a.zarr/scale2/image/c/1/1").unlink()
    assert delayed.compute() is None
    write(tmp_path / "b.zarr", edited, factors=[2, 2])
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


def test_an_update_removes_what_a_killed_one_was_writing_and_nothing_else(tmp_path):
    write(tmp_path / "a.zarr")
    chunks = tmp_path / "a.zarr" / "scale1" / "image" / "c" / "0"
    of_unit, elsewhere = (chunks / f"{name}.{'0' * 32}.partial" for name in (0, 2))
    notes = chunks / "0.notes.partial"
    for path in (of_unit, elsewhere, notes):
        path.write_bytes(b"half")
    msi.update(tmp_path / "a.zarr", {"y": slice(0, 10), "x": slice(0, 10)})
    assert [path.exists() for path in (of_unit, elsewhere, notes)] == [False, True, True]


@pytest.mark.parametrize("shards", [None, 32])
def test_a_damaged_chunk_at_the_end_is_written_again(shards, tmp_path):
    write(tmp_path / "a.zarr", shards=shards)
    sound = contents(tmp_path / "a.zarr")
    truncate(tmp_path / "a.zarr/scale1/image/c" / ("1/1" if shards else "2/2"))
    msi.update(tmp_path / "a.zarr", (-2, -2))
    assert contents(tmp_path / "a.zarr") == sound


def test_foreign_byte_order_functions_and_nodata(tmp_path):
    for name, options in (
        ("order", {"array": samples(dtype=">u2"), "version": "0.4"}),
        ("function", {"array": samples((64, 80)), "method": largest}),
        ("nodata", {"array": samples() % 9, "nodata": 3}),
    ):
        path, array = tmp_path / name, options.pop("array")
        write(path, array, **options)
        stored = zarr.open_array(path / "scale0/image")
        stored[3:9, 40] = 7
        asked = largest if name == "function" else None
        msi.update(path, (slice(3, 9), 40), method=asked)
        array[3:9, 40] = 7
        write(tmp_path / f"{name}-again", array, **options)
        assert contents(path) == contents(tmp_path / f"{name}-again")


def test_labels_are_updated_by_themselves(tmp_path):
    write(tmp_path / "a.zarr")
    labels = msi.to_spatial_image((samples() % 5).astype("u4"))
    msi.write_labels(tmp_path / "a.zarr", "cells", msi.to_multiscale(labels, [2, 2], method="mode", chunks=16))
    zarr.open_array(tmp_path / "a.zarr/labels/cells/scale0/image")[:20, :20] = 3
    msi.update(tmp_path / "a.zarr", (slice(20), slice(20)))
    assert not msi.verify(tmp_path / "a.zarr").ok
    msi.update(tmp_path / "a.zarr", (slice(20), slice(20)), group="labels/cells")
    assert msi.verify(tmp_path / "a.zarr").ok


@pytest.mark.parametrize(
    ("region", "error", "words"),
    [
        ({"q": 1}, ValueError, "names the dimension 'q', but the image has"),
        ((1,), ValueError, "region has 1 entries"),
        ((1, 2, 3), ValueError, "region has 3 entries"),
        (5, TypeError, "region is a dict"),
        ("yx", TypeError, "region is a dict"),
        ({"y": 1.5}, TypeError, "dimension 'y' has 1.5"),
        ({"y": True}, TypeError, "dimension 'y' has True"),
        ({"y": slice("a", None)}, TypeError, "dimension 'y' has 'a'"),
        ({"y": slice(0, 9, 2)}, ValueError, "a step of 2"),
        ({"y": slice(9, 9)}, ValueError, "is empty"),
        ({"y": slice(9, 3)}, ValueError, "is empty"),
        ({"y": 70}, IndexError, "has no sample 70; it has 70"),
        ({"y": -71}, IndexError, "-71 is not among them"),
        ({"y": slice(0, 71)}, IndexError, "71 is not among them"),
    ],
)
def test_a_region_that_cannot_be(region, error, words, tmp_path):
    write(tmp_path / "a.zarr")
    before = contents(tmp_path / "a.zarr")
    with pytest.raises(error, match=words):
        msi.update(tmp_path / "a.zarr", region)
    assert contents(tmp_path / "a.zarr") == before


def test_on_a_cluster(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    write(tmp_path / "a.zarr", method="gaussian", chunks=8)
    in_memory, edited = write(MemoryStore()), samples()
    edited[20:40, 30:50] = 9
    zarr.open_array(tmp_path / "a.zarr/scale0/image")[20:40, 30:50] = 9
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster):
        msi.update(tmp_path / "a.zarr", {"y": slice(20, 40), "x": slice(30, 50)}, progress=True)
        with pytest.raises(ValueError, match="in memory"):
            msi.update(in_memory, (1, 1))
    assert "100%" in capsys.readouterr().out
    write(tmp_path / "b.zarr", edited, method="gaussian", chunks=8)
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")
