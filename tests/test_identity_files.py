"""Sources in files of other libraries: the same when opened again, another one where a sample may differ."""

import io
import os
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.level_identity import identify_levels
from msi_lazy.inputs.tiff import TiffPixels
from msi_lazy.source.identity import identify_value
from msi_lazy.tree.read_plan import level_images
from tests.support.optional import require

PIXELS = np.random.default_rng(0).integers(0, 4000, (60, 64), dtype="i2")
ENGINES = ["scipy", "h5netcdf"]
CHUNKINGS = [None, {}, {"y": 20}, "auto"]


def tree_of(source):
    image = source if isinstance(source, xr.DataArray) else msi.to_spatial_image(source, dims="yx")
    return msi.to_multiscale(image.drop_vars(list(image.coords)), [2], chunks=8, block_bytes=4000)


def identity(source):
    return identify_levels(LevelGraph.of([level.data for level in level_images(tree_of(source))]))


def save_netcdf(path, engine, pixels=PIXELS, **where):
    if engine == "h5netcdf":
        require("h5netcdf")
    dataset = xr.Dataset({"a": (("y", "x"), pixels), "b": (("y", "x"), pixels[::-1])})
    dataset.to_netcdf(path, engine=engine, **where)


@pytest.mark.parametrize("edit", [lambda image: image, lambda image: image[3:50], lambda image: image // 3])
@pytest.mark.parametrize("chunks", CHUNKINGS)
@pytest.mark.parametrize("engine", ENGINES)
def test_netcdf(tmp_path, engine, chunks, edit):
    save_netcdf(tmp_path / "a.nc", engine)
    save_netcdf(tmp_path / "b.nc", engine, PIXELS + 1)

    def found(name="a.nc", variable="a"):
        return identity(edit(xr.open_dataset(tmp_path / name, engine=engine, chunks=chunks)[variable]))

    before = found()
    assert before == found()
    assert before not in (found("b.nc"), found(variable="b"))
    if "content" not in before[0]:  # xarray has loaded it for the expression
        os.utime(tmp_path / "a.nc", ns=(1, 1))
        assert found() != before


def test_a_netcdf_file_opened_with_chunks_is_resumed(tmp_path):
    save_netcdf(tmp_path / "a.nc", "scipy")
    save_netcdf(tmp_path / "b.nc", "scipy")

    def begin(name, **options):
        image = xr.open_dataset(tmp_path / name, engine="scipy", chunks={"y": 20})["a"]
        tree_of(image).pyramid.to_zarr(tmp_path / "target.zarr", compute=False, **options)

    begin("a.nc")
    begin("a.nc", resume=True)
    with pytest.raises(msi.ResumeError, match="place"):
        begin("b.nc", resume=True)


@pytest.mark.parametrize("chunks", CHUNKINGS[:3])
def test_groups_and_ways_to_decode_are_told_apart(tmp_path, chunks):
    save_netcdf(tmp_path / "a.nc", "h5netcdf", group="one")
    save_netcdf(tmp_path / "a.nc", "h5netcdf", PIXELS * 2, group="two", mode="a")
    scaled = {"a": {"dtype": "f4", "scale_factor": 0.5}}
    save_netcdf(tmp_path / "a.nc", "h5netcdf", PIXELS, group="three", mode="a", encoding=scaled)
    open_it = partial(xr.open_dataset, tmp_path / "a.nc", engine="h5netcdf", chunks=chunks)
    found = [identity(open_it(group=group)["a"]) for group in ("one", "two", "three")]
    found.append(identity(open_it(group="three", mask_and_scale=False)["a"]))
    assert len(set(map(str, found))) == 4


def test_netcdf_in_memory_cannot_be_identified(tmp_path):
    save_netcdf(tmp_path / "a.nc", "h5netcdf")
    file = io.BytesIO((tmp_path / "a.nc").read_bytes())
    for chunks in ({}, None):
        image = xr.open_dataset(file, engine="h5netcdf", chunks=chunks)["a"]
        assert identity(image) != identity(image)


@pytest.fixture
def h5py(tmp_path, monkeypatch):
    h5py = require("h5py")
    monkeypatch.chdir(tmp_path)
    with h5py.File("a.h5", "w") as file:
        file["a"], file["b"] = PIXELS, PIXELS[::-1]
    return h5py


def test_hdf5(h5py):
    with h5py.File("a.h5") as file, h5py.File("a.h5") as again:
        assert identity(file["a"]) == identity(again["a"]) != identity(file["b"])
        before = identity(file["a"])
    os.utime("a.h5", ns=(1, 1))
    with h5py.File("a.h5") as file:
        assert identity(file["a"]) != before


def test_hdf5_datasets_of_other_files_are_those_files_too(h5py):
    layout = h5py.VirtualLayout(PIXELS.shape, PIXELS.dtype)
    layout[:] = h5py.VirtualSource("a.h5", "a", PIXELS.shape)
    PIXELS.tofile("a.raw")
    with h5py.File("v.h5", "w") as file:
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", PIXELS.shape, PIXELS.dtype, external=[("a.raw", 0, PIXELS.nbytes)])
    for name, other in (("virtual", "a.h5"), ("external", "a.raw")):
        with h5py.File("v.h5") as file:
            before = identify_value(file[name])
            assert before == identify_value(file[name])
        os.utime(other, ns=(1, 1))
        with h5py.File("v.h5") as file:
            assert identify_value(file[name]) != before


@pytest.mark.parametrize(
    "options",
    [lambda: {"name": io.BytesIO(Path("a.h5").read_bytes())}, lambda: {"name": "a.h5", "driver": "core"}],
    ids=["virtual", "core"],
)
def test_hdf5_that_is_not_the_file_of_its_name_is_like_nothing_else(h5py, options):
    with h5py.File(**options(), mode="r") as file:
        assert identity(file["a"]) != identity(file["a"])


class NamedLikeHdf5:
    """Sliceable, with a file that states a bare name, as tifffile's do."""

    shape, dtype, ndim = PIXELS.shape, PIXELS.dtype, 2

    class file:
        filename = "a.tif"

    def __getitem__(self, key):
        return PIXELS[key]


def test_what_only_looks_like_hdf5_is_not_looked_up_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tif").write_bytes(b"another file")
    assert "place" not in identity(NamedLikeHdf5())[0]


@pytest.mark.parametrize(
    "make",
    [TiffPixels, lambda path: zarr.open_array(tifffile.imread(path, aszarr=True), mode="r")],
    ids=["ours", "aszarr"],
)
def test_tiff(tmp_path, monkeypatch, make):
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, PIXELS, tile=(16, 16))
    before = identity(make(tmp_path / "a.tif"))
    monkeypatch.chdir("/")
    assert identity(make(tmp_path / "a.tif")) == before != identity(make(tmp_path / "b.tif"))
    os.utime(tmp_path / "a.tif", ns=(1, 1))
    assert identity(make(tmp_path / "a.tif")) != before


def test_series_of_a_tiff_are_told_apart(tmp_path):
    for number in range(2):
        tifffile.imwrite(tmp_path / "a.tif", PIXELS + number, tile=(16, 16), append=number > 0)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        found = [identity(zarr.open_array(page.aszarr(), mode="r")) for page in file.pages]
        assert found[0] != found[1]
        assert len(file.series) == 2
        series = [identity(zarr.open_array(one.aszarr(), mode="r")) for one in file.series]
        assert len(set(map(str, series))) == len(series)


def test_a_tiff_is_a_source_that_no_write_may_delete(tmp_path):
    (tmp_path / "out.zarr").mkdir()
    tifffile.imwrite(tmp_path / "out.zarr/a.tif", PIXELS, tile=(16, 16))
    stored = zarr.open_array(tifffile.imread(tmp_path / "out.zarr/a.tif", aszarr=True), mode="r")
    with pytest.raises(ValueError, match=r"a\.tif"):
        tree_of(stored).pyramid.to_zarr(tmp_path / "out.zarr", mode="w")


class Reader:
    """A user's own, which opens its file when it is sliced."""

    shape, dtype, ndim = PIXELS.shape, PIXELS.dtype, 2

    def __init__(self, path):
        self.path = path

    def __getitem__(self, key):
        return np.load(self.path)[key]


def load(block, path):
    return np.load(path)[:20] + block


NAMED = {
    "an object": lambda path: Reader(path),
    "an argument": lambda path: da.zeros(PIXELS.shape, "i2", chunks=(20, 64)).map_blocks(load, str(path), dtype="i2"),
    "a delayed function": lambda path: da.from_delayed(dask.delayed(np.load, pure=True)(path), PIXELS.shape, "i2"),
    "an array of names": lambda path: da.from_array(np.array([[str(path)]])).map_blocks(
        lambda names: np.load(names[0, 0]), chunks=((60,), (64,)), dtype="i2", meta=np.empty((0, 0), "i2")
    ),
}


@pytest.mark.parametrize("kind", NAMED)
def test_files_that_a_graph_names_are_part_of_what_is_read(tmp_path, kind):
    np.save(tmp_path / "a.npy", PIXELS)
    before = identity(NAMED[kind](tmp_path / "a.npy"))
    assert identity(NAMED[kind](tmp_path / "a.npy")) == before
    os.utime(tmp_path / "a.npy", ns=(1, 1))
    assert identity(NAMED[kind](tmp_path / "a.npy")) != before


def test_a_word_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = da.zeros(PIXELS.shape, "i2", chunks=20).map_blocks(lambda block, how: block, "mean", dtype="i2")
    before = identity(source)
    (tmp_path / "mean").write_text("")
    assert identity(source) == before


def open_tensor(path, **options):
    tensorstore = require("tensorstore")
    kvstore = {"driver": "file", "path": str(path)} if path is not None else "memory://"
    return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, **options).result()


def test_tensorstore(tmp_path):
    for name in ("a", "b"):
        zarr.create_array(tmp_path / name, data=PIXELS, chunks=(16, 16))
    before = identity(open_tensor(tmp_path / "a"))
    assert identity(open_tensor(tmp_path / "a")) == before
    assert before not in (identity(open_tensor(tmp_path / "b")), identity(open_tensor(tmp_path / "a")[1:]))
    os.utime(tmp_path / "a/zarr.json", ns=(1, 1))
    assert identity(open_tensor(tmp_path / "a")) != before
    with pytest.raises(ValueError, match="being read"):
        tree_of(open_tensor(tmp_path / "a")).pyramid.to_zarr(tmp_path / "a", mode="w")
    in_memory = open_tensor(None, create=True, dtype="int16", shape=PIXELS.shape)
    assert identity(in_memory) != identity(in_memory)


def test_memory_that_worker_processes_cannot_see_is_refused_before_anything_is_created(tmp_path):
    from zarr.storage import FsspecStore

    in_tensorstore = open_tensor(None, create=True, dtype="int16", shape=PIXELS.shape)
    store = FsspecStore.from_url("memory://a.zarr")
    in_fsspec = zarr.create_array(store, data=PIXELS, chunks=(16, 16), overwrite=True)
    for source in (in_tensorstore, in_fsspec):
        with dask.config.set(scheduler="processes"), pytest.raises(ValueError, match="worker processes"):
            tree_of(source).pyramid.to_zarr(tmp_path / "out.zarr")
        assert not (tmp_path / "out.zarr").exists()
        tree_of(source).pyramid.to_zarr(MemoryStore())
