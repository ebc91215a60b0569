"""open_multiscale on stores that we did not write, and on stores that are wrong."""

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi


def multiscale(paths, dims="yx", **extra):
    kinds = {"t": "time", "c": "channel"}
    datasets = [
        {"path": path, "coordinateTransformations": [{"type": "scale", "scale": [0.5 * 2**k] * len(dims)}]}
        for k, path in enumerate(paths)
    ]
    axes = [{"name": dim, "type": kinds.get(dim, "space")} for dim in dims]
    return {"axes": axes, "datasets": datasets, **extra}


def foreign_store(paths=("0", "1"), version="0.5", shape=(32, 48), dims="yx", **extra):
    """An image in a layout that is not ours."""
    root = zarr.create_group(MemoryStore(), zarr_format=3 if version == "0.5" else 2)
    levels = [
        np.arange(np.prod(shape), dtype="u2").reshape(shape)[(..., *[slice(None, None, 2**k)] * 2)]
        for k in range(len(paths))
    ]
    for path, level in zip(paths, levels, strict=True):
        root.create_array(path, data=level, chunks=(*[1] * (len(shape) - 2), 16, 16))
    image = multiscale(paths, dims, **extra)
    root.attrs.update(
        {"ome": {"version": "0.5", "multiscales": [image]}}
        if version == "0.5"
        else {"multiscales": [image | {"version": "0.4"}]}
    )
    return root, levels


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("paths", [("0", "1"), ("s0", "s1"), ("images/full", "images/half")])
def test_foreign_layouts(version, paths):
    root, levels = foreign_store(paths, version)
    tree = msi.open_multiscale(root.store)
    for number, level in enumerate(levels):
        image = tree[f"scale{number}"].image
        np.testing.assert_array_equal(image, level)
        np.testing.assert_array_equal(image.x, np.arange(level.shape[1]) * 0.5 * 2**number)
        assert image.encoding["chunks"] == (16, 16)
    assert tree.attrs["ome"]["version"] == "0.5"


def test_name_units_and_transforms_of_the_whole_image():
    root, _ = foreign_store(
        name="cells",
        coordinateTransformations=[{"type": "scale", "scale": [10, 2]}, {"type": "translation", "translation": [7, 0]}],
    )
    image = root.attrs["ome"]
    image["multiscales"][0]["axes"][1]["unit"] = "micrometer"
    image["multiscales"][0]["datasets"][1]["coordinateTransformations"].append(
        {"type": "translation", "translation": [1, 1]}
    )
    root.attrs["ome"] = image
    tree = msi.open_multiscale(root.store)
    level = tree["scale1"].cells
    np.testing.assert_array_equal(level.y[:2], [17, 27])
    np.testing.assert_array_equal(level.x[:2], [2, 4])
    assert level.x.attrs["units"] == "micrometer"


def test_group_inside_a_store(tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((8, 8), "u1")), [2])
    zarr.create_group(tmp_path / "outer.zarr")
    tree.pyramid.to_zarr(tmp_path / "outer.zarr" / "well" / "image")
    group = zarr.open_group(tmp_path / "outer.zarr", mode="r")["well/image"]
    assert list(msi.open_multiscale(group).children) == ["scale0", "scale1"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_round_trip_gives_equal_metadata(tmp_path, version):
    image = msi.to_spatial_image(np.ones((2, 32, 33), "u1"), dims=("c", "y", "x"), name="cells", scale={"x": 0.65})
    msi.to_multiscale(image, [2, 2], method="max", chunks=8).pyramid.to_zarr(tmp_path / "a.zarr", version=version)
    msi.open_multiscale(tmp_path / "a.zarr").pyramid.to_zarr(tmp_path / "b.zarr", version=version)
    one, other = (zarr.open_group(tmp_path / name, mode="r") for name in ("a.zarr", "b.zarr"))
    assert dict(one.attrs) == dict(other.attrs)
    for k in range(3):
        assert one[f"scale{k}/cells"].metadata == other[f"scale{k}/cells"].metadata
        np.testing.assert_array_equal(one[f"scale{k}/cells"], other[f"scale{k}/cells"])


def test_foreign_metadata_of_the_method_survives_a_rewrite(tmp_path):
    root, _ = foreign_store(type="gaussian", metadata={"method": "other.tool", "version": "3"})
    msi.open_multiscale(root.store).pyramid.to_zarr(tmp_path / "out.zarr")
    again = zarr.open_group(tmp_path / "out.zarr").attrs["ome"]["multiscales"][0]
    assert (again["type"], again["metadata"]) == ("gaussian", {"method": "other.tool", "version": "3"})


def test_a_rebuilt_pyramid_of_a_foreign_image(tmp_path):
    root, levels = foreign_store(shape=(3, 32, 48), dims="cyx")
    tree = msi.to_multiscale(msi.open_multiscale(root.store)["scale0"].image, [2, 2], method="nearest")
    np.testing.assert_array_equal(tree["scale1"].image, levels[1])
    assert tree["scale2"].image.x.values[1] == 2.0


def test_channel_names_and_dates_come_back(tmp_path):
    dates = np.array(["2026-01-01", "2026-03-01"], "M8[ns]")
    image = msi.to_spatial_image(
        np.zeros((2, 2, 8, 8)), dims=("t", "c", "y", "x"), t_coords=dates, c_coords=["dapi", "gfp"]
    )
    msi.to_multiscale(image, [2]).pyramid.to_zarr(tmp_path / "a.zarr")
    level = msi.open_multiscale(tmp_path / "a.zarr")["scale1"].image
    assert level.c.values.tolist() == ["dapi", "gfp"]
    np.testing.assert_array_equal(level.t, dates)


def test_attributes_and_other_coordinates_come_back(tmp_path):
    image = msi.to_spatial_image(np.zeros((8, 8))).assign_attrs(modality="CT")
    image = image.assign_coords(plate=5, lat=(("y", "x"), np.arange(64.0).reshape(8, 8)))
    msi.to_multiscale(image, [2]).pyramid.to_zarr(tmp_path / "a.zarr")
    msi.open_multiscale(tmp_path / "a.zarr").pyramid.to_zarr(tmp_path / "b.zarr")
    for name in ("a.zarr", "b.zarr"):
        back = msi.open_multiscale(tmp_path / name)["scale0"].image
        xr.testing.assert_identical(back.compute(), image)


def test_the_type_of_an_axis_outlives_its_name():
    root, _ = foreign_store(shape=(3, 32, 48), dims="qyx")
    attributes = root.attrs["ome"]
    attributes["multiscales"][0]["axes"][0]["type"] = "time"
    for dataset in attributes["multiscales"][0]["datasets"]:
        dataset["coordinateTransformations"][0]["scale"][0] = 1
    root.attrs["ome"] = attributes
    with pytest.warns(UserWarning, match="its axis 'q' of type 'time' is called 't'"):
        tree = msi.open_multiscale(root.store)
    assert tree["scale0"].image.dims == ("t", "y", "x")
    assert tree.attrs["ome"]["multiscales"][0]["axes"][0] == {"name": "t", "type": "time"}


def test_an_image_called_like_an_axis_is_opened():
    root, levels = foreign_store(name="x")
    with pytest.warns(UserWarning, match="its name 'x' cannot be that of a variable and a path"):
        np.testing.assert_array_equal(msi.open_multiscale(root.store)["scale0"].image, levels[0])


def break_store(change):
    root, _ = foreign_store()
    attributes = root.attrs["ome"]
    change(attributes["multiscales"][0], attributes)
    root.attrs["ome"] = attributes
    return root.store


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image, ome: image.pop("axes"), "malformed"),
        (lambda image, ome: image.update(axes=[]), "0 axes"),
        (lambda image, ome: image.update(datasets=[]), "no datasets"),
        (lambda image, ome: image["datasets"][0].pop("path"), "malformed"),
        (lambda image, ome: image["datasets"][1].update(path="missing"), "'missing'"),
        (lambda image, ome: ome.update(multiscales=[]), "malformed"),
        (lambda image, ome: ome.update(multiscales="x"), "malformed"),
        (lambda image, ome: ome.update(version="0.9"), r"0\.9"),
        (lambda image, ome: image["datasets"][0]["coordinateTransformations"][0].update(scale=[1]), "2 axes"),
        (lambda image, ome: image["datasets"][0]["coordinateTransformations"][0].update(type=3), "no string"),
        (lambda image, ome: image["datasets"][0]["coordinateTransformations"][0].update(scale=[-1, 1]), "positive"),
        (lambda image, ome: image["datasets"][0].update(coordinateTransformations=5), "malformed"),
        (lambda image, ome: ome.pop("multiscales"), "no OME-Zarr image"),
    ],
)
def test_malformed_metadata_is_refused_with_a_reason(change, words):
    with pytest.raises(ValueError, match=words):
        msi.open_multiscale(break_store(change))


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        msi.open_multiscale(tmp_path / "nothing.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(2, 2), dtype="u1")
    with pytest.raises(ValueError, match="is a Zarr array"):
        msi.open_multiscale(tmp_path / "array.zarr")


def test_opening_reads_no_pixel(counting_store):
    tree = msi.to_multiscale(msi.to_spatial_image(np.ones((64, 64), "u1"), c_coords=None), [2], chunks=16)
    tree.pyramid.to_zarr(counting_store)
    counting_store.reads.clear()
    opened = msi.open_multiscale(counting_store)
    repr(opened), str(opened.pyramid.explain())
    assert not [key for key in counting_store.chunk_reads() if "/image/" in key]
    xr.testing.assert_identical(opened["scale1"].image.compute(), tree["scale1"].image.compute())


def test_geometry_that_contradicts_the_coordinates_is_warned_of(tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((32, 32))), [2])
    moved = tree.sel(x=slice(8, None))
    moved.to_zarr(tmp_path / "stale.zarr", consolidated=False)
    with pytest.warns(UserWarning, match=r"first position of 'x': 0, not 8\).*pyramid\.refresh\(\)"):
        assert msi.open_multiscale(tmp_path / "stale.zarr")["scale0"].x[0] == 0
    moved.pyramid.refresh().to_zarr(tmp_path / "fresh.zarr", consolidated=False)
    assert msi.open_multiscale(tmp_path / "fresh.zarr")["scale0"].x[0] == 8


def test_blocks_of_a_reopened_image_are_moderate_and_whole_chunks():
    root = zarr.create_group(MemoryStore())
    root.create_array("0", shape=(2048, 2048, 2048), chunks=(64, 64, 64), dtype="u2")
    root.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale(["0"], "zyx")]}
    image = msi.open_multiscale(root.store)["scale0"].image
    assert image.data.chunksize[0] % 64 == 0
    assert np.prod(image.data.chunksize) * 2 <= 64 * 2**20
    assert list(image.sizes) == list(image.coords) == ["z", "y", "x"]
