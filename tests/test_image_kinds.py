"""What people give for an image: it works, or the error says what to give instead."""

from types import ModuleType

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import tifffile
import xarray as xr
import zarr

import msi_lazy as msi
from msi_lazy.arguments.image_kinds import advice_on
from msi_lazy.source.tensors import TensorReader
from tests.support.optional import require

PIXELS = np.random.default_rng(0).integers(0, 4000, (8, 32, 32), dtype="u2")
DIMS = ("z", "y", "x")


def foreign(library, name, **members):
    """Make an instance of a class as an optional library has it."""
    kind = type(name, (), {"shape": PIXELS.shape, "dtype": PIXELS.dtype, "ndim": 3, **members})
    kind.__module__ = f"{library}.core"
    kind.__getitem__ = lambda self, key: self

    def convert(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    kind.__array__ = convert
    return kind()


def make_group():
    group = zarr.create_group({})
    group.create_array("first", data=PIXELS)
    group.create_array("second", data=PIXELS)
    return group


IMAGE = xr.DataArray(PIXELS, dims=DIMS)
OTHERS = {
    "path": ("a.tif", "it names a file: open that first"),
    "bytes": (b"a.tif", "it names a file"),
    "zarr group": (make_group(), r"group\['first'\], of \['first', 'second'\]"),
    "zarr group, empty": (zarr.create_group({}), r"take one of its arrays, group\['...'\]"),
    "zarr store": (zarr.storage.MemoryStore(), r"open it: zarr.open_array\(store"),
    "dataset": (xr.Dataset({"a": IMAGE, "b": 3, "c": IMAGE}), r"dataset\['a'\] \(it has 'a', 'c'\)"),
    "dataset, empty": (xr.Dataset(), "it has no variables"),
    "pyramid": (msi.to_multiscale(IMAGE, [2]), r"its finest level is tree\['scale0'\]"),
    "tree": (xr.DataTree(), r"tree\['node/variable'\]"),
    "variable": (IMAGE.variable, r"give its dimensions with it: xarray.DataArray\(variable\)"),
    "delayed": (dask.delayed(PIXELS), r"dask.array.from_delayed\(delayed, shape=..., dtype=...\)"),
    "generator": ((plane for plane in PIXELS), r"np.stack\(list\(generator\)\)"),
    "sparse": (foreign("sparse", "COO", todense=None), r"a sparse.COO: make it dense: array.todense\(\)"),
    "pint": (foreign("pint", "Quantity", magnitude=1, units="m"), "take its numbers, array.magnitude"),
    "pims": (foreign("pims", "ImageSequence", frame_shape=(32, 32)), r"da.stack\(\[da.from_delayed"),
    "cubed": (foreign("cubed", "Array"), r"array.compute\(\), or store it, cubed.to_zarr"),
    "h5py": (foreign("h5py", "File"), r"take one of its datasets: file\['...'\]"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_array_is_refused_with_advice(kind):
    value, words = OTHERS[kind]
    with pytest.raises(TypeError, match=words):
        msi.to_spatial_image(value)
    with pytest.raises(TypeError, match=words.rpartition(": ")[2]):
        msi.to_multiscale(value, [2])


def test_a_tiff_series_is_refused_with_advice_that_works(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        with pytest.raises(TypeError, match=r"zarr.open_array\(series.aszarr\(level=0\), mode='r'\)"):
            msi.to_spatial_image(file.series[0])
        image = msi.to_spatial_image(zarr.open_array(file.series[0].aszarr(level=0), mode="r"))
        np.testing.assert_array_equal(msi.to_multiscale(image, [2])["scale0"].image, PIXELS)


def test_the_advice_on_frames_works():
    class Frames:
        frame_shape, dtype = PIXELS.shape[1:], PIXELS.dtype

        def __len__(self):
            return len(PIXELS)

        def __getitem__(self, number):
            return PIXELS[number]

    advice = advice_on(Frames()).partition(": ")[2].partition(", with import")[0]
    array = eval(advice, {"frames": Frames(), "dask": dask, "da": da})
    np.testing.assert_array_equal(msi.to_multiscale(msi.to_spatial_image(array), [2])["scale0"].image, PIXELS)


def test_an_image_over_masked_blocks_is_refused_before_anything_is_read():
    masked = da.ma.masked_greater(da.from_array(PIXELS, chunks=8), 3000)
    with pytest.raises(TypeError, match=r"a numpy.MaskedArray: .*np.ma.filled, 0"):
        msi.to_spatial_image(masked)
    filled = masked.map_blocks(np.ma.filled, 0, dtype=masked.dtype)
    tree = msi.to_multiscale(msi.to_spatial_image(filled), [2], nodata=0)
    np.testing.assert_array_equal(tree["scale0"].image, np.where(PIXELS > 3000, 0, PIXELS))


def test_an_image_whose_blocks_are_sparse_is_refused_before_anything_is_read():
    sparse = pytest.importorskip("sparse")
    for image in (
        xr.DataArray(sparse.COO.from_numpy(PIXELS), dims=DIMS),
        xr.DataArray(da.from_array(PIXELS, chunks=8).map_blocks(sparse.COO.from_numpy), dims=DIMS),
    ):
        with pytest.raises(TypeError, match=r"the image holds a sparse.COO: make it dense"):
            msi.to_multiscale(image, [2])


LIKE_ARRAYS = {
    "list": PIXELS.tolist(),
    "tuple of arrays": tuple(PIXELS),
    "memoryview": memoryview(PIXELS),
    "data frame": pd.DataFrame(PIXELS[0]),
    "nothing masked": np.ma.array(PIXELS, mask=False),
    "float16": PIXELS.astype("f2"),
    "big-endian": PIXELS.astype(">u2"),
}


@pytest.mark.parametrize("kind", LIKE_ARRAYS)
def test_what_numpy_takes_for_an_array_is_one(kind):
    expected = np.asarray(LIKE_ARRAYS[kind])
    tree = msi.to_multiscale(msi.to_spatial_image(LIKE_ARRAYS[kind]), [2])
    np.testing.assert_array_equal(tree["scale0"].image, expected)
    assert type(tree["scale1"].image.values) is np.ndarray


def test_a_dtype_of_another_library_is_converted_with_the_array():
    class Tensor:
        """As those of PyTorch, in memory."""

        shape, ndim, dtype = PIXELS.shape, 3, ModuleType("uint16")

        def __getitem__(self, key):
            raise AssertionError("it is converted as a whole")

        def __array__(self, *args, **kwargs):
            return PIXELS

    np.testing.assert_array_equal(msi.to_spatial_image(Tensor()), PIXELS)


@pytest.mark.parametrize("dims", [(0, 1, 2), ("z", 1, "x"), (None, "y", "x"), (("a", 1), "y", "x"), ("x", "y", 2)])
def test_dimensions_that_are_no_strings_are_refused_with_a_name_that_fits(dims):
    image = xr.DataArray(PIXELS, dims=dims)
    with pytest.raises(TypeError, match="must be strings") as caught:
        msi.to_multiscale(image, [2])
    renamed = eval(str(caught.value).partition("rename them: ")[2], {"image": image})
    assert len(set(renamed.dims)) == 3
    msi.to_multiscale(renamed, [2])


def test_chunks_of_unknown_length_are_refused():
    pixels = da.from_array(PIXELS, chunks=4)
    unknown = pixels[pixels[:, 0, 0] >= 0]
    with pytest.raises(ValueError, match=r"compute_chunk_sizes\(\) first"):
        msi.to_spatial_image(unknown)
    np.testing.assert_array_equal(msi.to_spatial_image(unknown.compute_chunk_sizes()), PIXELS)


@pytest.mark.parametrize("factors", [[2], [{"t": 2}]])
def test_a_multi_index_is_written_as_its_levels(tmp_path, factors):
    pairs = pd.MultiIndex.from_product([range(4), ["a", "b"]], names=("run", "rep"))
    image = xr.DataArray(PIXELS, dims=("t", "y", "x")).assign_coords(xr.Coordinates.from_pandas_multiindex(pairs, "t"))
    with pytest.warns(UserWarning, match="'t'"):
        msi.to_multiscale(image, factors).pyramid.to_zarr(tmp_path / "a.zarr")
    opened = msi.open_multiscale(tmp_path / "a.zarr")["scale0"]
    np.testing.assert_array_equal(opened.image, PIXELS)
    assert opened.run.values.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert opened.rep.values.tolist() == ["a", "b"] * 4


def open_tensor(path, chunks=(4, 16, 16)):
    tensorstore = require("tensorstore")
    zarr.create_array(path, data=PIXELS, chunks=chunks)
    return tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}).result()


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_an_array_of_tensorstore_is_read_by_windows(tmp_path, scheduler):
    tensor = open_tensor(tmp_path / "a")
    for source, expected in ((tensor, PIXELS), (tensor[2:, 3:20], PIXELS[2:, 3:20])):  # a slice keeps its positions
        image = msi.to_spatial_image(source)
        assert (image.shape, image.dtype) == (expected.shape, "u2")
        tree = msi.to_multiscale(image, [2], chunks=8, block_bytes=16**3)
        plan = msi.explain(tree)
        assert plan.reading.by_window
        with dask.config.set(scheduler=scheduler):
            tree.pyramid.to_zarr(tmp_path / "out.zarr", mode="w")
        np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "out.zarr")["scale0"].image, expected)


def test_the_chunks_of_tensorstore_are_known(tmp_path):
    image = msi.to_spatial_image(open_tensor(tmp_path / "a", (1, 32, 32)))
    plan = msi.explain(msi.to_multiscale(image, [2], chunks=4, block_bytes=512))
    assert plan.reading.source_chunks == 8


def test_an_array_of_tensorstore_is_sliced_as_numpy_slices(tmp_path):
    tensor = open_tensor(tmp_path / "a")
    for key in (
        (slice(1, 7, 2), slice(None, None, -1), slice(30, 3, -4)),
        (3, slice(-5, None), -1),
        (slice(2, 2), slice(None)),
        slice(5, 1, -3),
        (),
    ):
        np.testing.assert_array_equal(TensorReader(tensor)[key], PIXELS[key])
        np.testing.assert_array_equal(TensorReader(tensor[1:, 2:])[key], PIXELS[1:, 2:][key])
    image = msi.to_spatial_image(tensor)[::-1, ::2]
    np.testing.assert_array_equal(msi.to_multiscale(image.drop_vars(DIMS), [2])["scale0"].image, PIXELS[::-1, ::2])
