"""Images that are written one by one into a plate: each is listed in its well, and its well in the plate."""

import numpy as np
import pytest
import zarr
from ome_zarr_models.v04.hcs import HCS as HCS04
from ome_zarr_models.v04.well import Well as Well04
from ome_zarr_models.v05.hcs import HCS as HCS05
from ome_zarr_models.v05.well import Well as Well05
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.storage.target import quietly
from tests.support.optional import validate_elsewhere
from tests.support.stored_images import block

PIXELS = np.random.default_rng(0).integers(1, 9, (16, 16), dtype="u2")
MODELS = {"0.4": (HCS04, Well04), "0.5": (HCS05, Well05)}


def tree():
    return msi.to_multiscale(msi.to_spatial_image(PIXELS, dims="yx"), [2], chunks=8)


def make_plate(store, version="0.5", **members):
    """Store a plate of one well without fields, as another tool does."""
    plate = {"name": "p", "rows": [{"name": "B"}], "columns": [{"name": "2"}], "field_count": 1}
    plate["wells"] = [{"path": "B/2", "rowIndex": 0, "columnIndex": 0}]
    plate |= members
    root = zarr.create_group(store, zarr_format=2 if version == "0.4" else 3)
    if version == "0.4":
        root.attrs["plate"] = {**plate, "version": "0.4"}
    else:
        root.attrs["ome"] = {"version": version, "plate": {**plate, "version": version}}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_fields_wells_rows_and_columns_are_listed_in_the_order_of_plates(tmp_path, version):
    store = tmp_path / "plate.zarr"
    make_plate(store, version)
    for group in ("B/2/0", "AA/10/0", "A/1/1", "A/1/0", "B/2/10", "B/2/2"):
        tree().pyramid.to_zarr(store, group=group, version=version)
    plate = block(store)["plate"]
    assert [row["name"] for row in plate["rows"]] == ["A", "B", "AA"]
    assert [column["name"] for column in plate["columns"]] == ["1", "2", "10"]
    assert plate["wells"] == [
        {"path": "A/1", "rowIndex": 0, "columnIndex": 0},
        {"path": "B/2", "rowIndex": 1, "columnIndex": 1},
        {"path": "AA/10", "rowIndex": 2, "columnIndex": 2},
    ]
    assert plate["field_count"] == 3
    assert [image["path"] for image in block(store, "B/2")["well"]["images"]] == ["0", "2", "10"]
    assert plate["name"] == "p"
    hcs, well = MODELS[version]
    hcs.from_zarr(zarr.open_group(store, mode="r"))
    well.from_zarr(zarr.open_group(store, path="A/1", mode="r"))
    validate_elsewhere(store)
    assert msi.validate(store).ok
    np.testing.assert_array_equal(msi.open_multiscale(store, group="AA/10/0")["scale0"].image, PIXELS)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_nothing_else_of_the_root_is_touched(tmp_path, version):
    """A plate is no collection: the layout of bioformats2raw is none of its."""
    store = tmp_path / "plate.zarr"
    make_plate(store, version)
    before = zarr.open_group(store, mode="r").attrs.asdict()
    tree().pyramid.to_zarr(store, group="B/2/0", version=version)
    assert zarr.open_group(store, mode="r").attrs.asdict() == before
    assert sorted(path.name for path in store.iterdir() if path.is_dir()) == ["B"]


def test_a_field_that_is_replaced_stays_as_it_is_listed(tmp_path):
    store = tmp_path / "plate.zarr"
    make_plate(store, acquisitions=[{"id": 3, "maximumfieldcount": 1}])
    for mode in ("w-", "w"):
        tree().pyramid.to_zarr(store, group="B/2/0", mode=mode)
    assert block(store, "B/2")["well"]["images"] == [{"path": "0", "acquisition": 3}]
    tree().pyramid.to_zarr(store, group="B/2/1")
    assert block(store)["plate"]["acquisitions"] == [{"id": 3, "maximumfieldcount": 2}]


def test_a_field_of_a_plate_with_consolidated_metadata():
    store = MemoryStore()
    make_plate(store)
    with quietly():
        zarr.consolidate_metadata(store)
    tree().pyramid.to_zarr(store, group="A/1/0")
    root = zarr.open_group(store, mode="r", use_consolidated=True)
    assert root["A/1"].attrs["ome"]["well"]["images"] == [{"path": "0"}]
    assert len(root.attrs["ome"]["plate"]["wells"]) == 2


def test_a_field_of_a_well_that_is_given_alone(tmp_path):
    """What lies above the place that a user gives is not touched."""
    store = tmp_path / "plate.zarr"
    make_plate(store)
    tree().pyramid.to_zarr(store, group="B/2/0")
    tree().pyramid.to_zarr(store / "B" / "2", group="1")
    assert block(store, "B/2") == {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}
    assert block(store)["plate"]["field_count"] == 1


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("B/2", "is a plate, and its images are the fields of wells"),
        ("a", "is a plate, and its images are the fields of wells"),
        ("B/2/0/1", "is a plate, and its images are the fields of wells"),
        ("B-1/2/0", "name of a row .* not 'B-1'"),
        ("B/ä/0", "name of a column .* not 'ä'"),
        ("B/2/a_b", "name of a field .* 'a_b' does not"),
    ],
)
def test_places_that_are_none_of_a_field(tmp_path, group, message):
    store = tmp_path / "plate.zarr"
    make_plate(store)
    with pytest.raises(ValueError, match=message):
        tree().pyramid.to_zarr(store, group=group)
    assert [path.name for path in store.iterdir()] == ["zarr.json"]


def test_a_field_of_one_of_several_acquisitions(tmp_path):
    """If the plate "contains multiple acquisitions, each image MUST" state its own: it must be in the list before."""
    store = tmp_path / "plate.zarr"
    make_plate(store, acquisitions=[{"id": 0}, {"id": 1}])
    with pytest.raises(ValueError, match="acquisitions 0, 1, and the well B/2 does not say of which its field '0' is"):
        tree().pyramid.to_zarr(store, group="B/2/0")
    assert [path.name for path in store.iterdir()] == ["zarr.json"]
    well = zarr.open_group(store, mode="r+").create_group("B/2")
    well.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0", "acquisition": 1}]}}
    tree().pyramid.to_zarr(store, group="B/2/0")
    assert block(store, "B/2")["well"]["images"] == [{"path": "0", "acquisition": 1}]


def test_a_malformed_plate_is_refused(tmp_path):
    make_plate(tmp_path / "plate.zarr", wells=["B/2"])
    with pytest.raises(ValueError, match="'wells' of a plate or a well must be a list of objects"):
        tree().pyramid.to_zarr(tmp_path / "plate.zarr", group="B/2/0")
    assert [path.name for path in (tmp_path / "plate.zarr").iterdir()] == ["zarr.json"]
