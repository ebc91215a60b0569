"""Local stores in which something else lies in place of a file: an error that names it, and no waiting."""

import asyncio
import os
import shutil
import socket

import numpy as np
import pytest
import zarr
from zarr.buffer import default_buffer_prototype
from zarr.storage import LocalStore

import msi_lazy as msi
from msi_lazy.storage.regular_files import RegularStore
from tests.support.damage import write


def to_pipe(path):
    os.mkfifo(path)


def to_directory(path):
    path.mkdir()


def to_device(path):
    path.symlink_to("/dev/zero")


def to_socket(path):
    os.chdir(path.parent)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


KINDS = {"a named pipe": to_pipe, "a directory": to_directory, "a device": to_device, "a socket": to_socket}
PLACES = ["zarr.json", "scale0/zarr.json", "scale0/image/zarr.json", "scale1/image/c/0/0", "scale0/y/zarr.json"]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "a.zarr")


def replace(path, kind):
    path.unlink()
    KINDS[kind](path)


def read_all(store):
    return [node.to_dataset(inherit=False).compute() for node in msi.open_multiscale(store).children.values()]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize("form", [str, lambda path: path.as_uri(), zarr.storage.LocalStore])
def test_what_is_no_file_is_refused_by_name(store, kind, key, form):
    replace(store / key, kind)
    with pytest.raises((OSError, ValueError), match=kind) as caught:
        read_all(form(store))
    assert str(store / key) in str(caught.value)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("work", [msi.verify, msi.validate])
def test_verify_and_validate_report_a_chunk_that_is_no_file(store, kind, work):
    replace(store / "scale1/image/c/0/0", kind)
    report = work(store)
    told = " ".join(str(report).split())  # it is wrapped
    assert kind in told or "chunk-decodes" in told


@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [{"compressors": "auto"}, {"compressors": None}, {"version": "0.4"}])
def test_an_array_of_the_user_is_read_so_too(tmp_path, options):
    zarr_format = 2 if "version" in options else 3
    array = zarr.create_array(
        tmp_path / "a.zarr", data=np.ones((64, 64), "u2"), chunks=(16, 16), zarr_format=zarr_format
    )
    chunk = next(path for path in (tmp_path / "a.zarr").rglob("*") if path.is_file() and "0" in path.name)
    replace(chunk, "a named pipe")
    with pytest.raises(OSError, match="a named pipe"):
        msi.to_multiscale(msi.to_spatial_image(array), [2]).pyramid.to_zarr(tmp_path / "o.zarr")


def test_a_document_that_is_there_is_not_written_beside(tmp_path, monkeypatch):
    """zarr stores those of all groups above a new one where there are none; another removes partial files there."""
    store = RegularStore(tmp_path)
    buffer = default_buffer_prototype().buffer.from_bytes
    asyncio.run(store.set_if_not_exists("zarr.json", buffer(b"{}")))
    monkeypatch.setattr(LocalStore, "set_if_not_exists", None)
    asyncio.run(store.set_if_not_exists("zarr.json", buffer(b"[]")))
    assert (tmp_path / "zarr.json").read_bytes() == b"{}"


def test_a_link_to_a_file_is_a_file(store, tmp_path):
    shutil.move(store / "zarr.json", tmp_path / "elsewhere")
    (store / "zarr.json").symlink_to(tmp_path / "elsewhere")
    assert len(read_all(store)) == 3


def test_metadata_without_an_end_are_not_read(store):
    with (store / "scale0/image/zarr.json").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(OSError, match=r"scale0/image/zarr.json has 1,099,511,627,776 bytes"):
        msi.open_multiscale(store)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_a_repair_waits_for_nothing(store, kind):
    """It writes the chunk anew, or says why it cannot."""
    replace(store / "scale1/image/c/0/0", kind)
    try:
        msi.verify(store, repair=True)
    except OSError as error:
        assert kind in str(error)  # noqa: PT017
    else:
        assert msi.verify(store).ok
