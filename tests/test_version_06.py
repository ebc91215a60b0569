"""OME-Zarr 0.6: axes in coordinate systems, one transformation per level, and further systems that are kept."""

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, StorePath

import msi_lazy as msi
from msi_lazy.tree.read_plan import read_plan

UNITS = {"z": "micrometer", "y": "micrometer", "x": "micrometer"}


def pyramid(method="mean", shape=(2, 6, 16, 24), dims="czyx", dtype="u2", factors=(2,), **keywords):
    pixels = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    image = msi.to_spatial_image(
        pixels, dims=dims, scale={"z": 2.0, "y": 0.5, "x": 0.25}, translation={"x": 7.0}, axis_units=UNITS, **keywords
    )
    return msi.to_multiscale(image, list(factors), method=method, chunks=8)


def labels(**keywords):
    return pyramid("mode", (6, 16, 24), "zyx", "u4", **keywords)


def block(store, path=""):
    return zarr.open_group(store, path=path, mode="r").attrs.asdict()["ome"]


def written(tree, **options):
    store = MemoryStore()
    tree.pyramid.to_zarr(store, version="0.6", **options)
    return store


def grids(tree):
    """Shape, scale and translation of each level."""
    return [(level.shape, level.scale, level.translation) for level in read_plan(tree).levels]


def versions(value):
    """Every member called ``version``, at any depth, of one called otherwise than ``metadata``."""
    if isinstance(value, dict):
        own = [value["version"]] if "version" in value else []
        return own + [one for name, inner in value.items() if name != "metadata" for one in versions(inner)]
    return [one for inner in value for one in versions(inner)] if isinstance(value, list) else []


def test_axes_are_in_one_system_and_each_level_has_one_transformation_to_it():
    (image,) = block(written(pyramid()))["multiscales"]
    assert "axes" not in image
    (system,) = image["coordinateSystems"]
    assert system["name"] == "physical"
    assert [axis["name"] for axis in system["axes"]] == list("czyx")
    assert system["axes"][3] == {"name": "x", "type": "space", "unit": "micrometer"}
    scale, coarser = ({"type": "scale", "scale": [1, 2 * n, 0.5 * n, 0.25 * n]} for n in (1, 2))
    shifts = [[0, 0, 0, 7], [0, 1, 0.25, 7.125]]
    for number, (dataset, step, shift) in enumerate(zip(image["datasets"], (scale, coarser), shifts, strict=True)):
        assert dataset["coordinateTransformations"] == [
            {
                "type": "sequence",
                "transformations": [step, {"type": "translation", "translation": shift}],
                "input": {"path": f"scale{number}/image"},
                "output": {"name": "physical"},
            }
        ]


def test_a_level_at_the_origin_has_a_scale_alone():
    (image,) = block(written(msi.to_multiscale(msi.to_spatial_image(np.ones((8, 8))), [])))["multiscales"]
    assert image["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1, 1], "input": {"path": "scale0/image"}, "output": {"name": "physical"}}
    ]


def test_it_opens_as_it_was_written():
    tree = pyramid()
    opened = msi.open_multiscale(written(tree))
    for number in (0, 1):
        here, there = tree[f"scale{number}"].image, opened[f"scale{number}"].image
        np.testing.assert_array_equal(there, here)
        for dim in "zyx":
            np.testing.assert_array_equal(there[dim], here[dim])
            assert there[dim].attrs == here[dim].attrs
    assert (read_plan(opened).method, grids(opened)) == ("mean", grids(tree))
    assert block(written(opened)) == block(written(tree))


def test_the_version_stands_once_in_each_group_and_is_the_same_in_all():
    store = MemoryStore()
    msi.to_zarr(pyramid(), store, version="0.6", group="a", labels={"cells": labels()})
    msi.write_labels(store, "more", labels(), group="a", colors={1: "FF0000"})
    for path in ("", "OME", "a", "a/labels", "a/labels/cells", "a/labels/more"):
        assert versions(block(store, path)) == ["0.6"]
    assert block(store)["bioformats2raw.layout"] == 3
    assert block(store, "a/labels")["labels"] == ["cells", "more"]
    assert block(store, "a/labels/more")["image-label"]["colors"]
    assert block(store, "a/labels/cells")["image-label"]["source"] == {"image": "../../"}


def test_added_levels_are_in_the_same_system():
    store = MemoryStore()
    tree = pyramid(factors=())
    tree.attrs["ome"]["multiscales"][0]["coordinateSystems"] = [{"name": "intrinsic", "axes": list("czyx")}]
    tree.pyramid.to_zarr(store, version="0.6")
    msi.add_levels(store, [2])
    (image,) = block(store)["multiscales"]
    assert [system["name"] for system in image["coordinateSystems"]] == ["intrinsic"]
    listed = [dataset["coordinateTransformations"][0] for dataset in image["datasets"]]
    assert [one["output"]["name"] for one in listed] == ["intrinsic"] * 2
    assert (
        listed[1]["transformations"]
        == block(written(pyramid()))["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["transformations"]
    )
    assert grids(msi.open_multiscale(store)) == grids(pyramid())


def test_an_image_of_06_is_maintained(tmp_path):
    path = tmp_path / "a.zarr"
    tree = pyramid()
    tree.pyramid.to_zarr(path, version="0.6")
    before = block(path)
    level = zarr.open_array(path / "scale1" / "image", mode="r+")
    samples = level[:]
    level[:] = 0
    assert not msi.verify(path).ok
    msi.verify(path, repair=True)
    np.testing.assert_array_equal(zarr.open_array(path / "scale1" / "image", mode="r")[:], samples)
    zarr.open_array(path / "scale0" / "image", mode="r+")[:, :, :8] = 3
    msi.update(path, {"y": slice(0, 8)})
    assert msi.verify(path).ok
    assert block(path) == before


@pytest.mark.parametrize("stated", ["0.6", "0.6rc0", "0.6rc1"])
def test_release_candidates_are_this_version(stated):
    store = written(pyramid())
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    root.attrs["ome"] = {**root.attrs["ome"], "version": stated}
    opened = msi.open_multiscale(store)  # without a warning
    assert block(written(opened))["version"] == "0.6"


def test_a_version_to_come_is_read_with_a_remark():
    store = written(pyramid())
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    root.attrs["ome"] = {**root.attrs["ome"], "version": "0.9.dev1"}
    with pytest.warns(UserWarning, match=r"its version '0\.9\.dev1' is read as 0\.6"):
        msi.open_multiscale(store)


def test_systems_tell_the_version_where_none_is_stated():
    store = written(pyramid())
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    stated = dict(root.attrs["ome"])
    del stated["version"]
    root.attrs["ome"] = stated
    assert grids(msi.open_multiscale(store)) == grids(pyramid())
    msi.write_labels(StorePath(store), "cells", labels())
    assert block(store, "labels")["version"] == "0.6"


# --- axes in words ---


def with_words():
    tree = pyramid(axis_names={"z": "depth of the slice"})
    for level in tree.children.values():
        level["x"].attrs["anatomical_orientation"] = "right-to-left"
    return tree


def axis_of(store, name):
    (image,) = block(store)["multiscales"]
    listed = image["axes"] if "axes" in image else image["coordinateSystems"][0]["axes"]
    return next(axis for axis in listed if axis["name"] == name)


RIGHT_TO_LEFT = {"type": "anatomical", "value": "right-to-left"}


def test_descriptions_orientations_and_discreteness_are_in_the_axes():
    store = written(with_words())
    space = {"type": "space", "unit": "micrometer"}
    assert axis_of(store, "c") == {"name": "c", "type": "channel", "discrete": True}
    assert axis_of(store, "z") == {"name": "z", **space, "longName": "depth of the slice"}
    assert axis_of(store, "y") == {"name": "y", **space}
    assert axis_of(store, "x") == {"name": "x", **space, "orientation": RIGHT_TO_LEFT}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_older_versions_keep_them_as_attributes_of_the_coordinates(version):
    store = MemoryStore()
    with_words().pyramid.to_zarr(store, version=version)
    attributes = zarr.open_group(store, mode="r").attrs.asdict()
    assert not {"orientation", "longName"} & set(attributes.get("ome", attributes)["multiscales"][0]["axes"][-1])
    opened = msi.open_multiscale(store)
    assert opened["scale1"].x.attrs["anatomical_orientation"] == "right-to-left"
    assert opened["scale1"].z.attrs["long_name"] == "depth of the slice"
    assert axis_of(written(opened), "x")["orientation"] == RIGHT_TO_LEFT
    assert axis_of(written(opened), "z")["longName"] == "depth of the slice"


def by_another_tool(version="0.6"):
    """A store whose words are in its axes alone, as other tools have them."""
    store = MemoryStore()
    root = zarr.create_group(store)
    root.create_array("0", data=np.ones((8, 8), "u1"), dimension_names=["y", "x"])
    axes = [
        {"name": "y", "type": "space", "discrete": True, "orientation": {"type": "ship", "towards": "bow"}},
        {"name": "x", "type": "space", "orientation": {**RIGHT_TO_LEFT, "by": "me"}, "longName": "across"},
    ]
    scale = {"type": "scale", "scale": [1.0, 1.0]}
    if version == "0.5":
        image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}
    else:
        scale |= {"input": {"path": "0"}, "output": {"name": "physical"}}
        image = {
            "coordinateSystems": [{"name": "physical", "axes": axes}],
            "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
        }
    root.attrs["ome"] = {"version": version, "multiscales": [image]}
    return store, axes


@pytest.mark.parametrize("between", ["0.4", "0.5", "0.6"])
@pytest.mark.parametrize("version", ["0.5", "0.6"])
def test_words_in_axes_are_attributes_of_coordinates_and_come_back(version, between):
    store, axes = by_another_tool(version)
    tree = msi.open_multiscale(store)
    assert tree["scale0"].x.attrs == {"long_name": "across", "anatomical_orientation": "right-to-left"}
    copy = MemoryStore()
    tree.pyramid.to_zarr(copy, version=between)
    assert [axis_of(written(msi.open_multiscale(copy)), name) for name in "yx"] == axes


@pytest.mark.parametrize("version", ["0.5", "0.6"])
def test_words_that_are_changed_or_removed_are_so_in_the_axes(version):
    tree = msi.open_multiscale(by_another_tool()[0])
    coordinate = tree["scale0"].x
    coordinate.attrs["anatomical_orientation"] = "left-to-right"
    del coordinate.attrs["long_name"]
    edited = tree.pyramid.assign_coords(x=coordinate)
    store = MemoryStore()
    edited.pyramid.to_zarr(store, version=version)
    assert axis_of(store, "x")["orientation"] == {**RIGHT_TO_LEFT, "by": "me", "value": "left-to-right"}
    assert "longName" not in axis_of(store, "x")
    assert msi.open_multiscale(store)["scale0"].x.attrs["anatomical_orientation"] == "left-to-right"


def test_words_in_the_axes_count_where_coordinates_say_otherwise():
    store = written(with_words())
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    ome = dict(root.attrs["ome"])
    ome["multiscales"][0]["coordinateSystems"][0]["axes"][3]["orientation"]["value"] = "left-to-right"
    root.attrs["ome"] = ome
    with pytest.warns(UserWarning, match=r"anatomical_orientation of 'x': 'left-to-right', not 'right-to-left'"):
        assert msi.open_multiscale(store)["scale1"].x.attrs["anatomical_orientation"] == "left-to-right"


# --- one version in a hierarchy ---


@pytest.mark.parametrize(("first", "second"), [("0.5", "0.6"), ("0.6", "0.5")])
def test_a_hierarchy_of_another_version_is_refused_and_left_alone(first, second):
    store = MemoryStore()
    msi.to_zarr(pyramid(), store, version=first, group="a")
    before = {key: value.to_bytes() for key, value in store._store_dict.items()}
    with pytest.raises(ValueError, match=rf"is OME-Zarr {first}, and all of a hierarchy .* version='{first}'"):
        msi.to_zarr(pyramid(), store, version=second, group="b")
    assert {key: value.to_bytes() for key, value in store._store_dict.items()} == before
    msi.to_zarr(pyramid(), store, version=first, group="b")


def test_an_interrupted_write_is_resumed(tmp_path):
    path = tmp_path / "a.zarr"
    pyramid().pyramid.to_zarr(path, version="0.6", compute=False)
    with pytest.raises(msi.UnfinishedImageError):
        msi.open_multiscale(path)
    pyramid().pyramid.to_zarr(path, version="0.6", resume=True)
    assert block(path) == block(written(pyramid()))
    assert msi.verify(path).ok


def test_replacing_an_image_may_change_its_version(tmp_path):
    path = tmp_path / "a.zarr"
    for version in ("0.5", "0.6", "0.5"):
        pyramid().pyramid.to_zarr(path, version=version, mode="w")
        assert block(path)["version"] == version
