"""Coordinates and attributes of coarser levels: reduced, adapted, or left out by name."""

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import msi_lazy as msi
from msi_lazy.compat.xarray_backends import is_in_memory

LENGTHS = {"t": 4, "c": 2, "y": 40, "x": 48}
GRID = {"y": np.arange(40) * 0.5 + 3, "x": np.arange(48) * 0.25 - 1}


def ramp(*dims, dtype="f8"):
    """Coordinate that is linear in every dimension: its value at a level's sample follows from where that lies."""
    axes = np.meshgrid(*(GRID.get(dim, np.arange(float(LENGTHS[dim]))) for dim in dims), indexing="ij")
    return sum(axis * weight for axis, weight in zip(axes, (1, 10, 100), strict=False)).astype(dtype)


def image_with(coords, dims=("t", "c", "y", "x"), attrs=None, **options):
    grid = {dim: values for dim, values in GRID.items() if dim in dims}
    samples = np.zeros([LENGTHS[dim] for dim in dims], "u1")
    return xr.DataArray(samples, dims=dims, coords={**grid, **coords}, attrs=attrs, name="image", **options)


@given(
    factors=st.lists(st.sampled_from([2, 3, {"y": 2}, {"t": 2, "x": 3}]), min_size=1, max_size=3).filter(
        lambda factors: factors.count({"t": 2, "x": 3}) < 3
    ),  # of 4 time points
    boundary=st.sampled_from(["trim", "pad"]),
    method=st.sampled_from(["mean", "nearest"]),
    lazy=st.booleans(),
)
def test_coordinates_are_reduced_to_where_the_samples_of_a_level_lie(factors, boundary, method, lazy):
    values = {
        name: (dims, ramp(*dims)) for name, dims in {"a": "y", "b": "t", "lat": "yx", "lon": "xy", "q": "tyx"}.items()
    }
    if lazy:
        values = {name: (dims, da.from_array(array, chunks=5)) for name, (dims, array) in values.items()}
    image = image_with({name: (tuple(dims), array) for name, (dims, array) in values.items()}, ("t", "y", "x"))
    tree = msi.to_multiscale(image, factors, method, boundary=boundary)
    for number in range(len(factors) + 1):
        level = tree[f"scale{number}"].to_dataset()
        at = {dim: level[dim].clip(max=image[dim].values[-1] if dim in GRID else 3) for dim in ("t", "y", "x")}
        expected = {
            "a": at["y"],
            "b": at["t"],
            "lat": at["y"] + 10 * at["x"],
            "lon": at["x"] + 10 * at["y"],
            "q": at["t"] + 10 * at["y"] + 100 * at["x"],
        }
        for name, wanted in expected.items():
            assert level[name].dims == image[name].dims
            np.testing.assert_allclose(level[name].values, wanted.transpose(*image[name].dims).values, atol=1e-9)


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8", "c16"])
def test_coordinates_of_any_numbers(dtype):
    image = image_with({"lat": (("y", "x"), ramp("y", "x").clip(0).astype(dtype)), "e": (("t", "c"), np.ones((4, 2)))})
    tree = msi.to_multiscale(image, [2])
    lat = tree["scale1"].lat
    exact = image.lat.astype(complex).coarsen(y=2, x=2).mean()
    np.testing.assert_allclose(lat.values, exact.values, rtol=1e-6)
    assert lat.dtype == {"f4": "f4", "c16": "c16"}.get(dtype, "f8")
    assert tree["scale1"].e.identical(tree["scale0"].e)


def test_dates_and_durations_between():
    days = np.arange("2020-01-01", "2020-02-10", dtype="M8[D]").astype("M8[s]")
    coords = {
        "when": ("y", days),
        "took": (("y", "x"), np.ones((40, 48), "m8[s]")),
        "took2": ("x", np.arange(48, dtype="m8[s]")),
    }
    tree = msi.to_multiscale(image_with(coords), [2])
    assert tree["scale1"].when.values[0] == np.datetime64("2020-01-01T12")
    assert (tree["scale1"].took.values == np.timedelta64(1, "s")).all()
    assert tree["scale1"].took2.values[1] == np.timedelta64(2500, "ms")


def test_what_has_no_mean_is_named_once_and_the_rest_is_kept():
    coords = {
        "name": ("y", [f"row {number}" for number in range(40)]),
        "flag": (("y", "x"), np.ones((40, 48), bool)),
        "thing": ("x", np.array([object()] * 48)),
        "lat": ("y", np.arange(40.0)),
        "label": ("t", list("abcd")),
    }
    with pytest.warns(UserWarning, match="'name', 'flag', 'thing'") as caught:
        tree = msi.to_multiscale(image_with(coords), [2, 2])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert set(tree["scale2"].coords) == {"t", "c", "y", "x", "lat", "label"}
    assert set(tree["scale0"].coords) == {*coords, "t", "c", "y", "x"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        msi.to_multiscale(image_with(coords), [{"t": 1}])


class Refusing:
    """Array-like that no one may read."""

    shape, dtype, ndim = (40, 48), np.dtype("f8"), 2

    def __getitem__(self, key):
        raise AssertionError("a coordinate was read")


def test_no_coordinate_is_read_when_a_pyramid_is_built():
    def unread(block):
        raise AssertionError("a coordinate was read")

    lazy = da.from_array(Refusing(), chunks=(20, 24))
    computed = da.ones((40, 48), chunks=10).map_blocks(unread, dtype=float, meta=np.empty((0, 0)))
    image = image_with({"lat": (("y", "x"), lazy), "lon": (("y", "x"), computed)})
    tree = msi.to_multiscale(image, [2, 2])
    assert str(tree.pyramid.explain())
    assert repr(tree)
    assert all(
        dask.is_dask_collection(tree[f"scale{number}"][name].data) for number in range(3) for name in ("lat", "lon")
    )


@pytest.mark.parametrize("chunks", [None, {}])
def test_coordinates_of_a_file_are_not_loaded(chunks, tmp_path):
    image_with({"lat": (("y", "x"), ramp("y", "x"))}).to_dataset().to_zarr(tmp_path / "in.zarr", consolidated=False)
    opened = xr.open_zarr(tmp_path / "in.zarr", chunks=chunks, consolidated=False)["image"].assign_coords()
    tree = msi.to_multiscale(opened, [2])
    assert not is_in_memory(opened.lat.variable)
    np.testing.assert_allclose(tree["scale1"].lat.values, opened.lat.coarsen(y=2, x=2).mean().values)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_they_survive_a_store_and_edits(version, tmp_path):
    coords = {
        "lat": (("y", "x"), ramp("y", "x", dtype="f4"), {"units": "degrees_north"}),
        "stage": ("t", [0.0, 1.0, 4.0, 9.0]),
        "exposure": (("t", "c"), np.arange(8.0).reshape(4, 2)),
        "c": ["a", "b"],
        "name": ("c", ["one", "two"]),
    }
    tree = msi.to_multiscale(image_with(coords), [2, {"t": 2, "y": 2, "x": 2}])
    tree.pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    msi.open_multiscale(tmp_path / "a.zarr").pyramid.to_zarr(tmp_path / "b.zarr", version=version)
    for store in ("a.zarr", "b.zarr"):
        back = msi.open_multiscale(tmp_path / store)
        for level in ("scale0", "scale1", "scale2"):
            for name in ("lat", "stage", "exposure"):
                np.testing.assert_array_equal(back[level][name].values, tree[level][name].values)
                assert back[level][name].dims == tree[level][name].dims
            assert back[level].lat.attrs == {"units": "degrees_north"}
    edited = back.pyramid.transpose("c", ...).pyramid.reindex_data_arrays(c=["b"])
    assert edited["scale2"].exposure.shape[edited["scale2"].exposure.dims.index("c")] == 1
    np.testing.assert_array_equal(back.pyramid.sel(x=slice(0, 2), spacing=1.0).lat.dims, ("y", "x"))
    msi.add_levels(tmp_path / "a.zarr", [2])
    added = msi.open_multiscale(tmp_path / "a.zarr")["scale3"]
    exact = tree["scale2"].lat.isel(y=slice(10), x=slice(12)).coarsen(y=2, x=2).mean()
    np.testing.assert_allclose(added.lat.values, exact.values, rtol=1e-6)


TRANSFORM = {
    "GeoTransform": "100 10 0 500 0 -10",
    "by": "me",
    "transform": "log",
    "scale_factor": 0.1,
    "scale": "linear",
    "resolution": 300,
    "origin": [5.0],
}
OF_LEVEL_0 = {
    "res": (10.0, 10.0),
    "spacing": [0.5, 0.5],
    "PhysicalSizeX": 0.5,
    "shape": [40, 48],
    "spatial:bbox": [0, 0, 1, 1],
    "pixel_size": 1,
}


def corner_of_coarser(method, factor):
    """Corner of a level, in samples of the image: not the image's where a sample lies at its window's corner."""
    return 0 if method == "mean" else -(factor - 1) / 2


@pytest.mark.parametrize("method", ["mean", "nearest"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_attributes_of_level_0_stay_there_and_transforms_are_adapted(method, version, tmp_path):
    attrs = {**TRANSFORM, **OF_LEVEL_0, "spatial:transform": [10.0, 0.0, 100.0, 0.0, -10.0, 500.0]}
    reference = xr.Variable((), 0, {"crs_wkt": "…", "GeoTransform": "100.0 10.0 1.0 500.0 2.0 -10.0"})
    x = ("x", GRID["x"], {"resolution": 0.25, "units": "m"})
    image = image_with({"spatial_ref": reference, "x": x}, attrs=attrs)
    tree = msi.to_multiscale(image, [2, {"y": 4}], method)
    tree.pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    for levels in (tree, msi.open_multiscale(tmp_path / "a.zarr")):
        for level, (fy, fx) in {"scale0": (1, 1), "scale1": (2, 2), "scale2": (8, 2)}.items():
            found = levels[level].image.attrs
            sy, sx = (corner_of_coarser(method, factor) for factor in (fy, fx))
            wanted = [100 + 10 * sx, 10 * fx, 0, 500 - 10 * sy, 0, -10 * fy]
            assert list(map(float, found["GeoTransform"].split())) == wanted
            assert found["spatial:transform"] == [wanted[1], 0, wanted[0], 0, wanted[5], wanted[3]]
            assert {key: found[key] for key in TRANSFORM if key != "GeoTransform"}.items() <= TRANSFORM.items()
            assert set(OF_LEVEL_0) & set(found) == (set(OF_LEVEL_0) if level == "scale0" else set())
            inner = list(map(float, levels[level].spatial_ref.attrs["GeoTransform"].split()))
            origin = [100 + 10 * sx + 1 * sy, 500 + 2 * sx - 10 * sy]
            assert inner == [origin[0], 10 * fx, 1 * fy, origin[1], 2 * fx, -10 * fy]
            assert levels[level].spatial_ref.attrs["crs_wkt"] == "…"
            assert ("resolution" in levels[level].x.attrs) == (level == "scale0")
            assert levels[level].x.attrs["units"]
    assert image.attrs == attrs


def test_levels_reduced_along_other_dimensions_keep_them():
    tree = msi.to_multiscale(image_with({}, attrs=OF_LEVEL_0), [{"t": 2}])
    assert tree["scale1"].image.attrs == OF_LEVEL_0


def test_coordinates_that_are_not_reduced_keep_their_attributes():
    along = ("t", np.arange(float(LENGTHS["t"])), {"resolution": 1.0, "actual_range": [0, 3]})
    tree = msi.to_multiscale(image_with({"t": along}), [2])
    assert tree["scale1"].t.attrs == along[2]


def test_levels_that_are_added_have_attributes_of_their_own(tmp_path):
    tree = msi.to_multiscale(image_with({}, attrs={**TRANSFORM, **OF_LEVEL_0, "_FillValue": 7}), [])
    tree.pyramid.to_zarr(tmp_path / "a.zarr")
    msi.add_levels(tmp_path / "a.zarr", [2, 2])
    added = msi.open_multiscale(tmp_path / "a.zarr")["scale2"].image.attrs
    assert added == {**TRANSFORM, "GeoTransform": "100.0 40.0 0.0 500.0 0.0 -40.0", "_FillValue": 7}
