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
