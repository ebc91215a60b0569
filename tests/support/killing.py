"""A write that is killed: a process of its own that writes a pyramid, and what was left of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import numpy as np
import zarr

import msi_lazy as msi
from msi_lazy.storage.manifest import MANIFEST

CASES = {
    "mean": {"method": "mean"},
    "gaussian": {"method": "gaussian"},
    "0.4": {"method": "mean", "version": "0.4"},
    "shards": {"method": "max", "shards": "auto"},
    "labels": {"method": "mean", "labels": True},
    "planes": {"method": "gaussian", "planes": True},
    "group": {"method": "mean", "group": "a/b"},
    "plate": {"method": "mean", "fields": 6},
}
"""What is written, by name."""


def make_source(directory, planes=False):
    """Store the image that is read."""
    array = np.random.default_rng(0).integers(0, 4000, (40, 150, 170), dtype="u2")
    zarr.create_array(directory / "source.zarr", data=array, chunks=(1, 150, 170) if planes else (20, 64, 64))


def write(directory, target, case, **options):
    """Write the pyramid of a case in blocks so small that there are many."""
    case = {key: value for key, value in case.items() if key != "planes"}
    count = case.pop("fields", None)
    image = msi.to_spatial_image(zarr.open_array(directory / "source.zarr", mode="r"), dims="zyx")
    tree = msi.to_multiscale(image, [2, 2, 2], method=case.pop("method"), chunks=8, block_bytes=2 * 32**3)
    if case.pop("labels", False):
        options["labels"] = {
            "cells": msi.to_multiscale((image // 500).astype("u4"), [2, 2, 2], method="mode", chunks=8)
        }
    with dask.config.set(num_workers=2):
        if count is not None:
            msi.write_plate(target, {("A", number // 2, number % 2): tree for number in range(count)}, **options)
            return
        tree.pyramid.to_zarr(target, **case, **options)


def start(directory, target, case, **options):
    """Start :func:`write` in a process of its own, and wait until it is about to write."""
    call = json.dumps([str(directory), str(target), case, options])
    command = [sys.executable, "-m", "tests.support.killing", call]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process


def kill_after(process, seconds):
    """Kill a process after some time; tell whether it was still running."""
    time.sleep(seconds)
    running = process.poll() is None
    if running:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return running


def contents(directory):
    """Every file by its bytes; shards, in which chunks lie in the order that threads were done, by their samples."""
    found = {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    for path in [path for path, content in found.items() if path.name == "zarr.json" and b"sharding" in content]:
        node = path.parent
        if json.loads(found[path])["node_type"] == "array":
            found = {key: content for key, content in found.items() if node / "c" not in key.parents}
            found.pop(node / MANIFEST, None)  # the digests of the shards
            found[node / "c"] = zarr.open_array(directory / node, mode="r")[:].tobytes()
    return found


if __name__ == "__main__":
    where, to, what, how = json.loads(sys.argv[1])
    print("ready", flush=True)
    write(Path(where), Path(to), what, **how)
