"""What a refusal leaves as it was, and overlaps that neither a path nor a key shows."""

import json
import os
import subprocess
import sys

import fsspec
import numpy as np
import pytest
import zarr
import zarr.storage
from zarr.storage import FsspecStore, LocalStore, LoggingStore, ObjectStore, StorePath

import msi_lazy as msi
from msi_lazy.storage.place import Place
from tests.support.opaque import OpaqueStore
from tests.support.serving import files_of

PIXELS = np.random.default_rng(0).integers(1, 60000, (32, 64), dtype="u2")


def tree_of(pixels=PIXELS):
    return msi.to_multiscale(msi.to_spatial_image(pixels), [2], chunks=8)


def paths_of(path):
    return {below.relative_to(path) for below in path.rglob("*")}


def refuse(source, target):
    with pytest.raises(ValueError, match="overlap"):
        tree_of(source).pyramid.to_zarr(target, mode="w")


def test_a_refusal_leaves_the_ledger_of_another_image_in_the_target(tmp_path):
    zarr.create_group(tmp_path)
    zarr.create_array(tmp_path, name="raw", data=PIXELS, chunks=(8, 8))
    tree_of().pyramid.to_zarr(tmp_path, group="half", compute=False)
    files, paths = files_of(tmp_path), paths_of(tmp_path)
    refuse(zarr.open_array(OpaqueStore(LocalStore(tmp_path)), path="raw", mode="r"), tmp_path)
    assert files_of(tmp_path) == files
    assert paths_of(tmp_path) == paths
    tree_of().pyramid.to_zarr(tmp_path, group="half", resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_refusal_leaves_the_ledger_of_the_target(tmp_path, resume):
    path = tmp_path / "a.zarr"
    tree_of().pyramid.to_zarr(path, compute=False)
    files, paths = files_of(path), paths_of(path)
    source = zarr.open_array(OpaqueStore(LocalStore(path)), path="scale0/image", mode="r")
    refuse(source, path)
    if resume:
        with pytest.raises(msi.ResumeError):
            tree_of(source).pyramid.to_zarr(path, resume=True)
    assert files_of(path) == files
    assert paths_of(path) == paths
    tree_of().pyramid.to_zarr(path, resume=True)
    np.testing.assert_array_equal(msi.open_multiscale(path)["scale0"].image, PIXELS)


@pytest.mark.parametrize("wrap", [lambda store: store, LoggingStore])
def test_references_to_the_target(tmp_path, wrap):
    """A file system of references shows no key of the target, and reads its chunks."""
    path = tmp_path / "a.zarr"
    tree_of().pyramid.to_zarr(path, compressors=None)
    array = path / "scale0/image"
    chunks = [file for file in (array / "c").rglob("*") if file.is_file()]
    references = {str(file.relative_to(array)): [str(file), 0, file.stat().st_size] for file in chunks}
    references["zarr.json"] = json.dumps(json.loads((array / "zarr.json").read_text()))
    files = fsspec.filesystem("reference", fo={"version": 1, "refs": references}, asynchronous=True)
    source = zarr.open_array(wrap(FsspecStore(files, read_only=True, path="")), mode="r")
    before = files_of(path)
    refuse(source, path)
    assert files_of(path) == before
    tree_of(PIXELS[::-1]).pyramid.to_zarr(tmp_path / "b.zarr")
    tree_of(source).pyramid.to_zarr(tmp_path / "b.zarr", mode="w")
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "b.zarr")["scale0"].image, PIXELS)


MOUNTED = """
import subprocess, sys, msi_lazy as msi
path, mount = sys.argv[1:]
subprocess.check_call(["mount", "--bind", path, mount])
try:
    msi.open_multiscale(mount + "/a.zarr").pyramid.to_zarr(path + "/a.zarr", mode="w")
except ValueError as error:
    print(error)
msi.open_multiscale(mount + "/a.zarr").pyramid.to_zarr(path + "/b.zarr")
"""


def test_a_directory_that_is_mounted_twice(tmp_path):
    alone = ["unshare", "-rm"]
    try:
        subprocess.run([*alone, "mount", "--bind", tmp_path, tmp_path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    (tmp_path / "real").mkdir()
    (tmp_path / "mount").mkdir()
    tree_of().pyramid.to_zarr(tmp_path / "real/a.zarr")
    before = files_of(tmp_path / "real")
    command = [*alone, sys.executable, "-W", "ignore", "-c", MOUNTED, tmp_path / "real", tmp_path / "mount"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "overlap" in done.stdout
    after = files_of(tmp_path / "real")
    assert {name: content for name, content in after.items() if name.parts[0] == "a.zarr"} == before
    assert (tmp_path / "real/b.zarr/zarr.json").exists()


def test_two_stores_over_one_managed_memory():
    store = getattr(zarr.storage, "ManagedMemoryStore", None)
    if store is None:
        pytest.skip("zarr 3.4 brings it")
    tree_of().pyramid.to_zarr(store("overlaps"), group="a")
    tree = msi.open_multiscale(store("overlaps", path="a"))
    with pytest.raises(ValueError, match="overlap"):
        tree.pyramid.to_zarr(store("overlaps"), group="a", mode="w")
    tree.pyramid.to_zarr(store("overlaps"), group="b")
    np.testing.assert_array_equal(msi.open_multiscale(store("overlaps"), group="b")["scale0"].image, PIXELS)


def test_containers_of_one_name_are_those_of_their_accounts():
    obstore = pytest.importorskip("obstore.store")

    def location(account):
        return Place.parse(ObjectStore(obstore.AzureStore("images", account_name=account)), "a.zarr").location

    assert location("one").overlaps(location("two")) is False
    assert location("one").overlaps(location("one")) is True
    assert location("one").name != location("two").name


RELATIVE = {
    "store path": lambda path: StorePath(LocalStore(path)),
    "group": lambda path: zarr.open_group(path, mode="w"),
}


@pytest.mark.parametrize("kind", RELATIVE)
def test_a_relative_path_is_that_of_the_call(tmp_path, monkeypatch, kind):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    delayed = tree_of().pyramid.to_zarr(RELATIVE[kind]("a.zarr"), group="image", compute=False)
    os.chdir(tmp_path / "there")
    delayed.compute()
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "here/a.zarr", group="image")["scale0"].image, PIXELS)
    assert not list((tmp_path / "there").iterdir())
