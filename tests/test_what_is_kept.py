"""What is no part of an image is kept: mode='w' deletes only what it can name, or refuses before anything is done."""

import shutil

import fsspec
import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore

import msi_lazy as msi
from msi_lazy.storage.nodes_below import foreign_names
from msi_lazy.storage.place import Place
from tests.support.damage import write
from tests.support.killing import contents


def tree(value=7, method="mean", dtype="u2", levels=2):
    image = msi.to_spatial_image(np.full((70, 90), value, dtype))
    return msi.to_multiscale(image, [2] * levels, method=method, chunks=16)


FILES = [
    *("notes.txt", "README.md", ".git/config", "tables/a.csv", "tables/deep/er/b.csv", "scale0/notes.txt", "c/a.txt"),
    *("scale1/image/profile.csv", "scale1/image/extra/a.txt", ".hidden", "zarr.json.bak", "OME/METADATA.ome.xml"),
    *("scale0/y/notes", "labels/notes.txt", "a.partial", ".zattrs.old", "0/0/a.tif"),
]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_users_is_not_deleted(name, version, tmp_path):
    write(tmp_path / "a.zarr", version=version)
    (tmp_path / "a.zarr" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "a.zarr" / name).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(
        msi.StoreExistsError, match="which mode='w' would delete, and which is no part of an image"
    ) as e:
        tree().pyramid.to_zarr(tmp_path / "a.zarr", mode="w", version=version, delete_labels=True)
    assert repr(name).strip("'").startswith(str(e.value).split(" holds '")[1].split("'")[0])
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr"]


@pytest.mark.parametrize("name", [*FILES[:4], *FILES[5:12]])
def test_nor_a_key_of_a_users_in_memory(name):
    held = {}
    write(MemoryStore(held))
    held[name] = zarr.buffer.default_buffer_prototype().buffer.from_bytes(b"mine")
    before = dict(held)
    with pytest.raises(msi.StoreExistsError, match="is no part of an image"):
        tree().pyramid.to_zarr(MemoryStore(held), mode="w")
    assert held == before


@pytest.mark.parametrize("name", [*FILES[:4], *FILES[5:12]])
def test_nor_an_object_of_a_users_in_a_bucket(name, tmp_path):
    files, bucket = fsspec.filesystem("memory"), f"/{tmp_path.name}"
    write(f"memory:/{bucket}/a.zarr")
    files.pipe(f"{bucket}/a.zarr/{name}", b"mine")
    before = {path: files.cat_file(path) for path in files.find(bucket)}
    with pytest.raises(msi.StoreExistsError, match="is no part of an image"):
        tree().pyramid.to_zarr(f"memory:/{bucket}/a.zarr", mode="w")
    assert {path: files.cat_file(path) for path in files.find(bucket)} == before
    files.rm(bucket, recursive=True)


def test_many_are_not_all_named(tmp_path):
    write(tmp_path / "a.zarr")
    for number in range(30):
        (tmp_path / f"a.zarr/{number}.csv").write_text("mine")
    with pytest.raises(msi.StoreExistsError, match=r"^\S+ holds ('\d+\.csv', ){9}'\d+\.csv', and more, which"):
        tree().pyramid.to_zarr(tmp_path / "a.zarr", mode="w")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_nodes_besides_an_images_own_are_kept_unless_they_are_stored_again(version, tmp_path):
    write(tmp_path / "a.zarr", version=version)
    group = zarr.open_group(tmp_path / "a.zarr")
    group.create_group("tables").create_array("cells", data=np.arange(5))
    group.create_array("mask", data=np.zeros((3, 3)))
    before = contents(tmp_path)
    with pytest.raises(msi.StoreExistsError, match="holds 'mask', 'tables', which mode='w' would delete"):
        tree().pyramid.to_zarr(tmp_path / "a.zarr", mode="w", version=version)
    assert contents(tmp_path) == before
    shutil.rmtree(tmp_path / "a.zarr/mask")
    again = tree()
    again["tables"] = msi.to_multiscale(msi.to_spatial_image(np.ones((4, 4))), [])["scale0"].to_dataset()
    again.pyramid.to_zarr(tmp_path / "a.zarr", mode="w", version=version)
    assert (msi.open_multiscale(tmp_path / "a.zarr")["scale1"].image == 7).all()


LITTER = [".DS_Store", "scale0/.DS_Store", "Thumbs.db", "scale1/image/desktop.ini", "._zarr.json"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_zarr_and_desktops_leave_is_no_hindrance(version, tmp_path):
    write(tmp_path / "a.zarr", version=version)
    msi.write_labels(tmp_path / "a.zarr", "cells", tree(1, "mode", "u4"))
    for name in [*LITTER, f"scale1/image/zarr.{'0' * 32}.partial"]:
        (tmp_path / "a.zarr" / name).write_text("litter")
    (tmp_path / "a.zarr/empty/folders").mkdir(parents=True)
    again = tree()
    again.coords["plate"] = 7
    again["stats"] = tree()["scale1"].to_dataset().rename(image="means")
    again.pyramid.to_zarr(tmp_path / "a.zarr", mode="w", version=version, delete_labels=True)
    again.pyramid.to_zarr(tmp_path / "a.zarr", mode="w", version=version)
    again.pyramid.to_zarr(tmp_path / "b.zarr", version=version)
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


def test_any_image_of_another_tool_may_be_written_over(tmp_path):
    for form in ({"separator": "."}, {"separator": "/"}):
        group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
        group.create_array("0", data=np.ones((40, 40)), chunks=(8, 8), chunk_key_encoding={"name": "v2", **form})
        group.create_array("1", data=np.ones(()))
        axes = [{"name": name, "type": "space"} for name in "yx"]
        level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level, {**level, "path": "1"}]}]
        assert not list(foreign_names(Place.parse(tmp_path / "a.zarr")))
        tree().pyramid.to_zarr(tmp_path / "a.zarr", mode="w")
        shutil.rmtree(tmp_path / "a.zarr")


def test_labels_and_levels_that_are_written_over_are_looked_into_too(tmp_path):
    write(tmp_path / "a.zarr")
    msi.write_labels(tmp_path / "a.zarr", "cells", tree(1, "mode", "u4"))
    (tmp_path / "a.zarr/labels/cells/training.csv").write_text("mine")
    zarr.open_group(tmp_path / "a.zarr").create_group("scale3").create_array("image", data=np.ones((4, 4)))
    (tmp_path / "a.zarr/scale3/image/training.csv").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(msi.StoreExistsError, match=r"labels/cells holds 'training.csv'"):
        msi.write_labels(tmp_path / "a.zarr", "cells", tree(1, "mode", "u4"), mode="w")
    shutil.rmtree(tmp_path / "a.zarr/labels")
    with pytest.raises(msi.StoreExistsError, match=r"scale3/image holds 'training.csv'"):
        msi.add_levels(tmp_path / "a.zarr", [2], mode="w")
    assert {path: content for path, content in before.items() if "labels" not in path.parts} == contents(tmp_path)


@pytest.mark.parametrize("broken", ["{", '{"zarr_format": 3, "node_type": "group", "attributes": {"a": NaN'])
def test_one_broken_image_of_a_collection_does_not_hide_the_others(broken, tmp_path):
    for name in ("one", "two"):
        tree().pyramid.to_zarr(tmp_path / "c.zarr", group=name)
    (tmp_path / "c.zarr/one/zarr.json").write_text(broken)
    before = contents(tmp_path)
    with pytest.raises(msi.StoreExistsError, match="holds the images 'two'"):
        tree().pyramid.to_zarr(tmp_path / "c.zarr", mode="w")
    assert contents(tmp_path) == before


def test_an_interrupted_write_is_started_over_but_not_over_files_of_a_users(tmp_path):
    tree().pyramid.to_zarr(tmp_path / "a.zarr", compute=False)
    (tmp_path / "a.zarr/notes.txt").write_text("mine")
    with pytest.raises(msi.StoreExistsError, match=r"'notes\.txt'"):
        tree().pyramid.to_zarr(tmp_path / "a.zarr", mode="w")
    (tmp_path / "a.zarr/notes.txt").unlink()
    tree().pyramid.to_zarr(tmp_path / "a.zarr", mode="w")
    assert msi.verify(tmp_path / "a.zarr").ok


def test_no_chunk_is_listed_where_there_are_many(tmp_path, monkeypatch):
    write(tmp_path / "a.zarr", np.ones((70, 90), "u2"), chunks=2)
    listed = []
    original = LocalStore.list_dir
    monkeypatch.setattr(LocalStore, "list_dir", lambda store, prefix: listed.append(prefix) or original(store, prefix))
    assert not list(foreign_names(Place.parse(tmp_path / "a.zarr")))
    assert listed
    assert not [prefix for prefix in listed if "/c" in prefix]
