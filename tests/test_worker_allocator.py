"""The allocator: set where the process is the command line's, or a worker's owner asks for it, and nowhere else."""

import subprocess
import sys

import distributed
import numpy as np
import pytest

import msi_lazy as msi
from msi_lazy import __main__
from msi_lazy.run import worker_allocator


@pytest.fixture
def told(monkeypatch):
    times = []
    for module in (worker_allocator, __main__):
        monkeypatch.setattr(module, "keep_freed_memory", lambda: times.append(1))
    for name in ("MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    return times


def test_a_worker_is_told_by_the_preload_or_the_plugin(told):
    worker_allocator.dask_setup(None)
    assert len(told) == 1
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.register_plugin(worker_allocator.AllocatorPlugin())
    assert len(told) == 2


def test_the_command_line_tells_its_process_and_the_library_tells_none(told, monkeypatch, tmp_path):
    image = msi.to_spatial_image(np.zeros((8, 8), "u1"))
    msi.to_zarr(msi.to_multiscale(image, [2]), tmp_path / "a.zarr")
    assert not told
    monkeypatch.setattr(sys, "argv", ["msi-lazy", "--version"])
    with pytest.raises(SystemExit):
        __main__.run()
    assert told == [1]
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")  # the user's own setting
    with pytest.raises(SystemExit):
        __main__.run()
    assert told == [1]


def test_the_command_line_runs():
    done = subprocess.run([sys.executable, "-m", "msi_lazy", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:8]) == (0, "msi-lazy")
