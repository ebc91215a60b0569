"""Nothing is destroyed, nothing is half done: targets, sources, arguments."""

import os

import dask
import dask.array as da
import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from numcodecs import GZip
from zarr.codecs import GzipCodec
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore, StorePath, ZipStore

import msi_lazy as msi
from msi_lazy.storage.place import Place


def make_tree(value=1):
    return msi.to_multiscale(msi.to_spatial_image(np.full((64, 64), value, "u2")), [2], chunks=16)


def means(store):
    return [float(node.image.mean()) for node in msi.open_multiscale(store).children.values()]


@pytest.fixture
def store(tmp_path):
    """A written image, by its path."""
    make_tree(3).pyramid.to_zarr(tmp_path / "o.zarr")
    return tmp_path / "o.zarr"


def test_two_writes_computed_together_do_not_take_each_others_place(tmp_path):
    for name, value in (("a", 1), ("b", 2)):
        make_tree(value).pyramid.to_zarr(tmp_path / name)
    writes = [
        msi.open_multiscale(tmp_path / name).pyramid.to_zarr(tmp_path / f"{name}2", compute=False) for name in "ab"
    ]
    dask.compute(*writes)
    assert [means(tmp_path / f"{name}2") for name in "ab"] == [[1, 1], [2, 2]]


def add(block, other):
    return block + other[:].sum()


SOURCES = {
    "opened by path": msi.open_multiscale,
    "opened by url": lambda path: msi.open_multiscale(path.as_uri()),
    "through fsspec": lambda path: msi.open_multiscale(FsspecStore.from_url(path.as_uri())),
    "through a wrapper": lambda path: msi.open_multiscale(LoggingStore(LocalStore(path))),
    "xarray, lazily": lambda path: xr.open_datatree(path, engine="zarr", chunks=None),
    "xarray, chunked": lambda path: xr.open_datatree(path, engine="zarr", chunks={}),
}
ARRAYS = {
    "optimised": lambda z: dask.optimize(da.from_zarr(z) + 0)[0],
    "in an argument": lambda z: da.zeros(z.shape, chunks=32).map_blocks(add, other=z, dtype="f8"),
    "delayed": lambda z: da.from_delayed(dask.delayed(np.asarray)(z), z.shape, z.dtype),
}


@pytest.mark.parametrize("kind", [*SOURCES, *ARRAYS])
def test_a_source_is_never_its_own_target(store, kind):
    if kind in SOURCES:
        tree = SOURCES[kind](store)
    else:
        tree = msi.to_multiscale(msi.to_spatial_image(ARRAYS[kind](zarr.open_array(store / "scale0/image"))), [2])
    for target in (store, str(store), store.as_uri(), LocalStore(store), store.parent):
        with pytest.raises(ValueError, match="overlap"):
            tree.pyramid.to_zarr(target, mode="w")
    assert means(store) == [3, 3]


def test_nor_in_memory():
    memory = MemoryStore()
    make_tree(3).pyramid.to_zarr(memory)
    with pytest.raises(ValueError, match="overlap"):
        msi.open_multiscale(memory).pyramid.to_zarr(memory, mode="w")
    with pytest.raises(ValueError, match="overlap"):
        msi.open_multiscale(memory).pyramid.to_zarr(StorePath(memory, "scale0"), mode="w")
    assert means(memory) == [3, 3]
    msi.open_multiscale(memory).pyramid.to_zarr(MemoryStore())


def test_a_lazy_coordinate_counts_as_a_source(store):
    tree = make_tree()
    lazily = zarr.open_array(store / "scale0/image")
    level = tree["scale0"].to_dataset().assign_coords(lat=(("y", "x"), da.from_zarr(lazily)))
    tree["scale0"] = xr.DataTree(level)
    with pytest.raises(ValueError, match="overlap"):
        tree.pyramid.to_zarr(store, mode="w")


@pytest.mark.parametrize("mode", ["w-", "w"])
@pytest.mark.parametrize("form", [str, lambda path: f"local://{path}", lambda path: path.as_uri(), LocalStore])
def test_a_directory_of_something_else_is_left_alone(tmp_path, mode, form):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/thesis.txt").write_text("x")
    with pytest.raises((ValueError, FileExistsError)):
        make_tree().pyramid.to_zarr(form(tmp_path / "docs"), mode=mode)
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("mode", ["w-", "w"])
def test_what_else_is_in_a_bucket_stays(mode):
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/thesis.txt", b"x")
    with pytest.raises(msi.StoreExistsError, match="memory://bucket"):
        make_tree(2).pyramid.to_zarr("memory://bucket", mode=mode)
    assert files.find("/bucket") == ["/bucket/thesis.txt"]
    files.rm("/bucket", recursive=True)
    make_tree(2).pyramid.to_zarr("memory://bucket", mode=mode)
    make_tree(4).pyramid.to_zarr("memory://bucket", mode="w")
    assert means("memory://bucket") == [4, 4]
    files.rm("/bucket", recursive=True)


BAD = {
    "unknown setting": {"encoding": {"/scale0": {"image": {"foo": 1}}}},
    "zero chunk": {"encoding": {"/scale0": {"image": {"chunks": (0, 5)}}}},
    "fractional chunk": {"encoding": {"/scale0": {"image": {"chunks": (3.5, 2)}}}},
    "chunks of another rank": {"encoding": {"/scale0": {"image": {"chunks": (5,)}}}},
    "shards that do not fit": {"encoding": {"/scale0": {"image": {"shards": (3, 3)}}}},
    "another dtype": {"encoding": {"/scale0": {"image": {"dtype": "u1"}}}},
    "scaled values": {"encoding": {"/scale0": {"image": {"dtype": "i2", "scale_factor": 0.5}}}},
    "not a mapping": {"encoding": "x"},
    "not a mapping inside": {"encoding": {"/scale0": 5}},
    "node by number": {"encoding": {0: {}}},
    "no codec": {"compressors": "zzz"},
    "no codec either": {"compressors": 5},
    "codec of the other format": {"compressors": GZip()},
    "codec of the later format": {"compressors": GzipCodec(), "version": "0.4"},
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused_before_anything_is_touched(store, tmp_path, case):
    with pytest.raises((TypeError, ValueError)) as caught:
        make_tree().pyramid.to_zarr(store, mode="w", **BAD[case])
    assert any(word in str(caught.value) for word in ("encoding", "compressors", "shards"))
    with pytest.raises((TypeError, ValueError)):
        make_tree().pyramid.to_zarr(tmp_path / "new.zarr", **BAD[case])
    assert means(store) == [3, 3]
    assert not (tmp_path / "new.zarr").exists()


def test_levels_of_different_dtypes_are_refused(tmp_path):
    tree = make_tree()
    tree["scale1"] = xr.DataTree(tree["scale1"].to_dataset().astype("f4"))
    with pytest.raises(ValueError, match="scale1 has dtype float32, scale0 uint16"):
        tree.pyramid.to_zarr(tmp_path / "new.zarr")


def test_dask_coordinates_are_written(tmp_path):
    image = msi.to_spatial_image(np.zeros((64, 64))).chunk(16)
    image = image.assign_coords(lat=(("y", "x"), da.ones((64, 64), chunks=16)))
    msi.to_multiscale(image, [2]).pyramid.to_zarr(tmp_path / "o.zarr")
    with xr.open_datatree(tmp_path / "o.zarr", engine="zarr") as opened:
        assert (opened["scale0"].lat == 1).all()


def test_other_nodes_and_root_coordinates_are_written(tmp_path):
    tree = make_tree()
    tree["stats"] = xr.DataTree(xr.Dataset({"means": ("level", [1.0, 2.0])}))
    tree.coords["plate"] = 7
    tree.pyramid.to_zarr(tmp_path / "o.zarr")
    with xr.open_datatree(tmp_path / "o.zarr", engine="zarr") as opened:
        assert opened["stats"].means.values.tolist() == [1, 2]
        assert int(opened.coords["plate"]) == 7
    assert means(tmp_path / "o.zarr") == [1, 1]


def test_a_lazily_opened_tree_is_explained_and_written_without_loading_it(store, tmp_path):
    with xr.open_datatree(store, engine="zarr", chunks=None) as tree:
        str(msi.explain(tree))
        assert not tree["scale0"].image.variable._in_memory
        tree.pyramid.to_zarr(tmp_path / "copy.zarr")
        assert not tree["scale0"].image.variable._in_memory
    assert means(tmp_path / "copy.zarr") == [3, 3]


def test_a_relative_target_is_meant_where_it_is_said(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    delayed = make_tree().pyramid.to_zarr("o.zarr", compute=False)
    monkeypatch.chdir(tmp_path / "elsewhere")
    delayed.compute()
    assert means(tmp_path / "o.zarr") == [1, 1]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_link_is_followed(tmp_path, store):
    os.symlink(store, tmp_path / "link.zarr")
    make_tree(5).pyramid.to_zarr(tmp_path / "link.zarr", mode="w")
    assert means(store) == [5, 5]
    assert (tmp_path / "link.zarr").is_symlink()


def test_a_target_is_needed():
    with pytest.raises(TypeError, match="not None"):
        make_tree().pyramid.to_zarr(None)


def test_a_group_is_a_target(tmp_path):
    outer = zarr.create_group(tmp_path / "outer.zarr")
    inner = outer.create_group("image")
    with pytest.raises(FileExistsError):
        make_tree().pyramid.to_zarr(inner)
    make_tree(4).pyramid.to_zarr(inner, mode="w")
    assert means(outer["image"]) == [4, 4]


def test_a_memory_store_is_not_given_to_other_processes():
    with dask.config.set(scheduler="processes"), pytest.raises(ValueError, match="in memory"):
        make_tree().pyramid.to_zarr(MemoryStore())


def test_a_rebuilt_pyramid_is_explained_as_such():
    rebuilt = msi.to_multiscale(make_tree()["scale0"].image + 1, [2], method="max", block_bytes=4096)
    plan = msi.explain(rebuilt)
    assert (plan.method, plan.block_bytes, len(plan.stages)) == ("max", 4096, 1)


def test_a_zip_store_is_refused_with_advice(tmp_path):
    with pytest.raises(ValueError, match="give the path of one"):
        make_tree().pyramid.to_zarr(ZipStore(tmp_path / "z.zip", mode="w"))


def test_names_of_single_channels_are_written_without_a_warning(tmp_path):
    image = msi.to_spatial_image(np.zeros((2, 8, 8)), dims=("c", "y", "x"), c_coords=["dapi", "gfp"])
    tree = msi.to_multiscale(image, [2]).isel(c=1)
    tree.pyramid.to_zarr(tmp_path / "o.zarr")
    assert msi.open_multiscale(tmp_path / "o.zarr")["scale1"].c.item() == "gfp"


def test_other_nodes_that_come_from_the_target_are_sources_too(tmp_path):
    path = tmp_path / "out.zarr"
    tree = make_tree(3)
    tree["labels"] = xr.Dataset({"cells": (("y", "x"), np.full((4, 4), 7))})
    tree.pyramid.to_zarr(path)
    again = make_tree(4)
    again["labels"] = xr.open_zarr(path, group="labels", consolidated=False, chunks=None)
    with pytest.raises(ValueError, match="overlap"):
        again.pyramid.to_zarr(path, mode="w")
    assert (zarr.open_group(path)["labels/cells"][:] == 7).all()


def test_another_node_that_cannot_be_stored_is_found_before_the_old_image_is_gone(tmp_path):
    path = tmp_path / "out.zarr"
    make_tree(3).pyramid.to_zarr(path)
    again = make_tree(4)
    again["notes"] = xr.Dataset({"n": ("k", np.array([object(), 1], dtype=object))})
    with pytest.raises(ValueError, match="cannot be stored"):
        again.pyramid.to_zarr(path, mode="w")
    assert means(path) == [3, 3]


def test_a_lazy_single_value_in_a_scale_is_stored(tmp_path):
    tree = make_tree(3)
    tree["scale0/crs"] = xr.DataArray(da.full((), 5), dims=())
    tree.pyramid.to_zarr(tmp_path / "out.zarr")
    assert zarr.open_group(tmp_path / "out.zarr")["scale0/crs"][()] == 5


def located(store):
    return Place.parse(store).location


def test_one_place_has_one_location(tmp_path):
    held = {}
    assert located(held) == located(MemoryStore(held))
    assert located(f"simplecache::file://{tmp_path}/a") == located(tmp_path / "a")
    assert located("local:///a/b") == located("file:///a/b") == located("/a/b")
    cached = fsspec.filesystem("simplecache", target_protocol="file")
    store = FsspecStore(AsyncFileSystemWrapper(cached, asynchronous=True), path=str(tmp_path))
    assert located(store) == located(tmp_path)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_empty_chunks_are_stored_if_asked_for(where, tmp_path):
    store = MemoryStore() if where == "memory" else tmp_path / "out.zarr"
    encoding = {"/scale0": {"image": {"write_empty_chunks": True}}}
    make_tree(0).pyramid.to_zarr(store, encoding=encoding)
    group = zarr.open_group(store, mode="r")
    assert group["scale0/image"].nchunks_initialized == group["scale0/image"].nchunks
    assert group["scale1/image"].nchunks_initialized == 0
