"""What an object or a graph keeps its files and arrays in does not hide them from the identity of the source."""

import io
import os
import threading
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import msi_lazy as msi
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.level_identity import identify_levels
from msi_lazy.tree.read_plan import level_images
from tests.support.optional import require

SHAPE = (4, 16, 16)


class Reader:
    """A user's own array-like, which keeps what it reads from somewhere."""

    shape, dtype, ndim = SHAPE, np.dtype("u2"), 3

    def __init__(self, held):
        self.held = held

    def __getitem__(self, key):
        raise AssertionError("read to be identified")

    def plane(self, number):
        raise AssertionError("read to be identified")


class Slotted:
    __slots__ = ("_held", "dtype", "ndim", "shape")

    def __init__(self, held):
        self._held, self.shape, self.dtype, self.ndim = held, SHAPE, np.dtype("u2"), 3

    def __getitem__(self, key):
        raise AssertionError("read to be identified")


def identity(source):
    image = xr.DataArray(source, dims=("z", "y", "x")) if isinstance(source, da.Array) else msi.to_spatial_image(source)
    tree = msi.to_multiscale(image, [2], chunks=8, block_bytes=600)
    return identify_levels(LevelGraph.of([level.data for level in level_images(tree)]))


def planes(function):
    delayed = dask.delayed(function, pure=True)
    return da.stack([da.from_delayed(delayed(number), SHAPE[1:], "u2") for number in range(4)])


def mapped(*args, **kwargs):
    options = {"chunks": ((1,) * 4, (16,), (16,)), "dtype": "u2", "meta": np.empty((0,) * 3, "u2")}
    return da.map_blocks(load, *args, **kwargs, **options)


def load(*args, **kwargs):
    raise AssertionError("read to be identified")


def closing_over(reader):
    return lambda number: reader.plane(number)


KEPT = {
    "a list": lambda path: Reader([f"{path}/0.npy", f"{path}/1.npy"]),
    "a tuple of paths": lambda path: Reader((path / "0.npy", path / "1.npy")),
    "a dict": lambda path: Reader({1: {2: f"{path}/1.npy"}}),
    "a set": lambda path: Reader({f"{path}/0.npy", f"{path}/1.npy"}),
    "an array of names": lambda path: Reader(np.array([f"{path}/1.npy"])),
    "a folder": lambda path: Reader(str(path)),
    "a reader inside": lambda path: Reader(Reader(path / "1.npy")),
    "slots": lambda path: Slotted(f"{path}/1.npy"),
    "an array of zarr": lambda path: Reader(zarr.open_array(path / "1.zarr", mode="r")),
    "a group of zarr": lambda path: Reader(zarr.open_group(path, mode="r")),
    "a map": lambda path: Reader([np.load(path / "1.npy", mmap_mode="r")]),
    "a partial": lambda path: Reader(partial(np.load, path / "1.npy")),
    "from_array": lambda path: da.from_array(Reader([f"{path}/1.npy"]), (1, 16, 16), meta=np.empty((0,) * 3, "u2")),
    "a method": lambda path: planes(Reader([f"{path}/1.npy"]).plane),
    "a partial of a method": lambda path: planes(partial(Reader([f"{path}/1.npy"]).plane)),
    "a closure": lambda path: planes(closing_over(Reader([f"{path}/1.npy"]))),
    "an argument": lambda path: mapped(Reader([f"{path}/1.npy"])),
    "an argument by name": lambda path: mapped(reader=Reader([f"{path}/1.npy"])),
    "an array inside": lambda path: mapped(reader=Reader(zarr.open_array(path / "1.zarr", mode="r"))),
}


@pytest.fixture
def files(tmp_path):
    for name in "01":
        np.save(tmp_path / f"{name}.npy", np.zeros(SHAPE, "u2"))
        zarr.create_array(tmp_path / f"{name}.zarr", data=np.zeros(SHAPE, "u2"), chunks=(1, 16, 16))
    zarr.open_group(tmp_path, mode="a")
    return tmp_path


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_kept_anywhere_is_part_of_what_is_read(files, kind):
    before = identity(KEPT[kind](files))
    assert identity(KEPT[kind](files)) == before
    for name in ("1.npy", "1.zarr/zarr.json"):
        os.utime(files / name, ns=(1, 1))
    assert identity(KEPT[kind](files)) != before


def test_an_open_dataset_is_part_of_what_is_read(files):
    h5py = require("h5py")
    with h5py.File(files / "a.h5", "w") as file:
        file["a"] = np.zeros(SHAPE, "u2")

    def found(**options):
        with h5py.File(files / "a.h5", **options) as file:
            return identity(mapped(reader=partial(load, file["a"]), name="same"))

    before = found()
    assert found() == before
    os.utime(files / "a.h5", ns=(1, 1))
    assert found() != before
    assert found(driver="core") != found(driver="core")


OPAQUE = {
    "a file without a name": lambda: io.BytesIO(),
    "a remote store": lambda: zarr.storage.FsspecStore.from_url("memory://a.zarr"),
    "more than is searched": lambda: list(map(str, range(100_001))),
    "deeper than is searched": lambda: partial_of(50),
    "the whole machine": lambda: "/usr",
}


def partial_of(depth):
    return Reader(partial_of(depth - 1)) if depth else Reader(None)


@pytest.mark.parametrize("kind", OPAQUE)
def test_what_cannot_be_looked_into_is_like_nothing_else(kind):
    kept = Reader(OPAQUE[kind]())
    assert identity(mapped(reader=kept, name="same")) != identity(mapped(reader=kept, name="same"))


def plain(block, scale=2, words=("mean", "a b")):
    return block * scale


ORDINARY = {
    "random numbers": lambda: da.random.default_rng(0).integers(0, 9, SHAPE, "u2", chunks=8),
    "a function": lambda: da.zeros(SHAPE, "u2", chunks=8).map_blocks(plain, dtype="u2"),
    "a ufunc": lambda: np.sqrt(da.zeros(SHAPE, "f4", chunks=8)).rechunk(3)[::-1],
    "a reduction": lambda: da.zeros((2, *SHAPE), "f4", chunks=8).mean(0),
    "neighbours": lambda: da.zeros(SHAPE, "f4", chunks=8).map_overlap(plain, depth=1, dtype="f4"),
    "content": lambda: da.from_array(np.arange(1024, dtype="u2").reshape(SHAPE), chunks=8) + 1,
    "delayed": lambda: planes(partial(np.full, SHAPE[1:])),
    "a slash": lambda: mapped("/", "./", sep="//"),
    "a lock": lambda: mapped(reader=Reader([threading.Lock(), None, np.dtype("u1")]), name="same"),
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_graphs_of_numbers_and_functions_are_known(kind):
    assert identity(ORDINARY[kind]()) == identity(ORDINARY[kind]())


class CountedPath:
    """A path that counts how often it is asked for."""

    asked = 0

    def __fspath__(self):
        type(self).asked += 1
        return "/nowhere/a.npy"


os.PathLike.register(CountedPath)


def test_a_reader_that_many_tasks_share_is_searched_once():
    reader = [CountedPath()]
    planes = [dask.delayed(partial(lambda _, number: np.full((8, 8), number), reader))(n) for n in range(50)]
    data = da.stack([da.from_delayed(plane, (8, 8), "i8") for plane in planes])
    tree = msi.to_multiscale(xr.DataArray(data, dims=("z", "y", "x"), name="image"), [2])
    CountedPath.asked = 0
    tree.pyramid.to_zarr(zarr.storage.MemoryStore(), compute=False)
    assert CountedPath.asked <= 2
