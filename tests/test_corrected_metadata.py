"""The OME-Zarr attributes are the truth: what other tools correct there counts, whatever the stored coordinates say."""

import json
import warnings
from contextlib import contextmanager

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import msi_lazy as msi
from msi_lazy.storage.target import quietly

VERSIONS = ("0.4", "0.5")
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


def write_image(path, version="0.5", by_xarray=False, **keywords):
    """A stored image of all axes, with coordinates next to its arrays."""
    options = {"scale": {"t": 2, "z": 0.3, "y": 0.65, "x": 0.65}, "translation": {"x": 1e4}, "axis_units": UNITS}
    options |= {"c_coords": ["DAPI", "GFP"], "name": "cells", **keywords}
    image = msi.to_spatial_image(np.zeros((3, 2, 4, 32, 24), "u2"), dims="tczyx", **options)
    tree = msi.to_multiscale(image, [{"y": 2, "x": 2}, 2], chunks=16)
    if by_xarray:
        tree.to_zarr(path, zarr_format=2 if version == "0.4" else 3, consolidated=version == "0.4")
    else:
        tree.pyramid.to_zarr(path, version=version)
    return tree


@contextmanager
def corrected(path):
    """The block of the image's group, to be changed in the document itself, as a text editor does."""
    document = next(path / name for name in ("zarr.json", ".zattrs") if (path / name).exists())
    contents = json.loads(document.read_text())
    attributes = contents["attributes"] if document.name == "zarr.json" else contents
    yield attributes.get("ome", attributes)
    document.write_text(json.dumps(contents))


def scales(block, axis, factor, offset=0.0):
    for dataset in block["multiscales"][0]["datasets"]:
        scale, translation = dataset["coordinateTransformations"]
        scale["scale"][axis] *= factor
        translation["translation"][axis] = translation["translation"][axis] * factor + offset


def opened_with(path, words):
    """Open an image; one warning, with these words, however many levels it has."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        tree = msi.open_multiscale(path)
    assert len(found) == 1, [str(one.message) for one in found]
    assert found[0].filename == __file__
    assert words in str(found[0].message)
    return tree


def change_spacing(block):
    scales(block, 4, 2)


def change_origin(block):
    scales(block, 3, 1, offset=-7.0)


def change_time(block):
    scales(block, 0, 15)


def change_depth_of_some_percent(block):
    scales(block, 2, 1.0004)


CORRECTIONS = {
    "spacing of 'x': 1.3, not 0.65": (change_spacing, lambda tree: np.diff(tree["scale0"].x)[0], 1.3),
    "spacing of 'z': 0.30012, not 0.3": (change_depth_of_some_percent, lambda tree: tree["scale0"].z[1], 0.30012),
    "spacing of 't': 30, not 2": (change_time, lambda tree: tree["scale2"].t[2], 60),
    "first position of 'y': -7, not 0": (change_origin, lambda tree: tree["scale0"].y[0], -7),
    "unit of 'x': nanometer, not micrometer": (
        lambda block: block["multiscales"][0]["axes"][4].update(unit="nanometer"),
        lambda tree: tree["scale2"].x.attrs["units"],
        "nanometer",
    ),
    "unit of 'y': None, not micrometer": (
        lambda block: block["multiscales"][0]["axes"][3].pop("unit"),
        lambda tree: tree["scale1"].y.attrs.get("units"),
        None,
    ),
    "names of 'c': ['DAPI', 'RFP'], not ['DAPI', 'GFP']": (
        lambda block: block["omero"]["channels"][1].update(label="RFP"),
        lambda tree: tree["scale2"].c.values.tolist(),
        ["DAPI", "RFP"],
    ),
}


@pytest.mark.parametrize("by_xarray", [False, True], ids=["pyramid.to_zarr", "xarray"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("words", CORRECTIONS)
def test_a_correction_wins_is_warned_of_once_and_is_written_again(words, version, by_xarray, tmp_path):
    correct, read, value = CORRECTIONS[words]
    write_image(tmp_path / "a.zarr", version, by_xarray)
    with corrected(tmp_path / "a.zarr") as block:
        correct(block)
        expected = block["multiscales"][0]
    tree = opened_with(tmp_path / "a.zarr", words)
    assert read(tree) == pytest.approx(value)
    assert tree["scale0"].x.attrs["long_name"] == "x"
    for again in VERSIONS:
        tree.pyramid.to_zarr(tmp_path / again, version=again)
        assert msi.validate(tmp_path / again).ok
        with corrected(tmp_path / again) as block:
            written = block["multiscales"][0]
        assert written["axes"] == expected["axes"]
        for one, other in zip(written["datasets"], expected["datasets"], strict=True):
            for mine, theirs in zip(one["coordinateTransformations"], other["coordinateTransformations"], strict=True):
                assert mine[mine["type"]] == pytest.approx(theirs[mine["type"]], abs=1e-12)
        assert read(msi.open_multiscale(tmp_path / again)) == pytest.approx(value)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_spacing_of_a_single_plane_is_corrected(version, tmp_path):
    image = msi.to_spatial_image(np.zeros((1, 16, 16), "u1"), dims="zyx", scale={"z": 2})
    msi.to_multiscale(image, [{"y": 2, "x": 2}]).pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    with corrected(tmp_path / "a.zarr") as block:
        scales(block, 0, 2.5)
    tree = opened_with(tmp_path / "a.zarr", "spacing of 'z': 5, not 2")
    tree.pyramid.to_zarr(tmp_path / "b.zarr")
    with corrected(tmp_path / "b.zarr") as block:
        assert block["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"] == [5, 2, 2]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_name_and_display_settings_are_corrected(version, tmp_path):
    write_image(tmp_path / "a.zarr", version)
    with corrected(tmp_path / "a.zarr") as block:
        block["multiscales"][0]["name"] = "nuclei"
        block["omero"]["channels"][1] |= {"color": "123456", "window": {"min": 0, "max": 9, "start": 1, "end": 8}}
    tree = msi.open_multiscale(tmp_path / "a.zarr")
    assert list(tree["scale1"].data_vars) == ["nuclei"]
    tree.pyramid.to_zarr(tmp_path / "b.zarr", version=version)
    with corrected(tmp_path / "b.zarr") as block:
        assert block["multiscales"][0]["name"] == "nuclei"
        assert block["omero"]["channels"][1]["color"] == "123456"
        assert block["omero"]["channels"][1]["window"]["end"] == 8


@pytest.mark.parametrize("version", VERSIONS)
def test_consolidated_metadata_do_not_hide_a_correction(version, tmp_path):
    write_image(tmp_path / "a.zarr", version)
    with quietly():
        zarr.consolidate_metadata(tmp_path / "a.zarr", zarr_format=2 if version == "0.4" else 3)
    with corrected(tmp_path / "a.zarr") as block:
        block["multiscales"][0]["name"] = "nuclei"
    assert list(msi.open_multiscale(tmp_path / "a.zarr")["scale0"].data_vars) == ["nuclei"]


def test_an_axis_that_was_renamed_keeps_what_its_coordinate_adds(tmp_path):
    image = msi.to_spatial_image(np.zeros((3, 16, 16), "u1"), dims="zyx", scale={"z": 2}, axis_names={"z": "plane"})
    msi.to_multiscale(image, [{"y": 2, "x": 2}]).pyramid.to_zarr(tmp_path / "a.zarr")
    with corrected(tmp_path / "a.zarr") as block:
        block["multiscales"][0]["axes"][0] = {"name": "t", "type": "time", "unit": "second"}
    tree = opened_with(tmp_path / "a.zarr", "name of 't': 't', not 'z'")
    assert tree["scale0"].t.attrs == {"long_name": "plane", "units": "second"}


def test_channels_that_are_fewer_than_their_settings(tmp_path):
    write_image(tmp_path / "a.zarr")
    with corrected(tmp_path / "a.zarr") as block:
        block["omero"]["channels"].append({"label": "third", "color": "FF0000"})
    tree = opened_with(tmp_path / "a.zarr", "its attributes describe 3 channels, and it has 2")
    assert tree["scale0"].c.values.tolist() == ["DAPI", "GFP"]


# --- what agrees, or what the attributes cannot hold, comes back as it was ---


def assert_comes_back(image, path, factors=(2,)):
    """Every coordinate comes back with its values, bit for bit, its dtype and its attributes, and without a warning."""
    tree = msi.to_multiscale(image, list(factors))
    for version in VERSIONS:
        tree.pyramid.to_zarr(path / version, version=version)
        back = msi.open_multiscale(path / version)
        for name, coordinate in image.coords.items():
            found = back["scale0"][name]
            assert found.dtype == coordinate.dtype or found.dtype.kind == "T"
            xr.testing.assert_identical(found.drop_vars(found.coords), coordinate.drop_vars(coordinate.coords))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
@pytest.mark.parametrize("spacing", [1, 0.65, 1 / 3, 1e-9])
@pytest.mark.parametrize("origin", [0, 500_000.5, -3.25])
def test_grids_of_any_rounding_agree_with_what_is_written_of_them(dtype, spacing, origin, tmp_path):
    x = (np.arange(24) * spacing + origin).astype(dtype)
    if not (np.diff(x.astype(float)) > 0).all() or np.ptp(np.diff(x.astype(float))) > 0.01 * spacing:
        return  # the dtype cannot hold such a grid
    image = xr.DataArray(np.zeros((8, 24), "u1"), dims=("y", "x"), coords={"x": x})
    assert_comes_back(image, tmp_path)


@pytest.mark.parametrize(
    "channels",
    [[0, 1, 2], [0.0, 1.0, 2.0], [3, 5, 7], [405.0, 488.0, 561.5], ["a", "b", "c"], [True, False, True]],
)
def test_channels_keep_the_dtype_of_their_names(channels, tmp_path):
    values = np.array(channels, dtype=object if isinstance(channels[0], str) else None)
    image = xr.DataArray(np.zeros((3, 16, 16), "u1"), dims=("c", "y", "x"), coords={"c": values})
    assert_comes_back(image, tmp_path)


@pytest.mark.parametrize(
    ("channels", "labels"),
    [
        ([0, 1], ["0", "1"]),
        ([0.0, 1.0], ["0", "1"]),
        ([405.0, 488.5], ["405", "488.5"]),
        (None, ["0", "1"]),
    ],
)
def test_numbers_of_channels_are_written_as_people_write_them(channels, labels, tmp_path):
    coords = {} if channels is None else {"c": channels}
    image = xr.DataArray(np.zeros((2, 16, 16), "u1"), dims=("c", "y", "x"), coords=coords)
    tree = msi.to_multiscale(image, [2])
    tree.pyramid.to_zarr(tmp_path / "a.zarr")
    tree.pyramid.refresh().to_zarr(tmp_path / "b.zarr", consolidated=False)
    msi.open_multiscale(tmp_path / "a.zarr").pyramid.to_zarr(tmp_path / "c.zarr", version="0.4")
    for name in ("a.zarr", "b.zarr", "c.zarr"):
        with corrected(tmp_path / name) as block:
            assert [channel["label"] for channel in block["omero"]["channels"]] == labels


def test_labels_of_an_earlier_release_are_spellings_of_the_coordinate(tmp_path):
    image = xr.DataArray(np.zeros((2, 16, 16), "u1"), dims=("c", "y", "x"), coords={"c": [0.0, 1.0]})
    msi.to_multiscale(image, [2]).pyramid.to_zarr(tmp_path / "a.zarr", colors=["FF0000", "0000FF"])
    with corrected(tmp_path / "a.zarr") as block:
        block["omero"]["channels"][0]["label"], block["omero"]["channels"][1]["label"] = "0.0", "1.0"
    tree = msi.open_multiscale(tmp_path / "a.zarr")
    assert tree["scale1"].c.dtype == float
    one = tree.isel(c=[1])
    one.pyramid.to_zarr(tmp_path / "b.zarr")
    with corrected(tmp_path / "b.zarr") as block:
        assert block["omero"]["channels"][0]["color"] == "0000FF"


def test_channels_that_xarray_renamed_are_written_with_their_new_names(tmp_path):
    write_image(tmp_path / "a.zarr")
    with corrected(tmp_path / "a.zarr") as block:
        block["omero"]["channels"][0]["color"] = "ABCDEF"
    tree = msi.open_multiscale(tmp_path / "a.zarr")
    renamed = tree.map_over_datasets(lambda level: level.assign_coords(c=["one", "two"]) if level.dims else level)
    renamed.attrs = tree.attrs
    renamed.pyramid.to_zarr(tmp_path / "b.zarr")
    with corrected(tmp_path / "b.zarr") as block:
        assert [channel["label"] for channel in block["omero"]["channels"]] == ["one", "two"]
        assert block["omero"]["channels"][0]["color"] == "ABCDEF"


def test_names_that_are_not_distinct_are_kept(tmp_path):
    write_image(tmp_path / "a.zarr", c_coords=None)
    with corrected(tmp_path / "a.zarr") as block:
        for channel, color in zip(block["omero"]["channels"], ("FF0000", "0000FF"), strict=True):
            channel |= {"label": "stain", "color": color}
    tree = msi.open_multiscale(tmp_path / "a.zarr")
    assert tree["scale0"].c.values.tolist() == [0, 1]
    tree.pyramid.to_zarr(tmp_path / "b.zarr")
    tree.isel(c=[1]).pyramid.to_zarr(tmp_path / "c.zarr")
    for name, colors in (("b.zarr", ["FF0000", "0000FF"]), ("c.zarr", ["0000FF"])):
        with corrected(tmp_path / name) as block:
            assert [channel["color"] for channel in block["omero"]["channels"]] == colors
    with corrected(tmp_path / "b.zarr") as block:
        assert {channel["label"] for channel in block["omero"]["channels"]} == {"stain"}


@pytest.mark.parametrize(
    "times",
    [
        np.array(["2026-01-01", "2026-01-02", "2026-03-01"], "M8[ns]"),
        np.array([0.0, 1.0, 7.5]),
        np.array([9, 5, 1]),
        np.array(["before", "after", "late"], dtype=object),
    ],
    ids=["dates", "uneven", "descending", "names"],
)
def test_times_that_the_attributes_cannot_hold_come_back(times, tmp_path):
    image = xr.DataArray(np.zeros((3, 16, 16), "u1"), dims=("t", "y", "x"), coords={"t": times})
    assert_comes_back(image, tmp_path)


@pytest.mark.parametrize("unit", ["s", "seconds", "hours", "day"])
def test_times_in_any_unit_stay_numbers(unit, tmp_path):
    image = xr.DataArray(np.zeros((3, 16, 16), "u1"), dims=("t", "y", "x"), coords={"t": [0.0, 2.0, 4.0]})
    image.t.attrs["units"] = unit
    assert_comes_back(image, tmp_path)


# --- names of images ---


@pytest.mark.parametrize(
    "make",
    [
        lambda a: da.from_array(a),
        lambda a: da.from_array(a, name=False),
        lambda a: da.from_array(a, name=False)[:8],
        lambda a: da.from_array(a).rechunk(4),
        lambda a: da.ones_like(a),
        lambda a: da.from_array(a).map_blocks(np.negative),
        lambda a: xr.DataArray(a, dims=("y", "x")).chunk(4).data,
        lambda a: da.linalg.qr(da.ones((8, 4), chunks=4))[0],
        lambda a: da.from_delayed(__import__("dask").delayed(np.zeros)((8, 8)), (8, 8), float),
    ],
)
def test_names_of_dask_arrays_are_no_names_of_images(make):
    image = xr.DataArray(make(np.zeros((16, 16), "u1")), dims=("y", "x"))
    assert image.name is not None
    tree = msi.to_multiscale(image, [2])
    assert list(tree["scale0"].data_vars) == ["image"]
    assert tree.attrs["ome"]["multiscales"][0]["name"] == "image"


@pytest.mark.parametrize("name", ["cells", "scan-7", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "array-2", "a-b-c"])
def test_names_that_people_give_are_kept(name):
    image = xr.DataArray(np.zeros((16, 16), "u1"), dims=("y", "x"), name=name)
    assert list(msi.to_multiscale(image, [2])["scale0"].data_vars) == [name]


@pytest.mark.parametrize(
    "labels",
    [("GFP", "empty", "empty"), ("a", "a", "c"), ("a", "", "c"), ("1", "", "0"), ("", "", "")],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_corrected_labels_that_are_no_names_are_warned_of_and_written_again(labels, version, tmp_path):
    image = xr.DataArray(np.zeros((3, 8, 8), "u1"), dims=("c", "y", "x"), coords={"c": ["a", "b", "c"]}, name="image")
    msi.to_multiscale(image, [2]).pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    with corrected(tmp_path / "a.zarr") as block:
        for channel, label in zip(block["omero"]["channels"], labels, strict=True):
            channel["label"] = label
        block["omero"]["channels"][2]["color"] = "123456"
    tree = opened_with(tmp_path / "a.zarr", f"names of 'c': {list(labels)}, not ['a', 'b', 'c']")
    for again in VERSIONS:
        tree.pyramid.to_zarr(tmp_path / again, version=again)
        msi.open_multiscale(tmp_path / again).pyramid.to_zarr(tmp_path / f"{again}.again", version=again)
        tree.isel(c=[2, 1]).pyramid.to_zarr(tmp_path / f"{again}.some", version=again)
        for name, expected in ((again, labels), (f"{again}.again", labels), (f"{again}.some", (labels[2], labels[1]))):
            with corrected(tmp_path / name) as block:
                channels = block["omero"]["channels"]
            assert [channel["label"] for channel in channels] == list(expected), name
            assert channels[expected.index(labels[2], 0 if "some" in name else 2)]["color"] == "123456"
