"""Computing where an event loop or a worker runs already: inside tasks of a cluster, and in coroutines."""

import asyncio
import sys

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, worker_client

import msi_lazy as msi

PIXELS = np.random.default_rng(1).integers(1, 60000, (64, 64), "u2")
SECONDS = 150
"""After which a computation counts as hanging."""


def tree_of(pixels=PIXELS, method="mean"):
    return msi.to_multiscale(msi.to_spatial_image(pixels, dims="yx"), [2], method, chunks=16, block_bytes=4096)


def is_right(store):
    with dask.config.set(scheduler="synchronous"):
        image = msi.open_multiscale(store)["scale0"].image.values
        return (image == PIXELS).all() and msi.verify(store, labels=False).ok


def write(store):
    tree_of().pyramid.to_zarr(store)
    return is_right(store)


def maintain(store):
    labels = tree_of((PIXELS // 9000 + 1).astype("u4"), "mode")
    msi.write_labels(store, "cells", labels)
    msi.update(store, {"x": slice(0, 9)})
    msi.add_levels(store, [2], group="labels/cells")
    msi.add_levels(store, [2])
    return msi.verify(store, repair=True).ok


def write_as_a_client(store):
    with worker_client():
        return write(store)


def fail(store):
    tree_of().pyramid.to_zarr(store)
    try:
        tree_of().pyramid.to_zarr(store)
    except FileExistsError:
        return write(f"{store}2")


@pytest.fixture(scope="module")
def client():
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        yield client


@pytest.mark.parametrize("task", [write, write_as_a_client, fail])
def test_a_task_on_the_only_thread_of_a_cluster_writes(client, tmp_path, task):
    assert client.submit(task, tmp_path / "a.zarr", pure=False).result(SECONDS)


def test_a_task_on_the_only_thread_of_a_cluster_verifies_updates_and_adds(client, tmp_path):
    write(tmp_path / "a.zarr")
    assert client.submit(maintain, tmp_path / "a.zarr", pure=False).result(SECONDS)


def test_more_tasks_than_threads_write_together_and_give_their_threads_back(client, tmp_path):
    tasks = [client.submit(write, tmp_path / f"{number}.zarr", pure=False) for number in range(3)]
    assert all(task.result(SECONDS) for task in tasks)
    assert client.submit(sum, [1, 2], pure=False).result(SECONDS) == 3


def in_a_loop(work):
    """Run ``work(client)`` in a coroutine, with an asynchronous client."""

    async def main():
        options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
        async with LocalCluster(asynchronous=True, **options) as cluster, Client(cluster, asynchronous=True) as client:
            return await work(client)

    return asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_an_asynchronous_client_computes_what_is_not_computed_at_once(tmp_path):
    store = tmp_path / "a.zarr"

    async def work(client):
        tree = tree_of()
        tree.pyramid.explain(measure=True)
        await client.compute(tree.pyramid.to_zarr(store, compute=False))
        await client.compute(msi.update(store, {"x": slice(0, 9)}, compute=False))
        with dask.config.set(scheduler="threads"):
            return msi.verify(store).ok

    assert in_a_loop(work)
    assert is_right(store)


def test_an_asynchronous_client_that_is_to_compute_at_once_is_refused_before_anything_is_created(tmp_path):
    write(tmp_path / "a.zarr")
    before = sorted(tmp_path.rglob("*"))
    calls = {
        "to_zarr": lambda: tree_of().pyramid.to_zarr(tmp_path / "b.zarr"),
        "over": lambda: tree_of().pyramid.to_zarr(tmp_path / "a.zarr", mode="w"),
        "labels": lambda: msi.write_labels(tmp_path / "a.zarr", "cells", tree_of(method="mode")),
        "verify": lambda: msi.verify(tmp_path / "a.zarr"),
        "update": lambda: msi.update(tmp_path / "a.zarr", {"x": slice(0, 9)}),
        "add": lambda: msi.add_levels(tmp_path / "a.zarr", [2]),
    }

    async def work(client):
        for call in calls.values():
            with pytest.raises(RuntimeError, match=r"compute=False.*await client.compute\(delayed\)"):
                call()

    in_a_loop(work)
    assert sorted(tmp_path.rglob("*")) == before


def test_another_thread_of_a_coroutine_may_compute_at_once_as_the_error_says(tmp_path):
    async def work(client):
        return await asyncio.to_thread(write, tmp_path / "a.zarr")

    assert in_a_loop(work)


def test_a_coroutine_without_a_client_computes_at_once(tmp_path):
    async def main():
        return write(tmp_path / "a.zarr")

    assert asyncio.run(main())


def test_an_error_of_a_task_is_alone(client, tmp_path):
    def fail(block):
        raise ValueError("no such plane")

    image = da.zeros((64, 64), dtype="u2", chunks=16).map_blocks(fail, dtype="u2", meta=np.zeros((0, 0), "u2"))
    with pytest.raises(ValueError, match="no such plane") as caught:
        tree_of(image).pyramid.to_zarr(tmp_path / "a.zarr")
    assert caught.value.__context__ is None


def test_a_cluster_without_workers_is_told_of(tmp_path, monkeypatch):
    module = sys.modules["msi_lazy.run.compute"]
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster, Client(cluster):
        tell = module.warn_user
        monkeypatch.setattr(module, "warn_user", lambda message: (tell(message), cluster.scale(1)))
        with pytest.warns(UserWarning, match=r"has no workers.*cluster\.scale") as warned:
            tree_of().pyramid.to_zarr(tmp_path / "a.zarr")
    assert len(warned) == 1
    assert is_right(tmp_path / "a.zarr")
