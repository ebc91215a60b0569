"""What is written: valid for other libraries' judges, equal to what the tree computes, and never by accident."""

import json
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from numcodecs import Zstd
from ome_zarr_models.v04 import Image as Image04
from ome_zarr_models.v05 import Image as Image05
from zarr.codecs import GzipCodec
from zarr.storage import LocalStore, MemoryStore

import msi_lazy as msi
from tests.support.optional import validate_elsewhere

MODELS = {"0.4": Image04, "0.5": Image05}


def make_image(dims="yx", shape=(70, 90), **options):
    array = np.random.default_rng(0).integers(0, 60000, shape, dtype="u2")
    return msi.to_spatial_image(array, dims=tuple(dims), **options)


def make_tree(dims="yx", shape=(70, 90), factors=(2, 2), **options):
    return msi.to_multiscale(make_image(dims, shape, **options), list(factors), chunks=16, block_bytes=8192)


def image_metadata(path, version):
    root = Path(path, "zarr.json" if version == "0.5" else ".zattrs")
    attributes = json.loads(root.read_text())
    return (attributes["attributes"]["ome"] if version == "0.5" else attributes)["multiscales"][0]


def assert_valid(path, version):
    validate_elsewhere(path)
    MODELS[version].from_zarr(zarr.open_group(path, mode="r"))
    report = msi.validate(path)
    assert report.ok, str(report)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("dims", "shape"),
    [("yx", (70, 90)), ("zyx", (9, 30, 40)), ("cyx", (3, 30, 40)), ("tczyx", (2, 2, 6, 20, 20)), ("yxc", (30, 40, 3))],
)
def test_stores_are_valid_and_open_everywhere(tmp_path, version, dims, shape):
    tree = make_tree(dims, shape, scale={"x": 0.5}, axis_units={"x": "µm", "y": "micrometer"})
    path = tmp_path / "out.ome.zarr"
    assert tree.pyramid.to_zarr(path, version=version) is None
    assert_valid(path, version)
    with xr.open_datatree(path, engine="zarr") as opened:
        back = msi.open_multiscale(path)
        for name, node in tree.children.items():
            expected = node["image"].transpose(*back["scale0"].image.dims)
            xr.testing.assert_identical(opened[name]["image"].load(), expected.compute())
            xr.testing.assert_identical(back[name]["image"].compute(), expected.compute())


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_metadata(tmp_path, version):
    image = make_image("cyx", (3, 40, 60), name="cells", scale={"y": 0.65, "x": 0.65}, translation={"x": -5})
    image = image.assign_coords(x=image.x.assign_attrs(units="micrometers"), c=[7, 8, 9])
    msi.to_multiscale(image, [2, {"x": 3}]).pyramid.to_zarr(tmp_path / "m.zarr", version=version)
    multiscale = image_metadata(tmp_path / "m.zarr", version)
    assert multiscale["axes"] == [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    transforms = [dataset["coordinateTransformations"] for dataset in multiscale["datasets"]]
    assert [[kind["type"] for kind in pair] for pair in transforms] == [["scale", "translation"]] * 3
    np.testing.assert_allclose(
        [pair[0]["scale"] for pair in transforms], [[1, 0.65, 0.65], [1, 1.3, 1.3], [1, 1.3, 3.9]]
    )
    np.testing.assert_allclose(
        [pair[1]["translation"] for pair in transforms],
        [[0, 0, -5], [0, 0.325, -4.675], [0, 0.325, -3.375]],
    )
    assert [dataset["path"] for dataset in multiscale["datasets"]] == [f"scale{k}/cells" for k in range(3)]
    assert (multiscale["name"], multiscale["type"]) == ("cells", "mean")
    assert multiscale["metadata"]["kwargs"]["scale_factors"] == [{"c": 1, "y": 2, "x": 2}, {"c": 1, "y": 1, "x": 3}]
    assert multiscale.get("version") == ("0.4" if version == "0.4" else None)


@pytest.mark.parametrize("boundary", ["trim", "pad"])
@pytest.mark.parametrize("method", ["mean", "nearest"])
def test_every_method_and_boundary_is_written_with_its_name(tmp_path, method, boundary):
    image = make_image("yxc", (9, 13, 3))
    msi.to_multiscale(image, [2, 2], method=method, boundary=boundary).pyramid.to_zarr(tmp_path / "m.zarr")
    multiscale = image_metadata(tmp_path / "m.zarr", "0.5")
    assert (multiscale["type"], multiscale["metadata"]["method"]) == (method, f"msi_lazy.{method}")
    assert multiscale["metadata"]["kwargs"]["boundary"] == boundary
    assert_valid(tmp_path / "m.zarr", "0.5")


@pytest.mark.parametrize(("nodata", "stored"), [(7, 7), (np.float32(0.1), float(np.float32(0.1))), (np.nan, "nan")])
def test_the_value_left_out_is_written_with_the_method(tmp_path, nodata, stored):
    tree = msi.to_multiscale(make_image("yx", (9, 13)).astype("float32"), [2], nodata=nodata)
    tree.pyramid.to_zarr(tmp_path / "m.zarr")
    assert image_metadata(tmp_path / "m.zarr", "0.5")["metadata"]["kwargs"]["nodata"] == stored
    assert tree.attrs["ome"]["multiscales"][0]["metadata"]["kwargs"]["nodata"] == stored


def test_times_are_written_with_their_spacing(tmp_path):
    make_tree("tyx", (3, 40, 60), scale={"t": 0.5}, axis_units={"t": "s"}).pyramid.to_zarr(tmp_path / "m.zarr")
    multiscale = image_metadata(tmp_path / "m.zarr", "0.5")
    assert multiscale["axes"][0] == {"name": "t", "type": "time", "unit": "second"}
    assert multiscale["datasets"][1]["coordinateTransformations"][0]["scale"] == [0.5, 2, 2]


def test_xarrays_own_writer_makes_a_valid_image_too(tmp_path):
    tree = make_tree("cyx", (3, 40, 60), c_coords=["a", "b", "c"])
    tree.to_zarr(tmp_path / "plain.zarr", consolidated=False)
    assert_valid(tmp_path / "plain.zarr", "0.5")
    assert zarr.open_array(tmp_path / "plain.zarr", path="scale0/image").chunks == (1, 16, 16)
    xr.testing.assert_identical(
        msi.open_multiscale(tmp_path / "plain.zarr")["scale2"].image.compute(), tree["scale2"].image.compute()
    )


def test_arrays_on_disk(tmp_path):
    make_tree().pyramid.to_zarr(tmp_path / "5.zarr")
    make_tree().pyramid.to_zarr(tmp_path / "4.zarr", version="0.4")
    v3 = zarr.open_array(tmp_path / "5.zarr/scale1/image")
    v2 = zarr.open_array(tmp_path / "4.zarr/scale1/image")
    assert (v3.chunks, v2.chunks) == ((16, 16), (16, 16))
    assert v3.metadata.dimension_names == ("y", "x")
    assert v2.metadata.dimension_separator == "/"
    (_, compressor) = json.loads((tmp_path / "5.zarr/scale1/image/zarr.json").read_text())["codecs"]
    assert (compressor["configuration"]["cname"], v2.compressors[0].cname) == ("zstd", "zstd")
    assert (tmp_path / "4.zarr/scale0/image/4/5").exists()


def test_compressors_and_encoding_are_honoured(tmp_path):
    tree = make_tree()
    encoding = {"/scale1": {"image": {"chunks": (8, 32), "compressors": None}}}
    tree.pyramid.to_zarr(tmp_path / "a.zarr", compressors=GzipCodec(), encoding=encoding)
    arrays = [zarr.open_array(tmp_path / "a.zarr", path=f"scale{k}/image") for k in range(3)]
    assert [array.chunks for array in arrays] == [(16, 16), (8, 32), (16, 16)]
    assert [len(array.compressors) for array in arrays] == [1, 0, 1]
    for k, array in enumerate(arrays):
        np.testing.assert_array_equal(array, tree[f"scale{k}"].image)
    tree.pyramid.to_zarr(tmp_path / "b.zarr", version="0.4", compressors=Zstd())
    assert zarr.open_array(tmp_path / "b.zarr", path="scale0/image").compressors == (Zstd(),)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", ">i2", "u4", "i8", "f2", "f4", ">f8", "?"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_every_dtype_survives(tmp_path, dtype, version):
    array = (np.random.default_rng(0).random((20, 30)) * 2).astype(dtype)
    tree = msi.to_multiscale(msi.to_spatial_image(array), [2], method="max")
    tree.pyramid.to_zarr(tmp_path / "t.zarr", version=version)
    back = msi.open_multiscale(tmp_path / "t.zarr")
    for name, node in tree.children.items():
        np.testing.assert_array_equal(back[name].image.values, node.image.values, strict=True)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_zero_and_nan_are_values_and_not_holes(tmp_path, version):
    array = np.zeros((40, 40), "f4")
    array[:5] = np.nan
    msi.to_multiscale(msi.to_spatial_image(array), [2], chunks=8).pyramid.to_zarr(tmp_path / "z.zarr", version=version)
    with xr.open_datatree(tmp_path / "z.zarr", engine="zarr") as opened:
        np.testing.assert_array_equal(opened["scale0"].image, array)
    integers = msi.to_multiscale(msi.to_spatial_image(np.zeros((40, 40), "u2")), [2], chunks=8)
    integers.pyramid.to_zarr(tmp_path / "i.zarr", version=version)
    with xr.open_datatree(tmp_path / "i.zarr", engine="zarr") as opened:
        assert opened["scale1"].image.dtype == "u2"


def test_compute_false_does_everything_later(tmp_path):
    delayed = make_tree().pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    with pytest.raises(ValueError, match="holds an incomplete image"):
        msi.open_multiscale(tmp_path / "out.zarr")
    delayed.compute()
    assert_valid(tmp_path / "out.zarr", "0.5")


def test_a_run_that_dies_does_not_look_complete(tmp_path):
    def fail(block):
        raise RuntimeError("decode")

    image = make_image()
    broken = image.copy(
        data=da.from_array(image.values, chunks=(16, 16)).map_blocks(fail, dtype="u2", meta=np.empty((0, 0), "u2"))
    )
    with pytest.raises(RuntimeError, match="decode"):
        msi.to_multiscale(broken, [2]).pyramid.to_zarr(tmp_path / "out.zarr")
    with pytest.raises(ValueError, match="holds an incomplete image"):
        msi.open_multiscale(tmp_path / "out.zarr")


def test_the_default_mode_refuses_an_existing_target(tmp_path):
    tree = make_tree()
    path = tmp_path / "out.zarr"
    tree.pyramid.to_zarr(path)
    before = sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*"))
    for target in (path, str(path), LocalStore(path), path.as_uri(), tmp_path):
        with pytest.raises(FileExistsError, match="mode='w'"):
            tree.pyramid.to_zarr(target)
    assert sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*")) == before
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    with pytest.raises(msi.StoreExistsError):
        tree.pyramid.to_zarr(store)


def test_overwriting_replaces_a_zarr_hierarchy_only(tmp_path):
    path = tmp_path / "out.zarr"
    make_tree(factors=(2, 2, 2)).pyramid.to_zarr(path)
    make_tree(factors=(2,)).pyramid.to_zarr(path, mode="w")
    assert list(msi.open_multiscale(path).children) == ["scale0", "scale1"]
    assert not (path / "scale3").exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_text("meow")
    with pytest.raises(ValueError, match="not a Zarr hierarchy"):
        make_tree().pyramid.to_zarr(tmp_path / "photos", mode="w")
    assert (tmp_path / "photos/cat.jpg").read_text() == "meow"
    (tmp_path / "empty").mkdir()
    make_tree().pyramid.to_zarr(tmp_path / "empty")


def test_the_source_is_never_overwritten(tmp_path):
    path = tmp_path / "out.zarr"
    make_tree().pyramid.to_zarr(path)
    (tmp_path / "link").symlink_to(path)
    reopened = msi.open_multiscale(path)
    rebuilt = msi.to_multiscale(reopened["scale0"].image, [2])
    opened = xr.open_zarr(path, group="scale0", chunks=None, consolidated=False).image
    for tree in (
        reopened,
        rebuilt,
        msi.to_multiscale(opened, [2]),
        msi.to_multiscale(reopened["scale0"].image + 1, [2]),
    ):
        for target in (path, tmp_path / "link", path / "scale0", tmp_path):
            with pytest.raises(ValueError, match="overlap"):
                tree.pyramid.to_zarr(target, mode="w")
    assert_valid(path, "0.5")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "a"}, "mode must be"),
        ({"version": "0.7"}, "version must be one of '0.4', '0.5'"),
        ({"encoding": {"/scale9": {}}}, "'/scale9'"),
        ({"encoding": {"/scale0": {"picture": {}}}}, "'picture'"),
    ],
)
def test_wrong_arguments_create_nothing(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        make_tree().pyramid.to_zarr(tmp_path / "out.zarr", **options)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (make_image("x", (70,)), "1 dimensions"),
        (make_image("cx", (3, 70)), "1 spatial"),
        (
            xr.DataArray(np.zeros((2, 4, 8, 8)), dims=("c", "angle", "y", "x")),
            "'c' and 'angle' are neither",
        ),
        (xr.DataArray(np.zeros((2, 2, 2, 2, 8, 8)), dims=("t", "c", "angle", "z", "y", "x")), "'angle'"),
        (make_image(name=".hidden"), "'.hidden'"),
    ],
)
def test_what_ome_zarr_cannot_hold_is_refused_by_name_but_still_a_tree(tmp_path, image, words):
    tree = msi.to_multiscale(image, [2])
    assert "ome" not in tree.attrs
    assert tree["scale1"][image.name or "image"].compute().shape[-1] == image.shape[-1] // 2
    with pytest.raises(msi.UnsupportedImageError, match=words):
        tree.pyramid.to_zarr(tmp_path / "out.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_root_attributes_of_the_user_are_kept(tmp_path):
    tree = make_tree()
    tree.attrs["project"] = "atlas"
    tree.pyramid.to_zarr(tmp_path / "out.zarr")
    assert msi.open_multiscale(tmp_path / "out.zarr").attrs["project"] == "atlas"


def test_progress_is_shown_where_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    make_tree().pyramid.to_zarr(tmp_path / "a.zarr")
    assert not capsys.readouterr().out
    make_tree().pyramid.to_zarr(tmp_path / "b.zarr", progress=True)
    assert "100%" in capsys.readouterr().out
