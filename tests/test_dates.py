"""Factors along axes that have no regular grid: dates of any calendar, durations, uneven times, names."""

import datetime

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.optional import require

DAY = np.timedelta64(1, "D")
COORDINATES = {
    "dates": np.datetime64("2020-01-01", "ns") + np.arange(8) * DAY,
    "seconds": np.datetime64("2020-01-01", "s") + np.arange(8),
    "uneven dates": np.datetime64("2020-01-01", "ns") + np.array([0, 1, 5, 6, 20, 21, 50, 51]) * DAY,
    "durations": np.arange(8) * DAY.astype("m8[ns]"),
    "uneven": np.array([0.0, 1.0, 5.0, 6.0, 20.0, 21.0, 50.0, 51.0]),
    "uneven integers": np.array([0, 1, 5, 6, 20, 21, 50, 51], "u1"),
}
CALENDARS = ("360_day", "noleap", "julian")


def times(kind):
    if kind not in CALENDARS:
        return COORDINATES[kind]
    require("cftime")
    return xr.date_range("2001-02-25", periods=8, calendar=kind, use_cftime=True).values


def make_tree(values, factors, name="t", method="mean", **options):
    pixels = np.random.default_rng(0).random((len(values), 16, 16)).astype("f4")
    image = xr.DataArray(pixels, dims=(name, "y", "x"), coords={name: values}, name="image")
    return msi.to_multiscale(image, factors, method=method, **options)


def middles(values, factor):
    """The mean of each window, by differences from its first, as dates have no sum."""
    values = np.asarray(values)
    if values.dtype.kind in "mM":
        values = values.astype(f"{values.dtype.kind}8[ns]")
    windows = [values[start : start + factor] for start in range(0, len(values) - factor + 1, factor)]
    return np.array([window[0] + (window - window[0]).sum() / factor for window in windows])


@pytest.mark.parametrize("kind", [*COORDINATES, *CALENDARS])
@pytest.mark.parametrize("name", ["t", "T", "time"])
def test_a_factor_along_times_keeps_them_and_the_store_is_valid(kind, name):
    values = times(kind)
    tree = make_tree(values, [{name: 2, "y": 2, "x": 2}, {name: 2}], name)
    found, want = tree["scale1"][name].values, middles(values, 2)
    assert (found == want).all()
    if not kind.startswith("uneven"):  # else a mean of four is not in the middle of the middle two
        assert (tree["scale2"][name].values == middles(want, 2)).all()
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    report = msi.validate(store)
    assert report.ok, report
    assert {finding.rule for finding in report.findings} <= {"axes-unit"}
    assert msi.verify(store).ok
    reopened = msi.open_multiscale(store)
    for number in range(3):
        level = reopened[f"scale{number}"]
        assert (level[name].values == tree[f"scale{number}"][name].values).all()
    again = MemoryStore()
    reopened.pyramid.to_zarr(again)
    assert msi.validate(again).ok
    assert reopened.attrs == msi.open_multiscale(again).attrs


@pytest.mark.parametrize("order", [("t", "y", "x"), ("y", "x", "t")])
@pytest.mark.parametrize("method", ["mean", "nearest"])
@pytest.mark.parametrize("factor", [2, 3, 7])
def test_scales_along_dates_are_counted_in_samples(order, method, factor):
    image = xr.DataArray(
        np.zeros((7, 8, 8)), dims=("t", "y", "x"), coords={"t": COORDINATES["dates"][:7]}, name="image"
    )
    tree = msi.to_multiscale(image.transpose(*order), [{"t": factor, "y": 2}], method=method)
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    assert msi.validate(store).ok
    first, second = msi.open_multiscale(store).attrs["ome"]["multiscales"][0]["datasets"]
    scale, translation = (one[kind] for one in second["coordinateTransformations"] for kind in one if kind != "type")
    assert scale == [factor, 2, 1]
    assert translation[0] == (0 if method == "nearest" else (factor - 1) / 2)
    assert first["coordinateTransformations"][0]["scale"] == [1, 1, 1]


def test_dates_and_levels_that_are_added_later():
    store = MemoryStore()
    make_tree(COORDINATES["dates"], [{"t": 2}]).pyramid.to_zarr(store)
    msi.add_levels(store, [{"t": 2, "y": 2}])
    assert msi.validate(store).ok, msi.validate(store)
    last = msi.open_multiscale(store).attrs["ome"]["multiscales"][0]["datasets"][-1]["coordinateTransformations"]
    assert last[0]["scale"] == [4, 2, 1]
    assert last[1]["translation"] == [1.5, 0.5, 0]
    assert msi.verify(store).ok


def test_durations_of_seconds_have_halves():
    tree = make_tree(COORDINATES["seconds"], [{"t": 2}])
    assert tree["scale1"].t.values[0] == np.datetime64("2020-01-01T00:00:00.5")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("t", np.array(list("abcdefgh"))),
        ("t", np.array(list("abcdefgh"), dtype=object)),
        ("c", list("abcdefgh")),
        ("C", list("abcdefgh")),
        ("c", [405, 488, 561, 640, 1, 2, 3, 4]),
        ("t", [datetime.date(2020, 1, 1 + day) for day in range(8)]),
    ],
)
def test_names_have_no_mean_and_that_is_said_once(name, values):
    with pytest.warns(UserWarning, match=f"the coordinate {name!r} holds names") as caught:
        tree = make_tree(values, [{name: 2}, {name: 2}], name)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert name in tree["scale0"].coords
    assert name not in tree["scale1"].coords
    if not isinstance(values[0], datetime.date):
        store = MemoryStore()
        tree.pyramid.to_zarr(store)
        assert msi.validate(store).ok, msi.validate(store)
        assert msi.open_multiscale(store)["scale2"].image.shape == (2, 16, 16)


@pytest.mark.parametrize("kind", [*COORDINATES, *CALENDARS])
def test_times_that_are_not_reduced_are_as_they_were(kind):
    tree = make_tree(times(kind), [2, 2])
    assert (tree["scale2"].t.values == times(kind)).all()
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    assert msi.validate(store).ok
    assert (msi.open_multiscale(store)["scale2"].t.values == times(kind)).all()


TIMES_OF_ODD_LEVELS = {
    "a single sample": ([10.0, 11.0, 15.0], [10.5]),
    "a regular level": ([0.0, 1.0, 5.0, 6.0, 10.0, 11.0], [0.5, 5.5, 10.5]),
    "the grid that the attributes count": ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 20.0], [0.5, 2.5, 4.5]),
    "descending": ([11.0, 9.0, 6.0, 6.0], [10.0, 6.0]),
}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("case", TIMES_OF_ODD_LEVELS)
def test_levels_of_uneven_times_are_uneven_too_even_where_they_happen_to_be_a_grid(case, version):
    times, expected = TIMES_OF_ODD_LEVELS[case]
    store = MemoryStore()
    make_tree(times, [{"t": 2, "y": 2, "x": 2}]).pyramid.to_zarr(store, version=version)
    reopened = msi.open_multiscale(store)
    assert reopened["scale0"].t.values.tolist() == times
    assert reopened["scale1"].t.values.tolist() == expected
    again = MemoryStore()
    reopened.pyramid.to_zarr(again, version=version)
    assert msi.open_multiscale(again)["scale1"].t.values.tolist() == expected


@pytest.mark.filterwarnings("ignore:the unit .* is none that is known")
@pytest.mark.parametrize("units", ["seconds since start", "frames since t0", "s since", "days since 2000-13-45"])
@pytest.mark.parametrize("name", ["t", "delay"])
@pytest.mark.parametrize("values", [np.arange(6) * 2.0, np.array([0.0, 1.0, 5.0, 6.0, 20.0, 21.0])])
def test_times_since_what_is_no_date_stay_numbers_and_take_no_coordinate_with_them(units, name, values):
    coords = {name: ("t", values, {"units": units}), "well": ("t", list("abcdef")), "y": np.arange(16) * 0.5}
    image = xr.DataArray(np.zeros((6, 16, 16), "u1"), dims=("t", "y", "x"), coords=coords)
    store = MemoryStore()
    msi.to_multiscale(image, [2]).pyramid.to_zarr(store)
    level = msi.open_multiscale(store)["scale1"]
    assert level.well.values.tolist() == list("abcdef")
    assert level[name].values.tolist() == values.tolist()
    assert level[name].attrs == {"units": units}


def image_since(units, values):
    coords = {"t": ("t", values, {"units": units})}
    return xr.DataArray(np.zeros((len(values), 16, 16), "u1"), dims=("t", "y", "x"), coords=coords)


@pytest.mark.parametrize("values", [np.arange(6) * 2.0, np.arange(6, dtype="i4") * 2 + 5, np.array([3.0])])
def test_numbers_since_a_date_keep_their_spacing_and_unit(values):
    first, second = MemoryStore(), MemoryStore()
    tree = msi.to_multiscale(image_since("hours since 2000-01-01", values), [2])
    tree.pyramid.to_zarr(first)
    reopened = msi.open_multiscale(first)
    assert reopened["scale0"].t.values.tolist() == values.tolist()
    reopened.pyramid.to_zarr(second)
    assert msi.open_multiscale(second).attrs["ome"] == tree.attrs["ome"]
    assert reopened.attrs["ome"]["multiscales"][0]["axes"][0]["unit"] == "hour"


def test_a_corrected_spacing_of_numbers_since_a_date_is_used():
    store = MemoryStore()
    msi.to_multiscale(image_since("seconds since 2000-01-01", np.arange(6) * 2.0), [2]).pyramid.to_zarr(store)
    group = zarr.open_group(store)
    block = group.attrs["ome"]
    for dataset in block["multiscales"][0]["datasets"]:
        dataset["coordinateTransformations"][0]["scale"][0] = 30.0
    group.attrs["ome"] = block
    with pytest.warns(UserWarning, match="spacing of 't': 30, not 2"):
        reopened = msi.open_multiscale(store)
    assert reopened["scale1"].t.values.tolist() == [0, 30, 60, 90, 120, 150]


def test_a_unit_that_is_stated_for_dates_is_warned_of_once():
    store = MemoryStore()
    make_tree(COORDINATES["dates"], [{"t": 2}]).pyramid.to_zarr(store)
    group = zarr.open_group(store)
    block = group.attrs["ome"]
    block["multiscales"][0]["axes"][0]["unit"] = "second"
    group.attrs["ome"] = block
    with pytest.warns(UserWarning, match="along 't' are at dates or uneven times, not 1 second apart") as caught:
        reopened = msi.open_multiscale(store)
    assert len(caught) == 1
    assert (reopened["scale0"].t.values == COORDINATES["dates"]).all()
