"""TIFF in all its dialects: axes, pixel sizes and names as the file gives them, pixels only on demand."""

import gc
import pickle

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner

from msi_lazy.cli import main
from msi_lazy.inputs.tiff import TiffPixels, open_tiff

PIXELS = np.random.default_rng(0).integers(0, 60000, (2, 3, 4, 48, 40), dtype="u2")
COLOUR = PIXELS[0, 0, :3].astype("u1")
MICRO = "\N{MICRO SIGN}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "in.tif"


@pytest.fixture
def decoded_bytes(monkeypatch):
    """Lengths of the encoded strips and tiles that are read from now on."""
    lengths = []
    read = tifffile.FileCache.read

    def counting_read(self, file, offset, bytecount, *args):
        lengths.append(bytecount)
        return read(self, file, offset, bytecount, *args)

    monkeypatch.setattr(tifffile.FileCache, "read", counting_read)
    return lengths


def write_tiff(path, pixels, photometric="minisblack", **options):
    tifffile.imwrite(path, pixels, photometric=photometric, **options)


def write_ome(path, pixels, axes, **metadata):
    write_tiff(path, pixels, ome=True, metadata={"axes": axes, **metadata})


@pytest.mark.parametrize(
    ("pixels", "options", "dims"),
    [
        (PIXELS[0, 0, 0], {}, "yx"),
        (PIXELS[0, 0, 0], {"byteorder": ">"}, "yx"),
        (PIXELS[0, 0, 0], {"tile": (16, 16), "compression": "zlib", "predictor": True}, "yx"),
        (PIXELS[0, 0, 0].astype("f4"), {"rowsperstrip": 7}, "yx"),
        (PIXELS[0, 0], {"metadata": {"axes": "ZYX"}}, "zyx"),
        (PIXELS, {"ome": True, "metadata": {"axes": "TCZYX"}}, "tczyx"),
        (PIXELS, {"ome": True, "metadata": {"axes": "TZCYX"}}, "tzcyx"),
        (PIXELS[0, 0], {"ome": True, "metadata": {"axes": "CYX"}}, "cyx"),
        (PIXELS[0], {"ome": True, "metadata": {"axes": "ZCYX"}}, "zcyx"),
        (PIXELS[0], {"ome": True, "metadata": {"axes": "CZYX"}, "tile": (16, 16)}, "czyx"),
        (PIXELS[:1], {"ome": True, "metadata": {"axes": "TCZYX"}}, "czyx"),
        (PIXELS, {"imagej": True, "metadata": {"axes": "TZCYX"}}, "tzcyx"),
        (np.moveaxis(COLOUR, 0, -1), {"photometric": "rgb"}, "yxc"),
        (COLOUR, {"photometric": "rgb", "planarconfig": "separate"}, "cyx"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_axes_of_the_file_become_dimensions(path, pixels, options, dims):
    write_tiff(path, pixels, **options)
    image = open_tiff(path)
    assert image.dims == tuple(dims)
    np.testing.assert_array_equal(image.values, pixels.squeeze())


@pytest.mark.parametrize("metadata", [None, {}], ids=["bare", "shaped"])
def test_pages_without_a_meaning_ask_for_names(path, metadata):
    write_tiff(path, PIXELS[0, 0], metadata=metadata)
    with pytest.raises(ValueError, match=r"has the TIFF axes '[IQ]YX'; name its dimensions with --dims"):
        open_tiff(path)
    image = open_tiff(path, ("z", "y", "x"))
    assert image.dims == ("z", "y", "x")
    np.testing.assert_array_equal(image.values, PIXELS[0, 0])


def test_colour_in_every_channel_asks_for_names(path):
    pixels = np.moveaxis(np.stack([COLOUR, COLOUR]), 1, -1)
    write_tiff(path, pixels, photometric="rgb", ome=True, metadata={"axes": "CYXS"})
    with pytest.raises(ValueError, match="has the TIFF axes 'CYXS'; name its dimensions with --dims"):
        open_tiff(path)


@pytest.mark.parametrize("dims", ["yxc", "y", "yy"])
def test_dimensions_that_do_not_fit_are_refused(path, dims):
    write_tiff(path, PIXELS[0, 0, 0])
    with pytest.raises(ValueError, match="dims must be 2 different names"):
        open_tiff(path, tuple(dims))


def test_ome_pixel_sizes_units_and_channel_names(path):
    sizes = {
        "PhysicalSizeX": 0.325,
        "PhysicalSizeXUnit": MICRO + "m",
        "PhysicalSizeY": 325.0,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 2.0,  # without its unit, which is then the schema's default
    }
    write_ome(path, PIXELS, "TCZYX", Channel={"Name": ["DAPI", "GFP", "RFP"]}, **sizes)
    image = open_tiff(path)
    assert {dim: float(image[dim][1]) for dim in "zyx"} == {"z": 2.0, "y": 325.0, "x": 0.325}
    assert [image[dim].attrs["units"] for dim in "zyx"] == ["micrometer", "nanometer", "micrometer"]
    assert image.c.values.tolist() == ["DAPI", "GFP", "RFP"]


def test_ome_pixel_sizes_without_a_length_are_kept_without_a_unit(path):
    write_ome(path, PIXELS[0, 0], "CYX", PhysicalSizeX=3.0, PhysicalSizeXUnit="pixel", PhysicalSizeZ=9.0)
    image = open_tiff(path)
    assert image.x.values[:3].tolist() == [0, 3, 6]
    assert "units" not in image.x.attrs
    assert len(image.c) == 4


@pytest.mark.parametrize("axes", ["TYX", "TCZYX"])
def test_ome_time_increment_is_the_spacing_of_t(path, axes):
    pixels = PIXELS[:, 0, 0] if axes == "TYX" else PIXELS
    write_ome(path, pixels, axes, TimeIncrement=2.5, TimeIncrementUnit="min")
    image = open_tiff(path)
    assert image.t.values.tolist() == [0, 2.5]
    assert image.t.attrs["units"] == "minute"


def test_pixel_sizes_follow_the_dimensions_of_the_user(path):
    write_ome(path, PIXELS[0, 0], "TYX", PhysicalSizeZ=9.0, PhysicalSizeX=3.0)
    assert open_tiff(path).x.values[:3].tolist() == [0, 3, 6]
    assert open_tiff(path, ("z", "y", "x")).z.values.tolist() == [0, 9, 18, 27]


@pytest.mark.parametrize("xml", ["<OME", "<OME/>"], ids=["broken", "empty"])
def test_ome_metadata_that_say_nothing_are_left_out(path, xml):
    description = f"<?xml version='1.0'?><!-- OME-XML --><OME xmlns='ome'>{xml}</OME>"
    write_tiff(path, PIXELS[0, 0, 0], description=description, metadata=None)
    image = open_tiff(path)
    assert image.x.values[:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_imagej_spacing_unit_and_interval(path, unit):
    metadata = {"axes": "TZCYX", "spacing": 1.5, "unit": unit, "finterval": 30.0}
    write_tiff(path, PIXELS, imagej=True, resolution=(4, 2), metadata=metadata)
    image = open_tiff(path)
    assert {dim: float(image[dim][1]) for dim in "tzyx"} == {"t": 30.0, "z": 1.5, "y": 0.5, "x": 0.25}
    assert [image[dim].attrs.get("units") for dim in "tzcyx"] == ["second", "micrometer", None] + ["micrometer"] * 2


def test_imagej_resolution_without_a_unit_is_no_pixel_size(path):
    write_tiff(path, PIXELS, imagej=True, resolution=(4, 2), metadata={"axes": "TZCYX", "spacing": 1.5})
    image = open_tiff(path)
    assert {float(image[dim][1]) for dim in "tzyx"} == {1.0}


def test_geometry_reaches_the_ome_attributes_of_the_store(path):
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2.0}
    write_ome(path, PIXELS[0], "ZCYX", Channel={"Name": list("abcd")}, **sizes)
    store = path.with_name("out.ome.zarr")
    command = ["convert", str(path), str(store), "--factors", "z=1,y=2,x=2"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    group = zarr.open_group(store, mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    space = [{"name": dim, "type": "space", "unit": "micrometer"} for dim in "zyx"]
    assert multiscale["axes"] == [{"name": "c", "type": "channel"}, *space]
    assert [dataset["coordinateTransformations"] for dataset in multiscale["datasets"]] == [
        [
            {"type": "scale", "scale": [1.0, 2.0, 0.25, 0.5]},
            {"type": "translation", "translation": [0.0, 0.0, 0.0, 0.0]},
        ],
        [
            {"type": "scale", "scale": [1.0, 2.0, 0.5, 1.0]},
            {"type": "translation", "translation": [0.0, 0.0, 0.125, 0.25]},
        ],
    ]
    np.testing.assert_array_equal(group["scale0/image"][:], PIXELS[0].swapaxes(0, 1))
    assert group["scale1/c"][:].tolist() == list("abcd")


def test_first_level_of_a_pyramid_of_subifds_is_taken(path):
    full = PIXELS[0, 0]
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(full, subifds=2, tile=(16, 16), metadata={"axes": "CYX", "PhysicalSizeX": 0.5})
        for level in (2, 4):
            writer.write(full[:, ::level, ::level] + 1, subfiletype=1, tile=(16, 16))
    image = open_tiff(path)
    np.testing.assert_array_equal(image.values, full)
    assert float(image.x[1]) == 0.5


def test_planning_reads_no_pixel_and_a_slice_only_its_tiles(path, decoded_bytes):
    write_tiff(path, PIXELS[0, 0], metadata={"axes": "ZYX"}, tile=(16, 16))
    store = path.with_name("out.ome.zarr")
    result = CliRunner().invoke(main, ["convert", str(path), str(store), "--levels", "1", "--plan-only"])
    assert result.exit_code == 0, result.output
    assert "each block reads its own window" in result.output
    assert not store.exists()
    image = open_tiff(path)
    assert decoded_bytes == []
    pixels = TiffPixels(path)
    np.testing.assert_array_equal(pixels[2, :16, :20], PIXELS[0, 0, 2, :16, :20])
    assert len(decoded_bytes) == 2
    np.testing.assert_array_equal(image.values, PIXELS[0, 0])
    assert len(decoded_bytes) == 2 + 4 * 3 * 3


def test_pixels_travel_to_another_process_as_a_path(path, decoded_bytes):
    write_tiff(path, PIXELS, ome=True, metadata={"axes": "TCZYX"})
    packed = pickle.dumps(open_tiff(path))
    assert len(packed) < 20_000 < path.stat().st_size
    assert decoded_bytes == []
    np.testing.assert_array_equal(pickle.loads(packed).values, PIXELS)


def test_file_is_closed_with_the_last_array_that_needs_it(path):
    write_tiff(path, PIXELS[0, 0, 0])
    pixels = TiffPixels(path)
    handle = pixels.file.filehandle
    pixels[:5]
    assert not handle.closed
    del pixels
    gc.collect()
    assert handle.closed


@pytest.mark.parametrize("content", [b"", b"hello", b"II*\0\0\0\0\0", b"II*\0\x08\0\0\0"])
def test_what_is_no_tiff_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"in\.tif cannot be read as TIFF: "):
        open_tiff(path)


def test_compression_that_cannot_be_decoded_is_refused_before_anything_is_written(path):
    write_tiff(path, PIXELS[0, 0, 0])
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["Compression"].overwrite(64999)
    with pytest.raises(ValueError, match=r"in\.tif cannot be read as TIFF: .*64999"):
        open_tiff(path)


def test_missing_pixels_are_an_error_and_never_zeros(path):
    write_tiff(path, PIXELS[0, 0], metadata={"axes": "ZYX"})
    path.write_bytes(path.read_bytes()[:-5000])
    image = open_tiff(path)
    np.testing.assert_array_equal(image[0].values, PIXELS[0, 0, 0])
    with pytest.raises(ValueError, match=r"the pixels of in\.tif cannot be decoded"):
        image.compute()
