"""The command line on broken and hostile files: one line that names the file, and nothing that steers the terminal."""

import json
import os
import struct

import pytest
import tifffile
from click.testing import CliRunner
from numcodecs import BZ2, LZMA, GZip, Zlib

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.cli.terminal import printable
from tests.support.damage import samples, truncate, write

CONTROLS = set("\x1b\x07\x9b\x7f\u202e\u2066\u2028\r")
STEERING = "\x1b]0;owned\x07\x1b[31m\x9b\x7f\u202e\u2066\u2028\r"


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def header_cut(path):
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + b"{'descr': [[[".ljust(117) + b"\n")


def without_size(path):
    pixels = '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="64" SizeZ="1" SizeC="1" SizeT="1">'
    channel = '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>'
    schema = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    tifffile.imwrite(
        path, samples((64, 64)), description=(schema + pixels + channel).encode(), metadata=None, ome=False
    )


FILES = {
    "a.npy": header_cut,
    "a.ome.tif": without_size,
    "b.tif": lambda path: path.write_bytes(b"II*\0\x08\0\0\0\xff\xff"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_named_in_one_line(tmp_path, name):
    FILES[name](tmp_path / name)
    result = run("convert", tmp_path / name, tmp_path / "o.zarr")
    assert result.exit_code == 1
    assert name in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "o.zarr").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.png", "a.zarr"])
def test_a_named_pipe_is_no_input(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for command in (["convert", tmp_path / name, tmp_path / "o.zarr"], ["info", tmp_path / name]):
        result = run(*command)
        assert result.exit_code == 1
        assert name in result.stderr
    os.mkfifo(tmp_path / f"2{name}")
    assert run("convert", tmp_path / f"*{name}", tmp_path / "o.zarr").exit_code == 1


@pytest.mark.parametrize("compressor", [GZip(), Zlib(), BZ2(), LZMA()], ids=lambda codec: codec.codec_id)
@pytest.mark.parametrize("command", ["view", "convert"])
def test_a_cut_chunk_is_named_in_one_line(tmp_path, command, compressor):
    write(tmp_path / "a.zarr", version="0.4", compressors=compressor)
    truncate(tmp_path / f"a.zarr/scale{2 if command == 'view' else 0}/image/0/0")
    more = ["--no-browser"] if command == "view" else [tmp_path / "o.zarr"]
    result = run(command, tmp_path / "a.zarr", *more)
    assert result.exit_code == 1
    assert "image/0/0" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_what_no_one_has_foreseen_is_one_line_too_unless_the_traceback_is_asked_for(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise LookupError("odd\nthing")

    monkeypatch.setattr(msi, "open_multiscale", fail)
    result = run("info", tmp_path / "a.zarr")
    assert result.exit_code == 1
    assert f"{tmp_path / 'a.zarr'}: LookupError: odd thing; msi-lazy --traceback" in result.stderr
    result = run("--traceback", "info", tmp_path / "a.zarr")
    assert isinstance(result.exception, LookupError)


@pytest.mark.filterwarnings("default")
def test_names_of_a_store_steer_no_terminal(tmp_path):
    store = write(tmp_path / "a.zarr")
    document = json.loads((store / "zarr.json").read_text())
    document.pop("consolidated_metadata", None)
    multiscale = document["attributes"]["ome"]["multiscales"][0]
    multiscale["name"] = f"n{STEERING}"
    multiscale["axes"][0]["unit"] = f"u{STEERING}"
    (store / "zarr.json").write_text(json.dumps(document))
    (store / f"scale1/image/c/0/{STEERING.replace('/', '')}").write_bytes(b"")
    truncate(store / "scale1/image/c/0/0")
    for command in (["info"], ["validate"], ["verify"], ["convert", tmp_path / "o.zarr", "--plan-only"]):
        result = run(command[0], store, *command[1:])
        assert not CONTROLS & set(result.output + result.stderr), command
    result = run("info", tmp_path / f"{STEERING}.zarr")
    assert result.exit_code == 1
    assert not CONTROLS & set(result.stderr)


def test_what_is_printable_stays():
    text = "µm, 細胞, naïve, 👩‍🔬\n\tindented"
    assert printable(text) == text
    assert printable("\udcff") == "\\udcff"  # of a file name in no encoding
