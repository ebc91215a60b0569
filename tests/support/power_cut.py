"""A disk whose power is cut: a file system in a file, which is copied while it is mounted, and the copy mounted.

The copy has what had reached the disk; mounting it replays the journal.  Its journal is committed every second, much
more often than data are written, so that files of zero bytes are what is left of data that nobody asked to be stored.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest

import msi_lazy as msi

SHAPE = (32, 192, 192)
OLD, NEW = (np.random.default_rng(seed).integers(1, 60000, SHAPE, dtype="u2") for seed in (1, 2))


class SlowSource:
    """Array whose blocks take some time to read."""

    def __init__(self, array, seconds):
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.array, self.seconds, self.reads = array, seconds, 0

    def __getitem__(self, key):
        found = self.array[key]
        if found.size:
            self.reads += 1
            time.sleep(self.seconds)
        return found


def tree(array, seconds=0.0, method="mean"):
    """Pyramid of 36 blocks, and its source."""
    source = SlowSource(array, seconds)
    data = da.from_array(source, chunks=32, name=f"slow {seconds} {method}", meta=np.empty((0, 0, 0), array.dtype))
    image = msi.to_spatial_image(data, dims="zyx")
    return msi.to_multiscale(image, [2], method=method, chunks=16, block_bytes=2 * 32**3), source


def write(path, seconds=0.0, array=NEW, **options):
    """Write the pyramid; return how many blocks of the source were read."""
    pyramid, source = tree(array, seconds)
    with dask.config.set(scheduler="threads", num_workers=2):
        pyramid.pyramid.to_zarr(path, source_id="slow", **options)
    return source.reads


def levels(path, **options):
    """Samples of each level."""
    children = msi.open_multiscale(path, **options).children.values()
    return [next(iter(node.to_dataset(inherit=False).data_vars.values())).values for node in children]


class Disk:
    """A file system in a file."""

    def __init__(self, folder):
        self.folder, self.image, self.path = folder, folder / "disk.img", folder / "disk"
        self.path.mkdir()

    def cut(self, number=0):
        """Copy what has reached the disk by now."""
        copy = self.folder / f"cut{number}.img"
        shutil.copyfile(self.image, copy)
        return copy

    @contextmanager
    def after(self, copy):
        """Mount what a cut left."""
        where = self.folder / "after"
        where.mkdir(exist_ok=True)
        mount(copy, where)
        try:
            yield where
        finally:
            subprocess.run(["umount", where], check=True)


def mount(image, where):
    subprocess.run(["mount", "-o", "loop,commit=1", image, where], check=True, capture_output=True)


@contextmanager
def disk(folder):
    """Make and mount a file system of its own, where that is allowed."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("a file system in a file is mounted by root, with mkfs.ext4")
    made = Disk(folder)
    subprocess.run(["truncate", "-s", "64M", made.image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", made.image], check=True)
    try:
        mount(made.image, made.path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device can be mounted here: {error.stderr.decode().strip()}")
    try:
        yield made
    finally:
        subprocess.run(["umount", made.path], check=True)


def start(path, seconds, **options):
    """Start :func:`write` in a process of its own, and wait until it is about to write."""
    command = [sys.executable, "-m", "tests.support.power_cut", json.dumps([str(path), seconds, options])]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process


if __name__ == "__main__":
    to, slowness, how = json.loads(sys.argv[1])
    print("ready", flush=True)
    write(to, slowness, **how)
