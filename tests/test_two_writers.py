"""Two writes of one target at the same time: one has it, and what the other stores does not get into its image."""

import os
import signal
import threading
import time
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest

import msi_lazy as msi
from tests.support import killing
from tests.support.killing import CASES, contents, make_source, start

OLD, NEW = (np.random.default_rng(seed).integers(1, 60000, (32, 64, 64), dtype="u2") for seed in (1, 2))


class Waiting:
    """Array whose blocks, but for the first few, wait until they may be read."""

    dtype, ndim, shape = OLD.dtype, 3, OLD.shape

    def __init__(self, array, free=2):
        self.array, self.free = array, free
        self.begun, self.go, self.lock = threading.Event(), threading.Event(), threading.Lock()

    def __getitem__(self, key):
        found = self.array[key]
        if found.size:
            with self.lock:
                self.free -= 1
                waits = self.free < 0
            if waits:
                self.begun.set()
                assert self.go.wait(120)
        return found


def tree(array, method="mean"):
    data = array if isinstance(array, np.ndarray) else lazy(array)
    return msi.to_multiscale(msi.to_spatial_image(data, dims="zyx"), [2], method, chunks=16, block_bytes=2 * 32**3)


def lazy(source):
    return da.from_array(source, chunks=32, name=f"waiting {id(source)}", meta=np.empty((0, 0, 0), "u2"))


def begin(source, path, **options):
    """Begin a write in a thread; return it, and a list for what it raises."""
    raised = []

    def run():
        try:
            with dask.config.set(scheduler="threads", num_workers=2):
                tree(source).pyramid.to_zarr(path, source_id="waiting", **options)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert source.begun.wait(120)
    return thread, raised


@pytest.mark.parametrize("second", [{"mode": "w"}, {"mode": "w", "resume": True}, {"resume": True}], ids=str)
@pytest.mark.parametrize("first", [{}, {"mode": "w"}], ids=["new", "over another"])
def test_a_target_that_is_being_written_is_refused(tmp_path, first, second):
    path, source = tmp_path / "a.zarr", Waiting(NEW)
    if first:
        tree(OLD).pyramid.to_zarr(path)
    thread, raised = begin(source, path, **first)
    try:
        with pytest.raises(msi.StoreExistsError) as caught:
            tree(Waiting(NEW, free=99)).pyramid.to_zarr(path, source_id="waiting", **second)
        if second != {"resume": True}:
            assert isinstance(caught.value, msi.TargetInUseError)
            assert f"process {os.getpid()} on " in str(caught.value)
    finally:
        source.go.set()
        thread.join()
    assert not raised
    np.testing.assert_array_equal(msi.open_multiscale(path)["scale0"].image, NEW)
    assert msi.verify(path).ok


def test_a_target_that_another_process_is_writing_is_refused(tmp_path):
    make_source(tmp_path)
    case = CASES["mean"]
    killing.write(tmp_path, tmp_path / "whole.zarr", case)
    process = start(tmp_path, tmp_path / "a.zarr", case)
    while not list(tmp_path.glob("a.zarr/.msi_lazy-unfinished/lease")) and process.poll() is None:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(msi.TargetInUseError, match=f"process {process.pid} on .*end that process first"):
            killing.write(tmp_path, tmp_path / "a.zarr", case, resume=True)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    killing.write(tmp_path, tmp_path / "a.zarr", case, resume=True)
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "whole.zarr")


@pytest.mark.parametrize("replace", ["beside", "in place"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "over another"])
def test_tasks_that_are_left_over_store_nothing_in_the_next_image(tmp_path, old, replace):
    path = tmp_path / "a.zarr"
    if old:
        tree(OLD).pyramid.to_zarr(path)
    left_over = tree(NEW).pyramid.to_zarr(path, mode="w", replace=replace, compute=False)
    tree(OLD).pyramid.to_zarr(path, mode="w", replace=replace)
    before = contents(tmp_path)
    with pytest.raises(msi.LeaseLostError, match="another write has taken over"):
        left_over.compute()
    assert contents(tmp_path) == before
    np.testing.assert_array_equal(msi.open_multiscale(path)["scale0"].image, OLD)


@pytest.mark.parametrize("replace", ["beside", "in place"])
def test_tasks_that_run_when_another_write_begins_store_nothing_more(tmp_path, replace):
    path, source = tmp_path / "a.zarr", Waiting(NEW)
    tree(OLD).pyramid.to_zarr(path)
    delayed = tree(source).pyramid.to_zarr(path, mode="w", replace=replace, compute=False, source_id="waiting")
    raised = []

    def compute():
        try:
            with dask.config.set(scheduler="threads", num_workers=2):
                delayed.compute()
        except msi.LeaseLostError as error:
            raised.append(error)

    thread = threading.Thread(target=compute)
    thread.start()
    assert source.begun.wait(120)
    tree(OLD).pyramid.to_zarr(path, mode="w", replace=replace)
    before = contents(tmp_path)
    source.go.set()
    thread.join()
    assert len(raised) == 1
    assert contents(tmp_path) == before
    assert msi.verify(path).ok


@pytest.mark.parametrize("operation", ["write_labels", "add_levels"])
def test_tasks_left_over_of_labels_and_levels_store_nothing_either(tmp_path, operation):
    path = tmp_path / "a.zarr"
    tree(OLD).pyramid.to_zarr(path)
    if operation == "write_labels":
        write = partial(msi.write_labels, path, "cells", tree((OLD // 9000).astype("u4"), "mode"))
    else:
        write = partial(msi.add_levels, path, [2])
    left_over = write(compute=False)
    write(mode="w")
    before = contents(tmp_path)
    with pytest.raises(msi.LeaseLostError):
        left_over.compute()
    assert contents(tmp_path) == before
    assert msi.verify(path).ok
