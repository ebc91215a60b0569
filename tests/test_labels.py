"""Label images below an image: in one computation with it, or added later."""

import dask
import numpy as np
import pytest
import zarr
from ome_zarr_models.v04.image_label import ImageLabel as ImageLabel04
from ome_zarr_models.v05.image_label import ImageLabel as ImageLabel05
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.counting import CountingStore
from tests.support.optional import validate_elsewhere

MODELS = {"0.4": ImageLabel04, "0.5": ImageLabel05}


def image_tree(dims="cyx", shape=(2, 64, 80), factors=(2, 2)):
    array = np.random.default_rng(0).integers(0, 999, shape, dtype="u2")
    image = msi.to_spatial_image(array, dims=dims, scale={dim: 0.5 for dim in dims if dim in "yYxX"})
    return msi.to_multiscale(image, list(factors), chunks=16, block_bytes=2**13)


def label_tree(dims="yx", shape=(64, 80), factors=(2, 2), dtype="u4", name="image"):
    array = (np.add.outer(np.arange(shape[-2]) // 9, np.arange(shape[-1]) // 11) % 7).astype(dtype)
    array = np.broadcast_to(array, shape)
    image = msi.to_spatial_image(array, dims=dims, scale={dim: 0.5 for dim in dims if dim in "yYxX"}, name=name)
    return msi.to_multiscale(image, list(factors), method="mode", chunks=16, block_bytes=2**13)


def attributes_of(path, where, version):
    attributes = dict(zarr.open_group(path, path=where, mode="r").attrs)
    return attributes["ome"] if version == "0.5" else attributes


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_and_its_labels_in_one_computation(version, tmp_path):
    image, labels = image_tree(), label_tree()
    delayed = image.pyramid.to_zarr(
        tmp_path / "a.zarr", version=version, labels={"cells": labels, "spots": label_tree(name="s")}, compute=False
    )
    with pytest.raises(ValueError, match="holds an incomplete image"):
        msi.open_multiscale(tmp_path / "a.zarr")
    delayed.compute()
    validate_elsewhere(tmp_path / "a.zarr")
    assert msi.validate(tmp_path / "a.zarr", decode="all").ok
    assert attributes_of(tmp_path / "a.zarr", "labels", version)["labels"] == ["cells", "spots"]
    back = msi.open_multiscale(zarr.open_group(tmp_path / "a.zarr", path="labels/cells", mode="r"))
    for level in ("scale0", "scale1", "scale2"):
        np.testing.assert_array_equal(back[level].image, labels[level].image)
    block = attributes_of(tmp_path / "a.zarr", "labels/cells", version)["image-label"]
    assert block == {"version": version, "source": {"image": "../../"}}
    MODELS[version].from_zarr(zarr.open_group(tmp_path / "a.zarr", path="labels/spots", mode="r"))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_are_added_to_an_image_that_exists(version, tmp_path):
    path = tmp_path / "a.zarr"
    tree = image_tree()
    tree.pyramid.to_zarr(path, version=version)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("c/**/*") if file.is_file()}
    tree.pyramid.write_labels(path, "cells", label_tree(), colors={1: "FF0000", np.int64(2): (0, 255, 0, 128)})
    msi.write_labels(path, "nuclei", label_tree("cyx", (1, 64, 80)), properties={1: {"class": "A"}})
    assert attributes_of(path, "labels", version)["labels"] == ["cells", "nuclei"]
    assert attributes_of(path, "labels/cells", version)["image-label"]["colors"] == [
        {"label-value": 1, "rgba": [255, 0, 0, 255]},
        {"label-value": 2, "rgba": [0, 255, 0, 128]},
    ]
    nuclei = attributes_of(path, "labels/nuclei", version)["image-label"]
    assert nuclei["properties"] == [{"label-value": 1, "class": "A"}]
    validate_elsewhere(path)
    assert msi.validate(path, decode="all").ok
    assert before == {file: file.stat().st_mtime_ns for file in before}
    np.testing.assert_array_equal(msi.open_multiscale(path)["scale1"].image, tree["scale1"].image)


def test_a_name_that_is_taken_is_overwritten_only_when_asked(tmp_path):
    image_tree().pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": label_tree()})
    with pytest.raises(msi.StoreExistsError, match="'labels/cells' already"):
        msi.write_labels(tmp_path / "a.zarr", "cells", label_tree())
    msi.write_labels(tmp_path / "a.zarr", "cells", label_tree(dtype="i2"), mode="w")
    assert zarr.open_array(tmp_path / "a.zarr/labels/cells/scale0/image").dtype == "i2"
    assert attributes_of(tmp_path / "a.zarr", "labels", "0.5")["labels"] == ["cells"]


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (lambda: label_tree(dtype="f4"), TypeError, "labels 'cells' have dtype float32; OME-Zarr allows integers only"),
        (lambda: label_tree(factors=(2,)), ValueError, "have 2 levels, and the image 3"),
        (lambda: label_tree(shape=(64, 70)), ValueError, "70 samples along 'x' at scale0, and the image 80"),
        (lambda: label_tree("zyx", (5, 64, 80)), ValueError, r"dimensions \('z', 'y', 'x'\), and the image"),
        (lambda: label_tree(factors=({"y": 2}, 2)), ValueError, "80 samples along 'x' at scale1, and the image 40"),
    ],
)
def test_labels_that_do_not_lie_on_the_image_are_refused(labels, error, words, tmp_path):
    with pytest.raises(error, match=words):
        image_tree().pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": labels()})
    assert not (tmp_path / "a.zarr").exists()
    image_tree().pyramid.to_zarr(tmp_path / "a.zarr")
    with pytest.raises(error, match=words):
        msi.write_labels(tmp_path / "a.zarr", "cells", labels())
    assert not (tmp_path / "a.zarr/labels").exists()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"colors": ["FF0000"]}, TypeError, "are a dict"),
        ({"colors": {"one": "FF0000"}}, TypeError, "by label, an integer, not 'one'"),
        ({"colors": {1: "red"}}, ValueError, "label 1 needs three or four integers"),
        ({"colors": {1: (0, 0, 256)}}, ValueError, "from 0 to 255"),
        ({"properties": "A"}, TypeError, "properties of labels are a dict"),
        ({"properties": [{"class": "A"}]}, TypeError, "'label-value' each"),
        ({"properties": [{"label-value": 1}, {"label-value": 1}]}, ValueError, "name the label 1 twice"),
    ],
)
def test_bad_colours_and_properties_are_refused(options, error, words, tmp_path):
    image_tree().pyramid.to_zarr(tmp_path / "a.zarr")
    with pytest.raises(error, match=words):
        msi.write_labels(tmp_path / "a.zarr", "cells", label_tree(), **options)


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "__x", 3])
def test_names_that_are_no_path_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="name of a label image"):
        image_tree().pyramid.to_zarr(tmp_path / "a.zarr", labels={name: label_tree()})


def test_there_must_be_an_image(tmp_path):
    with pytest.raises(FileNotFoundError):
        msi.write_labels(tmp_path / "none.zarr", "cells", label_tree())
    assert not (tmp_path / "none.zarr").exists()


def test_each_chunk_is_written_once_whatever_the_number_of_images():
    target = CountingStore(MemoryStore())
    with dask.config.set(scheduler="synchronous"):
        image_tree().pyramid.to_zarr(target, labels={"cells": label_tree()})
    for where in ("scale0/image", "labels/cells/scale0/image"):
        assert set(target.chunk_writes(where).values()) == {1}


def test_labels_of_images_with_another_order_of_dimensions(tmp_path):
    image_tree("yxc", (64, 80, 2)).pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": label_tree("xy", (80, 64))})
    assert zarr.open_array(tmp_path / "a.zarr/labels/cells/scale0/image").shape == (64, 80)


def test_labels_are_compressed_as_labels(tmp_path):
    image_tree().pyramid.to_zarr(tmp_path / "a.zarr", labels={"cells": label_tree(dtype="u2")})
    (codec,) = zarr.open_array(tmp_path / "a.zarr/labels/cells/scale0/image").compressors
    assert type(codec).__name__ == "ZstdCodec"
    (codec,) = zarr.open_array(tmp_path / "a.zarr/scale0/image").compressors
    assert type(codec).__name__ == "BloscCodec"


def test_colours_and_properties_survive_a_round_trip(tmp_path):
    image_tree().pyramid.to_zarr(tmp_path / "a.zarr")
    msi.write_labels(tmp_path / "a.zarr", "cells", label_tree(), colors={1: "FF0000"}, properties={1: {"class": "A"}})
    labels = msi.open_multiscale(tmp_path / "a.zarr", group="labels/cells")
    image_tree().pyramid.to_zarr(tmp_path / "b.zarr", version="0.4", labels={"cells": labels})
    one, other = (
        attributes_of(tmp_path / f"{name}.zarr", "labels/cells", version)["image-label"]
        for name, version in (("a", "0.5"), ("b", "0.4"))
    )
    assert (one["colors"], one["properties"]) == (other["colors"], other["properties"])


def test_labels_somewhere_else_are_refused(tmp_path):
    moved = label_tree()["scale0"].image.assign_coords(x=np.arange(80) * 0.5 + 1000)
    with pytest.raises(ValueError, match=r"their spacing is 0[.]5 from 1000, the image"):
        image_tree().pyramid.to_zarr(
            tmp_path / "a.zarr", labels={"cells": msi.to_multiscale(moved, [2, 2], method="mode")}
        )


def test_shards_of_an_image_with_channels_fit_its_labels_too(tmp_path):
    for shards in ((1, 32, 32), {"c": 1, "y": 32, "x": 32}):
        image_tree().pyramid.to_zarr(tmp_path / "a.zarr", mode="w", shards=shards, labels={"cells": label_tree()})
        assert zarr.open_array(tmp_path / "a.zarr/labels/cells/scale0/image").shards == (32, 32)


def test_labels_are_a_dict(tmp_path):
    with pytest.raises(TypeError, match="labels are a dict of pyramids by name, not list"):
        image_tree().pyramid.to_zarr(tmp_path / "a.zarr", labels=[label_tree()])


def test_an_image_in_zarr_v2_with_attributes_of_0_5_gets_no_labels_of_v3(tmp_path):
    image_tree().to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=False)
    with pytest.raises(ValueError, match="is stored as Zarr v2"):
        msi.write_labels(tmp_path / "a.zarr", "cells", label_tree())
    assert not (tmp_path / "a.zarr/labels").exists()


@pytest.mark.parametrize(("dims", "others"), [("YX", "cyx"), ("yx", "CYX"), ("Yx", "tYX")])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_case_of_dimensions_does_not_count(dims, others, at_once):
    store = MemoryStore()
    if at_once:
        image_tree(others).pyramid.to_zarr(store, labels={"cells": label_tree(dims)})
    else:
        image_tree(others).pyramid.to_zarr(store)
        msi.write_labels(store, "cells", label_tree(dims))
    assert msi.validate(store).ok
    assert msi.open_multiscale(store, group="labels/cells")["scale1"].image.dims == tuple(dims)
    with pytest.raises(ValueError, match=f"samples along {others[-1]!r} at"):
        msi.write_labels(store, "wrong", label_tree(dims, shape=(64, 84)))


SPACING = {"y": 0.5, "x": 0.5}


def level_labels(store, level=1, factors=(2, 2), method="mode"):
    """Labels that were computed on a coarser level of a stored image."""
    image = msi.open_multiscale(store)[f"scale{level}"]["image"].isel(c=0, drop=True)
    return msi.to_multiscale((image > 0).astype("u4"), factors, method=method)


def stored_image(folder, version="0.5", method="mean", shape=(2, 67, 80)):
    array = np.random.default_rng(2).integers(0, 9, shape, dtype="u2")
    image = msi.to_spatial_image(array, dims="cyx", scale=SPACING, translation={"y": 3.0})
    msi.to_multiscale(image, [2, 2], method=method).pyramid.to_zarr(folder / "a.zarr", version=version)
    return folder / "a.zarr"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_a_coarser_level_keep_its_place(version, tmp_path):
    """That levels have the image's shapes is no MUST; their number is one."""
    path = stored_image(tmp_path, version)
    labels = level_labels(path)
    msi.write_labels(path, "cells", labels)
    back = msi.open_multiscale(path, group="labels/cells")
    level = msi.open_multiscale(path)["scale1"]
    np.testing.assert_array_equal(back["scale0"]["image"], level["image"][0] > 0)
    for dim in "yx":
        np.testing.assert_array_equal(back["scale0"][dim], level[dim])
        assert back["scale2"].sizes[dim] == level.sizes[dim] // 4
    report = msi.validate(path, decode="all")
    assert report.ok
    assert "label-shape" in {found.rule for found in report.findings}
    assert msi.verify(path).ok
    validate_elsewhere(path)


def test_labels_of_a_level_by_nearest_and_of_the_coarsest(tmp_path):
    path = stored_image(tmp_path, method="nearest")
    msi.write_labels(path, "first", level_labels(path, method="nearest"))
    msi.write_labels(path, "small", level_labels(path, level=2))
    assert msi.open_multiscale(path, group="labels/small")["scale0"]["image"].shape == (16, 20)


def test_labels_of_a_coarser_level_are_written_with_their_image(tmp_path):
    stored_image(tmp_path)
    image = msi.open_multiscale(tmp_path / "a.zarr")
    image.pyramid.to_zarr(tmp_path / "b.zarr", labels={"cells": level_labels(tmp_path / "a.zarr")})
    assert msi.open_multiscale(tmp_path / "b.zarr", group="labels/cells")["scale0"]["image"].shape == (33, 40)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image.drop_vars(["y", "x"]), r"do not lie on the image along 'y'.*shape of scale1.*'y': 3.25"),
        (lambda image: image.isel(y=slice(4, None)), "do not lie on the image along 'y'"),
        (lambda image: image.isel(y=slice(None, -4)), "do not lie on the image along 'y'"),
        (lambda image: image.assign_coords(y=image["y"] + 0.3), "do not lie on the image along 'y'"),
        (lambda image: image.assign_coords(x=image["x"] / 4), "do not lie on the image along 'x'"),
    ],
)
def test_labels_that_lie_on_no_grid_of_the_image_are_refused(tmp_path, change, words):
    path = stored_image(tmp_path)
    labels = change(level_labels(path, factors=[])["scale0"]["image"])
    with pytest.raises(ValueError, match=words):
        msi.write_labels(path, "cells", msi.to_multiscale(labels, [2, 2], method="mode"))


@pytest.mark.parametrize("factors", [(2,), (2, 2, 2)])
def test_the_number_of_levels_is_that_of_the_image(tmp_path, factors):
    """'the datasets key MUST have the same number of entries (scale levels) as the original unlabeled image'."""
    path = stored_image(tmp_path)
    with pytest.raises(ValueError, match=r"OME-Zarr asks for as many; .* or 2 others, of which 1 repeats a level"):
        msi.write_labels(path, "cells", level_labels(path, factors=factors))
    msi.write_labels(path, "cells", level_labels(path, factors=[2, 1]))
    assert msi.validate(path).ok


@pytest.mark.parametrize("count", [1, 2, 4])
def test_labels_of_others_with_any_number_of_levels_are_read(tmp_path, count):
    path = stored_image(tmp_path)
    labels = level_labels(path, factors=[2] * (count - 1))
    labels.pyramid.to_zarr(path / "labels/cells")
    zarr.open_group(path / "labels", mode="a").attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    back = msi.open_multiscale(path, group="labels/cells")
    assert len(back.children) == count
    np.testing.assert_array_equal(back["scale0"]["y"], msi.open_multiscale(path)["scale1"]["y"])
    assert msi.verify(path).ok
    assert [found.rule for found in msi.validate(path).errors] == ["label-levels"]
