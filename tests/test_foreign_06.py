"""Round trips of OME-Zarr 0.6 with ngff-zarr and ome-zarr-py, both ways: metadata of all groups, and all samples."""

import sys
import warnings

import numpy as np
import pytest
import zarr

import msi_lazy as msi
from tests.support.ngff_06 import SCHEMAS, hierarchy_faults
from tests.support.optional import require

SAMPLES = np.random.default_rng(0).integers(0, 60000, (2, 5, 32, 48), dtype="u2")
LABELS = (SAMPLES[0] > 30000).astype("u2")
SCALE = {"c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25}
ORIGIN = {"c": 0.0, "z": 10.0, "y": 0.0, "x": 3.0}
UNITS = {"z": "micrometer", "y": "micrometer", "x": "micrometer"}
ENDS = {"input": {"name": "physical"}, "output": {"name": "atlas"}}
ATLAS = {"name": "atlas", "axes": [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "zyx")]}
AFFINE = {"type": "affine", "name": "registered", "affine": np.eye(4, 5, 1).tolist(), **ENDS}


def ome_zarr_py():
    """Its classes, which read and write 0.6."""
    if sys.version_info < (3, 12):
        pytest.skip("ome-zarr-py has 0.6 for Python 3.12 on")
    return require("ome_zarr.classes.image")


def write_with_ome_zarr_py(path):
    image, transforms = ome_zarr_py(), require("ome_zarr_models.v06.coordinate_transforms")
    atlas = transforms.CoordinateSystem.model_validate(ATLAS)
    labels = image.OMEZarrLabels(
        image.OMEZarrImage(LABELS, "zyx", {dim: SCALE[dim] for dim in "zyx"}, UNITS, name="bright"), scale_factors=[2]
    )
    image.OMEZarrMultiscale(
        image.OMEZarrImage(SAMPLES, "czyx", SCALE, UNITS, name="cells"),
        scale_factors=[2],
        coordinate_transformations=(transforms.Affine.model_validate(AFFINE),),
        coordinate_systems=[atlas],
        labels={"bright": labels},
        channel_names=["DAPI", "GFP"],
    ).to_ome_zarr(str(path), version="0.6")


def write_again_with_ome_zarr_py(path, target):
    ome_zarr_py().OMEZarrMultiscale.from_ome_zarr(str(path)).to_ome_zarr(str(target), version="0.6")


def write_with_ngff_zarr(path, version="0.6"):
    nz = require("ngff_zarr")
    image = nz.to_ngff_image(SAMPLES, list("czyx"), SCALE, ORIGIN, axes_units=UNITS, name="cells")
    image.axes_orientations = require("ngff_zarr.rfc4").LPS
    made = nz.to_multiscales(image, scale_factors=[2], chunks=16, method=nz.Methods.DASK_IMAGE_NEAREST)
    window = nz.OmeroWindow(min=0, max=65535, start=5, end=900)
    channels = [nz.OmeroChannel(color="00FF00", label=name, window=window) for name in ("DAPI", "GFP")]
    made.metadata.omero = nz.Omero(channels=channels)
    nz.to_ngff_zarr(str(path), made, version=version)


def write_again_with_ngff_zarr(path, target):
    nz = require("ngff_zarr")
    nz.to_ngff_zarr(str(target), nz.from_ngff_zarr(str(path)), version="0.6")


def quietly(function, *arguments):
    """Have a tool write, whose warnings are its own business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments)


def write_again(path, target):
    """Write what is stored at a path again, with its labels."""
    opened = {name: msi.open_multiscale(path, group=f"labels/{name}") for name in label_names(path)}
    msi.to_zarr(msi.open_multiscale(path), target, version="0.6", labels=opened)


def label_names(path):
    root = zarr.open_group(path, mode="r")
    return root["labels"].attrs["ome"]["labels"] if "labels" in root else []


def metadata(path):
    """OME-Zarr metadata of all groups, by path: without paths of levels, each with its scale and its translation."""
    root = zarr.open_group(path, mode="r")
    groups = {"": root, **{name: node for name, node in root.members(max_depth=None) if isinstance(node, zarr.Group)}}
    found = {name: dict(group.attrs["ome"]) for name, group in groups.items() if "ome" in group.attrs}
    for block in found.values():
        for image in block.get("multiscales", ()):
            for dataset in image["datasets"]:
                (transform,) = dataset["coordinateTransformations"]
                assert transform.pop("input") == {"path": dataset.pop("path")}
                parts = transform.pop("transformations", None) or [{"type": "scale", "scale": transform.pop("scale")}]
                transform.pop("type")
                transform |= {"scale": parts[0]["scale"], "translation": [0.0] * len(parts[0]["scale"])}
                transform |= parts[-1]
                transform.pop("type")
            if image.get("metadata", {}).get("args") == []:
                del image["metadata"]["args"]  # as ome-zarr-py does
            for axis in image["coordinateSystems"][0]["axes"]:
                if axis["type"] == "channel":
                    axis["discrete"] = True  # which one tool leaves out
        if "image-label" in block:
            block["image-label"]["source"]["image"] = block["image-label"]["source"]["image"].rstrip("/")
    return found


def samples(path):
    """Samples of all levels of an image and its labels."""
    found = {}
    for group in ("", *(f"labels/{name}" for name in label_names(path))):
        node = zarr.open_group(path, path=group, mode="r")
        paths = [dataset["path"] for dataset in node.attrs["ome"]["multiscales"][0]["datasets"]]
        found |= {(group, number): node[level][:] for number, level in enumerate(paths)}
    return found


def assert_same(one, other):
    assert metadata(one) == metadata(other)
    before, after = samples(one), samples(other)
    assert before.keys() == after.keys()
    for level, values in before.items():
        np.testing.assert_array_equal(after[level], values)


TOOLS = {
    "ome-zarr-py": (write_with_ome_zarr_py, write_again_with_ome_zarr_py),
    "ngff-zarr": (write_with_ngff_zarr, write_again_with_ngff_zarr),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_nothing_of_another_tools_image_is_lost_there_and_back(tool, tmp_path):
    write, again = TOOLS[tool]
    quietly(write, tmp_path / "theirs.zarr")
    quietly(write_again, tmp_path / "theirs.zarr", tmp_path / "ours.zarr")
    assert_same(tmp_path / "theirs.zarr", tmp_path / "ours.zarr")
    quietly(again, tmp_path / "ours.zarr", tmp_path / "back.zarr")
    assert_same(tmp_path / "ours.zarr", tmp_path / "back.zarr")
    assert hierarchy_faults(tmp_path / "ours.zarr", SCHEMAS) == {}


def pyramid(samples, dims, method):
    scale = {dim: SCALE[dim] for dim in dims if dim != "c"}
    image = msi.to_spatial_image(samples, dims, scale=scale, translation={"x": 3.0}, axis_units=UNITS, name="cells")
    return msi.to_multiscale(image, [2], chunks=16, method=method)


def write_ours(path, with_orientation):
    image = pyramid(SAMPLES, "czyx", "mean").pyramid.assign_coords(c=["DAPI", "GFP"])
    if with_orientation:
        for level in image.children.values():
            level["x"].attrs["anatomical_orientation"] = "left-to-right"
    image.attrs["ome"]["multiscales"][0] |= {
        "coordinateSystems": [{"name": "physical", "axes": list("czyx")}, ATLAS],
        "namedTransformations": [AFFINE],
    }
    colors = {0: "000000", 1: "FF0000"}
    msi.to_zarr(image, path, version="0.6", windows=[(0, 900), (5, 800)])
    if not with_orientation:  # a tool has one or the other
        quietly(lambda: msi.write_labels(path, "bright", pyramid(LABELS, "zyx", "mode"), colors=colors))


def test_nothing_of_ours_is_lost_by_way_of_ome_zarr_py(tmp_path):
    write_ours(tmp_path / "ours.zarr", with_orientation=False)
    quietly(write_again_with_ome_zarr_py, tmp_path / "ours.zarr", tmp_path / "theirs.zarr")
    assert_same(tmp_path / "ours.zarr", tmp_path / "theirs.zarr")
    quietly(write_again, tmp_path / "theirs.zarr", tmp_path / "back.zarr")
    assert_same(tmp_path / "ours.zarr", tmp_path / "back.zarr")


def without_what_ngff_zarr_lacks(path):
    """Metadata without the method of the levels and the visibility of channels, and without names that it adds."""
    found = metadata(path)
    for dataset in found[""]["multiscales"][0]["datasets"]:
        dataset["coordinateTransformations"][0].pop("name", None)
    for name in ("type", "metadata", "@type"):
        found[""]["multiscales"][0].pop(name, None)
    for channel in found[""]["omero"]["channels"]:
        channel.pop("active", None)
    return found


def test_nothing_of_ours_is_lost_by_way_of_ngff_zarr(tmp_path):
    write_ours(tmp_path / "ours.zarr", with_orientation=True)
    quietly(write_again_with_ngff_zarr, tmp_path / "ours.zarr", tmp_path / "theirs.zarr")
    (link,) = metadata(tmp_path / "theirs.zarr")[""]["multiscales"][0]["coordinateTransformations"]
    assert link["path"]  # it stores the matrix as an array, which goes along in the attributes
    quietly(write_again, tmp_path / "theirs.zarr", tmp_path / "back.zarr")
    ours, back = (without_what_ngff_zarr_lacks(tmp_path / name) for name in ("ours.zarr", "back.zarr"))
    assert back == ours
    for level, values in samples(tmp_path / "ours.zarr").items():
        np.testing.assert_array_equal(samples(tmp_path / "back.zarr")[level], values)


def test_the_version_to_come_of_ngff_zarr_is_read(tmp_path):
    quietly(write_with_ngff_zarr, tmp_path / "theirs.zarr", "0.9.dev1")
    with pytest.warns(UserWarning, match=r"its version '0\.9\.dev1' is read as 0\.6") as caught:
        tree = msi.open_multiscale(tmp_path / "theirs.zarr")
    assert len(caught) == 1
    assert tree["scale1"].z.attrs["anatomical_orientation"] == "inferior-to-superior"
    tree.pyramid.to_zarr(tmp_path / "ours.zarr", version="0.6")
    theirs, ours = (metadata(tmp_path / name)[""] for name in ("theirs.zarr", "ours.zarr"))
    assert ours == {**theirs, "version": "0.6"}
