"""Spilled sources on worker processes: each chunk is computed by one of them, once, and read by all."""

import shutil
from time import monotonic, sleep

import dask
import numpy as np
import pytest
import zarr
from distributed import Client, LocalCluster

import msi_lazy as msi
from msi_lazy.storage.spill_folder import check_shared
from msi_lazy.write import projection
from tests.support.counted_image import SAMPLES, CountedImage
from tests.support.stored_images import levels_of

LEDGER = ".msi_lazy-unfinished"
SETTINGS = {"chunks": 16, "block_bytes": "16 kiB"}


@pytest.fixture(scope="module", autouse=True)
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with LocalCluster(silence_logs=50, **options) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def spilled_always(monkeypatch):
    def spill(images, _threads, _limit):
        return [image.spilled() if image.may_spill else image for image in images]

    monkeypatch.setattr(projection, "spill_where_needed", spill)


@pytest.fixture
def log(tmp_path):
    (tmp_path / "log").mkdir()
    return tmp_path / "log"


@pytest.mark.parametrize(
    ("dims", "method", "built_on", "factor"),
    [("zyx", "mean", "cluster", 1), ("zyx", "gaussian", "cluster", 1), ("xyz", "gaussian", "cluster", 2),
     ("zyx", "gaussian", "threads", 1)],
)  # fmt: skip
def test_each_chunk_is_computed_by_one_worker_once(tmp_path, log, dims, method, built_on, factor):
    counted = CountedImage(SAMPLES, [1 if dim == "z" else -1 for dim in dims], dims, folder=log)
    with dask.config.set({} if built_on == "cluster" else {"scheduler": "threads"}):
        tree = msi.to_multiscale(counted.image, [2, 3], method, **SETTINGS)
    if factor != 1:
        tree = tree.map_over_datasets(lambda dataset: dataset * factor if dataset.data_vars else dataset)
    write = tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    assert any("-spilled-" in str(key) for key in write.dask)
    tree.pyramid.to_zarr(tmp_path / "out.zarr", mode="w")
    assert set(counted.times.values()) == {1}
    assert len(counted.times) == SAMPLES.shape[dims.index("z")]
    with dask.config.set(scheduler="threads"):
        image = counted.image.copy(data=SAMPLES)
        expected = msi.to_multiscale(image, [2, 3], method, chunks=16)
        for level, found in enumerate(levels_of(tmp_path / "out.zarr")):
            whole = expected[f"scale{level}/image"].transpose("z", "y", "x") * factor
            np.testing.assert_array_equal(found, whole.values)
    assert {path.name for path in (tmp_path / "out.zarr").iterdir()} == {"scale0", "scale1", "scale2", "zarr.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"out.zarr", "log"}


def marked(ledger):
    return {int(path.name) for path in ledger.glob("*-source0-*-marks/c/*")}


def is_gone(block, ledger, block_info=None):
    """Fail at one chunk, once others have been marked as stored."""
    if block_info[None]["array-location"][0][0] == 37:
        until = monotonic() + 60
        while not marked(ledger) and monotonic() < until:
            sleep(0.05)
        raise OSError("the reader is gone")
    return block


def test_what_workers_have_spilled_is_not_computed_again(tmp_path, log):
    whole, ledger = CountedImage(SAMPLES, (1, -1, -1), folder=log), tmp_path / "out.zarr" / LEDGER
    failing = whole.image.copy(data=whole.image.data.map_blocks(is_gone, ledger, dtype="u2"))
    trees = [msi.to_multiscale(image, [2], "gaussian", **SETTINGS) for image in (whole.image, failing)]
    with pytest.raises(OSError, match="the reader is gone"):
        trees[1].pyramid.to_zarr(tmp_path / "out.zarr", source_id="scan", durable=False)
    found = marked(ledger)
    assert found
    before = whole.times
    trees[0].pyramid.to_zarr(tmp_path / "out.zarr", resume=True, source_id="scan", durable=False)
    again = {corner[0] for corner in whole.times - before}
    assert 37 in again
    assert not again & found
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], SAMPLES)
    assert {path.name for path in (tmp_path / "out.zarr").iterdir()} == {"scale0", "scale1", "zarr.json"}


def test_a_chunk_that_is_stored_late_leaves_nothing_behind(tmp_path, log):
    """A failed write that is started over, while workers may still store what it left them."""
    whole, failing = (CountedImage(SAMPLES, (1, -1, -1), folder=log, fails=fails) for fails in ((), [(5, 0, 0)]))
    with pytest.raises(OSError, match="the reader is gone"):
        msi.to_multiscale(failing.image, [2], **SETTINGS).pyramid.to_zarr(tmp_path / "out.zarr")
    tree = msi.to_multiscale(whole.image, [2], **SETTINGS)
    tree.pyramid.to_zarr(tmp_path / "out.zarr", mode="w", replace="in place")
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], SAMPLES)
    assert {path.name for path in (tmp_path / "out.zarr").iterdir()} == {"scale0", "scale1", "zarr.json"}


def test_a_place_that_a_worker_does_not_see_is_refused(client, tmp_path, log, monkeypatch):
    (tmp_path / "scratch").mkdir()
    tree = msi.to_multiscale(CountedImage(SAMPLES, (1, -1, -1), folder=log).image, [2], **SETTINGS)
    tree.pyramid.to_zarr(tmp_path / "out.zarr", spill=tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())
    monkeypatch.setattr(client, "run", lambda *_: {"tcp://elsewhere": False, "tcp://here": True})
    with pytest.raises(ValueError, match="the worker tcp://elsewhere does not see; give one that all workers share"):
        tree.pyramid.to_zarr(tmp_path / "other.zarr", spill=tmp_path / "scratch")
    assert {path.name for path in tmp_path.iterdir()} == {"out.zarr", "scratch", "log"}


def test_tiles_that_a_worker_does_not_see_are_not_read_as_zeros(tmp_path):
    stored = zarr.create_array(tmp_path / "tiles.zarr", shape=(4, 4), chunks=(2, 2), dtype="u2")
    check_shared(stored)
    shutil.rmtree(tmp_path / "tiles.zarr")
    with pytest.raises(FileNotFoundError, match="all workers must share it"):
        check_shared(stored)
