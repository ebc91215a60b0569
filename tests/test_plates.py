"""Plates that are opened: lazy mappings of wells and fields."""

import json

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from zarr.storage import MemoryStore, WrapperStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.storage.target import quietly
from tests.support.optional import require

PIXELS = np.random.default_rng(0).integers(1, 99, (16, 16), dtype="u2")
FIELDS = {"A/1/0": 0, "A/1/1": 1, "B/10/0": 0, "AA/2/x": None}
"""Paths of the fields, and the value that is added to the pixels of each."""


def tree(value=0):
    return msi.to_multiscale(msi.to_spatial_image(PIXELS + np.uint16(value or 0), dims="yx"), [2], chunks=8)


class Recording(WrapperStore):
    """Store that remembers the keys that were asked for."""

    def __init__(self, store):
        super().__init__(store)
        self.keys = []

    async def get(self, key, *args, **options):
        self.keys.append(key)
        return await super().get(key, *args, **options)


def make_plate(store, version="0.5", written=FIELDS, **members):
    """Store a plate with groups, and attributes, as the specification says."""
    zarr_format = 2 if version == "0.4" else 3
    names = [[*dict.fromkeys(path.split("/")[n] for path in FIELDS)] for n in range(3)]
    wells = [*dict.fromkeys(path.rpartition("/")[0] for path in FIELDS)]
    plate = {
        "name": "screen 7",
        "rows": [{"name": name} for name in names[0]],
        "columns": [{"name": name} for name in [*names[1], "11"]],
        "wells": [{"path": path, "rowIndex": n, "columnIndex": n} for n, path in enumerate(wells)],
        "acquisitions": [{"id": 0, "name": "day 1"}, {"id": 1, "name": "day 2"}],
        "field_count": 2,
    } | members
    root = zarr.create_group(store, zarr_format=zarr_format)
    state(root, {"plate": plate}, version)
    for path in wells:
        images = [
            {"path": field.split("/")[2]} | ({} if number is None else {"acquisition": number})
            for field, number in FIELDS.items()
            if field.startswith(f"{path}/")
        ]
        state(root.create_group(path), {"well": {"images": images}}, version)
    for path in written:
        tree(FIELDS[path]).pyramid.to_zarr(store, group=path, version=version)


def state(group, block, version):
    group.attrs.update(block if version == "0.4" else {"ome": {"version": version, **block}})


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_a_plate_is_a_mapping_of_its_fields(version):
    store = MemoryStore()
    make_plate(store, version)
    plate = msi.open_plate(store)
    keys = [("A", "1", 0), ("A", "1", 1), ("B", "10", 0), ("AA", "2", "x")]
    assert list(plate) == keys
    assert len(plate) == 4
    assert plate.version == version
    assert plate.name == "screen 7"
    assert (plate.rows, plate.columns) == (("A", "B", "AA"), ("1", "10", "2", "11"))
    for key, value in zip(keys, FIELDS.values(), strict=True):
        np.testing.assert_array_equal(plate[key]["scale0"].image, PIXELS + (value or 0))
        assert key in plate
    assert plate["A", 1, "0"].identical(plate["A/1/0"])
    assert plate["A/1/0"].identical(msi.open_multiscale(store, group="A/1/0"))


def test_names_and_paths_that_a_tool_wrote_as_numbers():
    store = MemoryStore()
    make_plate(store, columns=[{"name": 1}, {"name": "10"}, {"name": 2}])
    state(zarr.open_group(store, path="A/1"), {"well": {"images": [{"path": 0}, {"path": 1}]}}, "0.5")
    assert list(msi.open_plate(store))[:2] == [("A", "1", 0), ("A", "1", 1)]
    tree().pyramid.to_zarr(store, group="A/1/1", mode="w")
    assert msi.open_plate(store).columns == ("1", "10", "2")
    assert list(msi.open_plate(store)["A", "1"]) == [0, 1]


@pytest.mark.parametrize("listed", [None, [], [{"id": "0"}], [{"id": 1, "name": "day 2"}]])
def test_a_plate_that_lists_no_acquisition_of_its_wells_is_written_as_it_was_read(listed):
    store, other = MemoryStore(), MemoryStore()
    make_plate(store, acquisitions=listed)
    msi.write_plate(other, msi.open_plate(store).row("A"))
    assert msi.open_plate(other).acquisitions_of_fields() == {("A", "1", 0): 0, ("A", "1", 1): 1}


def test_parts_of_a_plate():
    store = MemoryStore()
    make_plate(store)
    plate = msi.open_plate(store)
    well = plate["A", "1"]
    assert list(well) == [0, 1]
    assert well.acquisitions == {0: 0, 1: 1}
    assert well[1].identical(plate["A", "1", 1])
    assert 2 not in well
    assert list(plate.row("A")) == [("A", "1", 0), ("A", "1", 1)]
    assert list(plate.column(10)) == [("B", "10", 0)]
    assert list(plate.acquisition(1)) == [("A", "1", 1)]
    assert list(plate.acquisition(0).row("A")["A/1"]) == [0]
    assert plate.acquisition_of(("A", "1", 1)) == 1
    assert plate.acquisition_of("AA/2/x") is None
    assert plate.acquisitions == {0: {"id": 0, "name": "day 1"}, 1: {"id": 1, "name": "day 2"}}


def test_a_plate_is_printed_for_people():
    store = MemoryStore()
    make_plate(store)
    lines = repr(msi.open_plate(store)).splitlines()
    assert lines[0].startswith("<msi_lazy.Plate 'screen 7', OME-Zarr 0.5, at ")
    assert lines[1:] == [
        "  3 wells in rows A, B, AA and columns 1, 10, 2, 11, up to 2 fields each",
        "  acquisition 0: day 1",
        "  acquisition 1: day 2",
        "      1 10  2 11",
        "   A  o  .  .  .",
        "   B  .  o  .  .",
        "  AA  .  .  o  .>",
    ]
    assert repr(msi.open_plate(store)["A/1"]) == "<msi_lazy.Well A/1: fields 0, 1 of the acquisitions 0, 1>"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_only_what_is_asked_for_is_read(version):
    store = MemoryStore()
    make_plate(store, version)
    recording = Recording(store)
    plate = msi.open_plate(recording)
    repr(plate)
    assert ("B", "10") in plate
    assert not [key for key in recording.keys if "/" in key]
    recording.keys.clear()
    assert ("B", "10", 0) in plate
    assert recording.keys == ["B/10/.zattrs" if version == "0.4" else "B/10/zarr.json"]
    list(plate)
    recording.keys.clear()
    assert len(plate) == len(list(plate.row("A"))) + 2
    assert recording.keys == []


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_wells_in_consolidated_metadata_are_not_read_again(version):
    store = MemoryStore()
    make_plate(store, version)
    with quietly():
        zarr.consolidate_metadata(store)
    recording = Recording(store)
    assert len(msi.open_plate(recording)) == 4
    assert not [key for key in recording.keys if "/" in key]


def test_what_a_plate_does_not_have():
    store = MemoryStore()
    make_plate(store)
    plate = msi.open_plate(store)
    with pytest.raises(KeyError, match="no well C/1; its 3 wells lie in rows A, B, AA and columns 1, 10, 2, 11"):
        plate["C", "1", 0]
    with pytest.raises(KeyError, match="the well A/1 has no field 7; its fields are 0, 1"):
        plate["A", "1", 7]
    with pytest.raises(KeyError, match="no row 'C'"):
        plate.row("C")
    with pytest.raises(KeyError, match=r"no acquisition 9; it has \[0, 1\]"):
        plate.acquisition(9)
    with pytest.raises(TypeError, match=r"not \('A', 1.5\)"):
        plate["A", 1.5]
    assert ("A", 1.5) not in plate
    assert ("C", "1", 0) not in plate
    assert ("A", "1", "00") not in plate


def test_wells_and_fields_that_are_listed_and_not_there(tmp_path):
    make_plate(tmp_path / "plate.zarr", written=["A/1/0"])
    (tmp_path / "plate.zarr/B/10/zarr.json").unlink()
    plate = msi.open_plate(tmp_path / "plate.zarr")
    with pytest.warns(UserWarning, match="lists wells that are not there: B/10$"):
        assert len(plate) == 3
    with pytest.raises(FileNotFoundError, match="lists the well B/10, which is not there"):
        plate["B", "10", 0]
    with pytest.raises(FileNotFoundError, match="A/1/1"):
        plate["A", "1", 1]


def test_what_is_no_plate():
    store = MemoryStore()
    make_plate(store)
    with pytest.raises(ValueError, match=r"'A/1' in memory.* is no plate; it is a well: give an image, group='A/1/0'"):
        msi.open_plate(store, group="A/1")
    with pytest.raises(
        ValueError, match="is a plate of 3 wells: open it with open_plate, or give an image, group='A/1/0'"
    ):
        msi.open_multiscale(store)
    with pytest.raises(FileNotFoundError, match="no Zarr group"):
        msi.open_plate(store, group="plate")


@pytest.mark.parametrize(
    "members",
    [
        {"wells": "A/1"},
        {"wells": [{"path": "A"}]},
        {"wells": [{"path": "../1"}]},
        {"wells": [{"path": 5}]},
        {"rows": [3]},
        {"columns": [{"name": None}]},
        {"wells": [{"path": f"A/{n}"} for n in range(20_001)]},
    ],
)
def test_malformed_plates_are_refused(members):
    store = MemoryStore()
    make_plate(store, written=[], **members)
    with pytest.raises(ValueError, match=r"well|plate|rows"):
        msi.open_plate(store)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"attributes": {"ome": {"well": {"images": [{"path": "../0"}]}}}}'])
def test_malformed_wells_are_named(tmp_path, content):
    make_plate(tmp_path / "plate.zarr", written=[])
    (tmp_path / "plate.zarr/A/1/zarr.json").write_bytes(content)
    plate = msi.open_plate(tmp_path / "plate.zarr")
    with pytest.raises(ValueError, match=r"A/1|plate or a well"):
        list(plate)


def test_a_plate_in_a_group_of_a_store(tmp_path):
    zarr.create_group(tmp_path)
    make_plate(zarr.create_group(tmp_path / "a").store_path / "plate")
    plate = msi.open_plate(tmp_path, group="a/plate")
    np.testing.assert_array_equal(plate["A", "1", 1]["scale0"].image, PIXELS + 1)
    assert json.loads((tmp_path / "zarr.json").read_text())["attributes"] == {}


def test_a_plate_is_verified_field_by_field(tmp_path):
    make_plate(tmp_path / "plate.zarr")
    report = msi.verify(tmp_path / "plate.zarr")
    assert report.ok
    assert [level.path for level in report.levels] == [f"{path}/scale1/image" for path in FIELDS]
    zarr.open_array(tmp_path / "plate.zarr/B/10/0/scale1/image", mode="r+")[0, 0] = 7
    report = msi.verify(tmp_path / "plate.zarr")
    assert [finding.path for finding in report.findings] == ["B/10/0/scale1/image"]
    assert msi.verify(tmp_path / "plate.zarr", repair=True).ok
    assert msi.verify(tmp_path / "plate.zarr").ok


def test_the_labels_of_a_field_are_verified_too(tmp_path):
    make_plate(tmp_path / "plate.zarr")
    labels = msi.to_multiscale(msi.to_spatial_image(PIXELS.astype("u4"), dims="yx"), [2], method="mode", chunks=8)
    msi.write_labels(tmp_path / "plate.zarr", "cells", labels, group="A/1/1")
    paths = [level.path for level in msi.verify(tmp_path / "plate.zarr").levels]
    assert paths == [*(f"{path}/scale1/image" for path in FIELDS), "A/1/1/labels/cells/scale1/image"]
    assert len(msi.verify(tmp_path / "plate.zarr", labels=False).levels) == 4


def test_the_command_line_knows_plates(tmp_path):
    msi.write_plate(tmp_path / "plate.zarr", {("A", 1, 0): tree(), ("A", 1, 1): tree(), ("C", 2, 0): tree(1)})
    shown = CliRunner().invoke(main, ["info", str(tmp_path / "plate.zarr")], catch_exceptions=False)
    assert "2 wells in rows A, C and columns 1, 2, up to 2 fields each" in shown.output
    assert "its first field, 'A/1/0':" in shown.output
    assert "scale1  8 x 8" in shown.output
    for command in ("validate", "verify"):
        done = CliRunner().invoke(main, [command, str(tmp_path / "plate.zarr")], catch_exceptions=False)
        assert done.exit_code == 0, done.output


def test_the_first_field_of_a_plate_is_viewed(tmp_path):
    require("neuroglancer")
    make_plate(tmp_path / "plate.zarr")
    with msi.view(tmp_path / "plate.zarr", open_browser=False) as viewer:
        assert "plate.zarr/A/1/0" in repr(viewer)
    with msi.view(tmp_path / "plate.zarr", group="AA/2/x", open_browser=False) as viewer:
        assert "plate.zarr/AA/2/x" in repr(viewer)
