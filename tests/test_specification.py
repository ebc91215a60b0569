"""The table of specifications: it alone knows versions, and a row is all that a further version takes."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.ngff import multiscale_form, read_multiscale, specifications
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.specification import Specification
from msi_lazy.ngff.specifications import (
    SPECIFICATIONS,
    find_specification,
    foreign_attributes,
    ome_block,
    specification_in,
    specification_of,
)
from msi_lazy.tree.read_plan import read_plan
from tests.support.stored_images import broken, edited, small_image, sound_image

PACKAGE = Path(msi.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py"))
TABLES = {  # alone in naming versions of OME-Zarr, the attribute they are under, or versions of Zarr
    "ngff/specification.py",
    "ngff/specifications.py",
    "ngff/version_04.py",
    "ngff/version_05.py",
    "ngff/version_06.py",
    "storage/zarr_formats.py",
}


def docstrings(tree):
    """Constants that are statements: docstrings, and those under fields."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def compared(node):
    """Names of what a comparison holds against something."""
    sides = [node.left, *node.comparators]
    return {getattr(side, "attr", getattr(side, "id", None)) for side in sides}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_tables_know_versions(path):
    if path.relative_to(PACKAGE).as_posix() in TABLES:
        return
    tree = ast.parse(path.read_text())
    told = docstrings(tree)
    named = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in told]
    assert not [value for value in named if isinstance(value, str) and value in ("0.4", "ome", "0.5", "0.6")]
    comparisons = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    assert not [ast.unparse(node) for node in comparisons if compared(node) & {"version", "zarr_format"}]


def test_the_type_of_a_version_lists_the_table():
    written = [row for row in SPECIFICATIONS if row.is_written]
    assert get_args(specifications.Version) == tuple(row.version for row in written)
    assert specifications.DEFAULT_VERSION in get_args(specifications.Version)
    assert {row.zarr_format for row in SPECIFICATIONS} == {2, 3}
    for row in written:
        assert find_specification(row.version) is row
        assert specification_in(row.zarr_format).zarr_format == row.zarr_format
    assert specification_in(2).version == "0.4"
    assert specification_in(3).version == specifications.DEFAULT_VERSION


SCALE = [{"type": "scale", "scale": [1.0, 1.0]}]
DATASETS = [{"path": "0", "coordinateTransformations": SCALE}]
AXES = [{"name": name, "type": "space"} for name in "yx"]
STRANGE = {
    "0.8": {"multiscales": [{"version": "0.8", "axes": AXES, "datasets": [{"path": "0"}]}]},
    "0.7": {"ome": {"version": "0.7", "scene": {}}},
}


def strange(version):
    root = zarr.create_group(MemoryStore(), attributes=STRANGE[version])
    root.create_array("0", shape=(8, 8), dtype="u1")
    return root.store


def tree_of(method="mean", dtype="u1", **keywords):
    return msi.to_multiscale(msi.to_spatial_image(np.ones((16, 24), dtype), **keywords), [2], method=method, chunks=8)


@pytest.mark.parametrize("version", STRANGE)
@pytest.mark.parametrize(
    "use",
    [
        msi.open_multiscale,
        msi.view,
        lambda store: msi.add_levels(store, [2]),
        lambda store: msi.write_labels(store, "cells", tree_of("mode", "u4")),
        msi.verify,
    ],
)
def test_an_unknown_version_is_refused_by_name(version, use):
    with pytest.raises(ValueError, match=rf"the image is OME-Zarr {version}; versions 0\.1, .* and \S+ can be read"):
        use(strange(version))


def test_a_version_to_write_is_one_of_the_table():
    with pytest.raises(ValueError, match=r"version must be one of '0\.4', '0\.5', '0\.6', not '0\.7'"):
        tree_of().pyramid.to_zarr(MemoryStore(), version="0.7")


IMAGE = {"axes": AXES, "datasets": DATASETS}


@pytest.mark.parametrize(
    ("attributes", "version"),
    [
        ({"ome": {"multiscales": [IMAGE]}}, "0.5"),
        ({"ome": {"multiscales": [{**IMAGE, "version": "0.4"}]}}, "0.5"),
        ({"multiscales": [IMAGE]}, "0.4"),
        ({"multiscales": [{**IMAGE, "version": "0.5"}]}, "0.4"),
        ({"multiscales": [IMAGE], "version": "2.17"}, "0.4"),  # of whoever wrote it
        ({"ome": {"version": "0.5", "multiscales": [IMAGE]}, "multiscales": [{"version": "0.3"}]}, "0.5"),
    ],
)
def test_the_place_of_a_block_decides_where_its_version_is_missing_or_wrong(attributes, version):
    assert specification_of(attributes).version == parse_image(attributes).version == version


def test_without_datasets_and_version_the_message_says_how_they_were_read():
    with pytest.raises(ValueError, match=r"malformed: KeyError\('datasets'\); they state no version, .* read as 0\.4"):
        parse_image({"multiscales": [{"axes": AXES}]})


def test_blocks_are_found_whatever_their_version():
    assert ome_block({"ome": {"version": "77", "labels": ["a"]}})["labels"] == ["a"]
    assert ome_block({"labels": ["a"]})["labels"] == ["a"]
    assert ome_block({"ome": 3}) == ome_block({}) == {}
    assert specification_of({}, zarr_format=2).version == "0.4"
    assert specification_of({}, zarr_format=3).version == "0.5"
    with pytest.raises(ValueError, match="holds no OME-Zarr image"):
        specification_of({})


def test_attributes_of_users_may_be_called_like_members_of_a_block():
    """In 0.4 an image's attributes are its block (§ "multiscales" metadata), and anyone may put others beside them."""
    mine = {"series": 3, "well": "B4", "by": "me"}
    tree = tree_of()
    tree.attrs.update(mine)
    for version in ("0.4", "0.5"):
        store = MemoryStore()
        tree.pyramid.to_zarr(store, version=version)
        opened = msi.open_multiscale(store)
        assert foreign_attributes(opened.attrs) == mine
        assert set(opened.attrs["ome"]) == {"version", "multiscales"}


def test_a_tree_with_flat_attributes_is_stamped_in_the_form_of_trees(tmp_path):
    tree_of().pyramid.to_zarr(tmp_path / "a.zarr", version="0.4")
    tree = msi.open_multiscale(tmp_path / "a.zarr")
    flat = tree.copy()
    flat.attrs = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs.asdict()
    assert flat.pyramid.refresh().attrs == tree.attrs
    assert set(tree.attrs) == {"ome"}


# --- facts of a row: what a rule holds for one version only ---


def registered(monkeypatch, version, **facts):
    """The table, with another fact in the row of a version."""
    rows = tuple(replace(row, **facts) if row.is_called(version) else row for row in SPECIFICATIONS)
    monkeypatch.setattr(specifications, "SPECIFICATIONS", rows)


def test_names_of_dimensions_are_a_fact_of_the_row(monkeypatch):
    """0.5, § "multiscales" metadata: the names of an array's dimensions have to be those of the axes, in order."""
    root = small_image()
    assert broken(root) == ["dimension-names"]
    registered(monkeypatch, "0.5", dimension_names_required=False)
    assert broken(root) == []


def test_the_separator_of_keys_is_a_fact_of_the_row(monkeypatch):
    """0.4, § Images: chunks are nested in directories, so the indices in their keys are separated by a slash."""
    root = small_image(zarr_format=2, nested=False, version="0.4")
    assert broken(root) == ["chunk-separator"]
    registered(monkeypatch, "0.4", separator=".")
    assert broken(root) == []
    registered(monkeypatch, "0.4", separator=None)
    assert broken(root) == []


def test_the_place_of_the_version_is_a_fact_of_the_row(monkeypatch):
    """0.4, § "multiscales" metadata: each image should state the version; in 0.5 (§ "ome") it is stated once."""
    root = small_image(zarr_format=2, nested=False, version=None)
    assert "version-stated" in broken(root)
    registered(monkeypatch, "0.4", version_in_multiscale=False)
    assert "version-stated" not in broken(root)


@pytest.mark.parametrize(("version", "required"), [("0.4", True), ("0.5", False)])
def test_colours_and_windows_of_channels_are_a_fact_of_the_row(monkeypatch, version, required):
    """0.4, § "omero" metadata: each channel has to have a colour and a window, which 0.5 does not ask for."""
    root = sound_image(version)
    with edited(root) as ome:
        del ome["omero"]["channels"][0]["color"], ome["omero"]["channels"][1]["window"]
    assert broken(root) == (["field-present"] if required else [])
    registered(monkeypatch, version, channel_display_required=not required)
    assert broken(root) == ([] if required else ["field-present"])


@pytest.mark.parametrize(("version", "rules"), [("0.4", []), ("0.5", ["label-listed"])])
def test_a_complete_list_of_labels_is_a_fact_of_the_row(monkeypatch, version, rules):
    """0.5, § "labels" metadata: all label images should be listed, so that readers find them."""
    root = sound_image(version)
    with edited(root, "labels") as ome:
        ome["labels"] = []
    assert broken(root) == rules
    registered(monkeypatch, version, all_labels_listed=not rules)
    assert broken(root) == ([] if rules else ["label-listed"])


# --- a further version is a row, a reader and a writer ---


def odd(block):
    image = dict(block["multiscales"][0])
    return {**block, "multiscales": [{"systems": image.pop("axes"), "arrays": image.pop("datasets"), **image}]}


def plain(block):
    image = dict(block["multiscales"][0])
    return {**block, "multiscales": [{"axes": image.pop("systems"), "datasets": image.pop("arrays"), **image}]}


def write_odd(plan, members, version):
    return odd({"version": version, "multiscales": [multiscale_form.compose_multiscale(plan)], **members})


def read_odd(block, version):
    return read_multiscale.read_multiscale(plain(block), version)


def append_odd(block, plan, paths):
    return odd(multiscale_form.append_levels(plain(block), plan, paths))


ODD = Specification(
    "9.9",
    zarr_format=3,
    holder="toy",
    read=read_odd,
    write=write_odd,
    append=append_odd,
    composed=("systems", "arrays", "name", "type", "metadata"),
)


def write_like_05(plan, members, version):
    return {"version": version, "multiscales": [multiscale_form.compose_multiscale(plan)], **members}


def write_flat(plan, members, version):
    image = {**multiscale_form.compose_multiscale(plan), "version": version}
    return {"toys": 1, "multiscales": [image], **members}


FURTHER = {
    "another holder": replace(find_specification("0.5"), version="9.9", holder="toy", write=write_like_05),
    "the same holder": replace(find_specification("0.5"), version="9.9", write=write_like_05),
    "no holder": replace(
        find_specification("0.5"),
        version="9.9",
        holder=None,
        marks=("toys",),
        write=write_flat,
        version_in_multiscale=True,
    ),
}


@pytest.fixture
def register(monkeypatch):
    def add(row):
        first = (row,) if row.holder is None else ()
        rows = (*SPECIFICATIONS[:-1], *first, SPECIFICATIONS[-1], *(() if first else (row,)))
        monkeypatch.setattr(specifications, "SPECIFICATIONS", rows)

    return add


UNITS = {"y": "micrometer", "x": "micrometer"}


@pytest.mark.parametrize("row", FURTHER.values(), ids=FURTHER)
def test_a_further_version_takes_a_row(register, row):
    register(row)
    store = MemoryStore()
    tree = tree_of(axis_units=UNITS, scale={"x": 0.5})
    labels = tree_of("mode", "u4", axis_units=UNITS, scale={"x": 0.5})
    msi.to_zarr(tree, store, version="9.9", labels={"cells": labels})
    group = zarr.open_group(store, mode="r")
    assert specification_of(group.attrs.asdict()) is row
    assert row.block_of(group["labels"].attrs.asdict())["labels"] == ["cells"]
    assert row.block_of(group["labels/cells"].attrs.asdict())["image-label"]["source"] == {"image": "../../"}
    opened = msi.open_multiscale(store)
    assert read_plan(opened).levels[1].scale == (2, 1)
    assert opened.attrs["ome"]["version"] == "0.5"  # the form of trees stays
    assert set(opened.attrs) == {"ome"}
    assert msi.verify(store).ok
    if row.holder is not None:  # the group "labels" has no mark of the toy's
        report = msi.validate(store)
        assert report.versions == ("9.9",)
        assert [finding.rule for finding in report.findings] == ["image-label"]  # the toy gives labels no version


def test_a_further_version_takes_a_reader_and_a_writer(register):
    register(ODD)
    store = MemoryStore()
    image = msi.to_spatial_image(np.arange(2 * 16 * 24, dtype="u2").reshape(2, 16, 24), ("c", "y", "x"))
    msi.to_zarr(msi.to_multiscale(image, [2], chunks=8), store, version="9.9", group="a", windows="auto")
    msi.to_zarr(msi.to_multiscale(image, [], chunks=8), store, version="9.9", group="b")
    msi.add_levels(store, [2], group="b")
    labels = msi.to_multiscale(msi.to_spatial_image(np.ones((16, 24), "u4")), [2], method="mode", chunks=8)
    msi.write_labels(store, "cells", labels, group="b", colors={1: "FF0000"})
    root = zarr.open_group(store, mode="r")
    assert root.attrs.asdict() == {"toy": {"version": "9.9", "bioformats2raw.layout": 3}}
    assert root["OME"].attrs.asdict() == {"toy": {"version": "9.9", "series": ["a", "b"]}}
    assert root["b/labels"].attrs.asdict() == {"toy": {"version": "9.9", "labels": ["cells"]}}
    assert set(root["a"].attrs) == set(root["b"].attrs) == {"toy"}
    measured = root["a"].attrs["toy"]["omero"]["channels"][0]["window"]
    assert measured["end"] < 16 * 24
    assert [axis["name"] for axis in root["b"].attrs["toy"]["multiscales"][0]["systems"]] == ["c", "y", "x"]
    for path in ("a", "b"):
        opened = msi.open_multiscale(store, group=path)
        assert (len(opened.children), read_plan(opened).method) == (2, "mean")
        np.testing.assert_array_equal(opened["scale0"].image, image)
        assert len(opened.attrs["ome"]["omero"]["channels"]) == 2
        assert msi.verify(store, group=path).ok
    with pytest.raises(ValueError, match="is an image itself"):
        msi.to_zarr(labels, store, version="9.9", group="b/inside")
    with pytest.raises(ValueError, match=r"versions 0\.1, .* and 9\.9 can be read"):
        msi.open_multiscale(strange("0.7"))
