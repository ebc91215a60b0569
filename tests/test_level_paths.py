"""Paths of levels: in groups of their own, or arrays alone, as some readers insist."""

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.ngff.level_paths import level_path, style_of
from tests.support.failing_writes import failed_write
from tests.support.optional import validate_elsewhere

PICTURE = np.random.default_rng(5).integers(0, 4000, (2, 48, 64), dtype="u2")
IMAGE = msi.to_spatial_image(
    PICTURE,
    dims="cyx",
    scale={"y": 0.5, "x": 0.5},
    axis_units={"y": "micrometer", "x": "micrometer"},
    c_coords=["a", "b"],
)
TREE = msi.to_multiscale(IMAGE, [2, 2], chunks=16)
LABELS = msi.to_multiscale((IMAGE.isel(c=0, drop=True) // 500).astype("u4"), [2, 2], method="mode", chunks=16)
FLAT = pytest.mark.parametrize("paths", ["0", "s0"])


def listed(store, path=""):
    """Paths of the levels by the attributes, all of which are arrays."""
    attributes = zarr.open_group(store, path=path, mode="r").attrs.asdict()
    datasets = (attributes.get("ome") or attributes)["multiscales"][0]["datasets"]
    paths = [dataset["path"] for dataset in datasets]
    for name in paths:
        zarr.open_array(store, path=f"{path}/{name}".strip("/"), mode="r")
    return paths


def assert_same(store, tree=TREE, **options):
    back = msi.open_multiscale(store, **options)
    for level, node in tree.children.items():
        (image,), (found,) = node.data_vars.values(), back[level].data_vars.values()
        xr.testing.assert_allclose(found.reset_coords(drop=True), image.reset_coords(drop=True))
        for dim in image.dims:
            np.testing.assert_array_equal(found[dim], image[dim])


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@FLAT
def test_nothing_that_the_attributes_state_is_lost(tmp_path, paths, version):
    TREE.pyramid.to_zarr(tmp_path / "a.zarr", paths=paths, version=version, labels={"cells": LABELS})
    assert listed(tmp_path / "a.zarr") == [level_path(paths, level, "") for level in range(3)]
    assert listed(tmp_path / "a.zarr", "labels/cells") == listed(tmp_path / "a.zarr")
    assert_same(tmp_path / "a.zarr")
    assert_same(tmp_path / "a.zarr", LABELS, group="labels/cells")
    assert msi.open_multiscale(tmp_path / "a.zarr")["scale1"]["y"].attrs["units"] == "micrometer"
    assert msi.verify(tmp_path / "a.zarr").ok
    if version != "0.6":
        assert {found.rule for found in msi.validate(tmp_path / "a.zarr").findings} == {"image-label"}  # no colours
        validate_elsewhere(tmp_path / "a.zarr")


def test_by_default_xarray_opens_the_levels(tmp_path):
    TREE.pyramid.to_zarr(tmp_path / "a.zarr", paths="scale0")
    assert listed(tmp_path / "a.zarr") == ["scale0/image", "scale1/image", "scale2/image"]
    with xr.open_datatree(tmp_path / "a.zarr", engine="zarr") as tree:
        np.testing.assert_array_equal(tree["scale1"]["image"], TREE["scale1"]["image"])


@FLAT
def test_xarray_alone_opens_no_levels_of_one_group(tmp_path, paths):
    """As the docstring of to_zarr says; should xarray learn it, say so there."""
    TREE.pyramid.to_zarr(tmp_path / "a.zarr", paths=paths)
    with pytest.raises(ValueError, match="conflicting sizes"):
        xr.open_datatree(tmp_path / "a.zarr", engine="zarr")


@FLAT
def test_the_styles_are_known_again(paths):
    assert style_of([level_path(paths, level, "image") for level in range(12)]) == paths


@FLAT
def test_what_is_done_to_a_stored_image_follows(tmp_path, paths):
    store = tmp_path / "a.zarr"
    TREE.pyramid.to_zarr(store, paths=paths)
    level = store / level_path(paths, 1, "")
    chunk = level / "c/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[::-1])
    assert not msi.verify(store).ok
    assert msi.verify(store, repair=True).ok
    edited = zarr.open_array(store / level_path(paths, 0, ""), mode="r+")
    edited[:, :8, :8] = 7
    msi.update(store, {"y": slice(0, 8), "x": slice(0, 8)})
    assert msi.verify(store).ok
    msi.write_labels(store, "cells", LABELS)
    assert listed(store, "labels/cells") == listed(store)
    msi.add_levels(store, [2], group="labels/cells")
    msi.add_levels(store, [2])
    assert listed(store) == [level_path(paths, level, "") for level in range(4)]
    assert listed(store, "labels/cells") == listed(store)
    assert msi.validate(store).ok
    assert msi.verify(store).ok


@FLAT
def test_an_interrupted_write_is_resumed_with_the_same_paths_only(paths):
    store = failed_write(TREE, 30, paths=paths)
    with pytest.raises(msi.ResumeError, match=r"differs: images\.layout\."):
        TREE.pyramid.to_zarr(store, resume=True)
    TREE.pyramid.to_zarr(store, paths=paths, resume=True)
    assert_same(store)


@FLAT
def test_images_of_both_styles_replace_each_other(tmp_path, paths):
    TREE.pyramid.to_zarr(tmp_path / "a.zarr", paths=paths)
    TREE.pyramid.to_zarr(tmp_path / "a.zarr", mode="w")
    assert listed(tmp_path / "a.zarr")[0] == "scale0/image"
    msi.open_multiscale(tmp_path / "a.zarr").pyramid.to_zarr(tmp_path / "b.zarr", paths=paths)
    assert listed(tmp_path / "b.zarr")[1] == level_path(paths, 1, "")
    assert_same(tmp_path / "b.zarr")


@FLAT
def test_coordinates_that_are_lost_are_named(paths):
    dates = np.array(["2026-01-01", "2026-01-03"], "M8[ns]")
    image = msi.to_spatial_image(PICTURE, dims="tyx", t_coords=dates)
    image = image.assign_coords(dose=("t", [1.0, 2.0]))
    image.coords["x"].attrs["standard_name"] = "easting"
    tree = msi.to_multiscale(image, [2])
    lost = "the coordinate 't', the attribute 'standard_name' of the coordinate 'x', the coordinate 'dose'"
    with pytest.warns(UserWarning, match=rf"without {lost}: paths='scale0' stores that"):
        tree.pyramid.to_zarr(MemoryStore(), paths=paths)


@FLAT
def test_nothing_is_said_of_what_is_kept(paths, recwarn):
    TREE.pyramid.to_zarr(MemoryStore(), paths=paths, labels={"cells": LABELS})
    assert [str(found.message) for found in recwarn] == []


def test_on_the_command_line(tmp_path):
    np.save(tmp_path / "a.npy", PICTURE)
    call = ["convert", str(tmp_path / "a.npy"), str(tmp_path / "a.zarr"), "--levels", "1", "--paths", "0"]
    assert CliRunner().invoke(main, call).exit_code == 0
    assert listed(tmp_path / "a.zarr") == ["0", "1"]
    assert CliRunner().invoke(main, ["info", str(tmp_path / "a.zarr")]).exit_code == 0


def test_in_a_zip_file(tmp_path):
    TREE.pyramid.to_zarr(tmp_path / "a.ozx", paths="0")
    assert_same(tmp_path / "a.ozx")
