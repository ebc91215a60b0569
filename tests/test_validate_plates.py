"""validate: plates and wells, each fault with its own finding and no other."""

from copy import deepcopy

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, StorePath

import msi_lazy as msi
from msi_lazy.validation import validate
from tests.support.stored_images import PLATE_RULES, broken, edited

VERSIONS = ("0.4", "0.5", "0.6")
ACQUISITION = {"id": 1, "name": "day", "maximumfieldcount": 2, "starttime": 1, "endtime": 2}
PLATE = {
    "name": "p",
    "field_count": 1,
    "rows": [{"name": "A"}, {"name": "B"}],
    "columns": [{"name": "1"}],
    "acquisitions": [ACQUISITION, ACQUISITION | {"id": 2}],
    "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "B/1", "rowIndex": 1, "columnIndex": 0}],
}


def plate(version):
    """A plate of two wells with one field each."""
    stated = {} if version == "0.6" else {"version": version}

    def block(name, members):
        found = {name: {**deepcopy(members), **stated}}
        return found if version == "0.4" else {"ome": {"version": version, **found}}

    zarr_format = 2 if version == "0.4" else 3
    root = zarr.create_group(MemoryStore(), zarr_format=zarr_format, attributes=block("plate", PLATE))
    units = {"y": "micrometer", "x": "micrometer"}
    tree = msi.to_multiscale(msi.to_spatial_image(np.ones((8, 8), "u1"), axis_units=units), [2])
    for row in "AB":
        well = {"images": [{"path": "0", "acquisition": 1}]}
        root.create_group(f"{row}/1", attributes=block("well", well))
        tree.pyramid.to_zarr(StorePath(root.store, f"{row}/1/0"), version=version)
    return root


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sound_plate_gives_no_finding(version):
    root = plate(version)
    report = validate(root)
    assert report.findings == ()
    assert report.versions == (version,)
    assert broken(root["A/1"]) == []


def wells(block):
    return block["plate"]["wells"]


def images(block):
    return block["well"]["images"]


FAULTS = [
    ("", lambda o: o["plate"].pop("rows"), "field-present well-indices"),
    ("", lambda o: o["plate"].pop("columns"), "field-present well-indices"),
    ("", lambda o: o["plate"].pop("wells"), "field-present"),
    ("", lambda o: o["plate"].update(wells=[]), "plate-lists"),
    ("", lambda o: o["plate"].update(rows=[]), "plate-lists well-indices"),
    ("", lambda o: o["plate"].update(wells={}), "field-type"),
    ("", lambda o: o["plate"]["rows"][0].pop("name"), "field-present"),
    ("", lambda o: o["plate"]["rows"][0].update(name="A-"), "plate-names well-place"),
    ("", lambda o: o["plate"]["rows"][0].update(name="B"), "plate-names well-place"),
    ("", lambda o: o["plate"].pop("name"), "plate-described"),
    ("", lambda o: o["plate"].update(field_count=0), "plate-acquisitions"),
    ("", lambda o: o["plate"].update(field_count=1.5), "plate-acquisitions"),
    ("", lambda o: o["plate"]["acquisitions"][0].pop("id"), "field-present well-acquisition"),
    ("", lambda o: o["plate"]["acquisitions"][0].update(id=-1), "plate-acquisitions well-acquisition"),
    ("", lambda o: o["plate"]["acquisitions"][0].update(id=2), "plate-acquisitions well-acquisition"),
    ("", lambda o: o["plate"]["acquisitions"][0].update(maximumfieldcount=0), "plate-acquisitions"),
    ("", lambda o: o["plate"]["acquisitions"][0].update(starttime=0.5), "plate-acquisitions"),
    ("", lambda o: o["plate"]["acquisitions"][0].update(endtime=-5), "plate-acquisitions"),
    ("", lambda o: o["plate"]["acquisitions"][0].pop("name"), "plate-described"),
    ("", lambda o: o["plate"]["acquisitions"][0].pop("maximumfieldcount"), "plate-described"),
    ("", lambda o: wells(o)[0].pop("path"), "field-present"),
    ("", lambda o: wells(o)[0].pop("rowIndex"), "field-present"),
    ("", lambda o: wells(o)[0].update(path="A"), "field-present well-path"),
    ("", lambda o: wells(o)[0].update(path="A/1/0"), "field-present well-path"),
    ("", lambda o: wells(o)[0].update(path="1/A"), "collection-images well-place"),
    ("", lambda o: wells(o)[0].update(rowIndex=2), "well-indices"),
    ("", lambda o: wells(o)[0].update(rowIndex=-1), "well-indices"),
    ("", lambda o: wells(o)[0].update(columnIndex="0"), "field-type"),
    ("", lambda o: wells(o)[0].update(rowIndex=1), "well-place"),
    ("", lambda o: wells(o).append(wells(o)[0]), "well-unique"),
    ("A/1", lambda o: o["well"].pop("images"), "field-present"),
    ("A/1", lambda o: o["well"].update(images=[]), "plate-lists"),
    ("A/1", lambda o: images(o)[0].pop("path"), "field-present"),
    ("A/1", lambda o: images(o)[0].update(path="../1/0"), "collection-images well-field-path"),
    ("A/1", lambda o: images(o)[0].update(path="__0"), "collection-images well-field-path"),
    ("A/1", lambda o: images(o)[0].update(path="7"), "collection-images"),
    ("A/1", lambda o: images(o).append(images(o)[0]), "plate-field-count well-unique"),
    ("A/1", lambda o: images(o)[0].pop("acquisition"), "well-acquisition"),
    ("A/1", lambda o: images(o)[0].update(acquisition=3), "well-acquisition"),
    ("A/1", lambda o: images(o)[0].update(acquisition="1"), "well-acquisition"),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("path", "change", "rules"), FAULTS)
def test_each_fault_is_found_and_nothing_else(version, path, change, rules):
    root = plate(version)
    with edited(root, path) as block:
        change(block)
    assert broken(root) == sorted(rules.split())


def test_every_rule_of_plates_has_a_fault():
    assert {rule for *_, rules in FAULTS for rule in rules.split()} >= PLATE_RULES


def test_a_well_alone_may_name_any_acquisition_and_its_images_are_checked():
    root = plate("0.5")
    assert broken(root["A/1"]) == []
    with edited(root, "A/1/0") as block:
        del block["multiscales"][0]["name"]
    found = {(finding.rule, finding.path) for finding in validate(root).findings}
    assert found == {("multiscale-name", "/A/1/0")}


def test_wells_of_old_versions_have_no_indices():
    """0.4 added rowIndex and columnIndex."""
    root = zarr.create_group(MemoryStore(), zarr_format=2)
    lists = {"rows": [{"name": "A"}], "columns": [{"name": "1"}], "wells": [{"path": "A/1"}]}
    root.attrs["plate"] = {"version": "0.1", "name": "p", **lists}
    assert broken(root) == ["collection-images"]
    root.attrs["plate"] = {"version": "0.4", "name": "p", **lists}
    assert broken(root) == ["collection-images", "field-present"]
