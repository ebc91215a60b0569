"""Values without data that an image states: left out by default, shown, and kept through a round trip."""

import warnings

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import msi_lazy as msi
from msi_lazy.cli import main

VERSIONS = ["0.4", "0.5"]


def image_with(attrs=None, dtype="u2", encoding=None, fill=0):
    samples = np.random.default_rng(0).integers(1, 200, (64, 64)).astype(dtype)
    samples[:, ::3] = fill
    samples[:8, :8] = fill
    image = xr.DataArray(samples, dims=("y", "x"), attrs=attrs, name="image")
    image.encoding = encoding or {}
    return image


def levels_of(tree):
    return [tree[f"scale{number}"].image.values for number in range(3)]


def assert_same_levels(tree, other):
    for one, another in zip(levels_of(tree), levels_of(other), strict=True):
        np.testing.assert_array_equal(one, another)


STATED = {
    "_FillValue": (image_with({"_FillValue": 0}), 0),
    "nodata": (image_with({"nodata": 255}, "u1", fill=255), 255),
    "missing_value": (image_with({"missing_value": -1}, "i2", fill=-1), -1),
    "arrays of one": (image_with({"_FillValue": np.array([0], "u2"), "nodata": np.float64(0)}), 0),
    "for each band": (image_with({"nodatavals": (0.0, 0.0, 0.0)}), 0),
    "float": (image_with({"_FillValue": -9999.0}, "f4", fill=-9999), -9999.0),
    "nan": (image_with({"_FillValue": np.nan}, "f4", fill=np.nan), np.nan),
    "infinity": (image_with({"nodata": np.inf}, "f4", fill=np.inf), np.inf),
    "encoded integers": (image_with(encoding={"_FillValue": 0}), 0),
    "masked": (image_with({}, "f4", {"_FillValue": 0, "dtype": "u2"}, np.nan), np.nan),
    "masked, and stated too": (image_with({"nodata": 0}, "f4", {"_FillValue": 0.0, "dtype": "u2"}, np.nan), np.nan),
}
"""Images, and the value that they state."""


@pytest.mark.parametrize("name", STATED)
@pytest.mark.parametrize("method", ["mean", "mode", "gaussian"])
def test_what_an_image_states_is_left_out_by_default(name, method):
    image, nodata = STATED[name]
    tree = msi.to_multiscale(image, [2, 2], method)
    assert_same_levels(tree, msi.to_multiscale(image, [2, 2], method, nodata=nodata))
    shown = str(msi.explain(tree))
    assert f"{np.asarray(nodata).astype(image.dtype)} marks samples without data" in shown
    if nodata == nodata:
        plain = msi.to_multiscale(image, [2, 2], method, nodata=None)
        assert not np.array_equal(levels_of(plain)[1], levels_of(tree)[1])
        assert "marks samples" not in str(msi.explain(plain))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", STATED)
def test_it_is_kept_through_round_trips(name, version, tmp_path):
    image, nodata = STATED[name]
    tree = msi.to_multiscale(image, [2, 2])
    tree.pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    opened = msi.open_multiscale(tmp_path / "a.zarr")
    opened.pyramid.to_zarr(tmp_path / "b.zarr", version=version)
    again = msi.open_multiscale(tmp_path / "b.zarr")
    for stored in (opened, again):
        assert f"{float(nodata):g} marks" in str(msi.explain(stored)).replace(".0 marks", " marks")
        found = stored["scale0"].image
        assert_same_levels(msi.to_multiscale(found, [2, 2]), tree)
        added = {"_FillValue"} if name == "masked" and version == "0.5" else set()  # xarray stores it with all floats
        assert set(found.attrs) == set(image.attrs) | added
        for key, value in image.attrs.items():
            np.testing.assert_array_equal(np.asarray(found.attrs[key], float), np.asarray(value, float))
    for store in ("a.zarr", "b.zarr"):
        assert msi.verify(tmp_path / store).ok
        assert msi.validate(tmp_path / store).ok


@pytest.mark.parametrize("version", VERSIONS)
def test_an_explicit_value_is_kept_too(version, tmp_path):
    image = image_with(dtype="f4", fill=-1)
    tree = msi.to_multiscale(image, [2, 2], nodata=-1)
    assert_same_levels(msi.to_multiscale(tree["scale0"].image, [2, 2]), tree)
    tree.pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    stored = msi.open_multiscale(tmp_path / "a.zarr")["scale0"].image
    assert stored.attrs == {}
    assert_same_levels(msi.to_multiscale(stored, [2, 2]), tree)


def test_a_float_image_that_states_nothing_gets_nothing(tmp_path):
    msi.to_multiscale(image_with(dtype="f4"), [2]).pyramid.to_zarr(tmp_path / "a.zarr")
    stored = msi.open_multiscale(tmp_path / "a.zarr")
    assert stored["scale0"].image.attrs == {}
    assert "nodata" not in str(msi.explain(stored))
    assert "nodata" not in stored["scale0"].image.encoding


@pytest.mark.parametrize(
    ("attrs", "dtype", "words"),
    [
        ({"_FillValue": -9999}, "u1", r"attrs\['_FillValue'\] = -9999 is no value of the image's dtype uint8"),
        ({"nodata": "NaN"}, "u1", r"attrs\['nodata'\] = 'NaN' is no value"),
        ({"nodata": "none"}, "f4", r"attrs\['nodata'\] = 'none' is no value"),
        ({"_FillValue": [0, 1]}, "u1", r"attrs\['_FillValue'\] = \[0, 1\] is no value"),
        ({"nodata": {}}, "u1", r"attrs\['nodata'\] = \{\} is no value"),
        ({"nodata": 0.5}, "u1", "is no value"),
        ({"_FillValue": 0, "nodata": 255}, "u1", r"attrs\['_FillValue'\] = 0, attrs\['nodata'\] = 255: none is left"),
    ],
)
def test_what_cannot_be_used_is_warned_of_and_changes_nothing(attrs, dtype, words):
    image = image_with(attrs, dtype)
    with pytest.warns(UserWarning, match=words) as caught:
        tree = msi.to_multiscale(image, [2, 2])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_same_levels(tree, msi.to_multiscale(image, [2, 2], nodata=None))


def total(array, factors):
    return array[::2, ::2]


def test_a_function_cannot_leave_out_what_metadata_state():
    with pytest.warns(UserWarning, match="cannot leave it out"):
        tree = msi.to_multiscale(image_with({"_FillValue": 0}), [2, 2], total)
    assert_same_levels(tree, msi.to_multiscale(image_with(), [2, 2], total))
    with pytest.raises(ValueError, match="cannot be left out by the method"):
        msi.to_multiscale(image_with(), [2, 2], total, nodata=0)
    msi.to_multiscale(*(image_with({"_FillValue": np.nan}, "f4"), [2, 2], total))  # it sees NaN in any case


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("chunks", [None, {}])
def test_a_netcdf_file_masked_or_not(mask, chunks, tmp_path):
    image = image_with({}, "i2", fill=-1)
    image.to_netcdf(tmp_path / "a.nc", engine="scipy", encoding={"image": {"_FillValue": -1}})
    opened = xr.open_dataset(tmp_path / "a.nc", engine="scipy", mask_and_scale=mask, chunks=chunks)["image"]
    tree = msi.to_multiscale(opened, [2, 2])
    assert f"{'nan' if mask else -1} marks samples" in str(msi.explain(tree))
    exact = msi.to_multiscale(image.astype("f4"), [2, 2], nodata=-1)["scale1"].image.values
    found = tree["scale1"].image.values.astype("f4")
    assert np.isnan(found).sum() == (exact == -1).sum() * mask
    tolerance = 1e-3 if mask else 0.5
    np.testing.assert_allclose(np.where(np.isnan(found), -1, found), exact, atol=tolerance)


@pytest.mark.parametrize("version", VERSIONS)
def test_levels_are_added_with_the_value_of_the_others(version, tmp_path):
    image = image_with({"_FillValue": 0})
    for attrs, nodata in (({"_FillValue": 0}, "auto"), ({}, 0), ({"_FillValue": 0}, None)):
        image.attrs = attrs
        for first in ([], [2]):
            store = tmp_path / f"{len(attrs)}{nodata}{len(first)}.zarr"
            msi.to_multiscale(image, first, nodata=nodata).pyramid.to_zarr(store, version=version)
            msi.add_levels(store, [2] * (2 - len(first)))
            assert msi.verify(store).ok
            if first or nodata is not None:  # a single level was made with no value
                assert_same_levels(msi.open_multiscale(store), msi.to_multiscale(image, [2, 2], nodata=nodata))
    with pytest.raises(ValueError, match=r"computed with nodata=0, and not 5: leave nodata= out"):
        msi.add_levels(tmp_path / "1auto1.zarr", [2], nodata=5)
    msi.add_levels(tmp_path / "1auto1.zarr", [2], nodata=0)
    assert msi.verify(tmp_path / "1auto1.zarr").ok


@pytest.mark.parametrize("version", VERSIONS)
def test_an_update_leaves_it_out_too(version, tmp_path):
    image = image_with({"nodata": 0})
    msi.to_multiscale(image, [2, 2]).pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    msi.update(tmp_path / "a.zarr", {"y": slice(0, 30)})
    assert_same_levels(msi.open_multiscale(tmp_path / "a.zarr"), msi.to_multiscale(image, [2, 2]))


def test_trees_that_xarray_writes_keep_it(tmp_path):
    tree = msi.to_multiscale(image_with({"nodata": 0}), [2, 2])
    tree.to_zarr(tmp_path / "a.zarr", consolidated=False)
    assert msi.verify(tmp_path / "a.zarr").ok
    assert_same_levels(msi.to_multiscale(msi.open_multiscale(tmp_path / "a.zarr")["scale0"].image, [2, 2]), tree)


def test_the_command_line(tmp_path):
    image = image_with({"nodata": 0})
    msi.to_multiscale(image, []).pyramid.to_zarr(tmp_path / "in.zarr")
    for given, nodata in (((), 0), (("--nodata", "none"), None), (("--nodata", "7"), 7), (("--nodata", "auto"), 0)):
        command = ["convert", str(tmp_path / "in.zarr"), str(tmp_path / "out.zarr"), "--levels", "2", "--overwrite"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = CliRunner().invoke(main, [*command, *given])
        assert result.exit_code == 0, result.output
        assert ("marks samples" in result.output) == (nodata is not None)
        assert_same_levels(msi.open_multiscale(tmp_path / "out.zarr"), msi.to_multiscale(image, [2, 2], nodata=nodata))
    refused = CliRunner().invoke(main, [*command, "--nodata", "parrot"])
    assert "--nodata is a number, none, or auto" in refused.output
