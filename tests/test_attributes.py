"""Attributes and coordinates that Zarr cannot hold: converted, or left out with one warning, and never a refusal."""

import datetime
import decimal
import enum
import json
import pathlib
import uuid
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import msi_lazy as msi
from msi_lazy.arguments.json_values import Omissions, to_json


class Opaque:
    """Something that no attribute can be, as ``ome_types.OME`` in the attributes of a bioio image."""


class Colour(enum.Enum):
    RED = 1
    OPAQUE = Opaque()


class Kind(enum.StrEnum):
    MASK = "mask"


def image_with(attrs=None, dtype="u2", coords=None):
    samples = np.arange(2 * 32 * 32).reshape(2, 32, 32).astype(dtype)
    return xr.DataArray(samples, dims=("t", "y", "x"), attrs=attrs, coords=coords, name="image")


def write(image, store, **options):
    """Write the pyramid of an image; return the texts of all warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        msi.to_multiscale(image, [2, 2]).pyramid.to_zarr(store, mode="w", **options)
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


def documents(store):
    """Parse all metadata in a store as strict JSON, as browsers do."""

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    found = {}
    for path in sorted(store.rglob("*")):
        if path.name in ("zarr.json", ".zattrs", ".zarray", ".zmetadata"):
            found[str(path.relative_to(store))] = json.loads(path.read_text(), parse_constant=refuse)
    return found


CONVERTED = {
    "date": (datetime.date(2026, 1, 2), "2026-01-02"),
    "moment": (datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC), "2026-01-02T03:00:00+00:00"),
    "clock": (datetime.time(3, 4), "03:04:00"),
    "stamp": (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
    "no stamp": (pd.NaT, "NaT"),
    "numpy date": (np.datetime64("2026-01-02"), "2026-01-02"),
    "numpy dates": (np.array(["2026-01-02"], "M8[D]"), ["2026-01-02"]),
    "duration": (datetime.timedelta(minutes=-1.5), "-PT90S"),
    "numpy duration": (np.timedelta64(1500, "ms"), "PT1.5S"),
    "months": (np.timedelta64(2, "M"), "2 months"),
    "number": (np.float32(2), 2.0),
    "flag": (np.bool_(True), True),
    "matrix": (np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    "objects": (np.array([1, "a"], object), [1, "a"]),
    "masked": (np.ma.masked_equal([1, 2], 2), [1, None]),
    "record": (np.array([(1, 2.5)], [("a", "i4"), ("b", "f4")]), [[1, 2.5]]),
    "enum": (Colour.RED, 1),
    "word": (Kind.MASK, "mask"),
    "tuple": ((1, (2, np.int8(3))), [1, [2, 3]]),
    "set": ({"b", "a", "c"}, ["a", "b", "c"]),
    "range": (range(3), [0, 1, 2]),
    "path": (pathlib.PurePosixPath("a/b"), "a/b"),
    "bytes": (b"abc", "abc"),
    "numpy bytes": (np.bytes_(b"abc"), "abc"),
    "complex": (1 + 2j, [1.0, 2.0]),
    "decimal": (decimal.Decimal("0.5"), 0.5),
    "uuid": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "keys": ({1: "a", None: "b", Colour.RED: "c", np.float32(0.5): "d"}, {"1": "a", "null": "b", "0.5": "d"}),
    "nan": (float("nan"), "NaN"),
    "infinities": ([float("inf"), {"a": -np.inf}], ["Infinity", {"a": "-Infinity"}]),
    "nan in an array": (np.array([1, np.nan]), [1.0, "NaN"]),
    "nested": ({"a": [{"b": np.arange(2)}]}, {"a": [{"b": [0, 1]}]}),
}
"""Values, and what they are in JSON."""


@pytest.mark.parametrize("name", CONVERTED)
def test_values_are_converted(name):
    value, expected = CONVERTED[name]
    omissions = Omissions()
    converted = to_json({"key": value}, "attrs", omissions)
    assert json.loads(json.dumps(converted, allow_nan=False)) == {"key": expected}
    assert list(omissions.found) == (["attrs['key'][<Colour.RED: 1>]"] if name == "keys" else [])


def a_cycle():
    cycle = {"a": 1}
    cycle["self"] = cycle
    return cycle


def a_deep_list():
    deep = []
    for _ in range(5000):
        deep = [deep]
    return deep


LOST = {
    "opaque": (Opaque(), "attrs['key'] of type test_attributes.Opaque"),
    "in a dict": ({"fit": {"by": Opaque()}}, "attrs['key']['fit']['by']"),
    "in a list": ([1, Opaque()], "attrs['key'][1]"),
    "in an enum": (Colour.OPAQUE, "attrs['key']"),
    "bytes": (b"\xff\xfe", "attrs['key'] of type bytes"),
    "function": (len, "attrs['key']"),
    "key": ({(1, 2): "a"}, "attrs['key'][(1, 2)] of type tuple"),
    "cycle": (a_cycle(), "attrs['key']['self'] of type dict"),
    "deep": (a_deep_list(), "attrs['key'][0][0]"),
    "array": (xr.DataArray([1]), "attrs['key'] of type xarray"),
    "long number": (10**5000, "attrs['key'] of type int"),
    "lone surrogate": ("\ud800", "attrs['key'] of type str"),
}
"""Values that JSON cannot hold, and how the warning names them."""


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("name", LOST)
def test_what_cannot_be_converted_is_left_out_with_one_warning(name, version, tmp_path):
    value, named = LOST[name]
    image = image_with({"a": 1, "key": value, "z": np.float32(2)})
    (said,) = write(image, tmp_path / "a.zarr", version=version)
    assert named in said.replace(f"{__name__}.", "test_attributes.")
    assert image.attrs["key"] is value
    stored = msi.open_multiscale(tmp_path / "a.zarr")["scale1"]["image"].attrs
    assert (stored["a"], stored["z"]) == (1, 2.0)
    documents(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_attributes_of_every_node_are_converted(version, tmp_path):
    attrs = {"when": datetime.date(2026, 1, 2), "gain": {"red": np.float32(np.nan)}}
    lost = {"lost": Opaque()}
    image = image_with({**attrs, **lost}, coords={"x": ("x", np.arange(32.0), {**attrs, **lost})})
    tree = msi.to_multiscale(image, [2])
    tree.attrs |= {**attrs, **lost}
    tree["/extra"] = xr.DataTree(xr.Dataset({"k": ("n", [1, 2], {**attrs, **lost})}, attrs=attrs))
    before = repr(tree.attrs), tree.to_dict()
    with pytest.warns(UserWarning, match=r"x\.attrs\['lost'\]") as caught:
        tree.pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    assert len(caught) == 1
    assert (repr(tree.attrs), tree.to_dict().keys()) == (before[0], before[1].keys())
    assert isinstance(tree["scale1"].x.attrs["lost"], Opaque)
    documents(tmp_path / "a.zarr")
    opened = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")
    expected = {"when": "2026-01-02", "gain": {"red": "NaN"}}
    for found in (opened, opened["scale1"], opened["scale1"].image, opened["scale0"].x, opened["extra/k"]):
        assert {key: found.attrs[key] for key in expected} == expected
        assert "lost" not in found.attrs


def test_properties_of_labels_are_converted(tmp_path):
    image = image_with(dtype="u1")
    write(image, tmp_path / "a.zarr")
    labels = msi.to_multiscale(image, [2, 2], "mode")
    msi.write_labels(
        tmp_path / "a.zarr", "cells", labels, properties={1: {"area": np.float32(2.5), "at": np.arange(2)}}
    )
    block = msi.open_multiscale(tmp_path / "a.zarr", group="labels/cells").attrs["ome"]["image-label"]
    assert block["properties"] == [{"label-value": 1, "area": 2.5, "at": [0, 1]}]


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner)
        | st.tuples(inner, inner)
        | st.frozensets(st.text() | st.integers())
        | st.lists(st.floats()).map(np.array)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_like))
def test_anything_becomes_strict_json(attributes):
    omissions = Omissions()
    converted = to_json(attributes, "attrs", omissions)
    text = json.dumps(converted, allow_nan=False)
    again = Omissions()
    assert to_json(json.loads(text), "attrs", again) == converted
    assert not again.found


def at_two_times(index):
    return image_with(coords={"t": index, "other": ("t", index)})


MOMENTS = np.array(["2020-01-01T05:00", "2020-01-02T05:00"], "M8[ns]")
COORDINATES = {
    "time zone": (pd.date_range("2020", periods=2, tz="America/Lima"), MOMENTS, "times in UTC"),
    "objects of time zones": (
        np.array([*pd.date_range("2020", periods=2, tz="America/Lima")]),
        MOMENTS,
        "times in UTC",
    ),
    "category": (pd.Categorical(["a", "b"]), ["a", "b"], None),
    "nullable": (pd.array([1, 2], dtype="UInt8"), [1, 2], None),
    "nullable with a gap": (pd.array([1, None], dtype="Int64"), [1.0, np.nan], "NaN"),
    "objects": (np.array(["a", 1], object), ["a", "1"], "strings"),
    "bytes": (np.array([b"a", b"b"]), ["a", "b"], "strings"),
    "objects of bytes": (np.array([b"a", b"bc"], object), ["a", "bc"], "strings"),
    "intervals": (pd.IntervalIndex.from_breaks([0, 1, 2]), ["(0, 1]", "(1, 2]"], "strings"),
    "periods": (pd.period_range("2020", periods=2), ["2020-01-01", "2020-01-02"], "strings"),
    "dates": (np.array([datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)]), None, "times"),
    "opaque": (np.array([Opaque(), Opaque()]), None, "left out"),
    "dicts": (np.array([{"a": 1}, {}], object), None, "left out"),
}
"""Values of a coordinate, what is stored, and a word of the warning."""


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("name", COORDINATES)
def test_coordinates_are_converted_or_left_out(name, version, tmp_path):
    index, expected, said = COORDINATES[name]
    try:
        image = at_two_times(index)
    except (TypeError, ValueError) as error:
        pytest.skip(f"xarray refuses it: {error}")
    warned = write(image, tmp_path / "a.zarr", version=version)
    assert len(warned) == (said is not None)
    for text in warned:
        assert said in text
        assert "'t'" in text
        assert "'other'" in text
    opened = msi.open_multiscale(tmp_path / "a.zarr")["scale1"]
    if said == "left out":
        assert "other" not in opened.coords
    if expected is not None:
        np.testing.assert_array_equal(opened["t"].values, np.asarray(expected))
        np.testing.assert_array_equal(opened["other"].values, np.asarray(expected))
    assert np.array_equal(opened["image"].values, msi.to_multiscale(image_with(), [2])["scale1"]["image"].values)


def test_units_of_dates_are_left_out_with_a_warning(tmp_path):
    image = image_with(coords={"t": ("t", MOMENTS, {"units": "s", "long_name": "time"})})
    (said,) = write(image, tmp_path / "a.zarr")
    assert "t.attrs['units'] = 's'" in said
    stored = msi.open_multiscale(tmp_path / "a.zarr")["scale0"].t
    assert (stored.values == MOMENTS).all()
    assert stored.attrs == {"long_name": "time"}


@pytest.mark.parametrize("fill", [-9999, "NaN", [1, 2], 0.5, 70000])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_fill_value_that_the_dtype_cannot_hold_does_not_refuse_the_write(version, fill, tmp_path):
    said = write(image_with({"_FillValue": fill}), tmp_path / "a.zarr", version=version)
    assert any("attrs['_FillValue']" in text for text in said)
    assert xr.open_datatree(tmp_path / "a.zarr", engine="zarr")["scale0"].image.dtype == "u2"


@pytest.mark.parametrize("chunks", [None, {}, {"y": 16}])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_encoding_of_a_netcdf_file_changes_nothing(version, chunks, tmp_path):
    values = np.arange(2 * 32 * 32).reshape(2, 32, 32) / 10
    coords = {"y": np.arange(32) * 0.5, "lat": (("y", "x"), np.ones((32, 32)))}
    dataset = xr.Dataset({"image": (("t", "y", "x"), values), "k": ("n", [0.1, 0.2])}, coords)
    packed = {"dtype": "i2", "scale_factor": 0.1, "_FillValue": -1}
    dataset.to_netcdf(tmp_path / "a.nc", engine="scipy", encoding=dict.fromkeys(["image", "y", "lat", "k"], packed))
    opened = xr.open_dataset(tmp_path / "a.nc", engine="scipy", chunks=chunks)
    for name in ("image", "lat"):  # as other backends leave it
        opened[name].encoding |= {"zlib": True, "complevel": 4, "chunksizes": (7,) * opened[name].ndim, "shuffle": True}
    tree = msi.to_multiscale(opened["image"], [2])
    tree["/extra"] = xr.DataTree(opened[["k", "lat"]] * 1.2345)
    tree["extra/k"].encoding = {**packed, "chunks": (1,), "zlib": True}
    tree.pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    stored = msi.open_multiscale(tmp_path / "a.zarr")
    np.testing.assert_array_equal(stored["scale0"].image.values, opened["image"].values)
    np.testing.assert_array_equal(stored["scale0"].lat.values, opened["lat"].values)
    extra = xr.open_datatree(tmp_path / "a.zarr", engine="zarr")["extra"]
    np.testing.assert_array_equal(extra.k.values, (opened["k"] * 1.2345).values)


PACKING = {
    "scale_factor": 0.5,
    "add_offset": 3,
    "missing_value": 1.0,
    "_FillValue": 0.0,
    "_Unsigned": "true",
    "dtype": "bool",
}
"""Attributes by which xarray reads other values than are stored."""


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", ["f8", "i2"])
@pytest.mark.parametrize("key", PACKING)
def test_attributes_never_change_the_values_of_coordinates(key, dtype, version, tmp_path):
    attrs = {key: PACKING[key], "long_name": "kept"}
    values = np.arange(32).astype(dtype)
    coords = {"x": ("x", values, attrs), "focus": ("t", values[:2], attrs), "grid": (("y", "x"), [values] * 32, attrs)}
    (said,) = write(image_with(coords=coords), tmp_path / "a.zarr", version=version)
    level = msi.open_multiscale(tmp_path / "a.zarr")["scale0"]
    for name, (_, expected, _) in coords.items():
        assert f"{name}.attrs[{key!r}] = {PACKING[key]!r}" in said
        np.testing.assert_array_equal(level[name].values, expected)
        assert level[name].dtype == dtype
        assert level[name].attrs == {"long_name": "kept"}


def test_attributes_of_a_coordinate_that_cannot_be_understood_lose_nothing(tmp_path):
    write(image_with(coords={"focus": ("t", [1.0, 2.0]), "well": ("t", ["a", "b"])}), tmp_path / "a.zarr")
    for document in tmp_path.glob("a.zarr/scale*/focus/zarr.json"):
        contents = json.loads(document.read_text())
        contents["attributes"]["scale_factor"] = "twice"
        document.write_text(json.dumps(contents))
    level = msi.open_multiscale(tmp_path / "a.zarr")["scale1"]
    assert level.focus.values.tolist() == [1, 2]
    assert level.well.values.tolist() == ["a", "b"]
