"""What goes wrong while an image is written: the error names the block, and the write goes on where it was."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from zarr.storage import LocalStore

import msi_lazy as msi
from msi_lazy.cli import main
from tests.support.faulty import FaultySource, UnreliableProxy
from tests.support.killing import contents
from tests.support.optional import require

PIXELS = np.random.default_rng(0).integers(0, 60000, (64, 96, 96), dtype="u2")
RESUME = "to_zarr(..., resume=True)"


def make_tree(array, method="mean", block=32):
    image = msi.to_spatial_image(array, dims="zyx")
    return msi.to_multiscale(image, [2, 2, 2], method=method, chunks=16, block_bytes=2 * block**3)


@pytest.fixture
def whole(tmp_path):
    make_tree(PIXELS).pyramid.to_zarr(tmp_path / "whole.zarr")
    return contents(tmp_path / "whole.zarr")


def faulty_tree(tmp_path, fault, **options):
    np.save(tmp_path / "pixels.npy", PIXELS)
    source = FaultySource(tmp_path / "pixels.npy", tmp_path / "flags", fault, **options)
    data = da.from_array(source, chunks=32, name="faulty", meta=np.empty((0, 0, 0), "u2"))
    return make_tree(data)


def assert_unfinished(store):
    with pytest.raises(msi.UnfinishedImageError, match="resume it"):
        msi.open_multiscale(store)


@pytest.mark.parametrize("chunks", [(32, 32, 32), (1, 96, 96)], ids=["windows", "rechunked"])
def test_a_chunk_of_the_source_that_cannot_be_decoded(tmp_path, whole, chunks):
    source = zarr.create_array(tmp_path / "source.zarr", data=PIXELS, chunks=chunks)
    chunk = next(tmp_path.glob("source.zarr/c/1/*/*") if chunks[0] == 32 else tmp_path.glob("source.zarr/c/40/*/*"))
    sound = chunk.read_bytes()
    chunk.write_bytes(sound[: len(sound) // 2])
    with pytest.raises((OSError, ValueError, RuntimeError)) as caught:  # whatever the codec raises
        make_tree(source).pyramid.to_zarr(tmp_path / "o.zarr")
    notes = "\n".join(caught.value.__notes__)
    assert "reading the source, samples [" in notes
    assert RESUME in notes
    if chunks[0] == 32:
        assert "while computing block (1, " in notes
        assert "of scale0 to scale1" in notes
    assert_unfinished(tmp_path / "o.zarr")
    chunk.write_bytes(sound)
    make_tree(source).pyramid.to_zarr(tmp_path / "o.zarr", resume=True)
    assert contents(tmp_path / "o.zarr") == whole


@pytest.fixture
def small_disk(tmp_path):
    """A directory with room for a third of the image, and a function that makes more room."""
    directory = tmp_path / "small"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(directory)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield directory, lambda: subprocess.run(["mount", "-o", "remount,size=50m", str(directory)], check=True)
        subprocess.run(["umount", str(directory)], check=True)
        return
    with pytest.MonkeyPatch.context() as patch:
        written, put = [0], LocalStore.set

        async def set_within(self, key, value, *args):
            written[0] += len(value)
            if written[0] > 500_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            await put(self, key, value, *args)

        patch.setattr(LocalStore, "set", set_within)
        yield directory, patch.undo


def test_a_full_disk(small_disk, whole):
    directory, make_room = small_disk
    with pytest.raises((OSError, RuntimeError), match="No space left") as caught:  # RuntimeError: by the Rust codecs
        make_tree(PIXELS).pyramid.to_zarr(directory / "o.zarr")
    notes = "\n".join(caught.value.__notes__)
    assert re.search(r"while storing block \(\d, \d, \d\) of 'scale\d/image', samples \[|while marking block", notes)
    make_room()
    assert_unfinished(directory / "o.zarr")
    make_tree(PIXELS).pyramid.to_zarr(directory / "o.zarr", resume=True)
    assert contents(directory / "o.zarr") == whole


def test_an_interrupt_ends_the_tasks_in_progress(tmp_path, whole):
    tree = faulty_tree(tmp_path, "interrupt", sample=PIXELS.size // 2)
    with pytest.raises(KeyboardInterrupt) as caught, dask.config.set(num_workers=2):
        tree.pyramid.to_zarr(tmp_path / "o.zarr", source_id="faulty")
    assert RESUME in caught.value.__notes__[-1]
    before = contents(tmp_path / "o.zarr")
    time.sleep(0.7)
    assert contents(tmp_path / "o.zarr") == before  # nothing goes on behind one's back
    assert_unfinished(tmp_path / "o.zarr")
    tree.pyramid.to_zarr(tmp_path / "o.zarr", resume=True, source_id="faulty")
    assert contents(tmp_path / "o.zarr") == whole


def test_threads_that_their_pool_does_not_know_are_waited_for(tmp_path, whole, monkeypatch):
    """Such as one that was being started as the interrupt came."""

    class Forgetful(ThreadPoolExecutor):
        def shutdown(self, *, wait, cancel_futures):
            super().shutdown(wait=False, cancel_futures=cancel_futures)

    monkeypatch.setattr(sys.modules["msi_lazy.run.compute"], "ThreadPoolExecutor", Forgetful)
    tree = faulty_tree(tmp_path, "interrupt", sample=PIXELS.size // 2)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt), dask.config.set(num_workers=2):
        tree.pyramid.to_zarr(tmp_path / "o.zarr", source_id="faulty")
    left = set(threading.enumerate()) - before
    assert not [thread.name for thread in left if "zarr" not in thread.name and "asyncio" not in thread.name]


def test_an_interrupted_command_is_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 60000, (32, 384, 384), dtype="u2")
    np.save("in.npy", pixels)
    command = ["convert", "in.npy", "out.zarr", "--levels", "2", "--chunks", "8", "--dims", "zyx"]
    program = [sys.executable, "-c", "from msi_lazy.cli import main; main()"]
    process = subprocess.Popen([*program, *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not Path("out.zarr/scale0/image/c").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "interrupted" in told
    assert "--resume resumes the write" in told
    runner = CliRunner()
    for again in (command, ["info", "out.zarr"]):
        result = runner.invoke(main, again)
        assert result.exit_code == 1
        assert "--resume" in result.output
    result = runner.invoke(main, [*command, "--resume"])
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(msi.open_multiscale("out.zarr")["scale0"].image, pixels)
    np.save("in.npy", pixels)
    result = runner.invoke(main, [*command, "--resume"])
    assert "--overwrite" in result.output


def test_what_fails_now_and_then_is_tried_again(tmp_path, whole):
    tree = faulty_tree(tmp_path, "error", times=2)
    with pytest.raises(OSError, match="the disk is gone"):
        tree.pyramid.to_zarr(tmp_path / "o.zarr", retries=1)
    for flag in (tmp_path / "flags").iterdir():
        flag.unlink()
    tree.pyramid.to_zarr(tmp_path / "o.zarr", mode="w", retries=2)
    assert contents(tmp_path / "o.zarr") == whole
    assert len(list((tmp_path / "flags").iterdir())) == 2


@pytest.fixture
def unreliable():
    """An S3 server that fails one request in ten: its address, that of the same without faults, and the faults."""
    server = require("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    faults = []
    handler = type("Proxy", (UnreliableProxy,), {"upstream": (host, port), "faults": faults})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}", f"http://{host}:{port}", faults
        proxy.shutdown()
    server.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # connections that were cut
def test_s3_that_fails_one_request_in_ten(unreliable):
    """What the file system and the retries do not mend ends the write with an error, and then it is resumed."""
    faulty, sound, faults = unreliable
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    require("s3fs")
    require("boto3").client("s3", endpoint_url=sound, **keys).create_bucket(Bucket="images")
    timeouts = {"connect_timeout": 5, "read_timeout": 0.5, "retries": {"max_attempts": 1}}
    options = {"endpoint_url": faulty, "key": "test", "secret": "test", "config_kwargs": timeouts}
    image = msi.to_spatial_image(PIXELS[:32, :64], dims="zyx")
    tree = msi.to_multiscale(image, [2], chunks=32, block_bytes=2 * 32**3)
    errors = []
    for _ in range(40):
        try:
            tree.pyramid.to_zarr("s3://images/o.zarr", storage_options=options, resume=True, retries=1)
        except Exception as error:
            errors.append(error)
        else:
            break
    assert {"500", "503", "timeout"} <= set(faults)
    assert all(RESUME in error.__notes__[-1] for error in errors if hasattr(error, "__notes__"))
    sound_options = {"endpoint_url": sound, "key": "test", "secret": "test"}
    back = msi.open_multiscale("s3://images/o.zarr", storage_options=sound_options)
    for level in tree.children:
        xr.testing.assert_equal(back[level].image, tree[level].image)
