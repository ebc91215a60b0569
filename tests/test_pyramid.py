"""to_multiscale on every kind of input, against the oracle; any chunking, any block size."""

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

import msi_lazy as msi
from tests.support.counting import CountingArray
from tests.support.strategies import block_sizes, chunkings, draw_array, pyramids
from tests.support.window_oracles import pyramid_oracle


def level_values(tree):
    with dask.config.set(scheduler="synchronous"):
        (name,) = tree["scale0"].data_vars
        return [node[name].values for node in tree.children.values()]


def assert_levels(tree, expected):
    for found, wanted in zip(level_values(tree), expected, strict=True):
        np.testing.assert_array_equal(found, wanted, strict=True)


def noise(shape, dtype="u2", seed=0):
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


@pytest.mark.parametrize("method", ["mean", "nearest"])
@given(case=pyramids(max_dims=3, max_extent=20), data=st.data())
def test_no_chunking_or_block_size_changes_a_bit(method, case, data):
    shape, factors = case
    dtype = np.dtype(data.draw(st.sampled_from(["u1", "i2", "u8", "f4", ">i4", ">f8", "f2"])))
    array = draw_array(data.draw, dtype.newbyteorder("="), shape).astype(dtype)
    boundary = data.draw(st.sampled_from(["trim", "pad"]))
    dims = ("z", "y", "x")[-len(shape) :]
    lazily = data.draw(st.booleans())
    pixels = da.from_array(array, chunks=data.draw(chunkings(shape))) if lazily else array
    tree = msi.to_multiscale(
        xr.DataArray(pixels, dims=dims),
        [dict(zip(dims, step, strict=True)) for step in factors],
        method=method,
        chunks=data.draw(st.integers(1, 8)),
        boundary=boundary,
        block_bytes=data.draw(block_sizes(shape, dtype.itemsize)),
    )
    with np.errstate(all="ignore"):
        expected = pyramid_oracle(array.astype(dtype.newbyteorder("=")), factors, method, boundary)
    assert_levels(tree, expected)


def test_odd_sizes():
    array = noise((1001, 777))
    tree = msi.to_multiscale(msi.to_spatial_image(array), [2, 2], chunks=64, block_bytes="200 kB")
    assert [node["image"].shape for node in tree.children.values()] == [(1001, 777), (500, 388), (250, 194)]
    blocks = array[:1000, :776].reshape(500, 2, 388, 2).astype(int).sum((1, 3))
    np.testing.assert_array_equal(tree["scale1"].image, np.rint(blocks / 4).astype("u2"))


@pytest.mark.parametrize("shape", [(1, 37), (37, 1), (5, 7), (1, 1)])
def test_single_rows_and_images_below_a_chunk(shape):
    array = noise(shape)
    factors = [tuple(2 if n > 1 else 1 for n in shape)]
    tree = msi.to_multiscale(msi.to_spatial_image(array), [dict(zip("yx", factors[0], strict=True))])
    assert_levels(tree, pyramid_oracle(array, factors, "mean"))


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        ("x", (40,)),
        ("yx", (20, 30)),
        ("zyx", (8, 20, 30)),
        ("cyx", (3, 20, 30)),
        ("yxc", (20, 30, 3)),
        ("tcyx", (2, 3, 20, 30)),
        ("tczyx", (2, 3, 8, 10, 12)),
        ("zcyx", (8, 3, 10, 12)),
        ("xy", (20, 30)),
    ],
)
def test_one_to_five_dimensions_in_any_order(dims, shape):
    array = noise(shape)
    tree = msi.to_multiscale(msi.to_spatial_image(array, dims=tuple(dims)), [2, 2])
    factors = [tuple(2 if dim in "zyx" else 1 for dim in dims)] * 2
    assert tree["scale2"].image.dims == tuple(dims)
    assert_levels(tree, pyramid_oracle(array, factors, "mean"))


@pytest.mark.parametrize(
    "steps",
    [
        [2, 3, 4],
        [3, 3, 3],
        [5, 5],
        [4, 4],
        [{"z": 1, "y": 2, "x": 2}, {"z": 2, "y": 3, "x": 1}, {"x": 5}],
        [{"y": 7}],
        [{}],
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 5000, "1 MiB"])
def test_factors_and_block_sizes(steps, block_bytes):
    array = noise((31, 65, 66))
    factors = [tuple(s if isinstance(s, int) else s.get(dim, 1) for dim in "zyx") for s in steps]
    tree = msi.to_multiscale(msi.to_spatial_image(array), steps, chunks=8, block_bytes=block_bytes)
    assert_levels(tree, pyramid_oracle(array, factors, "mean"))


def test_channels_and_time_can_be_reduced_when_named():
    array = noise((6, 4, 8, 8))
    image = msi.to_spatial_image(array, dims=("t", "c", "y", "x"))
    tree = msi.to_multiscale(image, [{"t": 3, "c": 2, "y": 2}], method="max")
    assert_levels(tree, pyramid_oracle(array, [(3, 2, 2, 1)], "max"))
    assert "c" not in tree["scale1"].coords or tree["scale1"].c.size == 2
    np.testing.assert_array_equal(tree["scale1"].t, [1, 4])


def sources(array, tmp_path):
    """The same pixels in every form that an image may be given in."""
    stored = zarr.create_array(tmp_path / "a.zarr", data=array, chunks=(10, 10))
    dataset = xr.Dataset({"image": (("y", "x"), array)})
    dataset.to_zarr(tmp_path / "x.zarr", consolidated=False)
    np.save(tmp_path / "a.npy", array)
    with_cf = dataset.copy(deep=True)
    with_cf["image"].encoding = {"scale_factor": 0.5, "dtype": "i2", "_FillValue": -1}
    with_cf.to_zarr(tmp_path / "cf.zarr", consolidated=False)
    lazily = {"consolidated": False, "chunks": None}
    dims = ("y", "x")
    return {
        "numpy": xr.DataArray(array, dims=dims),
        "fortran": xr.DataArray(np.asfortranarray(array), dims=dims),
        "dask": xr.DataArray(da.from_array(array, chunks=(7, 50)), dims=dims),
        "dask expression": xr.DataArray(da.from_array(array - 1, chunks=(7, 50)) + 1, dims=dims),
        "zarr": msi.to_spatial_image(stored),
        "from_zarr": xr.DataArray(da.from_zarr(stored), dims=dims),
        "from_zarr, sliced": xr.DataArray(
            da.from_zarr(zarr.create_array({}, data=np.stack([array] * 2)))[1], dims=dims
        ),
        "inlined": xr.DataArray(da.from_array(stored, inline_array=True), dims=dims),
        "locked": xr.DataArray(da.from_array(stored, lock=True), dims=dims),
        "xr.open_zarr(chunks=None)": xr.open_zarr(tmp_path / "x.zarr", **lazily).image,
        "xr.open_zarr": xr.open_zarr(tmp_path / "x.zarr", consolidated=False).image,
        "decoded": xr.open_zarr(tmp_path / "cf.zarr", **lazily).image,
        "memmap": xr.DataArray(np.load(tmp_path / "a.npy", mmap_mode="r"), dims=dims),
        "transposed": xr.DataArray(da.from_zarr(zarr.create_array({}, data=array.T)), dims=("x", "y")).transpose(*dims),
        "sliced lazily": xr.open_zarr(tmp_path / "x.zarr", **lazily).image[:, :],
    }


def test_every_kind_of_input_gives_the_same_bits(tmp_path):
    array = noise((45, 64), "f8")
    expected = pyramid_oracle(array, [(2, 2), (3, 3)], "mean")
    for kind, image in sources(array, tmp_path).items():
        tree = msi.to_multiscale(image, [2, 3], chunks=8, block_bytes=3000)
        for found, wanted in zip(level_values(tree), expected, strict=True):
            np.testing.assert_array_equal(found, wanted, err_msg=kind)


def test_sliced_zarr_windows_start_where_the_slice_does(tmp_path):
    array = noise((45, 64))
    stored = zarr.create_array(tmp_path / "a.zarr", data=array, chunks=(10, 10))
    for pixels in (da.from_zarr(stored)[5:, 3:], da.from_zarr(stored)[::2]):
        tree = msi.to_multiscale(xr.DataArray(pixels, dims=("y", "x")), [2], chunks=8, block_bytes=2000)
        assert_levels(tree, pyramid_oracle(pixels.compute(), [(2, 2)], "mean"))


def test_a_memmap_stays_on_disk(tmp_path):
    np.save(tmp_path / "a.npy", noise((64, 64)))
    pixels = np.load(tmp_path / "a.npy", mmap_mode="r")
    image = xr.DataArray(pixels, dims=("y", "x"))
    assert np.shares_memory(image.values, pixels)
    assert msi.explain(msi.to_multiscale(image, [2])).reading.by_window


def test_sources_that_are_sliceable_are_read_window_by_window():
    source = CountingArray(noise((64, 64)))
    image = xr.DataArray(da.from_array(source, chunks=(16, 16)), dims=("y", "x"))
    tree = msi.to_multiscale(image, [2], chunks=16, block_bytes=2048)
    assert msi.explain(tree).reading.by_window
    assert_levels(tree, pyramid_oracle(source.array, [(2, 2)], "mean"))


def test_coordinates_units_names_and_attributes_are_kept():
    image = msi.to_spatial_image(
        noise((3, 8, 8)),
        dims=("c", "y", "x"),
        name="cells",
        scale={"y": 0.5, "x": 0.25},
        translation={"y": -10, "x": 3},
        axis_names={"x": "width"},
        axis_units={"x": "micrometer"},
        c_coords=["dapi", "gfp", "rfp"],
    ).assign_attrs(instrument="scope")
    image = image.assign_coords(plate=7, gain=("c", [1.0, 2.0, 3.0]), shade=("x", np.arange(8.0)))
    tree = msi.to_multiscale(image, [2])
    level = tree["scale1"]["cells"]
    assert level.attrs == {"instrument": "scope"}
    assert level.x.attrs == {"long_name": "width", "units": "micrometer"}
    assert level.c.values.tolist() == ["dapi", "gfp", "rfp"]
    np.testing.assert_array_equal(level.y, [-9.75, -8.75, -7.75, -6.75])
    np.testing.assert_array_equal(level.x, [3.125, 3.625, 4.125, 4.625])
    assert level.gain.values.tolist() == [1, 2, 3]
    assert int(level.plate) == 7
    assert level.shade.values.tolist() == [0.5, 2.5, 4.5, 6.5]
    xr.testing.assert_equal(tree["scale0"]["cells"].compute(), image)
    assert tree.name == "multiscales"


@pytest.mark.parametrize("method", ["mean", "min", "max"])
def test_ramp(method):
    """An image whose values are its coordinates gives, on every level, the level's coordinates."""
    image = msi.to_spatial_image(np.zeros((64, 48)), scale={"y": 0.5}, translation={"x": -7})
    for dim in image.dims:
        ramp = image.copy(
            data=np.broadcast_to(image[dim], image.shape)
            if dim == "x"
            else image.y.values[:, None] + np.zeros(image.shape)
        )
        tree = msi.to_multiscale(ramp, [2, 3], method=method, block_bytes=2000, chunks=8)
        for node in tree.children.values():
            level = node["image"]
            offset = {"mean": 0, "min": -0.5, "max": 0.5}[method] * (
                float(level[dim][1] - level[dim][0]) - float(image[dim][1] - image[dim][0])
            )
            np.testing.assert_allclose(level, level[dim].broadcast_like(level) + offset)


def test_nearest_lies_where_its_sample_does():
    image = msi.to_spatial_image(np.arange(64.0), scale={"x": 0.5}, translation={"x": 3})
    ramp = image.copy(data=image.x.values)
    level = msi.to_multiscale(ramp, [4], method="nearest")["scale1"]["image"]
    np.testing.assert_array_equal(level, level.x)


def test_a_length_one_axis_keeps_its_spacing_on_every_level():
    image = msi.to_spatial_image(noise((1, 16, 16)), scale={"z": 5.0, "y": 0.5, "x": 0.5})
    tree = msi.to_multiscale(image, [{"y": 2, "x": 2}] * 4, chunks=8)
    assert [level.scale for level in msi.explain(tree).levels] == [(5, 0.5 * 2**k, 0.5 * 2**k) for k in range(5)]
    assert tree["scale4"].image.shape == (1, 1, 1)


def test_dates_are_kept_and_averaged_where_reduced():
    dates = np.array(["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"], "M8[ns]")
    image = xr.DataArray(noise((4, 8, 8)), dims=("t", "y", "x"), coords={"t": dates})
    tree = msi.to_multiscale(image, [2, {"t": 2}])
    np.testing.assert_array_equal(tree["scale1"].t, dates)
    np.testing.assert_array_equal(tree["scale2"].t, np.array(["2026-01-01T12", "2026-01-03T12"], "M8[ns]"))


def test_nodata_is_left_out():
    array = np.array([[0, 10], [0, 20], [0, 0], [0, 0]], np.uint8)
    tree = msi.to_multiscale(msi.to_spatial_image(array), [2], nodata=0)
    np.testing.assert_array_equal(tree["scale1"].image, [[15], [0]])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "meen"}, ValueError, "did you mean 'mean'"),
        ({"chunks": 0}, ValueError, "chunk"),
        ({"boundary": "wrap"}, ValueError, "boundary"),
        ({"block_bytes": 0}, ValueError, "block_bytes"),
        ({"nodata": 300}, ValueError, "nodata 300"),
        ({"nodata": "x"}, ValueError, "nodata 'x'"),
        ({"nodata": [1]}, ValueError, "nodata"),
    ],
)
def test_wrong_arguments_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        msi.to_multiscale(msi.to_spatial_image(np.zeros((8, 8), "u1")), [2], **options)


def test_a_name_is_the_users_or_image():
    pixels = da.from_array(noise((8, 8)))
    assert list(msi.to_multiscale(xr.DataArray(pixels, dims=("y", "x")), [2])["scale1"].data_vars) == ["image"]
    doubled = xr.DataArray(pixels, dims=("y", "x")) * 2
    assert list(msi.to_multiscale(doubled, [2])["scale1"].data_vars) == ["image"]
    for name in ("a/b", "x"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            msi.to_multiscale(xr.DataArray(noise((8, 8)), dims=("y", "x"), name=name), [2])


def test_blocks_that_are_not_as_declared_are_refused():
    pixels = da.ones((100, 100), chunks=50, dtype="u1").map_blocks(
        lambda b: b[:40], dtype="u1", meta=np.empty((0, 0), "u1")
    )
    tree = msi.to_multiscale(xr.DataArray(pixels, dims=("y", "x")), [2])
    with pytest.raises(ValueError, match="other blocks than it declares"):
        tree["scale1"].image.compute()


def test_chunks_of_unknown_length_are_refused():
    pixels = da.ones((10, 10), chunks=5)
    unknown = pixels[pixels[:, 0] > 0]
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        msi.to_multiscale(xr.DataArray(unknown, dims=("y", "x")), [2])


def test_uneven_unsigned_times_are_averaged_without_wrapping():
    image = xr.DataArray(noise((4, 8, 8)), dims=("t", "y", "x"), coords={"t": np.array([9, 7, 4, 0], "u1")})
    np.testing.assert_array_equal(msi.to_multiscale(image, [{"t": 2}])["scale1"].t, [8, 2])


def test_a_memory_mapped_file_is_sent_by_name(tmp_path):
    np.save(tmp_path / "a.npy", noise((200, 300)))
    pixels = np.load(tmp_path / "a.npy", mmap_mode="r")
    expected = pyramid_oracle(np.array(pixels), [(2, 2)], "mean")
    tree = msi.to_multiscale(xr.DataArray(pixels, dims=("y", "x")), [2], chunks=32, block_bytes=20000)
    assert len(cloudpickle.dumps(tree["scale1"].image.data)) < 20000
    assert_levels(tree, expected)
    in_dask = msi.to_multiscale(xr.DataArray(da.from_array(pixels, chunks=50), dims=("y", "x")), [2], chunks=32)
    assert msi.explain(in_dask).reading.by_window
    assert_levels(in_dask, expected)
    part = msi.to_multiscale(xr.DataArray(pixels[3:, ::2], dims=("y", "x")), [2])
    np.testing.assert_array_equal(part["scale0"].image, pixels[3:, ::2])


def test_what_is_no_image_is_refused():
    with pytest.raises(TypeError, match=r"ndarray; wrap an array with to_spatial_image"):
        msi.to_multiscale(np.zeros((4, 4)), [2])
    with pytest.raises(TypeError, match="median, min, max, mode"):
        msi.to_multiscale(msi.to_spatial_image(np.zeros((4, 4), bool)), [2])
