"""A write that died goes on: what is stored is not made again, and the result is that of one that did not die."""

from functools import partial
from itertools import product

import dask
import dask.array as da
import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.failing_writes import (
    LEDGER,
    PICTURE,
    FailingStore,
    Source,
    assert_complete,
    failed_write,
    halved,
    image_of,
    snapshot,
)
from tests.support.killing import contents
from tests.support.strategies import pyramids


@settings(max_examples=settings().max_examples // 3 + 1)  # each of them writes several times
@given(data=st.data(), case=pyramids(max_dims=3, max_extent=24))
def test_a_write_that_failed_anywhere_goes_on(data, case):
    shape, factors = case
    if len(shape) < 2:
        shape, factors = (3, *shape), [(1, *step) for step in factors]
    dims = ("z", "y", "x")[-len(shape) :]
    array = np.random.default_rng(0).integers(0, 99, shape).astype("u2")
    method = data.draw(st.sampled_from(["mean", "mode", "gaussian", "label_gaussian", "nearest"]))
    edited = data.draw(st.booleans())
    options = {
        "chunks": data.draw(st.integers(4, 9)),
        "block_bytes": data.draw(st.integers(array.nbytes // 20 + 1, array.nbytes + 1)),
        "boundary": data.draw(st.sampled_from(["trim", "pad"])),
    }
    steps = [dict(zip(dims, step, strict=True)) for step in factors]

    def build():
        image, source = image_of(array, dims)
        tree = msi.to_multiscale(image, steps, method=method, **options)
        if edited:
            tree = tree.map_over_datasets(lambda level: level + 1 if level.data_vars else level)
        return tree, source

    whole = MemoryStore()
    build()[0].pyramid.to_zarr(whole, source_id="same")
    store = FailingStore(MemoryStore())
    build()[0].pyramid.to_zarr(store, source_id="same")
    store = FailingStore(MemoryStore(), data.draw(st.integers(1, len(store.state["set"]) - 1)))
    with dask.config.set(scheduler="synchronous"):
        for _ in range(data.draw(st.integers(1, 3))):
            try:
                build()[0].pyramid.to_zarr(store, source_id="same", resume=True)
            except OSError:
                try:
                    back = msi.open_multiscale(store)
                except (ValueError, FileNotFoundError):
                    pass
                else:  # all but the end of the ledger
                    assert_complete(back, build()[0])
                store.state["left"] = data.draw(st.integers(0, 50))
            else:
                break
        else:
            store.state["left"] = 10**9
            build()[0].pyramid.to_zarr(store, source_id="same", resume=True)
    assert snapshot(store) == snapshot(whole)
    assert not any(LEDGER in key for key in snapshot(store))


@pytest.mark.parametrize("kind", ["emitted", "fused"])
def test_blocks_that_are_stored_are_neither_read_nor_written_again(kind):
    def build():
        tree, source = halved(PICTURE)
        if kind == "fused":  # a graph that is read block by block, but not straight from the plan
            data = da.from_array(source, chunks=(32, 32), name="blocks", meta=np.empty((0, 0), "u2"))
            image = xr.DataArray(data.map_blocks(lambda block: block, name="same", dtype="u2"), dims=("y", "x"))
            tree = msi.to_multiscale(image, [2, 2, 2], chunks=8, block_bytes=2 * 32**2)
        return tree, source

    store = failed_write(build()[0], 250, source_id="same")
    marked = {key for key in store.state["set"] if key.startswith(LEDGER) and "/c/" in key}
    before = {key for key in store.state["set"] if "/c/" in key and LEDGER not in key}
    assert len(marked) > 5
    store.state["set"].clear()
    tree, source = build()
    tree.pyramid.to_zarr(store, resume=True, source_id="same")
    assert len(source.windows) < 25 - 3
    again = before & set(store.state["set"])
    assert len(again) <= 16 + 4 + 1 + 4  # no more than those of the block that failed, in both stages
    assert not marked & set(store.state["set"])


def test_carries_of_finished_blocks_come_from_the_store_where_their_window_is_there():
    """Of 5 x 5 blocks that of the middle is not finished: it is read, and its neighbours, whose halos reach into it."""

    def build():
        source = Source(PICTURE)  # given as it is, as what Dask reads in one chunk is read whole
        image = msi.to_spatial_image(source, dims="yx", name="the image")
        return msi.to_multiscale(image, [2, 2, 2], method="gaussian", chunks=8, block_bytes=2 * 32**2), source

    tree, _ = build()
    store = failed_write(tree, 588, source_id="same")  # all but the end: the last two keys are the group's
    written = store._store._store_dict
    for key in list(written):
        if LEDGER in key and key.endswith(("/c/12", "/c/25")):  # the block, and what the carries are for
            del written[key]
    for i, j in np.ndindex(4, 4):
        written[f"scale0/the image/c/{8 + i}/{8 + j}"] = default_buffer_prototype().buffer.from_bytes(b"half of it")
    tree, source = build()
    tree.pyramid.to_zarr(store, resume=True, source_id="same")
    starts = [32 - 14, 64 - 14, 96 - 14]  # each with a halo of 14 samples
    assert sorted((down.start, across.start) for down, across in source.windows) == list(product(starts, starts))
    reference = MemoryStore()
    build()[0].pyramid.to_zarr(reference, source_id="same")
    assert snapshot(store) == snapshot(reference)


@pytest.mark.parametrize("kind", ["emitted", "fused"])
@pytest.mark.parametrize("keys", [60, 110, 160, 200])
def test_a_carry_is_not_made_of_samples_that_are_not_there(kind, keys):
    """With a halo, the carry of a stored block may need samples of a block that is not."""
    picture = PICTURE[:96, :96]

    def tree():
        data = da.from_array(Source(picture), chunks=(32, 32), name="it", meta=np.empty((0, 0), "u2"))
        if kind == "fused":
            data = data.map_blocks(lambda block: block, name="same", dtype="u2")
        image = xr.DataArray(data, dims=("y", "x"))
        return msi.to_multiscale(image, [2, 2, 2], method="gaussian", chunks=8, block_bytes=2 * 32**2)

    reference = MemoryStore()
    tree().pyramid.to_zarr(reference, source_id="same")
    store = failed_write(tree(), keys, source_id="same")
    tree().pyramid.to_zarr(store, resume=True, source_id="same")
    assert snapshot(store) == snapshot(reference)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("left", [b"", b"\x02\x01garbage", b"\0" * 500])
def test_a_chunk_that_a_kill_left_half_written_is_written_again(tmp_path, version, left):
    """One that the array's end cuts is read before it is written, which fails where it is damaged."""
    tree = msi.to_multiscale(msi.to_spatial_image(PICTURE[:60, :62]), [2], chunks=16, block_bytes=2 * 32**2)
    tree.pyramid.to_zarr(tmp_path / "whole.zarr", version=version)
    tree.pyramid.to_zarr(tmp_path / "o.zarr", version=version, compute=False)
    for place in ("scale0/image/{}/0/0", "scale0/image/{}/0/3", "scale0/image/{}/3/3", "scale1/image/{}/1/1"):
        chunk = tmp_path / "o.zarr" / place.format("c" if version == "0.5" else ".")
        chunk.parent.mkdir(parents=True, exist_ok=True)
        chunk.write_bytes(left)
    tree.pyramid.to_zarr(tmp_path / "o.zarr", version=version, resume=True)
    assert contents(tmp_path / "o.zarr") == contents(tmp_path / "whole.zarr")


def test_a_block_is_marked_after_all_of_its_chunks():
    store = FailingStore(MemoryStore())
    with dask.config.set(scheduler="synchronous"):
        halved(PICTURE)[0].pyramid.to_zarr(store)
    seen = set()
    for key in store.state["set"]:
        if key.startswith(LEDGER) and "/c/" in key:
            number = int(key.rpartition("/")[2])
            if number < 25:  # blocks of 32 x 32 in C order, of chunks of 8 x 8
                row, column = divmod(number, 5)
                places = [(4 * row + i, 4 * column + j) for i in range(4) for j in range(4)]
                chunks = {f"scale0/the image/c/{i}/{j}" for i, j in places}
                assert chunks <= seen
        seen.add(key)


def test_what_is_lossy_is_made_again_and_not_read_back():
    array = np.random.default_rng(0).random((64, 64)).astype("f4")
    lossy = {"filters": [numcodecs.FixedScaleOffset(offset=0, scale=10, dtype="f4", astype="f4")]}
    options = {
        "source_id": "same",
        "version": "0.4",
        "encoding": {f"/scale{n}": {"the image": lossy} for n in range(4)},
    }

    def build():
        return msi.to_multiscale(image_of(array)[0], [2, 2, 2], chunks=4, block_bytes=4 * 16**2)

    reference = MemoryStore()
    build().pyramid.to_zarr(reference, **options)
    assert not np.array_equal(zarr.open_array(reference, path="scale0/the image", mode="r")[:], array)
    store = failed_write(build(), 150, **options)
    build().pyramid.to_zarr(store, resume=True, **options)
    assert snapshot(store) == snapshot(reference)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"method": "max"}, "method"),
        ({"factors": [2, 2]}, "factors"),
        ({"chunks": 16}, "layout"),
        ({"boundary": "pad"}, "boundary"),
        ({"nodata": 7}, "nodata"),
        ({"block_bytes": 2 * 64**2}, "blocks"),
        ({"array": PICTURE + 1}, "source.0.content"),
        ({"version": "0.4"}, "layout"),
        ({"shards": 16}, "layout"),
        ({"name": "other"}, "layout"),
        ({"source_id": "it"}, "source"),
        ({"scale": {"y": 2.0}}, "coordinates"),
        ({"colors": ["FF0000"]}, "attributes"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_another_write_is_refused_and_the_difference_named(change, named):
    defaults = {"array": PICTURE[None], "method": "mean", "factors": [2, 2, 2], "name": "image", "scale": None}

    def build(options):
        array = options["array"] if options["array"].ndim == 3 else options["array"][None]
        image = msi.to_spatial_image(array, dims="cyx", name=options["name"], scale=options["scale"])
        keys = ("chunks", "boundary", "nodata", "block_bytes")
        asked = {"chunks": 8, "block_bytes": 2 * 32**2} | {key: options[key] for key in keys if key in options}
        how = {key: options[key] for key in ("version", "shards", "source_id", "colors") if key in options}
        return msi.to_multiscale(image, options["factors"], method=options["method"], **asked), how

    tree, _ = build(defaults)
    store = failed_write(tree, 250)
    before = snapshot(store)
    tree, how = build(defaults | change)
    with pytest.raises(msi.ResumeError, match=rf"images\.{named}.* was .* and is .*mode='w'"):
        tree.pyramid.to_zarr(store, resume=True, **how)
    assert snapshot(store) == before
    tree.pyramid.to_zarr(store, mode="w", **how)  # starting over is always possible
    assert not any(LEDGER in key for key in snapshot(store))
    msi.open_multiscale(store)


def test_a_changed_file_is_another_source(tmp_path):
    def tree_of(path):
        image = msi.to_spatial_image(zarr.open_array(path, mode="r"), dims="yx")
        return msi.to_multiscale(image, [2, 2, 2], chunks=8, block_bytes=2 * 32**2)

    zarr.create_array(tmp_path / "a.zarr", data=PICTURE)
    store = failed_write(tree_of(tmp_path / "a.zarr"), 250)
    zarr.create_array(tmp_path / "b.zarr", data=PICTURE)
    with pytest.raises(msi.ResumeError, match=r"source\.0\.(place|reads)"):
        tree_of(tmp_path / "b.zarr").pyramid.to_zarr(store, resume=True)
    zarr.create_array(tmp_path / "a.zarr", data=PICTURE + 1, overwrite=True)
    with pytest.raises(msi.ResumeError, match=r"source\.0\.(reads\.0\.)?modified"):
        tree_of(tmp_path / "a.zarr").pyramid.to_zarr(store, resume=True)


def test_a_graph_that_cannot_be_told_needs_a_name():
    def tree():
        data = da.random.default_rng().integers(0, 99, (160, 160), chunks=32)
        return msi.to_multiscale(xr.DataArray(data, dims=("y", "x")), [2, 2], chunks=8, block_bytes=8 * 32**2)

    store = failed_write(tree(), 250)
    with pytest.raises(msi.ResumeError, match=r"source\.0\.graph.*source_id="):
        tree().pyramid.to_zarr(store, resume=True)


def test_the_code_of_a_function_is_part_of_the_method():
    def tree(function):
        return msi.to_multiscale(
            msi.to_spatial_image(PICTURE), [2, 2], method=function, chunks=8, block_bytes=2 * 32**2
        )

    def first(array, factors):
        return array[:: factors[0], :: factors[1]]

    store = failed_write(tree(first), 250)

    def first(array, factors):
        return array[factors[0] - 1 :: factors[0], factors[1] - 1 :: factors[1]]

    with pytest.raises(msi.ResumeError, match=r"method\.0\.kernel"):
        tree(first).pyramid.to_zarr(store, resume=True)


def test_resuming_where_there_is_nothing_begins_and_where_all_is_done_refuses(tmp_path):
    tree, _ = halved(PICTURE)
    tree.pyramid.to_zarr(tmp_path / "o.zarr", resume=True)
    before = contents(tmp_path / "o.zarr")
    with pytest.raises(msi.StoreExistsError, match="no incomplete image"):
        tree.pyramid.to_zarr(tmp_path / "o.zarr", resume=True)
    assert contents(tmp_path / "o.zarr") == before


def test_an_unfinished_image_is_called_so(tmp_path):
    tree, _ = halved(PICTURE)
    delayed = tree.pyramid.to_zarr(tmp_path / "o.zarr", compute=False)
    for opened in (partial(msi.open_multiscale, group=""), msi.verify, msi.add_levels):
        with pytest.raises(msi.UnfinishedImageError, match=r"incomplete.*resume it.*resume=True"):
            opened(tmp_path / "o.zarr")
    with pytest.raises(msi.StoreExistsError, match=r"incomplete.*resume=True.*mode='w'"):
        tree.pyramid.to_zarr(tmp_path / "o.zarr")
    delayed.compute()
    msi.open_multiscale(tmp_path / "o.zarr")


def test_overwriting_keeps_the_old_image_until_it_is_emptied(tmp_path, monkeypatch):
    """A kill while the old image is deleted: what is left opens as nothing, and is emptied when the write goes on."""
    halved(PICTURE)[0].pyramid.to_zarr(tmp_path / "o.zarr")
    halved(PICTURE + 1)[0].pyramid.to_zarr(tmp_path / "reference.zarr")
    from msi_lazy.write import begin

    def dies(target, nested):
        (tmp_path / "o.zarr" / "zarr.json").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(begin, "empty_group", dies)
    with pytest.raises(KeyboardInterrupt):
        halved(PICTURE + 1)[0].pyramid.to_zarr(tmp_path / "o.zarr", mode="w", replace="in place", source_id="it")
    monkeypatch.undo()
    with pytest.raises(msi.UnfinishedImageError):
        msi.open_multiscale(tmp_path / "o.zarr")
    halved(PICTURE + 1)[0].pyramid.to_zarr(tmp_path / "o.zarr", resume=True, source_id="it")
    assert contents(tmp_path / "o.zarr") == contents(tmp_path / "reference.zarr")
