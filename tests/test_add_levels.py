"""Levels added to an image that exists: in its own pattern, without rewriting what it has."""

import numpy as np
import pytest
import zarr
from zarr.codecs import GzipCodec
from zarr.storage import LocalStore, MemoryStore

import msi_lazy as msi
from msi_lazy.ngff.append_levels import next_paths
from tests.support.counting import CountingStore
from tests.support.optional import validate_elsewhere


def samples(shape=(60, 90)):
    return np.random.default_rng(0).integers(1, 60000, shape, dtype="u2")


def ours(store, levels=(), **options):
    image = msi.to_spatial_image(samples(), scale={"y": 0.5, "x": 0.5}, translation={"x": 7}, name="cells")
    msi.to_multiscale(image, list(levels), chunks=16).pyramid.to_zarr(store, **options)


def flat(store, path="0", version="0.5", **options):
    """An image of a single level, as other tools lay it out."""
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.open_group(store, mode="w", zarr_format=zarr_format)
    keys = (
        {"dimension_names": ["y", "x"]}
        if zarr_format == 3
        else {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    )
    group.create_array(path, data=samples(), chunks=(32, 20), **keys, **options)
    multiscale = {
        "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"],
        "datasets": [{"path": path, "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5]}]}],
    }
    multiscale |= {"version": "0.4"} if version == "0.4" else {}
    versioned = {"multiscales": [multiscale]}
    group.attrs.update({"ome": {"version": "0.5", **versioned}} if version == "0.5" else versioned)
    return group


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_adding_gives_what_building_at_once_gives(version, tmp_path):
    ours(tmp_path / "a.zarr", version=version)
    ours(tmp_path / "b.zarr", [2, 3], version=version)
    before = {file: file.read_bytes() for file in (tmp_path / "a.zarr/scale0").rglob("*") if file.is_file()}
    msi.add_levels(tmp_path / "a.zarr", [2, 3])
    assert before == {file: file.read_bytes() for file in before}
    validate_elsewhere(tmp_path / "a.zarr")
    one, other = msi.open_multiscale(tmp_path / "a.zarr"), msi.open_multiscale(tmp_path / "b.zarr")
    for level in ("scale0", "scale1", "scale2"):
        assert one[level].cells.identical(other[level].cells)
        stored = [zarr.open_array(tmp_path / f"{name}.zarr/{level}/cells").metadata.to_dict() for name in "ab"]
        assert stored[0] == stored[1]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("path", "added"), [("0", ["1", "2"]), ("s0", ["s1", "s2"]), ("full", ["full-1", "full-2"])])
def test_another_tools_layout_is_kept(path, added, version, tmp_path):
    flat(tmp_path / "a.zarr", path, version)
    msi.add_levels(tmp_path / "a.zarr", [2, 2], method="max")
    validate_elsewhere(tmp_path / "a.zarr")
    attributes = zarr.open_group(tmp_path / "a.zarr").attrs
    multiscale = (attributes["ome"] if version == "0.5" else attributes)["multiscales"][0]
    assert [dataset["path"] for dataset in multiscale["datasets"]] == [path, *added]
    assert multiscale["datasets"][2]["coordinateTransformations"] == [
        {"type": "scale", "scale": [2.0, 2.0]},
        {"type": "translation", "translation": [0.75, 0.75]},
    ]
    assert multiscale["type"] == "max"
    coarse = samples().reshape(30, 2, 45, 2).max((1, 3))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr", path=added[0])[:], coarse)
    assert zarr.open_array(tmp_path / "a.zarr", path=added[0]).chunks == (30, 20)


def test_the_image_wide_transformation_applies_to_new_levels_too(tmp_path):
    group = flat(tmp_path / "a.zarr")
    ome = group.attrs["ome"]
    ome["multiscales"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [2, 4]},
        {"type": "translation", "translation": [10, 20]},
    ]
    group.attrs["ome"] = ome
    msi.add_levels(tmp_path / "a.zarr", [2])
    level = msi.open_multiscale(tmp_path / "a.zarr")["scale1"].image
    assert (level.y.values[:2].tolist(), level.x.values[:2].tolist()) == ([10.5, 12.5], [21.0, 25.0])


def test_level_0_is_read_once_and_never_written():
    store = CountingStore(MemoryStore())
    flat(store)
    store.reads.clear(), store.writes.clear()
    msi.add_levels(store, [2, 2], block_bytes=40000)
    assert not store.chunk_writes("0")
    assert set(store.chunk_reads().values()) == {1}
    assert set(store.chunk_writes("1").values()) == {1}


def test_more_levels_for_a_pyramid_and_settings_of_the_new_ones(tmp_path):
    flat(tmp_path / "a.zarr", compressors=GzipCodec())
    msi.add_levels(tmp_path / "a.zarr", [2])
    msi.add_levels(tmp_path / "a.zarr", [3], chunks=5, shards=10, compressors=None)
    second, third = (zarr.open_array(tmp_path / "a.zarr", path=path) for path in "12")
    assert (type(second.compressors[0]), third.compressors) == (GzipCodec, ())
    assert (third.shape, third.chunks, third.shards) == ((10, 15), (5, 5), (10, 10))
    assert len(msi.open_multiscale(tmp_path / "a.zarr").children) == 3


def test_automatic_factors(tmp_path):
    flat(tmp_path / "a.zarr")
    msi.add_levels(tmp_path / "a.zarr")
    last = list(msi.open_multiscale(tmp_path / "a.zarr").children.values())[-1].image
    assert all(n <= chunk for n, chunk in zip(last.shape, (32, 20), strict=True))


def test_what_the_image_does_not_list_is_overwritten_only_when_asked(tmp_path):
    group = flat(tmp_path / "a.zarr")
    group.create_array("1", data=np.arange(3))
    with pytest.raises(msi.StoreExistsError, match="the store holds '1' already, which the image does not list"):
        msi.add_levels(tmp_path / "a.zarr", [2])
    assert group["1"][:].tolist() == [0, 1, 2]
    msi.add_levels(tmp_path / "a.zarr", [2], mode="w")
    assert group["1"].shape == (30, 45)


def test_until_all_is_stored_the_image_is_what_it_was(tmp_path):
    flat(tmp_path / "a.zarr")
    delayed = msi.add_levels(tmp_path / "a.zarr", [2], compute=False)
    assert list(msi.open_multiscale(tmp_path / "a.zarr").children) == ["scale0"]
    delayed.compute()
    assert list(msi.open_multiscale(tmp_path / "a.zarr").children) == ["scale0", "scale1"]


def test_bad_arguments_leave_the_store_alone(tmp_path):
    group = flat(tmp_path / "a.zarr")
    for options, words in (
        ({"scale_factors": [0]}, "at least 1"),
        ({"scale_factors": [2], "shards": 7}, "whole numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            msi.add_levels(tmp_path / "a.zarr", **options)
    assert list(group.keys()) == ["0"]
    with pytest.raises(FileNotFoundError):
        msi.add_levels(tmp_path / "none.zarr")


def test_what_the_image_lists_and_groups_are_never_overwritten(tmp_path):
    group = flat(tmp_path / "a.zarr")
    ours(tmp_path / "b.zarr")
    zarr.open_group(tmp_path / "a.zarr").create_group("1").create_array("x", data=np.arange(3))
    for mode in ("w-", "w"):
        with pytest.raises(msi.StoreExistsError, match="holds '1' already"):
            msi.add_levels(tmp_path / "a.zarr", [2], mode=mode)
    assert group["1/x"][:].tolist() == [0, 1, 2]
    zarr.open_group(tmp_path / "b.zarr").create_group("scale1").create_array("x", data=np.arange(3))
    with pytest.raises(msi.StoreExistsError, match="holds 'scale1' already"):
        msi.add_levels(tmp_path / "b.zarr", [2])
    with pytest.raises(ValueError, match="mode must be"):
        msi.add_levels(tmp_path / "b.zarr", [2], mode="rubbish")


def test_levels_numbered_backwards_keep_their_numbers():
    assert next_paths(["2", "1"], 2) == ["1-1", "1-2"]
    assert next_paths(["1", "2"], 2) == ["3", "4"]
    assert next_paths(["s0/0"], 1) == ["s0/1"]
    assert next_paths(["scale0/image2"], 1) == ["scale1/image2"]
    assert next_paths(["a", "a-1"], 1) == ["a-1-1"]


def test_settings_that_cannot_be_stored_leave_what_is_there(tmp_path):
    group = flat(tmp_path / "a.zarr")
    group.create_array("1", data=np.arange(3))
    with pytest.raises(ValueError, match="cannot be stored: "):
        msi.add_levels(tmp_path / "a.zarr", [2], mode="w", compressors=["rubbish"])
    assert group["1"][:].tolist() == [0, 1, 2]


def test_labels_get_labels_and_the_image_waits_for_them(tmp_path):
    ours(tmp_path / "a.zarr", [2])
    labels = msi.to_spatial_image((samples() % 5).astype("u4"), scale={"y": 0.5, "x": 0.5}, translation={"x": 7})
    msi.write_labels(tmp_path / "a.zarr", "cells", msi.to_multiscale(labels, [2], method="mode"))
    with pytest.raises(ValueError, match="group='labels/cells'"):
        msi.add_levels(tmp_path / "a.zarr", [2])
    with pytest.raises(ValueError, match="'mean' invents labels"):
        msi.add_levels(tmp_path / "a.zarr", [2], method="mean", group="labels/cells")
    with pytest.raises(ValueError, match="were computed by 'mode', and not by 'max': leave method= out"):
        msi.add_levels(tmp_path / "a.zarr", [2], method="max", group="labels/cells")
    msi.add_levels(tmp_path / "a.zarr", [2], group="labels/cells")
    msi.add_levels(tmp_path / "a.zarr", [2])
    assert msi.validate(tmp_path / "a.zarr").ok
    added = msi.open_multiscale(tmp_path / "a.zarr", group="labels/cells")
    assert set(np.unique(added["scale2"].image)) <= set(range(5))
    metadata = zarr.open_group(tmp_path / "a.zarr/labels/cells").attrs["ome"]["multiscales"][0]["metadata"]
    assert len(metadata["kwargs"]["scale_factors"]) == 2


def test_the_method_of_an_image_without_coarser_levels_binds_nobody(tmp_path):
    ours(tmp_path / "a.zarr")
    msi.add_levels(tmp_path / "a.zarr", [2], method="max")
    assert msi.verify(tmp_path / "a.zarr").ok
    for action in (msi.add_levels, msi.verify):
        with pytest.raises(ValueError, match="were computed by 'max', and not by 'mean': leave method= out"):
            action(tmp_path / "a.zarr", method="mean")


def test_attributes_that_change_meanwhile_are_kept(tmp_path):
    group = flat(tmp_path / "a.zarr")
    delayed = msi.add_levels(tmp_path / "a.zarr", [2], compute=False)
    group.attrs["ome"] = {**group.attrs["ome"], "note": "edited"}
    delayed.compute()
    ome = zarr.open_group(tmp_path / "a.zarr").attrs["ome"]
    assert (ome["note"], len(ome["multiscales"][0]["datasets"])) == ("edited", 2)


def test_levels_are_consolidated_once_they_are_listed(tmp_path, monkeypatch):
    """A kill right after the attributes leaves nothing to be done."""
    ours(tmp_path / "a.zarr", [2])
    update, seen = zarr.Group.update_attributes, []

    def update_and_look(group, attributes):
        update(group, attributes)
        if isinstance(group.store, LocalStore):
            with_copy = zarr.open_group(tmp_path / "a.zarr", mode="r", use_consolidated=True)
            seen.append((len(with_copy.attrs["ome"]["multiscales"][0]["datasets"]), "scale2" in with_copy))
        return group

    monkeypatch.setattr(zarr.Group, "update_attributes", update_and_look)
    msi.add_levels(tmp_path / "a.zarr", [2])
    assert seen[-1] == (3, True)
    assert (3, False) not in seen
