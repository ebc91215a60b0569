"""Meaning of the names of dimensions: what is reduced, what is written, and what is not guessed."""

import json
from urllib.request import urlopen

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.axes import read_axes
from msi_lazy.cli import main
from tests.support.advice import advised
from tests.support.optional import require

SPELLINGS = {
    "t": ("t", "T", "time", "Time"),
    "c": ("c", "C", "channel", "ch", "S", "s"),
    "z": ("z", "Z"),
    "y": ("y", "Y", "lat", "latitude", "row", "Row"),
    "x": ("x", "X", "lon", "LONGITUDE", "col", "column"),
}
UNKNOWN = ("band", "frame", "sample", "Q", "angle", "row2", "depth", "yy")


@st.composite
def named_images(draw):
    """An image with two or three dimensions of space in any spelling and order, and a value for each other place."""
    space = draw(st.sampled_from(["yx", "zyx"]))
    names = [draw(st.sampled_from(SPELLINGS[meaning])) for meaning in space]
    others = draw(st.lists(st.sampled_from(["t", "c", "?"]), unique=True, max_size=2))
    names += [draw(st.sampled_from(UNKNOWN if kind == "?" else SPELLINGS[kind])) for kind in others]
    order = draw(st.permutations(range(len(names))))
    sizes = [draw(st.integers(4, 9)) if number < len(space) else 3 for number in range(len(names))]
    values = np.zeros(sizes) + np.arange(3 ** len(others)).reshape((1,) * len(space) + (3,) * len(others))
    image = xr.DataArray(values, dims=names, name="image").transpose(*(names[number] for number in order))
    return image, set(names[: len(space)])


@given(named_images(), st.sampled_from([2, "auto"]), st.booleans())
def test_an_integer_and_auto_reduce_space_in_any_spelling_and_mix_nothing_else(named, factor, upper):
    image, space = named
    if upper and len({dim.upper() for dim in image.dims}) == image.ndim:
        image, space = image.rename({dim: dim.upper() for dim in image.dims}), {dim.upper() for dim in space}
    tree = msi.to_multiscale(image, [factor] if factor == 2 else factor, chunks=3)
    level = tree["scale1"].image
    assert level.dims == image.dims
    assert {dim for dim in image.dims if level.sizes[dim] != image.sizes[dim]} <= space
    if factor == 2:
        assert dict(level.sizes) == {dim: n // 2 if dim in space else n for dim, n in image.sizes.items()}
    np.testing.assert_array_equal(level, image.isel({dim: slice(level.sizes[dim]) for dim in space}))


@pytest.mark.filterwarnings("ignore:the dimension .* is written as an axis without a type")
@given(named_images(), st.sampled_from(["0.4", "0.5"]))
def test_what_is_written_is_valid_in_the_users_spelling_and_in_the_order_of_the_specification(named, version):
    image, space = named
    kinds = {axis.name: axis.kind for axis in read_axes(image)}
    if sum(kind in ("channel", None) for kind in kinds.values()) > 1:
        return
    store = MemoryStore()
    msi.to_multiscale(image, [2]).pyramid.to_zarr(store, version=version)
    report = msi.validate(store)
    assert report.ok
    assert {finding.rule for finding in report.findings} <= {"axes-unit", "axes-type", "omero-window-order"}
    reopened = msi.open_multiscale(store)["scale0"].image
    assert reopened.dims == tuple(
        sorted(image.dims, key=lambda dim: ({"time": 0, "space": 2}.get(kinds[dim], 1), meaning_of(dim)))
    )
    xr.testing.assert_equal(reopened.transpose(*image.dims).drop_vars(reopened.coords), image)
    assert {dim for dim in reopened.dims if kinds[dim] == "space"} == space
    msi.to_multiscale(reopened, [2]).pyramid.to_zarr(MemoryStore(), version=version)


def meaning_of(dim):
    found = [meaning for meaning, names in SPELLINGS.items() if dim in names]
    return "tczyx".index(found[0]) if found else 1


@pytest.mark.parametrize("dims", [("i", "j"), ("frame", "row2", "q"), ("band",), ("t", "c"), ("T", "Q", "S")])
@pytest.mark.parametrize("factors", ["auto", [2], [2, 3], [{}, 2]])
def test_where_no_dimension_is_known_to_be_space_nothing_is_guessed(dims, factors):
    image = xr.DataArray(np.zeros((8,) * len(dims)), dims=dims)
    with pytest.raises(ValueError, match="is known to be space") as caught:
        msi.to_multiscale(image, factors)
    message = str(caught.value)
    assert repr(dims) in message
    example = message.partition("scale_factors=")[2].partition("]")[0] + "]"
    tree = msi.to_multiscale(image, eval(example))  # what it says can be pasted
    assert len(tree.children) == 1 + (1 if factors == "auto" else len(factors))
    assert tree[list(tree.children)[-1]].image.shape != image.shape
    options = message.partition("(--factors ")[2].partition(")")[0]
    assert options.count(" ") == example.count("{") - 1
    if {"i", "q"} & set(dims):
        (renamed,) = advised(message, image)
        assert msi.to_multiscale(renamed, [2])["scale1"].image.shape[-2:] == (4, 4)


def test_a_dict_reduces_what_it_names_and_chunks_are_not_of_one_sample():
    image = xr.DataArray(da.zeros((512, 512), chunks=256), dims=("i", "j"), name="image")
    tree = msi.to_multiscale(image, [{"i": 2}, {"i": 2, "j": 4}])
    assert [node.image.shape for node in tree.children.values()] == [(512, 512), (256, 512), (128, 128)]
    assert tree["scale0"].image.encoding["chunks"] == (256, 256)
    with pytest.raises(ValueError, match=r"rename them, as in image.rename\({'i': 'y', 'j': 'x'}\)"):
        tree.pyramid.thumbnail()
    with pytest.raises(ValueError, match="rename them"):
        tree.pyramid.level_for(3)
    with pytest.raises(ValueError, match=r"as in scale_factors=\[{'i': 2, 'j': 2}\]"):
        msi.to_multiscale(image, [{"y": 2}])


@pytest.mark.filterwarnings("ignore:the dimension .* is written as an axis without a type")
@pytest.mark.parametrize(
    ("dims", "shape", "words"),
    [
        (("T", "C", "Z", "Y", "X", "S"), (1, 1, 1, 8, 8, 3), "'C' and 'S' are neither time nor space"),
        (("C", "Y", "X", "S"), (2, 8, 8, 3), "'C' and 'S' are neither time nor space"),
        (("c", "channel", "y", "x"), (2, 3, 8, 8), "'c' and 'channel' are neither time nor space"),
        (("band", "frame", "y", "x"), (3, 2, 8, 8), "'band' and 'frame' are neither time nor space"),
        (("c", "angle", "lat", "lon"), (3, 2, 8, 8), "'c' and 'angle' are neither time nor space"),
        (("T", "time", "y", "x"), (3, 2, 8, 8), "'T' and 'time' are time"),
        (("t", "y", "x", "z", "c", "u"), (2, 8, 8, 2, 2, 2), "'c' and 'u' are neither"),
        (("n", "a", "b", "c", "d", "e"), (2, 2, 2, 2, 8, 8), "'n' and 'a' and 'b'"),
        (("q", "t", "time"), (8, 2, 2), "'t' and 'time' are time"),
        (("x",), (8,), "1 dimensions"),
        (("t", "x"), (3, 8), "1 spatial"),
        (("z", "y", "x", "row"), (2, 8, 8, 8), "4 spatial"),
    ],
)
def test_what_cannot_be_held_comes_with_advice_that_works(dims, shape, words):
    image = xr.DataArray(np.arange(np.prod(shape)).reshape(shape).astype("u2"), dims=dims, name="image")
    tree = msi.to_multiscale(image, [dict.fromkeys(dims[-1:], 2)])
    with pytest.raises(msi.UnsupportedImageError, match=words) as caught:
        tree.pyramid.to_zarr(MemoryStore())
    found = advised(caught.value, image)
    assert found
    assert "rename({})" not in str(caught.value)
    if "image.rename(" in str(caught.value):  # one call suffices
        msi.to_multiscale(found[-1], [2]).pyramid.to_zarr(MemoryStore())
    stored = 0
    for changed in found:
        store = MemoryStore()
        try:
            msi.to_multiscale(changed, [{}]).pyramid.to_zarr(store)
        except msi.UnsupportedImageError as error:  # one step of two, as for an image of one dimension
            found.extend(advised(error, changed))
            continue
        stored += 1
        assert msi.validate(store).ok
    assert stored


def test_one_axis_without_a_type_is_held_and_said():
    image = xr.DataArray(np.zeros((3, 8, 8), "u1"), dims=("band", "y", "x"), name="image")
    store = MemoryStore()
    with pytest.warns(UserWarning, match="'band' is written as an axis without a type") as caught:
        msi.to_multiscale(image, [2]).pyramid.to_zarr(store)
    assert caught[0].filename == __file__
    axes = zarr.open_group(store).attrs["ome"]["multiscales"][0]["axes"]
    assert axes[0] == {"name": "band"}
    assert msi.validate(store).ok
    assert msi.open_multiscale(store)["scale1"].image.shape == (3, 4, 4)
    (renamed,) = advised(caught[0].message, image)
    msi.to_multiscale(renamed, [2]).pyramid.to_zarr(MemoryStore())


def bioio_image():
    """As ``BioImage.xarray_dask_data`` gives it."""
    values = da.from_array(np.random.default_rng(0).integers(0, 999, (2, 2, 3, 40, 40), "u2"), chunks=(1, 1, 1, 40, 40))
    coords = {"C": ["DAPI", "GFP"], "Z": np.arange(3) * 2.0, "Y": np.arange(40) * 0.5, "X": np.arange(40) * 0.5}
    return xr.DataArray(values, dims=tuple("TCZYX"), coords=coords, name="cells")


def test_everything_works_in_upper_case(tmp_path):
    tree = msi.to_multiscale(bioio_image(), [2, {"Y": 2, "X": 2}], chunks={"Y": 16, "X": 16})
    labels = msi.to_multiscale(bioio_image().isel(T=0, C=0, drop=True), [2, {"Y": 2, "X": 2}], method="mode")
    tree.pyramid.to_zarr(tmp_path / "a.zarr", colors={"GFP": "00ff00"}, windows="auto", labels={"cells": labels})
    msi.write_labels(tmp_path / "a.zarr", "more", labels)
    assert msi.validate(tmp_path / "a.zarr").ok
    assert msi.verify(tmp_path / "a.zarr").ok
    reopened = msi.open_multiscale(tmp_path / "a.zarr")
    assert reopened["scale1"].C.values.tolist() == ["DAPI", "GFP"]
    assert reopened["scale2"].cells.shape == (2, 2, 1, 10, 10)
    assert [c["label"] for c in reopened.attrs["ome"]["omero"]["channels"]] == ["DAPI", "GFP"]
    assert reopened.pyramid.sel(C="GFP", Y=slice(2, 4), spacing={"X": 1}).shape == (2, 1, 3, 20)
    assert reopened.pyramid.thumbnail(max_size=20).shape == (20, 20, 3)
    assert reopened.pyramid.reindex_data_arrays(C=["GFP"])["scale1"].cells.shape == (2, 1, 1, 20, 20)
    assert reopened.pyramid.transpose("C", ...)["scale1"].cells.dims == tuple("CTZYX")
    _, options, _ = msi.napari_layer(reopened)
    assert options["name"] == ["DAPI", "GFP"]
    assert options["axis_labels"] == list("TZYX")
    msi.add_levels(tmp_path / "a.zarr", [2], group="labels/cells")
    msi.add_levels(tmp_path / "a.zarr", [2], group="labels/more")
    msi.add_levels(tmp_path / "a.zarr", [2])
    assert zarr.open_group(tmp_path / "a.zarr")["scale3/cells"].shape == (2, 2, 1, 5, 5)
    result = CliRunner().invoke(main, ["info", str(tmp_path / "a.zarr")])
    assert "channels: DAPI, GFP" in result.output


def test_channels_in_upper_case_have_each_their_own_values():
    values = np.zeros((2, 64, 64), "u2")
    values[1] = 1000
    for dims in ("CYX", "TYX", "SYX"):
        image = xr.DataArray(values, dims=tuple(dims), name="image")
        level = msi.to_multiscale(image, "auto", chunks=32)["scale1"].image
        assert level.shape == (2, 32, 32)
        assert [np.unique(plane).tolist() for plane in level.values] == [[0], [1000]]


def test_given_coordinates_and_spacings_find_their_dimension():
    image = msi.to_spatial_image(
        np.zeros((2, 2, 4, 4)), "TCYX", scale={"Y": 0.5}, t_coords=[0.0, 3.0], c_coords=["a", "b"]
    )
    assert image["T"].values.tolist() == [0, 3]
    assert image["C"].values.tolist() == ["a", "b"]
    assert image["Y"].values.tolist() == [0, 0.5, 1, 1.5]
    rgb = msi.to_spatial_image(np.zeros((2, 4, 4, 2)), "CYXS", c_coords=["a", "b"])
    assert rgb["C"].values.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="leave 'C' out of scale"):
        msi.to_spatial_image(np.zeros((2, 4, 4)), "CYX", scale={"C": 2})
    with pytest.raises(ValueError, match="leave 'T' out of scale"):
        msi.to_spatial_image(np.zeros((2, 4, 4)), "TYX", scale={"T": 2}, t_coords=[0, 1])
    with pytest.raises(ValueError, match="the image has no dimension 'c'"):
        msi.to_spatial_image(np.zeros((4, 4)), "YX", c_coords=[0, 1])


@pytest.mark.parametrize("dims", ["CYX", "TYX", "ZYX", "c,lat,lon"])
def test_the_command_line_takes_upper_case(dims, tmp_path):
    values = np.zeros((2, 300, 300), "u2")
    values[1] = 1000
    np.save(tmp_path / "in.npy", values)
    last = dims.split(",")[-1] if "," in dims else dims[-1]
    arguments = ["convert", str(tmp_path / "in.npy"), str(tmp_path / "out.zarr"), "--dims", dims]
    result = CliRunner().invoke(main, [*arguments, "--scale", f"{last}=.5", "--levels", "1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert msi.validate(tmp_path / "out.zarr").ok
    tree = msi.open_multiscale(tmp_path / "out.zarr")
    assert tree["scale1"].image.shape == ((1 if dims[0] == "Z" else 2), 150, 150)
    assert tree["scale0"][last].values[1] == 0.5


def test_stored_names_that_hide_a_type_are_renamed_and_two_of_space_become_y_and_x():
    store = MemoryStore()
    image = xr.DataArray(np.zeros((2, 8, 8)), dims=("c", "y", "x"), name="image")
    msi.to_multiscale(image, [2]).pyramid.to_zarr(store)
    group = zarr.open_group(store)
    ome = group.attrs["ome"]
    for axis, name in zip(ome["multiscales"][0]["axes"], ("band", "i", "j"), strict=True):
        axis["name"] = name
    group.attrs["ome"] = ome
    with pytest.warns(UserWarning, match="name of 'c': 'band', not 'c'"):
        reopened = msi.open_multiscale(store)["scale0"].image
    assert reopened.dims == ("c", "y", "x")
    assert msi.to_multiscale(reopened, [2])["scale1"].image.shape == (2, 4, 4)


class TestThinAxes:
    @pytest.mark.parametrize("boundary", ["trim", "pad"])
    @pytest.mark.parametrize("factors", [[2, 2, 2], [3, 3, 3], [4, 4]])
    def test_an_integer_leaves_an_axis_alone_that_is_too_short(self, factors, boundary):
        image = xr.DataArray(np.random.default_rng(0).random((5, 300, 280)), dims=("z", "y", "x"), name="image")
        tree = msi.to_multiscale(image, factors, boundary=boundary)
        shape = image.shape
        for factor, node in zip(factors, list(tree.children.values())[1:], strict=True):
            shape = tuple(n if n < factor else n // factor if boundary == "trim" else -(-n // factor) for n in shape)
            assert node.image.shape == shape
        store = MemoryStore()
        tree.pyramid.to_zarr(store)
        assert msi.validate(store).ok
        assert msi.verify(store).ok

    def test_a_dict_that_names_it_is_refused_with_a_dict_that_fits(self):
        image = xr.DataArray(np.zeros((5, 64, 64)), dims=("Z", "Y", "X"))
        with pytest.raises(ValueError, match="larger than the finer level") as caught:
            msi.to_multiscale(image, [{"Z": 8, "Y": 2, "X": 2}])
        fitting = eval("{" + str(caught.value).partition("{")[2].partition("}")[0] + "}")
        assert msi.to_multiscale(image, [fitting])["scale1"].sizes == {"Z": 5, "Y": 32, "X": 32}

    def test_where_nothing_can_be_reduced_the_number_of_levels_that_work_is_said(self):
        image = xr.DataArray(np.zeros((3, 5, 6)), dims=("c", "y", "x"))
        with pytest.raises(ValueError, match="fewer levels") as caught:
            msi.to_multiscale(image, [2] * 5)
        fitting = eval(str(caught.value).partition("scale_factors=")[2])
        assert fitting == [2, 2]
        assert msi.to_multiscale(image, fitting)["scale2"].sizes == {"c": 3, "y": 1, "x": 1}

    def test_exact_still_refuses_what_does_not_divide(self):
        with pytest.raises(ValueError, match="does not divide the 5 samples"):
            msi.to_multiscale(xr.DataArray(np.zeros((5, 64, 64)), dims=("z", "y", "x")), [2], boundary="exact")
        one = xr.DataArray(np.zeros((1, 64, 64)), dims=("z", "y", "x"))
        assert msi.to_multiscale(one, [2], boundary="exact")["scale1"].sizes == {"z": 1, "y": 32, "x": 32}

    def test_levels_on_the_command_line(self, tmp_path):
        np.save(tmp_path / "in.npy", np.zeros((5, 64, 64), "u1"))
        arguments = ["convert", str(tmp_path / "in.npy"), str(tmp_path / "out.zarr"), "--levels", "4"]
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        tree = msi.open_multiscale(tmp_path / "out.zarr")
        assert [node.image.shape for node in tree.children.values()] == [
            (5, 64, 64), (2, 32, 32), (1, 16, 16), (1, 8, 8), (1, 4, 4)
        ]  # fmt: skip


def test_latitudes_that_descend_come_with_advice_that_works():
    latitudes = np.linspace(89.5, -89.5, 180)
    for name in ("lat", "Y"):
        image = xr.DataArray(np.zeros((180, 36), "f4"), dims=(name, "lon"), coords={name: latitudes}, name="image")
        with pytest.raises(ValueError, match="descends from 89") as caught:
            msi.to_multiscale(image, [2])
        (turned,) = advised(caught.value, image)
        msi.to_multiscale(turned, [2]).pyramid.to_zarr(MemoryStore())


def test_the_validator_knows_the_order_of_space_in_any_spelling():
    store = MemoryStore()
    image = xr.DataArray(np.zeros((4, 8, 8)), dims=("z", "lat", "lon"), name="image")
    msi.to_multiscale(image, [2]).pyramid.to_zarr(store)
    assert "axes-zyx" not in {finding.rule for finding in msi.validate(store).findings}
    group = zarr.open_group(store)
    ome = group.attrs["ome"]
    for axis, name in zip(ome["multiscales"][0]["axes"], ("Z", "col", "row"), strict=True):
        axis["name"] = name
    group.attrs["ome"] = ome
    assert "axes-zyx" in {finding.rule for finding in msi.validate(store).findings}


def test_the_viewer_shows_upper_case():
    require("neuroglancer")
    store = MemoryStore()
    msi.to_multiscale(bioio_image(), [2]).pyramid.to_zarr(store)
    with msi.view(store, open_browser=False) as viewer, urlopen(viewer.url.partition("#!")[2]) as answer:
        state = json.load(answer)
    assert state["displayDimensions"] == ["X", "Y", "Z"]
    assert [layer["name"] for layer in state["layers"]] == ["DAPI", "GFP"]
    assert [layer["localPosition"] for layer in state["layers"]] == [[0], [1]]
    assert list(state["layers"][0]["localDimensions"]) == ["C'"]
