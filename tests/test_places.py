"""A target that holds what is read from is refused, however each of the two is given; and nothing else is."""

from pathlib import Path
from urllib.parse import quote

import dask.array as da
import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.dirfs import DirFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore, ObjectStore, StorePath, ZipStore

import msi_lazy as msi
from msi_lazy.storage.location import Location
from msi_lazy.storage.place import Place
from tests.support.opaque import OpaqueStore, RenamedStore
from tests.support.serving import files_of

PIXELS = np.random.default_rng(0).integers(1, 60000, (16, 32), dtype="u2")

FILES = fsspec.filesystem("file", auto_mkdir=True)


def write_image(path, pixels=PIXELS):
    msi.to_multiscale(msi.to_spatial_image(pixels), [2], chunks=8).pyramid.to_zarr(path)


def asynchronous(files, path):
    return FsspecStore(AsyncFileSystemWrapper(files, asynchronous=True), path=str(path))


def obstore_files(path):
    obstore = pytest.importorskip("obstore.store")
    return ObjectStore(obstore.LocalStore(path))


STORES = {  # each over the same directory
    "path": Path,
    "string": str,
    "file URL": lambda path: path.as_uri(),
    "localhost URL": lambda path: f"file://localhost{quote(str(path))}",
    "local URL": lambda path: f"local://{path}",
    "chained URL": lambda path: f"simplecache::file://{path}",
    "local store": LocalStore,
    "store path": lambda path: StorePath(LocalStore(path.parent), path.name),
    "group": lambda path: zarr.open_group(path),
    "logging wrapper": lambda path: LoggingStore(LocalStore(path)),
    "a user's wrapper": lambda path: RenamedStore(LocalStore(path)),
    "a user's store": lambda path: OpaqueStore(LocalStore(path)),
    "a user's store, from above": lambda path: StorePath(OpaqueStore(LocalStore(path.parent)), path.name),
    "fsspec local": lambda path: asynchronous(FILES, path),
    "fsspec dir": lambda path: asynchronous(DirFileSystem(str(path.parent), FILES), path.name),
    "fsspec dir in a dir": lambda path: asynchronous(
        DirFileSystem(path.parent.name, DirFileSystem(str(path.parent.parent), FILES)),
        path.name,
    ),
    "fsspec caching": lambda path: asynchronous(fsspec.filesystem("simplecache", target_protocol="file"), path),
    "obstore": obstore_files,
    "a user's store over obstore": lambda path: OpaqueStore(obstore_files(path)),
}
READINGS = {
    "the image": lambda store: msi.open_multiscale(store),
    "its array": lambda store: to_tree(msi.to_spatial_image(open_array(store))),
    "from_zarr": lambda store: to_tree(xr.DataArray(da.from_zarr(open_array(store)), dims=("y", "x"))),
    "a slice": lambda store: to_tree(xr.DataArray(da.from_zarr(open_array(store))[2:, 4:], dims=("y", "x"))),
    "arithmetic": lambda store: to_tree(xr.DataArray(da.from_zarr(open_array(store)) + 1, dims=("y", "x"))),
    "xarray": lambda store: to_tree(open_dataset(store, None).image),
    "xarray, chunked": lambda store: to_tree(open_dataset(store, {}).image),
}
TARGETS = ["path", "file URL", "local store", "fsspec dir", "obstore", "a user's store", "a user's wrapper"]


def open_array(store):
    place = Place.parse(store)
    return place.child("scale0/image").open_array()


def open_dataset(store, chunks):
    place = Place.parse(store)
    group = place.below("scale0")
    return xr.open_zarr(place.store, group=group, chunks=chunks, consolidated=False)


def to_tree(image):
    return msi.to_multiscale(image.rename("image"), [2], chunks=8)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", STORES)
def test_a_source_is_not_its_own_target_however_both_are_given(kind, reading, tmp_path):
    path = tmp_path / "images/a.zarr"
    write_image(path)
    before = files_of(tmp_path)
    tree = READINGS[reading](STORES[kind](path))
    for target in TARGETS if reading == "the image" else ("path", "a user's store"):
        with pytest.raises(ValueError, match="overlap"):
            tree.pyramid.to_zarr(STORES[target](path), mode="w")
        assert files_of(tmp_path) == before, target


@pytest.mark.parametrize("kind", ["a user's store", "obstore", "a user's wrapper", "fsspec dir"])
@pytest.mark.parametrize("target", TARGETS)
def test_nor_is_a_target_that_holds_the_source_or_lies_in_the_image(kind, target, tmp_path):
    path = tmp_path / "images/a.zarr"
    write_image(path)
    before = files_of(tmp_path)
    from_inside = STORES[kind](path / "scale0")  # a store that cannot show what lies above it
    tree = to_tree(msi.to_spatial_image(Place.parse(from_inside).child("image").open_array()))
    with pytest.raises(ValueError, match="overlap"):
        tree.pyramid.to_zarr(STORES[target](path), mode="w")
    with pytest.raises(ValueError, match="overlap"):
        READINGS["the image"](STORES[kind](path)).pyramid.to_zarr(STORES[target](path / "scale0"), mode="w")
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        *((kind, "path") for kind in STORES),
        *(("a user's store", target) for target in TARGETS),
        ("fsspec dir", "obstore"),
    ],
)
def test_what_lies_elsewhere_is_read_right_and_may_be_written_over(kind, target, tmp_path, monkeypatch):
    write_image(tmp_path / "images/a.zarr")
    write_image(tmp_path / "others/a.zarr", PIXELS[::-1])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_image("a.zarr", PIXELS.T)  # a decoy: of that name, from here
    tree = to_tree(msi.to_spatial_image(open_array(STORES[kind](tmp_path / "images/a.zarr"))))
    tree.pyramid.to_zarr(STORES[target](tmp_path / "others/a.zarr"), mode="w")
    back = msi.open_multiscale(tmp_path / "others/a.zarr")
    np.testing.assert_array_equal(back["scale0"].image, PIXELS)
    left = [path for path in (tmp_path / "others").rglob("*unfinished*/**/*") if path.is_file()]
    assert not left


def test_labels_are_not_written_over_what_they_are_read_from(tmp_path):
    path = tmp_path / "a.zarr"
    write_image(path)
    labels = msi.to_multiscale(msi.to_spatial_image(PIXELS // 1000), [2], method="mode", chunks=8)
    msi.write_labels(path, "cells", labels)
    before = files_of(path)
    again = msi.open_multiscale(OpaqueStore(LocalStore(path)), group="labels/cells")
    with pytest.raises(ValueError, match="overlap"):
        msi.write_labels(path, "cells", again, mode="w")
    assert files_of(path) == before


def test_a_memory_map_in_a_target_that_nobody_sees_through(tmp_path):
    path = tmp_path / "a.zarr"
    write_image(path)
    np.save(path / "scale0/raw.npy", PIXELS)
    tree = to_tree(msi.to_spatial_image(np.load(path / "scale0/raw.npy", mmap_mode="r")))
    for store in (path, OpaqueStore(LocalStore(path))):
        with pytest.raises((ValueError, FileExistsError), match=r"overlap|no part of an image"):
            tree.pyramid.to_zarr(store, mode="w")
    assert (path / "scale0/raw.npy").exists()


def test_a_source_that_nobody_sees_through_and_a_write_that_died(tmp_path):
    """The ledger of the write before is no sign of an overlap, and a resumed write looks again."""
    source, path = tmp_path / "source.zarr", tmp_path / "a.zarr"
    write_image(source)
    tree = to_tree(msi.to_spatial_image(open_array(OpaqueStore(LocalStore(source)))))
    tree.pyramid.to_zarr(path, compute=False)
    tree.pyramid.to_zarr(path, mode="w")
    np.testing.assert_array_equal(msi.open_multiscale(path)["scale0"].image, PIXELS)


MEMORIES = {
    "dict": lambda: {},
    "memory store": MemoryStore,
    "wrapped": lambda: LoggingStore(MemoryStore()),
    "a user's store": lambda: OpaqueStore(MemoryStore()),
    "obstore": lambda: ObjectStore(pytest.importorskip("obstore.store").MemoryStore()),
    "fsspec": lambda: "memory://places/a.zarr",
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", MEMORIES)
def test_in_memory(kind, reading):
    store, other = MEMORIES[kind](), MEMORIES[kind]()
    write_image(store)
    tree = READINGS[reading](store)
    with pytest.raises(ValueError, match="overlap"):
        tree.pyramid.to_zarr(store, mode="w")
    np.testing.assert_array_equal(msi.open_multiscale(store)["scale0"].image, PIXELS)
    if kind == "fsspec":
        fsspec.filesystem("memory").rm("/places", recursive=True)
    else:
        tree.pyramid.to_zarr(other)


def test_a_zip_file_in_the_target(tmp_path):
    write_image(tmp_path / "a.zarr")
    write_image(tmp_path / "b.zarr")
    with ZipStore(tmp_path / "b.zarr/packed.zip", mode="w") as packed:
        zarr.create_array(packed, name="pixels", data=PIXELS)
    before = files_of(tmp_path / "b.zarr")
    sources = [ZipStore(tmp_path / "b.zarr/packed.zip", mode="r"), f"zip://::file://{tmp_path}/b.zarr/packed.zip"]
    for store in sources:
        tree = to_tree(msi.to_spatial_image(Place.parse(store).child("pixels").open_array()))
        with pytest.raises(ValueError, match="overlap"):
            tree.pyramid.to_zarr(tmp_path / "b.zarr", mode="w")
        assert files_of(tmp_path / "b.zarr") == before
        tree.pyramid.to_zarr(tmp_path / "c.zarr", mode="w")
        np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "c.zarr")["scale0"].image, PIXELS)


def test_references(tmp_path):
    """A file system of references is like no other place, and never taken for what lies where it says."""
    (tmp_path / "raw").write_bytes(PIXELS.tobytes())
    document = '{"zarr_format":2,"shape":[16,32],"chunks":[16,32],"dtype":"<u2","compressor":null,"fill_value":0,'
    references = {
        ".zarray": document + '"order":"C","filters":null}',
        "0.0": [str(tmp_path / "raw"), 0, PIXELS.nbytes],
    }
    files = fsspec.filesystem("reference", fo={"version": 1, "refs": references}, asynchronous=True)
    store = FsspecStore(files, read_only=True, path="")
    assert Place.parse(store).location.overlaps(Place.parse(tmp_path).location) is None
    tree = to_tree(msi.to_spatial_image(zarr.open_array(store, mode="r", zarr_format=2)))
    tree.pyramid.to_zarr(tmp_path / "a.zarr")
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "a.zarr")["scale0"].image, PIXELS)


def test_sessions_of_icechunk(tmp_path):
    icechunk = pytest.importorskip("icechunk")
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "repository")))
    session = repository.writable_session("main")
    write_image(session.store)
    with pytest.raises(ValueError, match="overlap"):
        msi.open_multiscale(session.store).pyramid.to_zarr(session.store, mode="w")
    np.testing.assert_array_equal(msi.open_multiscale(session.store)["scale0"].image, PIXELS)
    session.commit("an image")
    again = repository.writable_session("main")  # what another session reads stays as it is committed
    msi.open_multiscale(repository.readonly_session("main").store).pyramid.to_zarr(again.store, mode="w")
    np.testing.assert_array_equal(msi.open_multiscale(again.store)["scale0"].image, PIXELS)


def test_locations_that_are_unknown_are_never_equal():
    one, other = (Location("", "a", holder=object(), certain=False) for _ in range(2))
    assert one.overlaps(other) is None
    assert one.overlaps(Location("file", "/a")) is None
    assert one.overlaps(one)
    assert one != other
    assert Location("file", "/a").overlaps(Location("memory", "/a", holder=1)) is False


PIECES = [*"ab %#?;&=+~'ü日\\$@!,.", "%20", "%2F", "..", "::", "a#b"]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
NAMES = NAMES.filter(lambda name: name.strip(". ") and name == name.strip(" "))


@given(NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_a_url_of_local_files_names_one_directory_for_check_write_and_read(tmp_path, name):
    path = tmp_path / name
    url = path.as_uri()
    assert Place.parse(url).directory == path
    assert Place.parse(f"file://localhost{quote(str(path))}/").directory == path
    assert Place.parse(path).directory == path
    if not path.exists():
        write_image(url)
    assert (path / "zarr.json").exists()
    assert msi.open_multiscale(url)["scale0"].image.shape == PIXELS.shape


def test_a_url_that_is_not_encoded_is_a_path_as_it_stands(tmp_path):
    for name in ("plate#1.zarr", "plate?.zarr", "100%.zarr"):
        write_image(f"file://{tmp_path}/{name}")
        assert (tmp_path / name / "zarr.json").exists()
    assert not (tmp_path / "plate").exists()


def test_a_directory_of_other_files_is_left_alone_behind_an_encoded_url(tmp_path):
    (tmp_path / "my data").mkdir()
    (tmp_path / "my data/thesis.txt").write_text("x")
    write_image(tmp_path / "my%20data")
    with pytest.raises(ValueError, match="not a Zarr hierarchy"):
        write_image_over((tmp_path / "my data").as_uri())
    assert (tmp_path / "my data/thesis.txt").exists()


def write_image_over(store):
    msi.to_multiscale(msi.to_spatial_image(PIXELS), [2], chunks=8).pyramid.to_zarr(store, mode="w")


def test_a_store_that_is_only_looked_for_is_not_created(tmp_path):
    for call in (msi.open_multiscale, msi.verify, msi.validate, msi.add_levels, lambda p: msi.update(p, {"x": 0})):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "nothing")
    assert not list(tmp_path.iterdir())
