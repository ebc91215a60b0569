"""validate: what is sound gives no finding, and each fault gives its own and no other."""

from itertools import chain

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore, StorePath

import msi_lazy as msi
from msi_lazy.validation import validate
from msi_lazy.validation.rules import RULES
from tests.support.stored_images import (
    LABEL,
    LEVEL,
    PLATE_RULES,
    SYSTEM_RULES,
    UNITS,
    VERSIONS,
    broken,
    edited,
    multiscale,
    small_image,
    sound_image,
    transformations,
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("decode", ["sample", "all", "none"])
def test_a_sound_image_gives_no_finding(version, decode):
    root = sound_image(version)
    report = validate(root.store, decode=decode)
    assert report.findings == ()
    assert report.ok
    assert report.versions == (version,)
    assert ("chunk-decodes" in report.passed) == (decode != "none")
    assert broken(root["labels"]) == broken(root[LABEL]) == []


@pytest.mark.parametrize(
    ("version", "boundary", "method"),
    [("0.5", "trim", "mean"), ("0.4", "pad", "mean"), ("0.5", "pad", "nearest"), ("0.4", "trim", "nearest")],
)
def test_what_this_library_writes_gives_no_finding(tmp_path, version, boundary, method):
    image = msi.to_spatial_image(np.ones((37, 1, 50), "u1"), dims="zyx", axis_units=UNITS, scale={"y": 7})
    tree = msi.to_multiscale(
        image, [{"z": 3, "x": 2}, {"z": 2, "x": 3}, {"x": 2}], method=method, chunks=8, boundary=boundary
    )
    tree.pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    assert validate(tmp_path / "a.zarr", decode="all").findings == ()


@settings(max_examples=10)
@given(st.data())
def test_cropped_pyramids_that_can_be_written_are_valid(data):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((1, 61), "u1")), [{"x": 2}] * 2)
    start = data.draw(st.integers(0, 59))
    cropped = tree.sel(x=slice(start, data.draw(st.integers(start + 1, 61))))
    store = MemoryStore()
    try:
        cropped.pyramid.to_zarr(store)
    except ValueError:  # a level would be empty, or not nest
        return
    assert validate(store, decode="none").ok


def swap(items, one, other):
    items[one], items[other] = items[other], items[one]


METADATA_FAULTS = [
    ("", lambda o: o.pop("multiscales"), "ome-metadata"),
    ("", lambda o: o.update(multiscales=[]), "multiscales-listed"),
    ("", lambda o: o.update(multiscales={}), "field-type"),
    ("", lambda o: multiscale(o).pop("axes"), "field-present"),
    ("", lambda o: multiscale(o).pop("name"), "multiscale-name"),
    ("", lambda o: multiscale(o).pop("type"), "multiscale-type"),
    ("", lambda o: multiscale(o).pop("metadata"), "multiscale-metadata"),
    ("", lambda o: multiscale(o)["axes"][0].update(name="z"), "axes-unique dimension-names"),
    ("", lambda o: multiscale(o)["axes"][0].pop("type"), "axes-type"),
    ("", lambda o: multiscale(o)["axes"][0].update(type="wavelength"), "axes-type"),
    (
        "",
        lambda o: [axis.update(type="channel") for axis in multiscale(o)["axes"][1:3]],
        "axes-space axes-time-channel",
    ),
    ("", lambda o: multiscale(o)["axes"][1].update(type="channel"), "axes-time-channel"),
    ("", lambda o: swap(multiscale(o)["axes"], 0, 1), "axes-order dimension-names label-shape omero-channels"),
    ("", lambda o: swap(multiscale(o)["axes"], 2, 3), "axes-zyx dimension-names label-shape"),
    ("", lambda o: multiscale(o)["axes"][3].pop("unit"), "axes-unit"),
    ("", lambda o: multiscale(o)["axes"][3].update(unit="um"), "axes-unit-name"),
    ("", lambda o: multiscale(o)["axes"][3].update(unit=""), "axes-unit-name"),
    ("", lambda o: multiscale(o)["axes"][3].update(unit=3), "field-type"),
    ("", lambda o: multiscale(o).update(datasets=[]), "datasets-listed"),
    ("", lambda o: multiscale(o)["datasets"][1].update(path="nowhere"), "dataset-opens"),
    ("", lambda o: multiscale(o)["datasets"][1].update(path="scale1"), "dataset-opens"),
    ("", lambda o: multiscale(o)["datasets"][1].update(path="../x"), "dataset-opens"),
    ("", lambda o: multiscale(o)["datasets"][1].pop("path"), "field-present"),
    ("", lambda o: transformations(o).reverse(), "transformations-form"),
    ("", lambda o: transformations(o).append(transformations(o)[0]), "transformations-form"),
    ("", lambda o: transformations(o).clear(), "transformations-form"),
    ("", lambda o: transformations(o)[0].update(type="affine"), "transformations-form"),
    ("", lambda o: multiscale(o).update(coordinateTransformations=[]), "transformations-form"),
    ("", lambda o: transformations(o)[0]["scale"].pop(), "transformation-length"),
    ("", lambda o: transformations(o)[1]["translation"].append(0), "transformation-length"),
    ("", lambda o: transformations(o)[0]["scale"].__setitem__(1, "2"), "field-type"),
    ("", lambda o: transformations(o)[0]["scale"].__setitem__(1, 0), "scale-positive"),
    ("", lambda o: transformations(o)[0]["scale"].__setitem__(1, float("nan")), "scale-positive"),
    ("", lambda o: transformations(o)[0]["scale"].__setitem__(1, 10**400), "scale-positive"),
    ("", lambda o: transformations(o)[1]["translation"].__setitem__(1, float("inf")), "translation-finite"),
    ("", lambda o: transformations(o)[0]["scale"].__setitem__(3, 0.65), "scale-matches-shape translation-centred"),
    ("", lambda o: transformations(o)[0]["scale"].__setitem__(1, 3), "scale-matches-shape translation-centred"),
    ("", lambda o: transformations(o)[1]["translation"].__setitem__(3, 0), "translation-aligned"),
    ("", lambda o: transformations(o).pop(), "translation-aligned"),
    ("", lambda o: transformations(o)[1]["translation"].__setitem__(2, 0), "translation-centred"),
    ("", lambda o: o["omero"]["channels"].pop(), "omero-channels"),
    ("", lambda o: o["omero"]["channels"][1].update(color="#00FF00"), "omero-color"),
    ("", lambda o: o["omero"]["channels"][1].update(color=[0, 255, 0]), "field-type"),
    ("", lambda o: o["omero"]["channels"][1]["window"].pop("start"), "omero-window"),
    ("", lambda o: o["omero"]["channels"][1]["window"].update(max="65535"), "omero-window"),
    ("", lambda o: o["omero"]["channels"][1]["window"].update(start=901), "omero-window-order"),
    ("", lambda o: o["omero"]["channels"][1]["window"].update(min=11), "omero-window-order"),
    ("", lambda o: o["omero"]["channels"][1]["window"].update(max=899), "omero-window-order"),
    ("labels", lambda o: o.update(labels=["cells", "nuclei"]), "label-opens"),
    ("labels", lambda o: o.update(labels="cells"), "field-type"),
    ("labels", lambda o: o.pop("labels"), "field-present"),
    (LABEL, lambda o: o.pop("multiscales"), "label-multiscales"),
    (LABEL, lambda o: o.pop("image-label"), "image-label"),
    (LABEL, lambda o: o["image-label"].pop("colors"), "image-label"),
    (LABEL, lambda o: o["image-label"].update(colors=[]), "label-lists"),
    (LABEL, lambda o: o["image-label"].update(properties=[]), "label-lists"),
    (LABEL, lambda o: o["image-label"].pop("version"), "image-label"),
    (LABEL, lambda o: o["image-label"]["colors"][0].update({"label-value": 1.5}), "label-value"),
    (LABEL, lambda o: o["image-label"]["properties"][0].pop("label-value"), "label-value"),
    (LABEL, lambda o: o["image-label"]["colors"][1].update({"label-value": 1}), "label-value-unique"),
    (LABEL, lambda o: o["image-label"]["colors"][0]["rgba"].pop(), "label-rgba"),
    (LABEL, lambda o: o["image-label"]["colors"][0].update(rgba=[0, 0, 0, 256]), "label-rgba"),
    (LABEL, lambda o: o["image-label"]["colors"][0].update(rgba=5), "label-rgba"),
    (LABEL, lambda o: o["image-label"]["colors"][0].update(rgba=[0, 0, 0.5, 1]), "label-rgba"),
    (LABEL, lambda o: o["image-label"]["source"].update(image="../"), "label-source"),
    (LABEL, lambda o: o["image-label"]["source"].update(image="/"), "label-source"),
    (LABEL, lambda o: multiscale(o)["datasets"].pop(), "label-levels"),
    (LABEL, lambda o: multiscale(o).update(type="gaussian"), "label-method"),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("path", "change", "rules"), METADATA_FAULTS)
def test_a_fault_in_the_metadata_is_found_and_nothing_else(version, path, change, rules):
    root = sound_image(version)
    with edited(root, path) as ome:
        change(ome)
    expected = set(rules.split()) - ({"dimension-names"} if version == "0.4" else set())
    report = validate(root, decode="none")
    assert {finding.rule for finding in report.findings} == expected
    assert all(finding.path.startswith("/" + path) for finding in report.findings if "label-shape" not in expected)
    assert report.ok == all(RULES[rule].severity == "should" for rule in expected)


def rewrite(root, path, **changes):
    """Write an array again, with other settings."""
    old = root[path]
    names = getattr(old.metadata, "dimension_names", None)
    settings = {"data": old[:], "dimension_names": names, "overwrite": True} | changes
    if old.metadata.zarr_format == 2:
        settings = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} | settings | {"dimension_names": None}
    root.create_array(path, **settings)


def with_shape(root, path, shape):
    rewrite(root, path, data=np.zeros(shape, root[path].dtype))


STORAGE_FAULTS = [
    (VERSIONS, lambda r: rewrite(r, LEVEL, data=r[LEVEL][:].astype("f4")), "dtype-same"),
    (VERSIONS, lambda r: with_shape(r, LEVEL, (2, 5, 40, 12)), "datasets-order scale-matches-shape label-shape"),
    (VERSIONS, lambda r: with_shape(r, LEVEL, (2, 5, 16, 13)), "shape-windows label-shape"),
    (VERSIONS, lambda r: with_shape(r, f"{LABEL}/scale2/image", (1, 1, 4)), "scale-matches-shape"),
    (("0.5",), lambda r: rewrite(r, LEVEL, dimension_names=["c", "z", "x", "y"]), "dimension-names"),
    (("0.5",), lambda r: rewrite(r, LEVEL, dimension_names=None), "dimension-names"),
    (("0.4",), lambda r: rewrite(r, LEVEL, chunk_key_encoding={"name": "v2", "separator": "."}), "chunk-separator"),
    (("0.4",), lambda r: with_shape(r, LEVEL, (5, 16, 12)), "dataset-dimensions"),
    (
        VERSIONS,
        lambda r: [
            rewrite(r, f"{LABEL}/scale{k}/image", data=r[f"{LABEL}/scale{k}/image"][:].astype("f4")) for k in range(3)
        ],
        "label-dtype",
    ),
]


@pytest.mark.parametrize(
    ("version", "change", "rules"), [(v, change, rules) for vs, change, rules in STORAGE_FAULTS for v in vs]
)
def test_a_fault_in_the_arrays_is_found_and_nothing_else(version, change, rules):
    root = sound_image(version)
    change(root)
    assert broken(root) == sorted(rules.split())


AXES = [{"name": str(n), "type": "space", "unit": "meter"} for n in range(6)]


FORMS = [
    ({"version": "0.7"}, "version-known"),
    ({"version": None}, "version-known dimension-names"),
    ({"version": 0.5}, "version-known"),
    ({"zarr_format": 2}, "zarr-format"),
    ({"nested": False, "version": "0.4"}, "zarr-format"),
    ({"nested": False, "version": "0.9", "zarr_format": 2}, "version-known"),
    ({"nested": False, "version": "0.3", "zarr_format": 2, "axes": ["x", "y"]}, "axes-names chunk-separator"),
    ({"nested": False, "version": None, "zarr_format": 2}, "version-stated chunk-separator"),
    ({"axes": AXES[:1]}, "axes-count axes-space dataset-dimensions transformation-length"),
    ({"axes": AXES}, "axes-count axes-space dataset-dimensions transformation-length"),
]


@pytest.mark.parametrize(("root", "rules"), FORMS)
def test_versions_formats_and_numbers_of_axes(root, rules):
    assert broken(small_image(**root)) == sorted(rules.split())


def test_labels_of_another_version_and_labels_that_nobody_lists():
    root = sound_image("0.5")
    root.create_group("labels/lost").attrs.put({"ome": {"version": "0.5", "multiscales": []}})
    assert broken(root) == ["label-listed"]
    root["labels"].attrs.put({"labels": []})
    assert broken(root) == ["version-consistent", "zarr-format"]


def small_pyramid():
    return msi.to_multiscale(msi.to_spatial_image(np.ones((8, 8, 8), "u1"), axis_units=UNITS), [2])


def test_every_image_of_a_collection_is_checked():
    root = zarr.create_group(MemoryStore(), attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    assert broken(root) == ["collection-images"]
    for name in ("0", "1", "b/c"):
        small_pyramid().pyramid.to_zarr(StorePath(root.store, name))
    assert broken(root) == []
    root.create_group("OME").attrs.put({"ome": {"version": "0.5", "series": ["1", "b/c", "gone"]}})
    with edited(root, "b/c") as ome:
        multiscale(ome).pop("name")
    found = {(finding.rule, finding.path) for finding in validate(root).findings}
    assert found == {("collection-images", "/gone"), ("multiscale-name", "/b/c")}
    root.attrs.put({"ome": {"version": "0.5", "bioformats2raw.layout": "3"}})
    assert "collection-layout" in broken(root)


def test_every_rule_has_a_fault():
    tables = chain(METADATA_FAULTS, STORAGE_FAULTS, FORMS)
    found = {rule for *_, rules in tables for rule in rules.split()}
    elsewhere = {"update-finished", "store-read", "group-opens", "chunk-decodes", "version-consistent", "label-listed"}
    elsewhere |= {"ome-xml", "ome-xml-images", "ome-xml-sizes"}
    elsewhere |= {"collection-layout", "collection-images", *SYSTEM_RULES, *PLATE_RULES}
    assert found | elsewhere == set(RULES)
