"""Whatever users have becomes the pyramid that NumPy would make of it; nothing is read before it must be."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner
from PIL import Image

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.inputs import files
from msi_lazy.inputs.files import apply_geometry, read_input

STACK = np.random.default_rng(0).integers(0, 60000, (11, 45, 38), dtype="u2")
PLANE = STACK[0].astype("u1")
COLOUR = np.random.default_rng(1).integers(0, 256, (45, 38, 3), dtype="u1")


def block_mean(array, factors):
    """Mean of every whole window in exact float64, integers rounded half to even."""
    whole = array[tuple(slice(n - n % f) for n, f in zip(array.shape, factors, strict=True))]
    split = [part for n, f in zip(whole.shape, factors, strict=True) for part in (n // f, f)]
    return np.rint(whole.reshape(split).mean(axis=tuple(range(1, 2 * array.ndim, 2)))).astype(array.dtype)


def zarr_array(folder):
    zarr.save_array(folder / "in.zarr", STACK)
    return folder / "in.zarr", STACK


def zarr_array_with_dimension_names(folder):
    zarr.create_array(folder / "in.zarr", data=STACK, dimension_names=["c", "y", "x"], chunks=(2, 16, 16))
    return folder / "in.zarr", STACK


def zarr_v2_array_with_xarray_names(folder):
    array = zarr.create_array(folder / "in.zarr", data=STACK, zarr_format=2)
    array.attrs["_ARRAY_DIMENSIONS"] = ["t", "y", "x"]
    return folder / "in.zarr", STACK


def big_endian_zarr_array(folder):
    zarr.create_array(folder / "in.zarr", data=STACK.astype(">u2"), zarr_format=2)
    return folder / "in.zarr", STACK


def ome_zarr(folder):
    image = msi.to_spatial_image(STACK, ("z", "y", "x"))
    msi.to_zarr(msi.to_multiscale(image, [2, 2]), folder / "in.zarr")
    return folder / "in.zarr", STACK


def npy(folder):
    np.save(folder / "in.npy", STACK)
    return folder / "in.npy", STACK


def fortran_npy(folder):
    np.save(folder / "in.npy", np.asfortranarray(STACK))
    return folder / "in.npy", STACK


def plain_tiff(folder):
    tifffile.imwrite(folder / "in.tif", STACK[0])
    return folder / "in.tif", STACK[0]


def tiled_ome_tiff(folder):
    tifffile.imwrite(folder / "in.ome.tif", STACK, metadata={"axes": "ZYX"}, tile=(16, 16), compression="zlib")
    return folder / "in.ome.tif", STACK


def imagej_hyperstack(folder):
    pixels = STACK[:10].reshape(1, 5, 2, 45, 38)
    tifffile.imwrite(folder / "in.tif", pixels, imagej=True, metadata={"axes": "TZCYX"})
    return folder / "in.tif", pixels[0].swapaxes(0, 1)


def rgb_tiff(folder):
    tifffile.imwrite(folder / "in.tif", COLOUR, photometric="rgb")
    return folder / "in.tif", np.moveaxis(COLOUR, -1, 0)


def planes(folder):
    for number, plane in enumerate(STACK):
        tifffile.imwrite(folder / f"plane{number}.tif", plane)
    return folder / "plane*.tif", STACK


def colour_planes(folder):
    for number in range(6):
        iio.imwrite(folder / f"plane{number}.png", np.roll(COLOUR, number))
    return folder / "plane?.png", np.stack([np.moveaxis(np.roll(COLOUR, n), -1, 0) for n in range(6)], axis=1)


def grey_png(folder):
    iio.imwrite(folder / "in.png", PLANE)
    return folder / "in.png", PLANE


def rgba_png(folder):
    rgba = np.dstack([COLOUR, PLANE])
    iio.imwrite(folder / "in.png", rgba)
    return folder / "in.png", np.moveaxis(rgba, -1, 0)


def rgb_jpg(folder):
    iio.imwrite(folder / "in.jpg", COLOUR)
    with Image.open(folder / "in.jpg") as picture:
        return folder / "in.jpg", np.moveaxis(np.array(picture), -1, 0)


INPUTS = [
    zarr_array,
    zarr_array_with_dimension_names,
    zarr_v2_array_with_xarray_names,
    big_endian_zarr_array,
    ome_zarr,
    npy,
    fortran_npy,
    plain_tiff,
    tiled_ome_tiff,
    imagej_hyperstack,
    rgb_tiff,
    planes,
    colour_planes,
    grey_png,
    rgba_png,
    rgb_jpg,
]


@pytest.mark.parametrize("make", INPUTS, ids=lambda make: make.__name__)
def test_levels_are_block_means_of_the_input(make, tmp_path):
    source, expected = make(tmp_path)
    result = CliRunner().invoke(main, ["convert", str(source), str(tmp_path / "out"), "--factors", "2", "2"])
    assert result.exit_code == 0, result.output
    group = zarr.open_group(tmp_path / "out", mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in multiscale["axes"]][-2:] == ["y", "x"]
    factors = [2 if axis["type"] == "space" else 1 for axis in multiscale["axes"]]
    assert len(multiscale["datasets"]) == 3
    for dataset in multiscale["datasets"]:
        np.testing.assert_array_equal(group[dataset["path"]][:], expected, strict=True)
        expected = block_mean(expected, factors)


@pytest.mark.parametrize(
    ("make", "dims"),
    [
        (zarr_array, ("z", "y", "x")),
        (zarr_array_with_dimension_names, ("c", "y", "x")),
        (zarr_v2_array_with_xarray_names, ("t", "y", "x")),
        (npy, ("z", "y", "x")),
        (planes, ("z", "y", "x")),
        (grey_png, ("y", "x")),
        (rgb_jpg, ("y", "x", "c")),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_dimensions_come_from_the_input_or_from_the_user(make, dims, tmp_path):
    source, _ = make(tmp_path)
    assert read_input(str(source)).dims == dims
    renamed = ("a", *dims[1:])
    assert read_input(str(source), renamed).dims == renamed


def test_half_named_zarr_array_gets_default_dimensions(tmp_path):
    zarr.create_array(tmp_path / "in.zarr", data=STACK, dimension_names=[None, "b", "a"])
    assert read_input(str(tmp_path / "in.zarr")).dims == ("z", "y", "x")


def test_npy_stays_a_memory_map(tmp_path):
    source, _ = npy(tmp_path)
    image = read_input(str(source))
    base = image.data
    while not isinstance(base, np.memmap):
        base = base.base
    assert base.filename == source
    assert np.shares_memory(image.values, base)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not NumPy", None], ids=["empty", "other", "objects"])
def test_npy_that_cannot_be_mapped_is_refused(tmp_path, content):
    path = tmp_path / "in.npy"
    if content is None:
        np.save(path, np.array([{}, None]), allow_pickle=True)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"in\.npy cannot be opened as \.npy"):
        read_input(str(path))


def test_planning_decodes_no_chunk_of_a_zarr_array(tmp_path):
    source, _ = zarr_array_with_dimension_names(tmp_path)
    for chunk in (source / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"not what the codec wrote")
    tree = msi.to_multiscale(read_input(str(source)), [2])
    assert "scale1" in str(msi.explain(tree))
    with pytest.raises(Exception, match=r"chunk|codec|decod|zstd|frame|invalid"):
        tree["scale1"].image.compute()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_keeps_spacing_origin_units_and_channel_names(tmp_path, version):
    image = msi.to_spatial_image(
        STACK[:2],
        ("c", "y", "x"),
        scale={"y": 0.5, "x": 0.25},
        translation={"x": 7},
        axis_units={"y": "micrometer", "x": "nanometer"},
        c_coords=["DAPI", "GFP"],
        name="cells",
    )
    msi.to_zarr(msi.to_multiscale(image, [2]), tmp_path / "in.zarr", version=version)
    back = read_input(str(tmp_path / "in.zarr"))
    assert back.name == "cells"
    assert back.c.values.tolist() == ["DAPI", "GFP"]
    np.testing.assert_array_equal(back.y, np.arange(45) * 0.5)
    np.testing.assert_array_equal(back.x, np.arange(38) * 0.25 + 7)
    assert (back.y.attrs["units"], back.x.attrs["units"]) == ("micrometer", "nanometer")
    renamed = read_input(str(tmp_path / "in.zarr"), ("t", "y", "x"))
    assert renamed.dims == ("t", "y", "x")
    with pytest.raises(ValueError, match=r"--dims must be 3 different names in place of \('c', 'y', 'x'\)"):
        read_input(str(tmp_path / "in.zarr"), ("y", "x"))


def test_planes_after_the_first_are_not_opened_before_they_are_needed(tmp_path):
    pattern, _ = planes(tmp_path)
    for number in range(1, len(STACK)):
        (tmp_path / f"plane{number}.tif").write_bytes(b"no TIFF")
    image = read_input(str(pattern))
    assert image.shape == STACK.shape
    np.testing.assert_array_equal(image[0].values, STACK[0])


def test_planes_of_another_shape_are_refused_and_never_fitted_in(tmp_path):
    pattern, _ = planes(tmp_path)
    tifffile.imwrite(tmp_path / "plane3.tif", STACK[3][:-1])
    with pytest.raises(ValueError, match=r"the first has shape \(45, 38\), another \(44, 38\)"):
        read_input(str(pattern)).compute()


def test_glob_that_matches_one_file_is_that_file(tmp_path):
    tifffile.imwrite(tmp_path / "all[1].tif", STACK, metadata={"axes": "TYX"})
    image = read_input(str(tmp_path / "all*.tif"))
    assert image.dims == ("t", "y", "x")
    np.testing.assert_array_equal(image.values, STACK)


def test_pictures_without_known_dimensions_ask_for_names(tmp_path):
    iio.imwrite(tmp_path / "in.gif", np.stack([COLOUR, COLOUR[::-1]]))
    with pytest.raises(ValueError, match=r"shape \(2, 45, 38, 3\); name its dimensions with --dims"):
        read_input(str(tmp_path / "in.gif"))
    assert read_input(str(tmp_path / "in.gif"), ("t", "y", "x", "c")).sizes == {"t": 2, "y": 45, "x": 38, "c": 3}


def test_geometry_of_the_user_replaces_that_of_the_input():
    axes = {"scale": {"y": 3, "x": 4}, "translation": {"x": 10}, "axis_units": {"y": "meter", "x": "meter"}}
    image = msi.to_spatial_image(STACK[:2], ("c", "y", "x"), c_coords=["a", "b"], **axes)
    changed = apply_geometry(image, {"x": 0.5}, "nanometer")
    np.testing.assert_array_equal(changed.x, np.arange(38) * 0.5 + 10)
    np.testing.assert_array_equal(changed.y, image.y)
    assert [changed[dim].attrs.get("units") for dim in "cyx"] == [None, "nanometer", "nanometer"]
    assert changed.c.values.tolist() == ["a", "b"]
    assert image.x.attrs["units"] == "meter"


@pytest.mark.parametrize(
    ("scale", "units", "message"),
    [
        ({"z": 2.0}, None, "--scale names the dimension 'z', but the image has"),
        ({"c": 2.0}, None, "--scale names 'c', but channels have names and no spacing"),
        ({"x": 0.0}, None, "--scale must be positive, not 0.0 for 'x'"),
        ({"x": float("nan")}, None, "--scale must be positive, not nan"),
        ({"x": float("inf")}, None, "--scale must be positive, not inf"),
        ({}, {"c": "furlong"}, "--units names 'c', but channels have names and no unit"),
    ],
)
def test_impossible_geometry_is_refused(scale, units, message):
    image = msi.to_spatial_image(STACK[:2], ("c", "y", "x"))
    with pytest.raises(ValueError, match=message):
        apply_geometry(image, scale, units)


@pytest.mark.parametrize("name", ["missing.tif", "notes.txt"])
def test_what_cannot_be_read_is_told_what_can(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises((FileNotFoundError, ValueError), match=name) as caught:
        files.read_input(name)
    for kind in ("Zarr array", "OME-Zarr image", "glob of planes", ".npy", "TIFF", "OME-TIFF", "picture"):
        assert kind in str(caught.value)


def test_a_kind_of_input_is_a_row_of_the_table(tmp_path, monkeypatch):
    """The first row that recognises an input reads it, by its absolute path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.raw").write_bytes(STACK.tobytes())

    def read_raw(source, dims):
        return msi.to_spatial_image(np.fromfile(source, STACK.dtype).reshape(STACK.shape), dims, name=Path(source).stem)

    row = files.Reader("a raw volume", lambda source: source.endswith(".raw"), read_raw)
    monkeypatch.setattr(files, "_READERS", (row, *files._READERS))
    image = files.read_input("in.raw", ("t", "y", "x"))
    np.testing.assert_array_equal(image, STACK)
    assert (image.name, image.dims) == ("in", ("t", "y", "x"))
    assert "a raw volume" in files.list_inputs()
