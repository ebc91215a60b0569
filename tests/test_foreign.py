"""Images that other tools wrote are opened, extended and written again."""

import warnings

import numpy as np
import pytest
import zarr

import msi_lazy as msi
from tests.support.optional import require, validate_elsewhere

SAMPLES = np.random.default_rng(0).integers(0, 60000, (2, 64, 96), dtype="u2")
FORMATS = {"0.4": "FormatV04", "0.5": "FormatV05"}


def by_ome_zarr_py(path, version):
    writer, fmt = require("ome_zarr.writer"), getattr(require("ome_zarr.format"), FORMATS[version])()
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    omero = {
        "channels": [
            {"label": name, "color": color, "window": {"min": 0, "max": 65535, "start": 5, "end": 900}}
            for name, color in (("DAPI", "0000FF"), ("GFP", "00FF00"))
        ]
    }
    writer.write_image(SAMPLES, group, axes="cyx", fmt=fmt, scale_factors=[2, 4])
    group.attrs.update({"ome": {**group.attrs["ome"], "omero": omero}} if version == "0.5" else {"omero": omero})
    labels = (SAMPLES[0] > 30000).astype("u1")
    writer.write_labels(labels, group, name="bright", axes="yx", fmt=fmt, scale_factors=[2, 4])


def by_ngff_zarr(path, version):
    nz = require("ngff_zarr")
    image = nz.to_ngff_image(SAMPLES, dims=("c", "y", "x"), scale={"c": 1.0, "y": 0.5, "x": 0.5}, name="cells")
    made = nz.to_multiscales(image, scale_factors=[2, 4], method=nz.Methods.DASK_IMAGE_NEAREST)
    nz.to_ngff_zarr(str(path), made, version=version)


def like_bioformats2raw(path, version):
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    root.create_group("OME").attrs["series"] = ["0"]
    by_ome_zarr_py(path / "0", "0.4")


def write(tool, path, version):
    """Have a tool write, whose warnings are its own business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tool(path, version)


@pytest.fixture(params=["ome-zarr-py 0.4", "ome-zarr-py 0.5", "ngff-zarr 0.4", "ngff-zarr 0.5"])
def foreign(request, tmp_path):
    tool, version = request.param.split()
    path = tmp_path / "foreign.zarr"
    write({"ome-zarr-py": by_ome_zarr_py, "ngff-zarr": by_ngff_zarr}[tool], path, version)
    return path, version


def multiscale_of(path, version):
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    holder = attributes["ome"] if version == "0.5" else attributes
    return holder["multiscales"][0], holder.get("omero")


def test_every_level_is_what_the_tool_stored(foreign):
    path, version = foreign
    tree = msi.open_multiscale(path)
    multiscale, _ = multiscale_of(path, version)
    assert len(tree.children) == len(multiscale["datasets"]) == 3
    for number, dataset in enumerate(multiscale["datasets"]):
        (image,) = tree[f"scale{number}"].data_vars.values()
        np.testing.assert_array_equal(image, zarr.open_array(path, path=dataset["path"])[:])
        scale = next(t["scale"] for t in dataset["coordinateTransformations"] if t["type"] == "scale")
        assert image.x.values[1] - image.x.values[0] == pytest.approx(scale[-1])


def test_written_again_it_has_the_same_geometry_and_channels(foreign, tmp_path):
    path, version = foreign
    msi.open_multiscale(path).pyramid.to_zarr(tmp_path / "again.zarr", version=version)
    validate_elsewhere(tmp_path / "again.zarr")
    (one, channels), (other, again) = multiscale_of(path, version), multiscale_of(tmp_path / "again.zarr", version)
    assert [axis["name"] for axis in one["axes"]] == [axis["name"] for axis in other["axes"]]
    for before, after in zip(one["datasets"], other["datasets"], strict=True):
        for kind in ("scale", "translation"):
            known = [t[kind] for t in before["coordinateTransformations"] if t["type"] == kind]
            written = [t[kind] for t in after["coordinateTransformations"] if t["type"] == kind]
            np.testing.assert_allclose(written, known or [[0, 0, 0]])
    if channels is not None:
        assert again == channels


def test_channel_names_become_the_coordinate(tmp_path):
    write(by_ome_zarr_py, tmp_path / "a.zarr", "0.5")
    tree = msi.open_multiscale(tmp_path / "a.zarr")
    assert tree["scale1"].c.values.tolist() == ["DAPI", "GFP"]
    labels = msi.open_multiscale(tmp_path / "a.zarr", group="labels/bright")
    np.testing.assert_array_equal(next(iter(labels["scale0"].data_vars.values())), SAMPLES[0] > 30000)


def test_levels_are_added_behind_those_of_another_tool(foreign):
    path = foreign[0]
    if (path / "labels").exists():  # they come first, as they must have as many levels as the image
        msi.add_levels(path, [2], group="labels/bright")
    msi.add_levels(path, [2])
    validate_elsewhere(path)
    assert len(msi.open_multiscale(path).children) == 4


def test_an_image_of_a_collection(tmp_path):
    write(like_bioformats2raw, tmp_path / "a.zarr", "0.4")
    with pytest.raises(ValueError, match="a collection of 1 images: give an image, group='0'"):
        msi.open_multiscale(tmp_path / "a.zarr")
    tree = msi.open_multiscale(tmp_path / "a.zarr", group="0")
    np.testing.assert_array_equal(next(iter(tree["scale0"].data_vars.values())), SAMPLES)
