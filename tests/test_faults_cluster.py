"""What goes wrong on a cluster: workers that die, or run out of memory, in the middle of a write."""

import re

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, KilledWorker, LocalCluster

import msi_lazy as msi
from tests.support.faulty import FaultySource
from tests.support.killing import contents

PIXELS = np.random.default_rng(0).integers(0, 60000, (64, 96, 96), dtype="u2")


@pytest.fixture
def client():
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.pause": False,
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 0,
    }
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "700 MiB", "dashboard_address": ":0"}
    with dask.config.set(settings), LocalCluster(silence_logs=50, **options) as cluster, Client(cluster) as client:
        yield client


def make_tree(tmp_path, fault, **options):
    np.save(tmp_path / "pixels.npy", PIXELS)
    source = FaultySource(tmp_path / "pixels.npy", tmp_path / "flags", fault, **options)
    data = da.from_array(source, chunks=32, name="faulty", meta=np.empty((0, 0, 0), "u2"))
    image = msi.to_spatial_image(data, dims="zyx")
    return msi.to_multiscale(image, [2, 2, 2], chunks=16, block_bytes=2 * 32**3)


@pytest.fixture
def whole(tmp_path):
    image = msi.to_spatial_image(PIXELS, dims="zyx")
    tree = msi.to_multiscale(image, [2, 2, 2], chunks=16, block_bytes=2 * 32**3)
    with dask.config.set(scheduler="threads"):
        tree.pyramid.to_zarr(tmp_path / "whole.zarr")
    return contents(tmp_path / "whole.zarr")


@pytest.mark.parametrize("fault", ["kill", "memory"])
def test_a_worker_that_dies_is_replaced(client, tmp_path, whole, fault):
    make_tree(tmp_path, fault, sample=PIXELS.size // 2).pyramid.to_zarr(tmp_path / "o.zarr")
    assert len(list((tmp_path / "flags").iterdir())) == 1
    assert contents(tmp_path / "o.zarr") == whole


def test_a_block_that_every_worker_dies_of_is_named_and_the_write_resumed(client, tmp_path, whole):
    tree = make_tree(tmp_path, "kill", times=10, sample=PIXELS.size // 2)
    with pytest.raises(KilledWorker) as caught:
        tree.pyramid.to_zarr(tmp_path / "o.zarr", source_id="faulty")
    notes = "\n".join(caught.value.__notes__)
    # Dask blames all that the dead workers had, and raises for one of them
    assert re.search(r"died while computing block \(\d, \d, \d\) of scale0 to scale1, .*, or another block", notes)
    assert "resume=True" in notes
    with pytest.raises(msi.UnfinishedImageError):
        msi.open_multiscale(tmp_path / "o.zarr")
    sound = make_tree(tmp_path, "kill", times=0)
    sound.pyramid.to_zarr(tmp_path / "o.zarr", resume=True, source_id="faulty")
    assert contents(tmp_path / "o.zarr") == whole


def test_retries_are_the_scheduler_s(client, tmp_path, whole):
    tree = make_tree(tmp_path, "error", times=2)
    with pytest.raises(OSError, match="the disk is gone") as caught:
        tree.pyramid.to_zarr(tmp_path / "o.zarr", source_id="faulty", retries=1)
    assert any("while computing block (0, 0, 0) of scale0 to scale1" in note for note in caught.value.__notes__)
    for flag in (tmp_path / "flags").iterdir():
        flag.unlink()
    tree.pyramid.to_zarr(tmp_path / "o.zarr", source_id="faulty", retries=2, resume=True)
    assert contents(tmp_path / "o.zarr") == whole
