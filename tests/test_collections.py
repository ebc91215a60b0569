"""Several images in one store: a path for each, siblings untouched."""

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.optional import validate_elsewhere


def make_tree(value, name="image"):
    image = msi.to_spatial_image(np.full((32, 40), value, "u1"), name=name)
    return msi.to_multiscale(image, [2], chunks=16)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_are_listed_and_left_alone(version, tmp_path):
    path = tmp_path / "many.zarr"
    for number in range(3):
        make_tree(number).pyramid.to_zarr(path, version=version, group=str(number))
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and "1" in file.parts}
    make_tree(9).pyramid.to_zarr(path, version=version, group="/1/", mode="w")
    assert {file for file in path.rglob("*") if file.is_file() and "1" in file.parts} == set(before)
    for number, value in enumerate((0, 9, 2)):
        tree = msi.open_multiscale(zarr.open_group(path, path=str(number), mode="r"))
        assert (tree["scale1"].image == value).all()
    root, series = zarr.open_group(path).attrs, zarr.open_group(path, path="OME").attrs
    holder = root["ome"] if version == "0.5" else root
    assert holder["bioformats2raw.layout"] == 3
    assert (series["ome"] if version == "0.5" else series)["series"] == ["0", "1", "2"]
    validate_elsewhere(path)
    assert msi.validate(path).ok


def test_a_path_that_is_taken_is_refused_and_its_siblings_are_not(tmp_path):
    make_tree(1).pyramid.to_zarr(tmp_path / "a.zarr", group="plate/one")
    with pytest.raises(msi.StoreExistsError, match="plate/one"):
        make_tree(2).pyramid.to_zarr(tmp_path / "a.zarr", group="plate/one")
    make_tree(2).pyramid.to_zarr(tmp_path / "a.zarr", group="plate/two")
    assert zarr.open_group(tmp_path / "a.zarr/OME").attrs["ome"]["series"] == ["plate/one", "plate/two"]


def test_nothing_is_put_into_a_directory_of_other_files_nor_into_the_image_being_read(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_bytes(b"cat")
    with pytest.raises(ValueError, match="not a Zarr hierarchy, so nothing is written into it"):
        make_tree(1).pyramid.to_zarr(tmp_path / "photos", group="0")
    assert [file.name for file in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    make_tree(1).pyramid.to_zarr(tmp_path / "a.zarr", group="0")
    back = msi.open_multiscale(zarr.open_group(tmp_path / "a.zarr/0", mode="r"))
    with pytest.raises(ValueError, match="overlap"):
        back.pyramid.to_zarr(tmp_path / "a.zarr", group="0", mode="w")
    back.pyramid.to_zarr(tmp_path / "a.zarr", group="1")


def test_other_attributes_of_the_root_are_kept():
    group = zarr.open_group(store := MemoryStore(), mode="w")
    group.attrs["study"] = "mouse 7"
    make_tree(1).pyramid.to_zarr(group, group="0")
    assert zarr.open_group(store).attrs["study"] == "mouse 7"
    assert zarr.open_group(store).attrs["ome"]["bioformats2raw.layout"] == 3


def test_versions_are_not_mixed_in_one_store(tmp_path):
    for first, second in (("0.4", "0.5"), ("0.5", "0.4")):
        path = tmp_path / f"{first}.zarr"
        make_tree(1).pyramid.to_zarr(path, group="a", version=first)
        before = sorted(path.rglob("*"))
        with pytest.raises(ValueError, match=f"write version='{first}'"):
            make_tree(1).pyramid.to_zarr(path, group="b", version=second)
        assert sorted(path.rglob("*")) == before


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("a/b", "is an image itself"),
        ("a/labels/c", "is an image itself"),
        ("a/scale0", "is an image itself"),
        ("array/b", "is a Zarr array"),
        ("OME", "reserved for the list of images"),
    ],
)
def test_nothing_is_put_into_images_arrays_and_the_list_of_images(group, words, tmp_path):
    make_tree(1).pyramid.to_zarr(tmp_path / "a.zarr", group="a")
    zarr.open_group(tmp_path / "a.zarr").create_array("array", data=np.arange(3))
    before = sorted((tmp_path / "a.zarr").rglob("*"))
    for mode in ("w-", "w"):
        with pytest.raises(ValueError, match=words):
            make_tree(2).pyramid.to_zarr(tmp_path / "a.zarr", group=group, mode=mode)
    assert sorted((tmp_path / "a.zarr").rglob("*")) == before


def test_slashes_that_say_nothing(tmp_path):
    make_tree(1).pyramid.to_zarr(tmp_path / "a.zarr", group="a//b/")
    assert zarr.open_group(tmp_path / "a.zarr/OME").attrs["ome"]["series"] == ["a/b"]
    assert list(msi.open_multiscale(tmp_path / "a.zarr", group="/a//b").children) == ["scale0", "scale1"]


def test_consolidated_metadata_of_the_root_are_renewed(tmp_path):
    make_tree(1).pyramid.to_zarr(tmp_path / "a.zarr", group="a", version="0.4")
    zarr.consolidate_metadata(tmp_path / "a.zarr", zarr_format=2)
    make_tree(1).pyramid.to_zarr(tmp_path / "a.zarr", group="b", version="0.4")
    assert set(zarr.open_group(tmp_path / "a.zarr", mode="r").group_keys()) == {"OME", "a", "b"}
