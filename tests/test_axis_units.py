"""Units of axes: spacings compared in one, and what OME-Zarr does not list written all the same."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.cli import main
from tests.support.optional import require

NANOMETERS = {
    "nm": 1,
    "nanometer": 1,
    "um": 1000,
    "µm": 1000,
    "Microns": 1000,
    "mm": 10**6,
    "angstrom": Fraction(1, 10),
}
SIZES = st.sampled_from([65, 100, 130, 300, 650, 2000])


def in_unit(nanometers, unit):
    return float(Fraction(nanometers) / NANOMETERS[unit])


def make_image(shape, nanometers, units, dtype="u1"):
    dims = "zyx"[-len(shape) :]
    scale = {dim: in_unit(n, unit) for dim, n, unit in zip(dims, nanometers, units, strict=True)}
    axis_units = dict(zip(dims, units, strict=True))
    return msi.to_spatial_image(np.zeros(shape, dtype), dims, scale=scale, axis_units=axis_units)


def shapes(tree):
    return [node.image.shape for node in tree.children.values()]


def axes_of(store):
    return zarr.open_group(store, mode="r").attrs["ome"]["multiscales"][0]["axes"]


@given(st.tuples(SIZES, SIZES, SIZES), st.tuples(*[st.sampled_from(sorted(NANOMETERS))] * 3), st.integers(4, 64))
def test_auto_pictures_and_levels_are_the_same_in_any_units(nanometers, units, max_size):
    shape = (24, 90, 80)
    one = msi.to_multiscale(make_image(shape, nanometers, ("nm",) * 3), "auto", chunks=16)
    other = msi.to_multiscale(make_image(shape, nanometers, units), "auto", chunks=16)
    assert shapes(one) == shapes(other)
    assert one.pyramid.thumbnail(max_size=max_size).shape == other.pyramid.thumbnail(max_size=max_size).shape
    for asked in (50, 200, 1000, 5000):
        assert other.pyramid.level_for(in_unit(asked, units[-1])) == one.pyramid.level_for(asked)


def test_square_pixels_in_two_units():
    image = make_image((1024, 1024), (100, 100), ("µm", "nm"))
    tree = msi.to_multiscale(image, "auto")
    assert shapes(tree) == [(1024, 1024), (512, 512), (256, 256)]
    assert tree.pyramid.thumbnail(max_size=64).shape == (64, 64, 3)
    assert tree.pyramid.level_for(200) == tree.pyramid.level_for({"y": 0.2}) == "scale1"


def test_an_axis_whose_unit_is_not_known_counts_in_that_of_the_others():
    scale = {"z": 0.3, "y": 65, "x": 65}
    image = msi.to_spatial_image(np.zeros((64, 64, 64)), scale=scale, axis_units={"z": "um", "y": "nm"})
    assert shapes(msi.to_multiscale(image, "auto", chunks=16))[1] == (64, 32, 32)
    image = msi.to_spatial_image(np.zeros((64, 64)), scale={"y": 2, "x": 0.5}, axis_units={"y": "px", "x": "parrot"})
    assert shapes(msi.to_multiscale(image, "auto", chunks=16))[1] == (64, 32)
    degrees = {"y": "degrees_north", "x": "degrees_east"}
    image = msi.to_spatial_image(np.zeros((64, 64)), scale={"y": 0.5, "x": 2}, axis_units=degrees)
    assert shapes(msi.to_multiscale(image, "auto", chunks=16))[1] == (32, 64)


def test_plots_have_the_physical_aspect_and_each_axis_its_own_unit():
    require("matplotlib")
    from matplotlib.figure import Figure

    tree = msi.to_multiscale(make_image((64, 64), (100, 100), ("µm", "nm")), [2])
    panels = tree.pyramid.plot(Figure().subplots(1, 2))
    assert panels[0].get_xlim() == (-50, 6350)
    assert panels[0].get_ylim() == pytest.approx((6.35, -0.05))
    assert panels[0].get_aspect() == 1000
    assert panels[0].get_ylabel() == "y [µm]"
    assert panels[0].images[0].get_array().shape[0] == panels[0].images[0].get_array().shape[1]


def test_labels_in_another_unit_lie_on_the_image():
    store = MemoryStore()
    msi.to_multiscale(make_image((64, 64), (100, 100), ("µm", "µm")), [2]).pyramid.to_zarr(store)
    labels = msi.to_multiscale(make_image((64, 64), (100, 100), ("nm", "mm")), [2], method="mode")
    msi.write_labels(store, "cells", labels)
    astray = msi.to_multiscale(make_image((64, 64), (100, Fraction(1, 10)), ("nm", "nm")), [2], method="mode")
    with pytest.raises(ValueError, match=r"along 'x': their spacing is 0\.0001 µm"):
        msi.write_labels(store, "astray", astray)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_degrees_are_written_as_degrees(version):
    units = {"lat": "degrees_north", "lon": "degrees_east"}
    image = msi.to_spatial_image(np.zeros((18, 36)), ("lat", "lon"), scale={"lat": 10, "lon": 10}, axis_units=units)
    store = MemoryStore()
    msi.to_multiscale(image, [2]).pyramid.to_zarr(store, version=version)
    report = msi.validate(store)
    assert report.ok
    assert "axes-unit-name" in {finding.rule for finding in report.findings}
    reopened = msi.open_multiscale(store)
    assert {dim: reopened["scale1"][dim].attrs["units"] for dim in units} == units
    assert reopened.pyramid.thumbnail().shape == (18, 36, 3)
    attributes = zarr.open_group(store).attrs
    listed = attributes["ome"]["multiscales"] if version == "0.5" else attributes["multiscales"]
    assert [axis["unit"] for axis in listed[0]["axes"]] == ["degree", "degree"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("unit", ["pixel", "px", "furlong", "parrot", "second", "1"])
def test_a_unit_that_is_not_known_is_left_out_once_with_a_warning_and_kept_beside(unit, version):
    image = msi.to_spatial_image(np.zeros((3, 32, 32)), "zyx", axis_units={"z": "um", "y": unit, "x": unit})
    store = MemoryStore()
    tree = msi.to_multiscale(image, [2, 2])
    with pytest.warns(UserWarning, match="is none that is known") as caught:
        tree.pyramid.to_zarr(store, version=version)
    assert len(caught) == 1
    assert f"{unit!r} of 'y', {unit!r} of 'x'" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert msi.validate(store).ok
    reopened = msi.open_multiscale(store)
    assert [reopened["scale1"][dim].attrs.get("units") for dim in "yx"] == [unit, unit]
    with pytest.warns(UserWarning, match="is none that is known"):
        reopened.pyramid.to_zarr(MemoryStore(), version=version)
    exec(str(caught[0].message).rpartition("as in ")[2], {"image": image})  # the advice can be pasted
    with pytest.warns(UserWarning, match=f"the unit {unit!r} of 'y' is none"):
        msi.to_multiscale(image, [2]).pyramid.to_zarr(MemoryStore(), version=version)


def test_a_foreign_store_with_pixels_as_its_unit_can_be_written_again():
    store = MemoryStore()
    msi.to_multiscale(msi.to_spatial_image(np.zeros((32, 32))), [2]).pyramid.to_zarr(store)
    group = zarr.open_group(store)
    ome = group.attrs["ome"]
    for axis in ome["multiscales"][0]["axes"]:
        axis["unit"] = "pixel"
    group.attrs["ome"] = ome
    for level in ("scale0", "scale1"):  # as other tools write: no coordinates beside the arrays
        for name in "yx":
            del group[level][name]
    with pytest.warns(UserWarning, match="'pixel' of 'y'"):
        msi.open_multiscale(store).pyramid.to_zarr(MemoryStore())


def test_a_known_image_is_written_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = make_image((4, 32, 32), (300, 65, 65), ("um", "nm", "angstrom"))
        store = MemoryStore()
        msi.to_multiscale(image, [2]).pyramid.to_zarr(store)
        assert [axis["unit"] for axis in axes_of(store)] == ["micrometer", "nanometer", "angstrom"]
        dated = xr.DataArray(np.zeros((4, 8, 8)), dims=("t", "y", "x"), coords={"t": np.arange(4)})
        dated.t.attrs["units"] = "days since 2000-01-01"
        store = MemoryStore()
        msi.to_multiscale(dated, [2]).pyramid.to_zarr(store)
        assert axes_of(store)[0]["unit"] == "day"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("none", [None, None]),
        ("y=none", [None, "nanometer"]),
        ("y=", [None, "nanometer"]),
        ("y=um,x=none", ["micrometer", None]),
        ("um", ["micrometer", "micrometer"]),
        ("y=degrees_north", ["degree", "nanometer"]),
    ],
)
def test_the_command_line_sets_and_clears_units(option, expected, tmp_path):
    msi.to_multiscale(make_image((64, 64), (100, 100), ("nm", "nm")), []).pyramid.to_zarr(tmp_path / "in.zarr")
    arguments = ["convert", str(tmp_path / "in.zarr"), str(tmp_path / "out.zarr"), "--units", option]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert [axis.get("unit") for axis in axes_of(tmp_path / "out.zarr")] == expected
    reopened = msi.open_multiscale(tmp_path / "out.zarr")["scale0"]
    assert ["units" in reopened[dim].attrs for dim in "yx"] == [unit is not None for unit in expected]


def test_the_command_line_keeps_a_unit_that_is_not_known_and_warns_of_it(tmp_path):
    msi.to_multiscale(make_image((64, 64), (100, 100), ("nm", "nm")), []).pyramid.to_zarr(tmp_path / "in.zarr")
    arguments = ["convert", str(tmp_path / "in.zarr"), str(tmp_path / "out.zarr"), "--units", "px"]
    with pytest.warns(UserWarning, match="the unit 'px' of 'y', 'px' of 'x' is none that is known"):
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert msi.open_multiscale(tmp_path / "out.zarr")["scale0"].x.attrs["units"] == "px"
