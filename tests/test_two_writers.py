"""Two writes of one target at the same time: one has it, and what the other stores does not get into its image."""

import os
import shutil
import signal
import threading
import time
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest

import msi_lazy as msi
from msi_lazy.storage.lease import Lease
from msi_lazy.storage.ledger import LEDGER
from msi_lazy.storage.place import Place
from msi_lazy.write import conclude
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


@pytest.mark.parametrize(
    "second",
    [{"mode": "w"}, {"mode": "w", "replace": "in place"}, {"mode": "w", "resume": True}, {"resume": True}],
    ids=str,
)
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


def test_a_write_that_has_only_begun_has_its_target(tmp_path):
    """Its lease is there before its ledger."""
    place = Place.parse(tmp_path / "a.zarr")
    place.open_group("a", 3)
    lease = Lease.acquire(place, LEDGER, held=True, what="the image")
    with lease.held():
        for options in ({"mode": "w"}, {"resume": True}):
            with pytest.raises(msi.TargetInUseError):
                tree(OLD).pyramid.to_zarr(tmp_path / "a.zarr", **options)
        lease.check()
    tree(OLD).pyramid.to_zarr(tmp_path / "a.zarr", mode="w")
    assert msi.verify(tmp_path / "a.zarr").ok


@pytest.mark.parametrize("replace", ["beside", "in place"])
def test_a_write_that_is_taken_over_when_all_is_stored_completes_nothing(tmp_path, monkeypatch, replace):
    path = tmp_path / "a.zarr"
    tree(OLD).pyramid.to_zarr(path)
    left_over = tree(NEW).pyramid.to_zarr(path, mode="w", replace=replace, compute=False)
    store_manifest = conclude.store_manifest

    def store_when_another_has_taken_over(*args):
        store_manifest(*args)
        (document,) = tmp_path.rglob("lease")
        Lease.acquire(Place.parse(document.parents[1]), document.parent.name, held=False, what="the image")

    monkeypatch.setattr(conclude, "store_manifest", store_when_another_has_taken_over)
    with pytest.raises(msi.LeaseLostError), dask.config.set(scheduler="synchronous"):
        left_over.compute()
    if replace == "beside":
        np.testing.assert_array_equal(msi.open_multiscale(path)["scale0"].image, OLD)
    else:
        with pytest.raises(msi.UnfinishedImageError):
            msi.open_multiscale(path)


def test_a_write_that_begins_when_another_ends_keeps_its_lease(tmp_path, monkeypatch):
    taken, remove = [], Lease.remove

    def remove_and_let_another_begin(lease):
        remove(lease)
        place = Place.parse(tmp_path / "a.zarr")
        taken.append(Lease.acquire(place, LEDGER, held=False, what="the image"))

    monkeypatch.setattr(Lease, "remove", remove_and_let_another_begin)
    tree(OLD).pyramid.to_zarr(tmp_path / "a.zarr")
    taken[0].check()


@pytest.mark.parametrize("replace", ["beside", "in place"])
def test_what_a_killed_write_was_writing_does_not_stay(tmp_path, replace):
    path = tmp_path / "a.zarr"
    tree(OLD).pyramid.to_zarr(path)
    options = {"mode": "w", "replace": replace}
    tree(NEW).pyramid.to_zarr(path, compute=False, **options)
    for folder in (path, *tmp_path.glob(".a.zarr.msi_lazy-unfinished/*-image")):
        (folder / "scale0" / f"zarr.{'0' * 32}.partial").write_bytes(b"half")
    for folder in tmp_path.rglob("*.msi_lazy-unfinished"):  # a lease that was being taken
        (folder / f"lease.{'1' * 32}.partial").write_bytes(b"half")
    tree(NEW).pyramid.to_zarr(path, resume=True, **options)
    assert not list(tmp_path.rglob("*.partial"))
    assert [found.name for found in tmp_path.iterdir()] == ["a.zarr"]


def test_an_incomplete_image_with_labels_is_started_over(tmp_path):
    path, cells = tmp_path / "a.zarr", tree((OLD // 9000).astype("u4"), "mode")
    tree(OLD).pyramid.to_zarr(path, labels={"cells": cells}, compute=False)
    tree(NEW).pyramid.to_zarr(path, labels={"cells": cells}, mode="w")
    assert msi.verify(path).ok


@pytest.mark.parametrize("replace", ["beside", "in place"])
def test_an_image_of_which_little_was_created_is_started_over(tmp_path, replace):
    path = tmp_path / "a.zarr"
    tree(OLD).pyramid.to_zarr(path, compute=False)
    (path / "scale1/image/zarr.json").rename(path / f"scale1/image/zarr.{'0' * 32}.partial")
    shutil.rmtree(path / "scale0/y")
    (path / "scale0/y").mkdir()
    tree(NEW).pyramid.to_zarr(path, mode="w", replace=replace)
    assert msi.verify(path).ok
    assert not list(path.rglob("*.partial"))


@pytest.mark.parametrize("options", [{"mode": "w"}, {"resume": True}], ids=str)
def test_a_directory_that_was_just_being_created_is_written_to(tmp_path, options):
    for path in (tmp_path / "a.zarr", tmp_path / "b.zarr"):
        path.mkdir()
        (path / f"zarr.{'0' * 32}.partial").write_bytes(b"")
    tree(NEW).pyramid.to_zarr(tmp_path / "a.zarr", **options)
    tree(NEW).pyramid.to_zarr(tmp_path / "b.zarr", group="group", **options)
    assert msi.verify(tmp_path / "a.zarr").ok
    assert msi.verify(tmp_path / "b.zarr", group="group").ok
    assert not list((tmp_path / "a.zarr").rglob("*.partial"))
