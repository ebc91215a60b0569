"""Computed sources: any chunks give the same pyramid, each chunk is computed once, and few are held at a time."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from math import prod

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.callbacks import Callback
from distributed import Client
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.plan.source_rows import BlockRows, SourceChunks
from tests.support.stored_images import levels_of
from tests.support.wide_method import WIDE

PLANES, SLABS, COLUMNS, BRICKS, ODD = (1, -1, -1), (4, -1, -1), (-1, 4, -1), (16, 16, 16), (5, 23, 9)
SHAPE = (48, 64, 64)


class Computed:
    """A Dask array of computed chunks, which counts how often each is computed."""

    def __init__(self, samples, chunks):
        self.times = Counter()
        self.chunks = da.core.normalize_chunks(chunks, samples.shape)

        def compute(block_info=None):
            corner = tuple(block_info[None]["array-location"])
            self.times[corner] += 1
            return samples[tuple(slice(*along) for along in corner)].copy()

        meta = np.empty((0,) * samples.ndim, samples.dtype)
        self.array = da.map_blocks(compute, chunks=self.chunks, dtype=samples.dtype, meta=meta, name="computed")
        self.image = xr.DataArray(self.array, dims=("z", "y", "x")[-samples.ndim :], name="image")


def noise(shape, dtype="u2"):
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def whole(samples, factors, **settings):
    """Levels of the pyramid of an array in memory."""
    store = MemoryStore()
    image = xr.DataArray(samples, dims=("z", "y", "x")[-samples.ndim :], name="image")
    msi.to_multiscale(image, factors, **settings).pyramid.to_zarr(store)
    return levels_of(store)


@st.composite
def cases(draw):
    shape = tuple(draw(st.lists(st.integers(1, 40), min_size=2, max_size=3)))
    chunks = []
    for length in shape:
        cuts = draw(st.lists(st.integers(1, max(length - 1, 1)), max_size=4)) if length > 1 else []
        borders = sorted({0, *cuts, length})
        chunks.append(tuple(b - a for a, b in pairwise(borders)))
    disk = tuple(draw(st.integers(1, 9)) for _ in shape)
    factor = {dim: draw(st.integers(1, min(3, n))) for dim, n in zip("zyx"[-len(shape) :], shape, strict=True)}
    return shape, tuple(chunks), disk, [factor], draw(st.sampled_from([1, 2000, 10**6])), draw(st.booleans())


@given(cases(), st.sampled_from(["mean", "mode", "gaussian", WIDE]), st.sampled_from(["u1", ">u2", "f4"]))
def test_any_chunks_give_what_the_whole_array_gives(case, method, dtype):
    shape, chunks, disk, factors, block_bytes, edited = case
    samples = noise(shape, dtype)
    source, settings = Computed(samples, chunks), {"method": method, "chunks": disk, "block_bytes": block_bytes}
    tree, store = msi.to_multiscale(source.image, factors, **settings), MemoryStore()
    assert not source.times
    (tree if not edited else tree.map_over_datasets(lambda dataset: dataset * 1)).pyramid.to_zarr(store)
    for level, (found, expected) in enumerate(zip(levels_of(store), whole(samples, factors, **settings), strict=True)):
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(tree[f"scale{level}/image"].values, expected)


@pytest.mark.parametrize("method", ["mean", WIDE], ids=["box", "halo"])
@pytest.mark.parametrize("chunks", [PLANES, SLABS, COLUMNS, BRICKS, ODD])
@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_each_chunk_is_computed_once(method, chunks, scheduler):
    source = Computed(noise(SHAPE), chunks)
    tree = msi.to_multiscale(source.image, [2, 2], method=method, chunks=8, block_bytes=16**3 * 2)
    with dask.config.set(scheduler=scheduler):
        tree.pyramid.to_zarr(MemoryStore())
    assert len(source.times) == prod(map(len, source.chunks))
    assert set(source.times.values()) == {1}


def most_held(source, tree, threads):
    """Samples of chunks that Dask's scheduler held at most."""
    most = 0

    def after(_key, _value, _dsk, state, _worker):
        nonlocal most
        chunks = [value.size for key, value in state["cache"].items() if key[0] == "computed"]
        most = max(most, sum(chunks))

    with dask.config.set(scheduler="threads", num_workers=threads), Callback(posttask=after):
        tree.pyramid.to_zarr(MemoryStore())
    return most


@pytest.mark.parametrize("block_bytes", [1, 2 * 16**3, 2 * 32**3])
@pytest.mark.parametrize("method", ["mean", WIDE], ids=["box", "halo"])
@pytest.mark.parametrize("chunks", [PLANES, SLABS, COLUMNS, BRICKS, ODD, (16, -1, 8)])
def test_no_more_chunks_are_held_than_the_plan_says(chunks, method, block_bytes):
    source = Computed(noise(SHAPE), chunks)
    tree = msi.to_multiscale(source.image, [2, 2], method=method, chunks=8, block_bytes=block_bytes)
    assert 0 < most_held(source, tree, threads=1) <= tree.pyramid.explain().reading.held_samples <= prod(SHAPE)


def test_planes_are_held_a_row_of_blocks_at_a_time():
    source = Computed(noise((64, 32, 32)), PLANES)
    plan = msi.explain(msi.to_multiscale(source.image, [2], chunks=4, block_bytes=1))
    assert plan.levels[0].blocks == (4, 4, 4)
    assert plan.reading.held_samples == (4 + 1) * 32 * 32  # and the one that a thread computes


def test_more_threads_hold_more_rows_until_they_hold_the_image():
    plan = msi.explain(msi.to_multiscale(Computed(noise((64, 8, 8)), PLANES).image, [2], chunks=4, block_bytes=1))
    rows = BlockRows(plan.stages[0], SourceChunks(plan.reading.lengths))
    held = [rows.held_samples(threads) // 64 for threads in (1, 2, 3, 13, 100)]
    assert held == [4 + 1, 2 * 4 + 2, 3 * 4 + 3, 5 * 4 + 13, 64]


def test_a_part_of_a_level_computes_its_chunks_alone():
    source = Computed(noise(SHAPE), PLANES)
    tree = msi.to_multiscale(source.image, [2], chunks=8, block_bytes=1)
    tree["scale0/image"][40:41].compute()
    assert {corner[0] for corner in source.times} == {(z, z + 1) for z in range(40, 48)}


def test_a_resumed_write_computes_no_chunks_for_what_is_stored(tmp_path):
    source, failing = Computed(noise(SHAPE), PLANES), True

    def sometimes(block, block_info=None):
        if failing and block_info[None]["array-location"][0][0] >= 32:
            raise OSError("the disk is gone")
        return block

    image = source.image.copy(data=source.array.map_blocks(sometimes, dtype="u2", name="sometimes"))
    tree = msi.to_multiscale(image, [2], method=WIDE, chunks=8, block_bytes=1)
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(OSError, match="the disk is gone"):
            tree.pyramid.to_zarr(tmp_path / "out.zarr", resume=True)
        source.times.clear()
        failing = False
        tree.pyramid.to_zarr(tmp_path / "out.zarr", resume=True)
    assert {(z, z + 1) for z in range(30, 48)} <= {corner[0] for corner in source.times}
    assert not {(z, z + 1) for z in range(14)} & {corner[0] for corner in source.times}  # of the first rows of blocks
    for found, expected in zip(levels_of(tmp_path / "out.zarr"), whole(noise(SHAPE), [2], method=WIDE), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_other_processes_are_sent_no_chunks_for_the_sake_of_their_order(tmp_path):
    planes = da.from_array(noise(SHAPE), chunks=PLANES) + 1
    image = xr.DataArray(planes, dims=("z", "y", "x"), name="image")
    tree = msi.to_multiscale(image, [2], method=WIDE, chunks=8, block_bytes=1)
    here = tree.pyramid.to_zarr(tmp_path / "here", compute=False)
    assert any("loaded" in str(key) for key in here.dask)
    with dask.config.set(scheduler="processes", num_workers=1):
        there = tree.pyramid.to_zarr(tmp_path / "process", compute=False)
    assert not any("loaded" in str(key) for key in there.dask)


def test_a_tree_built_before_its_cluster_gives_the_same(tmp_path):
    source = Computed(noise(SHAPE), PLANES)
    tree = msi.to_multiscale(source.image, [2, 2], method=WIDE, chunks=8, block_bytes=16**3 * 2)
    with Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"):
        tree.pyramid.to_zarr(tmp_path / "out.zarr")
    expected = whole(noise(SHAPE), [2, 2], method=WIDE)
    for found, level in zip(levels_of(tmp_path / "out.zarr"), expected, strict=True):
        np.testing.assert_array_equal(found, level)


@pytest.mark.parametrize("method", ["mean", "halo"])
def test_the_peak_of_a_process_stays_below_the_projection(method):
    command = [sys.executable, "-m", "benchmarks.memory", "--child", "stack", method, "0.25"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, peak, projected = map(float, done.stdout.split()[-3:])
    assert before < peak <= before + projected < before + 256  # the image is as large
