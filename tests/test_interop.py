"""Images of other libraries: ITK's, pyimagej's and spatial-image's."""

import gc
import sys
import warnings
import weakref

import numpy as np
import pytest
import xarray as xr
import zarr
from spatial_image import to_spatial_image as library_to_spatial_image
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.inputs.itk_image import itk_image_to_multiscale
from msi_lazy.inputs.pyimagej import from_pyimagej
from tests.support.itk_oracles import keep_swig_types
from tests.support.optional import require


@pytest.fixture(scope="module")
def itk():
    """ITK with what the tests use of it loaded: its warnings, as errors, would crash the interpreter."""
    itk = require("itk")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        itk_image_to_multiscale(itk.image_from_array(np.zeros((2, 2, 2), "u1")), [])
        itk.orient_image_filter(itk.image_from_array(np.zeros((2, 2, 2), "u1")))
        itk.array_from_matrix(itk.image_from_array(np.zeros((2, 2), "u1")).GetDirection())
    keep_swig_types()
    return itk


def make_image(itk, array, direction=None, spacing=None, origin=None, is_vector=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = itk.image_from_array(array, is_vector=is_vector)
        if spacing is not None:
            image.SetSpacing(spacing)
        if origin is not None:
            image.SetOrigin(origin)
        if direction is not None:
            image.SetDirection(np.asarray(direction, float))
    return image


def random_array(shape, dtype="u2"):
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


VOLUME = random_array((6, 8, 10))
PLACE = {"spacing": [0.5, 0.75, 2.0], "origin": [-10.0, 5.0, 3.0]}
TURNS = {
    "identity": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "LPS to RAS": [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
    "all reversed": [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "cyclic": [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    "cyclic, some reversed": [[0, 0, -1], [-1, 0, 0], [0, 1, 0]],
    "sagittal": [[0, 0, 1], [1, 0, 0], [0, -1, 0]],
}
SLANT = [[np.cos(0.2), -np.sin(0.2), 0], [np.sin(0.2), np.cos(0.2), 0], [0, 0, 1]]


@pytest.mark.parametrize("turn", TURNS)
def test_anatomical_axes_are_those_of_itks_own_filter(itk, turn):
    image = make_image(itk, VOLUME, TURNS[turn], **PLACE)
    rai = itk.SpatialOrientationEnums.ValidCoordinateOrientations_ITK_COORDINATE_ORIENTATION_RAI
    oracle = itk.orient_image_filter(image, use_image_direction=True, desired_coordinate_orientation=rai)
    np.testing.assert_array_equal(itk.array_from_matrix(oracle.GetDirection()), np.eye(3))
    found = itk_image_to_multiscale(image, [2], anatomical_axes=True)["scale0"].image
    assert found.dims == ("z", "y", "x")
    np.testing.assert_array_equal(found.values, itk.array_from_image(oracle))
    for number, dim in enumerate("xyz"):
        grid = oracle.GetOrigin()[number] + np.arange(found.sizes[dim]) * oracle.GetSpacing()[number]
        np.testing.assert_allclose(found[dim].values, grid, rtol=0, atol=1e-12)
    names = ("inferior-superior", "anterior-posterior", "right-left")
    assert tuple(found[dim].attrs["long_name"] for dim in "zyx") == names
    assert {found[dim].attrs["units"] for dim in "zyx"} == {"millimeter"}


def test_turning_moves_no_sample_in_space(itk):
    """The image's own transform is the judge: sample and place belong together, whatever the axes."""
    image = make_image(itk, VOLUME, TURNS["cyclic, some reversed"], **PLACE)
    found = itk_image_to_multiscale(image, [], anatomical_axes=True)["scale0"].image
    for index in ((0, 0, 0), (9, 7, 5), (3, 1, 4)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        assert found.sel(x=x, y=y, z=z, method="nearest", tolerance=1e-9).compute() == VOLUME[index[::-1]]


def test_a_pyramid_of_a_turned_image_is_written_true(itk):
    image = make_image(itk, random_array((40, 36, 44), "i4"), TURNS["cyclic, some reversed"], **PLACE)
    tree = itk_image_to_multiscale(image, [2], anatomical_axes=True, chunks=16, block_bytes="64 kiB", boundary="pad")
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    again = msi.to_multiscale(tree["scale0"].image.copy(deep=True), [2])
    xr.testing.assert_equal(msi.open_multiscale(store)["scale1"].image.compute(), again["scale1"].image.compute())


def test_dtypes_that_itks_filter_does_not_know_are_turned_too(itk):
    image = make_image(itk, VOLUME.astype("u4"), TURNS["all reversed"])
    found = itk_image_to_multiscale(image, [2], anatomical_axes=True)["scale0"].image
    np.testing.assert_array_equal(found.values, VOLUME[::-1, ::-1, ::-1])
    assert found.dtype == "u4"


def test_a_slanted_image_warns_of_the_rotation_that_is_dropped(itk):
    image = make_image(itk, VOLUME, SLANT, **PLACE)
    with pytest.warns(UserWarning, match=r"0\.9801.*rotation is dropped; anatomical_axes=True keeps the exchange"):
        found = itk_image_to_multiscale(image, [2])["scale0"].image
    np.testing.assert_array_equal(found.values, VOLUME)
    np.testing.assert_allclose([found[dim].values[0] for dim in "xyz"], PLACE["origin"])
    reversed_and_slanted = np.array(TURNS["all reversed"]) @ SLANT
    image = make_image(itk, VOLUME, reversed_and_slanted, **PLACE)
    with pytest.warns(UserWarning, match="but for the exchange and reversal of axes; resample the image"):
        found = itk_image_to_multiscale(image, [2], anatomical_axes=True)["scale0"].image
    np.testing.assert_array_equal(found.values, VOLUME[::-1, ::-1, ::-1])
    corner = image.TransformIndexToPhysicalPoint((9, 7, 5))
    np.testing.assert_allclose([found[dim].values[0] for dim in "xyz"], list(corner))


def test_an_exchange_of_axes_that_is_not_asked_for_is_named(itk):
    image = make_image(itk, VOLUME, TURNS["sagittal"])
    with pytest.warns(UserWarning, match="anatomical_axes=True keeps it, as it only exchanges or reverses axes"):
        found = itk_image_to_multiscale(image, [2])["scale0"].image
    np.testing.assert_array_equal(found.values, VOLUME)
    plane = make_image(itk, VOLUME[0], [[0, 1], [1, 0]])
    with pytest.warns(UserWarning, match="from the position of the first one"):
        itk_image_to_multiscale(plane, [2])


def test_rounding_is_no_rotation(itk):
    image = make_image(itk, VOLUME, np.eye(3) + 2e-6)
    itk_image_to_multiscale(image, [2])


def test_anatomical_axes_state_their_orientation(itk, tmp_path):
    """RFC-4, § Axes: "orientation": {"type": "anatomical", "value": ...}; ITK's space is left, posterior, superior."""
    expected = {"x": "right-to-left", "y": "anterior-to-posterior", "z": "inferior-to-superior"}
    tree = itk_image_to_multiscale(make_image(itk, VOLUME), [2], anatomical_axes=True)
    for level in tree.children.values():
        assert {dim: level[dim].attrs["anatomical_orientation"] for dim in "xyz"} == expected
    assert "anatomical_orientation" not in itk_image_to_multiscale(make_image(itk, VOLUME), [2])["scale0"].x.attrs
    tree.pyramid.to_zarr(tmp_path / "a.zarr", version="0.6")
    (system,) = zarr.open_group(tmp_path / "a.zarr").attrs["ome"]["multiscales"][0]["coordinateSystems"]
    assert {axis["name"]: axis["orientation"] for axis in system["axes"]} == {
        dim: {"type": "anatomical", "value": value} for dim, value in expected.items()
    }


def test_anatomical_axes_need_three_dimensions(itk):
    with pytest.raises(ValueError, match="needs an image of 3 dimensions, and this one has 2"):
        itk_image_to_multiscale(make_image(itk, VOLUME[0]), [2], anatomical_axes=True)


def test_place_names_and_units(itk):
    image = make_image(itk, VOLUME, **PLACE)
    tree = itk_image_to_multiscale(
        image, [{"y": 2, "x": 2}], axis_names={"x": "across"}, axis_units={"x": "micrometer"}, name="head", chunks=4
    )
    found = tree["scale0"]["head"]
    assert found.x.attrs == {"long_name": "across", "units": "micrometer"}
    assert "units" not in found.y.attrs
    datasets = tree.attrs["ome"]["multiscales"][0]["datasets"]
    assert datasets[0]["coordinateTransformations"][0]["scale"] == [2.0, 0.75, 0.5]
    assert datasets[0]["coordinateTransformations"][1]["translation"] == [3.0, 5.0, -10.0]
    assert datasets[1]["coordinateTransformations"][1]["translation"] == [3.0, 5.375, -9.75]
    assert found.encoding["chunks"] == (4, 4, 4)


def test_the_name_is_the_objects_own(itk):
    image = make_image(itk, VOLUME)
    assert "image" in itk_image_to_multiscale(image, [2])["scale0"]
    image.GetMetaDataDictionary()["ObjectName"] = "noted"
    assert "noted" in itk_image_to_multiscale(image, [2])["scale0"]
    image.SetObjectName(" cells ")
    assert "cells" in itk_image_to_multiscale(image, [2])["scale0"]


def test_a_cut_image_lies_where_it_was_cut(itk):
    """The origin that ITK states is that of index 0, and the first pixel of a cut image may have another index."""
    image = itk.Image[itk.US, 2].New()
    region = itk.ImageRegion[2]()
    region.SetIndex([3, 4])
    region.SetSize([8, 6])
    image.SetRegions(region)
    image.SetSpacing([0.5, 2.0])
    image.Allocate(True)
    found = itk_image_to_multiscale(image, [2])["scale0"].image
    assert (found.x.values[0], found.y.values[0]) == (1.5, 8.0)


@pytest.mark.parametrize(
    ("shape", "dims"),
    [((9, 8, 3), ("y", "x", "c")), ((9, 8, 5), ("y", "x", "c")), ((4, 9, 8, 3), ("z", "y", "x", "c"))],
)
def test_components_are_channels(itk, shape, dims):
    pixels = random_array(shape, "u1" if shape[-1] == 3 else "f4")
    image = make_image(itk, pixels, is_vector=True, spacing=[0.5] * (len(shape) - 1))
    tree = itk_image_to_multiscale(image, [2])
    assert tree["scale0"].image.dims == dims
    np.testing.assert_array_equal(tree["scale0"].image.values, pixels)
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    axes = zarr.open_group(store, mode="r").attrs["ome"]["multiscales"][0]["axes"]
    assert [axis["type"] for axis in axes] == ["channel", *["space"] * (len(shape) - 1)]
    assert axes[-1]["unit"] == "millimeter"


def test_four_dimensions_are_a_series_of_volumes(itk):
    pixels = random_array((3, 6, 8, 10), "f4")
    image = make_image(itk, pixels, spacing=[0.5, 0.5, 1.0, 2.5])
    found = itk_image_to_multiscale(image, [2])["scale0"].image
    assert found.dims == ("t", "z", "y", "x")
    assert found.t.values.tolist() == [0, 2.5, 5]
    assert "units" not in found.t.attrs


def test_a_filter_is_run(itk):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = make_image(itk, VOLUME[0])
        shrink = itk.BinShrinkImageFilter[type(image), type(image)].New(image)
        shrink.SetShrinkFactors([2, 2])
        found = itk_image_to_multiscale(shrink, [2])["scale0"].image
    assert (found.sizes["y"], found.x.values[0]) == (4, 0.5)


def test_pixels_are_not_copied_and_outlive_the_image(itk):
    image = make_image(itk, random_array((24, 24, 24)), TURNS["all reversed"])
    view = itk.array_view_from_image(image)
    expected = view[::-1, ::-1, ::-1][:, :, :2].copy()
    tree = itk_image_to_multiscale(image, [2], anatomical_axes=True)
    view[:, :, -1] = expected[::-1, ::-1, 0] = 7  # seen through the tree, so it is the same memory
    alive = weakref.ref(image)
    del image, view
    gc.collect()
    assert alive() is not None
    np.testing.assert_array_equal(tree["scale0"].image[:, :, 0], np.full((24, 24), 7))
    np.testing.assert_array_equal(tree["scale0"].image[:, :, 1], expected[:, :, 1])


def test_what_is_no_itk_image_is_refused(itk):
    with pytest.raises(TypeError, match=r"must be an itk\.Image.*not ndarray; wrap an array with to_spatial_image"):
        itk_image_to_multiscale(VOLUME, [2])
    with pytest.raises(ValueError, match="has no pixels"):
        itk_image_to_multiscale(itk.Image[itk.US, 2].New(), [2])


def test_without_itk_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "itk", None)
    with pytest.raises(ImportError, match=r"pip install 'msi_lazy\[itk\]'"):
        itk_image_to_multiscale(object(), [2])


class JavaObject:
    """What JSON cannot hold."""


def imagej_dataset(**attrs):
    coords = {
        "t": [0.0, 2.0],
        "pln": [0.0, 3.0, 6.0],
        "row": ("row", np.arange(8) * 0.5, {"calibration": JavaObject()}),
        "col": np.arange(10) * 0.5,
        "ch": [0.0, 1.0],
    }
    dims = tuple(coords)
    return xr.DataArray(random_array((2, 3, 8, 10, 2)), coords, dims, name="stack.tif", attrs=attrs)


def test_an_imagej_dataset_becomes_a_pyramid(tmp_path):
    attrs = {
        "imagej": {"RGB": False, "scifio.metadata.image": JavaObject(), "lut": np.arange(3)},
        "roi": JavaObject(),
        "title": "stack",
        5: "a key that is no text",
    }
    dataset = imagej_dataset(**{str(key): value for key, value in attrs.items() if key != 5})
    dataset.attrs[5] = attrs[5]
    with pytest.warns(UserWarning, match="dropped") as caught:
        image = from_pyimagej(dataset)
    (warning,) = caught
    assert str(warning.message).endswith("imagej.scifio.metadata.image, roi, 5, y.calibration")
    assert warning.filename == __file__
    assert image.dims == ("t", "z", "y", "x", "c")
    assert image.attrs == {"imagej": {"RGB": False, "lut": [0, 1, 2]}, "title": "stack"}
    assert np.shares_memory(image.values, dataset.values)
    assert (len(dataset.attrs), dataset.dims[-1], list(dataset.row.attrs)) == (4, "ch", ["calibration"])
    msi.to_multiscale(image, [2]).pyramid.to_zarr(tmp_path / "stack.zarr")
    opened = msi.open_multiscale(tmp_path / "stack.zarr")
    assert opened["scale1"]["stack.tif"].shape == (2, 2, 1, 4, 5)
    assert opened["scale0"]["stack.tif"].attrs == image.attrs


def test_an_image_in_our_terms_stays_as_it_is():
    image = msi.to_spatial_image(VOLUME, scale={"x": 0.5}, axis_units={"x": "micrometer"})
    image.attrs["note"] = "kept"
    again = from_pyimagej(image)
    xr.testing.assert_identical(again, image)
    again.attrs["note"] = again.x.attrs["units"] = "other"
    assert (image.attrs["note"], image.x.attrs["units"]) == ("kept", "micrometer")


def test_a_lazy_imagej_dataset_stays_lazy(counting_store):
    stored = imagej_dataset().drop_vars("row").to_dataset(name="stack")
    stored.to_zarr(counting_store, encoding={"stack": {"chunks": (1, 1, 4, 5, 2)}}, consolidated=False)
    opened = xr.open_zarr(counting_store, chunks=None, consolidated=False)["stack"]
    counting_store.reads.clear()
    image = from_pyimagej(opened)
    assert image.encoding["preferred_chunks"] == {"t": 1, "z": 1, "y": 4, "x": 5, "c": 2}
    assert opened.encoding["preferred_chunks"]["row"] == 4
    msi.to_multiscale(image, [2])
    assert not [key for key in counting_store.chunk_reads() if key.startswith("stack")]


def test_what_is_no_imagej_dataset_is_refused():
    with pytest.raises(TypeError, match=r"as ij\.py\.from_java returns it, not ndarray"):
        from_pyimagej(VOLUME)
    with pytest.raises(ValueError, match="both 'row' and 'y'"):
        from_pyimagej(xr.DataArray(VOLUME[0], dims=("row", "y")))


@pytest.mark.parametrize("dims", ["yx", "zyx", "cyx", "zyxc", "tzyxc", "tczyx"])
def test_spatial_images_go_through_unchanged(dims):
    spatial = [dim for dim in dims if dim in "zyx"]
    lengths = {"t": 2, "c": 3, "z": 6, "y": 8, "x": 10}
    image = library_to_spatial_image(
        random_array([lengths[dim] for dim in dims]),
        dims=tuple(dims),
        scale={dim: 0.25 * (number + 1) for number, dim in enumerate(spatial)},
        translation={dim: -3.0 * number for number, dim in enumerate(spatial)},
        name="cells",
        axis_names={dim: f"the {dim} axis" for dim in dims},
        axis_units={dim: "micrometer" if dim in spatial else "second" if dim == "t" else "" for dim in dims},
        **({"c_coords": ["DAPI", "GFP", "RFP"]} if "c" in dims else {}),
        **({"t_coords": [0.0, 1.5]} if "t" in dims else {}),
    )
    before = image.copy(deep=True)
    tree = msi.to_multiscale(image, [2])
    finest = tree["scale0"]["cells"]
    assert finest.dims == tuple(dims)
    assert finest.name == "cells"
    xr.testing.assert_identical(image, before)
    xr.testing.assert_equal(finest.compute(), image)
    for dim in dims:
        assert finest[dim].attrs == image[dim].attrs
    store = MemoryStore()
    tree.pyramid.to_zarr(store)
    multiscale = zarr.open_group(store, mode="r").attrs["ome"]["multiscales"][0]
    scale = dict(
        zip(
            (axis["name"] for axis in multiscale["axes"]),
            multiscale["datasets"][0]["coordinateTransformations"][0]["scale"],
            strict=True,
        )
    )
    assert [scale[dim] for dim in spatial] == [0.25, 0.5, 0.75][: len(spatial)]
    assert {axis["name"]: axis.get("unit") for axis in multiscale["axes"]} == {
        dim: "micrometer" if dim in spatial else "second" if dim == "t" else None for dim in dims
    }
