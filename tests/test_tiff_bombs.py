"""Strips and tiles of a TIFF that would decode to far more than they have."""

import lzma
import resource
import zlib

import numpy as np
import pytest
import tifffile

import msi_lazy as msi
from msi_lazy.inputs.tiff import open_tiff

MANY = 2**28


def bomb(compression):
    stream = zlib.compressobj(9) if compression == "zlib" else lzma.LZMACompressor(preset=0)
    return b"".join(stream.compress(bytes(2**24)) for _ in range(MANY // 2**24)) + stream.flush()


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_a_bomb_is_an_error_and_takes_no_memory(tmp_path, compression, tile):
    content = bomb(compression)
    path = tmp_path / "a.tif"
    segments = iter([content] * (9 if tile else 1))
    tags = {"8": "zlib", "34925": "lzma"}
    number = next(int(tag) for tag, name in tags.items() if name == compression)
    options = {"tile": tile} if tile else {"rowsperstrip": 160}
    tifffile.imwrite(path, segments, shape=(160, 160), dtype="u2", compression=number, **options)
    image = open_tiff(path, ("y", "x"))
    assert image.shape == (160, 160)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"a\.tif cannot be decoded: .*would decode to more"):
        msi.to_multiscale(image, [2]).pyramid.to_zarr(tmp_path / "o.zarr")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17  # KiB


@pytest.mark.parametrize("compression", ["zlib", "lzma", None])
def test_sound_segments_are_read(tmp_path, compression):
    rng = np.random.default_rng(0)
    for dtype in ("u1", "u2", "f4"):
        pixels = (rng.random((300, 400)) * 250).astype(dtype)
        for options in (
            {},
            {"tile": (64, 64)},
            {"rowsperstrip": 7},
            {"predictor": True} if compression and dtype != "f4" else {},
        ):
            tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression, **options)
            np.testing.assert_array_equal(open_tiff(tmp_path / "a.tif").values, pixels)


def ome(number, names):
    """Metadata of the file of that number, of an image of two planes in each file."""
    uuids = [f"urn:uuid:{digit}1111111-1111-1111-1111-111111111111" for digit in range(len(names))]
    places = "".join(
        f'<TiffData FirstZ="{2 * k}" IFD="0" PlaneCount="2"><UUID FileName="{name}">{uuids[k]}</UUID></TiffData>'
        for k, name in enumerate(names)
    )
    schema = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[number]}">'
    sizes = f'SizeX="32" SizeY="32" SizeZ="{2 * len(names)}" SizeC="1" SizeT="1"'
    pixels = f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" {sizes}>'
    return f'{schema}{pixels}<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{places}</Pixels></Image></OME>'.encode()


def test_a_missing_file_of_an_ome_tiff_is_an_error(tmp_path):
    pixels = np.arange(4 * 32 * 32, dtype="u2").reshape(4, 32, 32)
    names = ["f0.ome.tif", "f1.ome.tif"]
    for number, name in enumerate(names):
        planes = pixels[2 * number : 2 * number + 2]
        tifffile.imwrite(tmp_path / name, planes, description=ome(number, names), metadata=None, ome=False)
    np.testing.assert_array_equal(open_tiff(tmp_path / "f0.ome.tif").values, pixels)
    (tmp_path / "f1.ome.tif").unlink()
    with pytest.raises(ValueError, match=r"f0\.ome\.tif .*missing, such as 'f1\.ome\.tif'"):
        open_tiff(tmp_path / "f0.ome.tif")


def test_a_file_that_was_renamed_is_read(tmp_path):
    pixels = np.ones((2, 32, 32), "u2")
    tifffile.imwrite(tmp_path / "b.ome.tif", pixels, description=ome(0, ["a.ome.tif"]), metadata=None, ome=False)
    np.testing.assert_array_equal(open_tiff(tmp_path / "b.ome.tif").values, pixels)
