"""Memory: projected, held against a limit, and live shares read back where they would pile up."""

import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from dask.callbacks import Callback
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.plan import memory
from tests.conftest import CountingStore
from tests.test_halo import WIDE

MIB = 2**20


def make_tree(method="mean", shape=(96, 100, 130), block_bytes=32**3 * 8, levels=3, chunks=8):
    array = np.random.default_rng(0).integers(0, 100, shape).astype("i8")
    image = xr.DataArray(array, dims=("z", "y", "x"))
    return msi.to_multiscale(image, [2] * levels, method=method, chunks=chunks, block_bytes=block_bytes)


def levels_of(store):
    group = zarr.open_group(store, mode="r")
    return [group[f"{name}/image"][:] for name in sorted(group.group_keys())]


@pytest.fixture
def read_back(monkeypatch):
    monkeypatch.setattr(memory, "_READ_BACK_ABOVE", -1)


@pytest.mark.parametrize("method", ["mean", WIDE], ids=["box", "halo"])
@pytest.mark.parametrize("block_bytes", [16**3 * 8, 8**3 * 8, 1])
def test_reading_back_gives_the_same_bits_as_shares(method, block_bytes, monkeypatch):
    tree = make_tree(method, shape=(40, 52, 66), block_bytes=block_bytes, chunks=4)
    shared, target = MemoryStore(), CountingStore(MemoryStore())
    tree.pyramid.to_zarr(shared)
    monkeypatch.setattr(memory, "_READ_BACK_ABOVE", -1)
    tree.pyramid.to_zarr(target)
    for one, other in zip(levels_of(shared), levels_of(target), strict=True):
        np.testing.assert_array_equal(one, other)
    assert target.chunk_reads()


def test_shares_are_not_read_back_where_there_is_room():
    target = CountingStore(MemoryStore())
    make_tree().pyramid.to_zarr(target)
    assert not target.chunk_reads()


def test_nothing_is_handed_on_where_it_is_read_back(read_back):
    peak = peak_of_results(make_tree(WIDE))
    assert peak == 0


@pytest.mark.parametrize("method", ["mean", WIDE], ids=["box", "halo"])
def test_live_shares_stay_below_the_projection(method):
    tree = make_tree(method, shape=(192, 100, 130), block_bytes=16**3 * 8)
    projected = tree.pyramid.explain().memory(threads=2)
    peak = peak_of_results(tree)
    assert 0 < peak <= projected.shares


def peak_of_results(tree):
    """Bytes of the results that Dask's scheduler held at most, while two threads wrote ``tree``."""
    most = 0

    def after(_key, _value, _dsk, state, _worker):
        nonlocal most
        most = max(most, sum(value.nbytes for value in state["cache"].values() if isinstance(value, np.ndarray)))

    with dask.config.set(scheduler="threads", num_workers=2), Callback(posttask=after):
        tree.pyramid.to_zarr(MemoryStore())
    return most


def test_a_plan_that_cannot_fit_is_refused_before_anything_is_created(tmp_path):
    tree = make_tree()
    with (
        dask.config.set(scheduler="threads", num_workers=3),
        pytest.raises(msi.MemoryLimitError, match=r"3 worker threads .*memory_limit is 1.00 MiB; use fewer threads"),
    ):
        tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit="1 MiB")
    assert not (tmp_path / "out.zarr").exists()
    tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit="2 GiB")


@pytest.mark.parametrize("given", ["much", 0, -3, 1.5, True])
def test_a_limit_that_is_none_is_refused(given, tmp_path):
    with pytest.raises((TypeError, ValueError), match="memory_limit must be a number of bytes"):
        make_tree().pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=given)
    assert not (tmp_path / "out.zarr").exists()


def test_fewer_threads_need_less():
    plan = make_tree().pyramid.explain()
    one, four = plan.memory(1), plan.memory(4)
    assert four.total - one.total >= 3 * one.per_thread
    assert plan.memory(1, limit=1).read_back == (False, *(True for _ in plan.stages[1:]))
    assert plan.memory(1, limit=1).shares == 0 < one.shares


def test_a_rechunk_counts_what_it_holds():
    planes = da.zeros((256, 512, 512), dtype="u2", chunks=(1, 512, 512)) + np.uint16(1)
    tree = msi.to_multiscale(xr.DataArray(planes, dims=("z", "y", "x")), [2], chunks=64, block_bytes="4 MiB")
    plan = tree.pyramid.explain()
    assert plan.memory().rechunking >= plan.levels[0].blocks[0] * 512 * 512 * 2
    assert "while the source is rechunked" in str(plan)


@pytest.mark.parametrize("shape", ["volume", "plane"])
@pytest.mark.parametrize("method", ["mean", "halo"])
def test_the_peak_of_a_process_stays_below_the_projection(shape, method):
    command = [sys.executable, "-m", "benchmarks.memory", "--child", shape, method, "0.0625"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, peak, projected = map(float, done.stdout.split()[-3:])
    assert before < peak <= before + projected
