import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from spatial_image import to_spatial_image as library_to_spatial_image

from msi_lazy import to_spatial_image
from msi_lazy.axes import Axis, read_axes


def test_the_library_makes_the_same_image():
    array = np.arange(24).reshape(2, 3, 4)
    options = {
        "dims": ("z", "y", "x"),
        "scale": {"z": 2.0, "y": 0.5, "x": 0.5},
        "translation": {"z": 1.0, "y": 0.0, "x": -3.0},
        "name": "cells",
        "axis_names": {"z": "depth", "y": "row", "x": "column"},
        "axis_units": {"z": "micrometer", "y": "micrometer", "x": "micrometer"},
    }
    xr.testing.assert_identical(to_spatial_image(array, **options), library_to_spatial_image(array, **options))


@pytest.mark.parametrize(
    ("ndim", "dims"),
    [(1, "x"), (2, "yx"), (3, "zyx"), (4, "zyxc"), (5, "tzyxc")],
)
def test_default_dims(ndim, dims):
    assert to_spatial_image(np.zeros((2,) * ndim)).dims == tuple(dims)


@pytest.mark.parametrize("dims", ["zcyx", "yxz", "cx", "xy", "ztyx", "t"])
def test_dims_that_the_library_refuses_are_built_alike(dims):
    array = np.zeros((2, 3, 4, 5)[: len(dims)])
    image = to_spatial_image(array, dims=tuple(dims), scale={dims[-1]: 0.5}, axis_units={dims[-1]: "micrometer"})
    assert image.dims == tuple(dims)
    assert image[dims[-1]].attrs == {"long_name": dims[-1], "units": "micrometer"}
    np.testing.assert_array_equal(image[dims[-1]], np.arange(array.shape[-1]) * 0.5)


def test_missing_entries_are_one_and_zero_and_empty_units_are_left_out():
    image = to_spatial_image(np.zeros((4, 4)), scale={"x": 0.25}, translation={"y": -2})
    np.testing.assert_array_equal(image.x, [0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(image.y, [-2, -1, 0, 1])
    assert "units" not in image.x.attrs


@pytest.mark.parametrize("dims", ["tyx", "tcyx", "tzyx", "tyxc", "yxt"])
def test_times_have_a_scale_too(dims):
    image = to_spatial_image(np.zeros((3,) * len(dims)), dims=tuple(dims), scale={"t": 0.5}, translation={"t": 7})
    np.testing.assert_array_equal(image.t, [7, 7.5, 8])


def test_channel_and_time_coordinates():
    image = to_spatial_image(
        np.zeros((2, 3, 4, 4)), dims=("t", "c", "y", "x"), t_coords=[0, 7], c_coords=["r", "g", "b"]
    )
    assert image.c.values.tolist() == ["r", "g", "b"]
    assert image.t.values.tolist() == [0, 7]


@pytest.mark.parametrize("wrap", [lambda z: z, da.from_zarr])
def test_zarr_and_dask_stay_lazy(wrap, counting_store):
    stored = zarr.create_array(counting_store, shape=(64, 64), chunks=(16, 16), dtype="u2")
    image = to_spatial_image(wrap(stored), scale={"x": 2})
    assert image.chunks is not None
    assert not counting_store.chunk_reads()


def test_lists_become_arrays():
    assert to_spatial_image([[1, 2], [3, 4]]).shape == (2, 2)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"dims": ("y",)}, ValueError, "dims must be 2"),
        ({"dims": "yxz"}, ValueError, "'yxz'"),
        ({"scale": 0.5}, TypeError, "scale must be a dict"),
        ({"axis_units": "micrometer"}, TypeError, "axis_units must be a dict"),
        ({"dims": ("y", "y")}, ValueError, "different names"),
        ({"scale": {"q": 1}}, ValueError, "scale names the dimension 'q'"),
        ({"scale": {"x": 0}}, ValueError, "positive, not 0"),
        ({"scale": {"x": float("nan")}}, ValueError, "nan"),
        ({"scale": {"x": "1"}}, TypeError, "'1'"),
        ({"translation": {"x": float("inf")}}, ValueError, "inf"),
        ({"axis_units": {"q": "m"}}, ValueError, "axis_units names the dimension 'q'"),
        ({"dims": ("c", "x"), "scale": {"c": 2}}, ValueError, "leave 'c' out of scale"),
        ({"dims": ("t", "x"), "scale": {"t": 2}, "t_coords": range(4)}, ValueError, "leave 't' out of scale"),
        ({"c_coords": ["a"]}, ValueError, "no dimension 'c'"),
        ({"dims": ("c", "x"), "c_coords": ["a"]}, ValueError, "1 entries for 4"),
    ],
)
def test_wrong_arguments_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        to_spatial_image(np.zeros((4, 4)), **options)


def test_dims_can_be_one_string():
    assert to_spatial_image(np.zeros((2, 4)), dims="cx").dims == ("c", "x")


@pytest.mark.parametrize(
    ("given", "error", "words"), [("a.tif", TypeError, "open"), (np.zeros((0, 4)), ValueError, "empty")]
)
def test_what_is_no_array_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        to_spatial_image(given)


def test_an_image_is_not_wrapped_again():
    with pytest.raises(TypeError, match="to_multiscale"):
        to_spatial_image(xr.DataArray(np.zeros((4, 4))))


@pytest.mark.parametrize(("scale", "translation"), [(1e-4, 1e5), (0.65, -3.25), (1 / 3, 0), (5e-9, 1.0)])
def test_spacing_is_read_exactly_however_far_from_the_origin(scale, translation):
    image = to_spatial_image(np.zeros((2, 300)), scale={"x": scale}, translation={"x": translation})
    assert read_axes(image)[1].scale == pytest.approx(scale, rel=1e-12)


def test_coordinates_in_single_precision_are_a_grid():
    longitudes = np.linspace(-180, 180, 72001, dtype="f4")
    image = xr.DataArray(np.zeros((2, 72001)), dims=("lat", "lon"), coords={"lon": longitudes})
    assert read_axes(image)[1].scale == pytest.approx(0.005)


def test_axes_are_read_off_the_coordinates():
    image = to_spatial_image(
        np.zeros((2, 3, 4)),
        dims=("c", "y", "x"),
        scale={"y": 0.65, "x": 0.65},
        translation={"y": -3.25},
        axis_units={"x": "micrometer"},
        c_coords=[10, 20],
    )
    channel, y, x = read_axes(image)
    assert (channel.kind, channel.regular, channel.scale, channel.translation) == ("channel", False, 1, 0)
    assert y == Axis("y", "space", 3, 0.65, -3.25, None)
    assert x == Axis("x", "space", 4, 0.65, 0.0, "micrometer")


def test_dims_without_coordinates_are_a_unit_grid():
    assert read_axes(xr.DataArray(np.zeros((3, 4)), dims=("y", "x")))[1] == Axis("x", "space", 4)


def test_names_that_are_known_in_any_order_and_those_that_are_not():
    kinds = [axis.kind for axis in read_axes(xr.DataArray(np.zeros((2, 3, 4)), dims=("time", "lat", "lon")))]
    assert kinds == ["time", "space", "space"]
    kinds = [axis.kind for axis in read_axes(xr.DataArray(np.zeros((2, 3, 4)), dims=("angle", "y", "x")))]
    assert kinds == [None, "space", "space"]


def test_a_length_one_axis_keeps_its_spacing():
    image = to_spatial_image(np.zeros((1, 4, 4)), scale={"z": 5.0})
    assert read_axes(image)[0].scale == 5.0


def test_dates_and_uneven_times_are_irregular_axes():
    dates = np.array(["2026-01-01", "2026-01-02"], "M8[ns]")
    for times in (dates, [0.0, 1.0, 5.0]):
        image = xr.DataArray(np.zeros((len(times), 4, 4)), dims=("t", "y", "x"), coords={"t": times})
        assert not read_axes(image)[0].regular


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 1, 5, 6], "not evenly spaced"),
        ([3, 2, 1, 0], "descends"),
        ([0, 1, np.nan, 3], "NaN"),
        (["a", "b", "c", "d"], "numeric"),
        ([1, 1, 1, 1], "not evenly spaced"),
    ],
)
def test_spatial_coordinates_that_are_no_grid_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        read_axes(xr.DataArray(np.zeros((2, 4)), dims=("y", "x"), coords={"x": values}))


def test_repeated_empty_and_missing_dimensions_are_refused():
    with pytest.raises(ValueError, match="no dimensions"):
        read_axes(xr.DataArray(3))
    with pytest.raises(ValueError, match="length 0"):
        read_axes(xr.DataArray(np.zeros((0, 2)), dims=("y", "x")))
