"""On a cluster of worker processes: the same bits, and next to nothing sent between workers."""

import asyncio
import gc
import os
import sys
from functools import partial
from inspect import iscoroutinefunction
from time import monotonic, sleep
from types import SimpleNamespace

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from dask import delayed
from distributed import Client, LocalCluster, SchedulerPlugin
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.run.scheduler import all_threads, has_workers
from msi_lazy.run.warm import warm_workers


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        yield client


@pytest.fixture
def stored(tmp_path):
    array = np.random.default_rng(0).integers(0, 60000, (96, 130, 140), dtype="u2")
    return zarr.create_array(tmp_path / "source.zarr", data=array, chunks=(32, 32, 32))


def images(stored, tmp_path):
    dims = ("z", "y", "x")
    np.save(tmp_path / "a.npy", stored[:])
    return {
        "zarr": msi.to_spatial_image(stored),
        "numpy": xr.DataArray(stored[:], dims=dims),
        "memmap": xr.DataArray(np.load(tmp_path / "a.npy", mmap_mode="r"), dims=dims),
        "planes": xr.DataArray(da.from_array(stored[:], chunks=(1, 130, 140)), dims=dims),
        "expression": xr.DataArray(da.from_zarr(stored) // 3, dims=dims),
    }


def test_a_long_write_leaves_no_tasks_on_the_scheduler(client, stored, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["msi_lazy.run.compute"], "_PATIENCE", 0.01)
    client.wait_for_workers(2)
    gc.disable()
    try:
        msi.to_multiscale(msi.to_spatial_image(stored), [2]).pyramid.to_zarr(tmp_path / "out.zarr")
        until = monotonic() + 5
        while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) and monotonic() < until:
            sleep(0.02)
        assert not client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["zarr", "numpy", "memmap", "planes", "expression"])
def test_worker_processes_write_the_same_bits_as_threads(client, stored, tmp_path, kind):
    image = images(stored, tmp_path)[kind]
    build = partial(msi.to_multiscale, image, [2, 2, 2], chunks=16, block_bytes=64**3 * 2)
    build().pyramid.to_zarr(tmp_path / "cluster.zarr")
    with dask.config.set({"scheduler": "threads", "array.rechunk.method": "tasks"}):  # p2p needs workers
        build().pyramid.to_zarr(tmp_path / "threads.zarr")
    files = {path.relative_to(tmp_path / "threads.zarr") for path in (tmp_path / "threads.zarr").rglob("*")}
    assert files == {path.relative_to(tmp_path / "cluster.zarr") for path in (tmp_path / "cluster.zarr").rglob("*")}
    for path in files:
        if (tmp_path / "threads.zarr" / path).is_file():
            assert (tmp_path / "threads.zarr" / path).read_bytes() == (tmp_path / "cluster.zarr" / path).read_bytes()


def test_only_carries_travel_between_workers(client, stored, tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2, 2, 2], chunks=16, block_bytes=64**3 * 2)
    before = transferred(client)
    tree.pyramid.to_zarr(tmp_path / "out.zarr")
    plan = tree.pyramid.explain()
    assert transferred(client) - before <= plan.carry_bytes + 2000 * plan.tasks
    assert plan.carry_bytes < plan.bytes_read / 50


def transferred(client):
    """Bytes that workers have taken in from one another."""
    logs = client.run(lambda dask_worker: [entry["total"] for entry in dask_worker.transfer_incoming_log])
    return sum(map(sum, logs.values()))


class Queued(SchedulerPlugin):
    """Records the tasks that the scheduler queued until a worker was free."""

    name = "queued"

    def __init__(self):
        self.groups = set()

    def transition(self, key, start, finish, *args, **kwargs):
        if finish == "queued":
            self.groups.add(key[0] if isinstance(key, tuple) else key)


@pytest.mark.parametrize("edited", [False, True])
def test_blocks_are_queued_as_root_tasks(client, stored, tmp_path, edited):
    client.register_plugin(Queued())
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2, 2, 2], chunks=16, block_bytes=32**3 * 2)
    (tree * 2 if edited else tree).pyramid.to_zarr(tmp_path / "out.zarr")
    groups = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.plugins["queued"].groups)
    client.unregister_scheduler_plugin("queued")
    assert any("stage0" in group for group in groups)


def test_all_workers_load_the_kernels_before_they_have_a_block(client, tmp_path, monkeypatch):
    """So that the first write on new workers waits for it once, and not for one worker after another."""
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((64, 64), "i2")), [2], method="median")
    monkeypatch.setattr("msi_lazy.write.tasks.write_graph", lambda *_: delayed(None))
    tree.pyramid.to_zarr(tmp_path / "out.zarr")
    until = monotonic() + 30
    while not all(client.run(has_loaded, "median").values()) and monotonic() < until:
        sleep(0.02)
    assert all(client.run(has_loaded, "median").values())


def has_loaded(kernel):
    """Whether a worker has a kernel's file, and numba, which loads what it compiled when the kernel is called."""
    return {"numba", f"msi_lazy.methods.{kernel}"} <= sys.modules.keys()


def test_compute_false_can_be_given_to_a_client(client, stored, tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2, 2])
    future = client.compute(tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False))
    assert future.result() is None
    assert list(msi.open_multiscale(tmp_path / "out.zarr").children) == ["scale0", "scale1", "scale2"]


def test_a_persisted_tree_is_written(client, stored, tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2, 2], chunks=16, block_bytes=64**3 * 2)
    kept = tree.persist()
    kept.pyramid.to_zarr(tmp_path / "out.zarr")
    for name, node in tree.children.items():
        written = msi.open_multiscale(tmp_path / "out.zarr")[name]["image"]
        np.testing.assert_array_equal(written.values, node["image"].values)


def test_a_persisted_image_is_written(client, stored, tmp_path):
    image = xr.DataArray(da.from_zarr(stored), dims=("z", "y", "x")).persist()
    msi.to_multiscale(image, [2], chunks=16, block_bytes=64**3 * 2).pyramid.to_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "out.zarr")["scale0"]["image"], stored[:])


def test_writing_again_under_a_held_future_writes_again(client, stored, tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2], chunks=16, block_bytes=64**3 * 2)
    held = client.compute(tree.pyramid.to_zarr(tmp_path / "one.zarr", compute=False))
    held.result()
    tree.pyramid.to_zarr(tmp_path / "other.zarr")
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "other.zarr")["scale0"]["image"], stored[:])


def test_a_memory_store_is_refused_before_anything_is_created(client, stored):
    store = MemoryStore()
    zarr.open_group(store, mode="w").create_array("precious", data=np.ones(5))
    for target in (store, "memory://bucket"):
        with pytest.raises(ValueError, match="in memory"):
            msi.to_multiscale(msi.to_spatial_image(stored), [2]).pyramid.to_zarr(target, mode="w")
    assert zarr.open_group(store)["precious"][:].sum() == 5
    store = MemoryStore()
    with dask.config.set(scheduler="threads"):
        msi.to_multiscale(msi.to_spatial_image(stored), [2]).pyramid.to_zarr(store)


def test_progress_is_shown(client, stored, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2])
    tree.pyramid.to_zarr(tmp_path / "out.zarr", progress=True)
    assert "100%" in capsys.readouterr().out


def test_workers_are_processes_of_their_own(client):
    assert os.getpid() not in client.run(os.getpid).values()
    assert len(set(client.run(os.getpid).values())) == 2


def test_a_zip_file_is_packed_and_read_by_workers(client, stored, tmp_path):
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2, 2], chunks=32)
    tree.pyramid.to_zarr(tmp_path / "a.zip")
    back = msi.open_multiscale(tmp_path / "a.zip")
    np.testing.assert_array_equal(back["scale0"]["image"].compute(), stored[:])
    back.pyramid.to_zarr(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip", "source.zarr"]


def test_a_worker_imports_the_library_in_the_thread_that_unpickles_its_tasks(monkeypatch):
    """Two threads that import it at once see modules half made, and the worker is lost."""
    sent = []
    loop = SimpleNamespace(add_callback=lambda run, function, **options: sent.append(function))
    client = SimpleNamespace(asynchronous=False, loop=loop, run=None)
    monkeypatch.setattr("msi_lazy.run.warm.active_client", lambda: client)
    warm_workers([])
    (load,) = sent
    assert load.func.__module__.startswith("msi_lazy.")  # so that to unpickle it is to import the library
    assert iscoroutinefunction(load.func)
    assert asyncio.run(load()) is None


def test_workers_are_asked_for_anew(client, monkeypatch):
    """What a client has cached lists no workers, and may come between."""
    client.wait_for_workers(2)
    monkeypatch.setattr(client, "scheduler_info", lambda n_workers=-1: {"workers": {}})
    assert (has_workers(client), all_threads()) == (True, 2)
