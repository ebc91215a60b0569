"""Runs of blocks made in one task: the same bits, and along a run each chunk of the source is decoded once."""

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.graph.stream import stream_run
from msi_lazy.plan import memory, runs
from msi_lazy.plan.windows import Interval
from tests.support.counting import CountingStore
from tests.support.fused_steps import fused_steps
from tests.support.strategies import block_sizes
from tests.support.wide_method import WIDE, whole_array_levels


@pytest.fixture(autouse=True, scope="module")
def _runs_at_any_size():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "LEAST_TASKS", 1)
        patch.setattr(runs, "_LONGEST", 4)
        yield


def make_tree(array, factors, store, source_chunks, chunks, block_bytes, boundary="trim"):
    stored = zarr.create_array(store, data=array, chunks=source_chunks)
    dims = ("z", "y", "x")[-array.ndim :]
    steps = [dict(zip(dims, step, strict=True)) for step in factors]
    options = {"method": WIDE, "chunks": chunks, "block_bytes": block_bytes, "boundary": boundary}
    return msi.to_multiscale(msi.to_spatial_image(stored, dims=dims), steps, **options)


def streamed_tasks(tree):
    graph = dict(tree.pyramid.to_zarr(MemoryStore(), compute=False).dask)
    return [index for index, steps in fused_steps(graph) if stream_run in steps]


@given(data=st.data(), read_back=st.booleans())
def test_runs_give_the_bits_of_the_whole_array(data, read_back):
    shape = data.draw(st.tuples(st.integers(4, 24), st.integers(20, 90)))
    factors = data.draw(st.sampled_from([[(2, 2)], [(2, 2), (1, 2)], [(2, 3), (2, 2)], [(2, 1), (1, 2), (2, 2)]]))
    array = np.random.default_rng(0).integers(0, 999, shape)
    source = CountingStore(MemoryStore())
    source_chunks = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 40)))
    block_bytes = data.draw(block_sizes(shape, 8))
    boundary = data.draw(st.sampled_from(["trim", "pad"]))
    tree = make_tree(array, factors, source, source_chunks, data.draw(st.integers(1, 6)), block_bytes, boundary)
    plan = msi.explain(tree)
    source.reads.clear()
    target = MemoryStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_READ_BACK_ABOVE", -1 if read_back else 1)
        tree.pyramid.to_zarr(target)
    if plan.reading.by_window:
        assert sum(source.chunk_reads().values()) == plan.reading.chunks
    for number, level in enumerate(whole_array_levels(array, factors, boundary)):
        np.testing.assert_array_equal(zarr.open_group(target)[f"scale{number}/image"][:], level)


@pytest.fixture
def wide():
    """Eight blocks of 16 along x, chunks of 8 in the source, and a count of what is read of them."""
    array = np.random.default_rng(0).integers(0, 999, (16, 128))
    source = CountingStore(MemoryStore())
    tree = make_tree(array, [(2, 2)], source, (8, 8), 8, 16 * 16 * 8)
    source.reads.clear()
    return tree, source


def test_each_chunk_is_decoded_once_along_a_run(wide):
    tree, source = wide
    assert tree["scale0"].image.data.numblocks == (1, 8)
    assert len(streamed_tasks(tree)) == 2
    tree.pyramid.to_zarr(MemoryStore())
    reads = source.chunk_reads()
    twice = {key for key, count in reads.items() if count > 1}  # on either side of the border between the runs
    assert {int(key.rsplit("/", 1)[1]) for key in twice} == {7, 8}
    assert msi.explain(tree).reading.run == 4
    assert msi.explain(tree).tasks == 3


def test_blocks_read_for_themselves_decode_neighbouring_chunks_again(wide):
    tree, source = wide
    tree["scale0"].image.compute()
    assert max(source.chunk_reads().values()) > 1


def test_a_run_is_a_task_with_one_carry(wide):
    array = np.random.default_rng(0).integers(0, 999, (64, 64))
    tree = make_tree(array, [(2, 2)] * 3, MemoryStore(), (8, 8), 4, 16 * 16 * 8)
    assert [stage.counts for stage in msi.explain(tree).stages] == [(4, 4), (2, 2)]
    assert len(streamed_tasks(tree)) == 4
    target = MemoryStore()
    tree.pyramid.to_zarr(target)
    for number, level in enumerate(whole_array_levels(array, [(2, 2)] * 3, "trim")):
        np.testing.assert_array_equal(zarr.open_group(target)[f"scale{number}/image"][:], level)


def test_box_methods_have_no_runs():
    array = np.zeros((16, 128), "u2")
    stored = zarr.create_array(MemoryStore(), data=array, chunks=(8, 8))
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2], chunks=8, block_bytes=16 * 16 * 2)
    assert not streamed_tasks(tree)


def test_a_source_without_chunks_has_none_to_decode_twice():
    image = xr.DataArray(np.zeros((16, 128), "u2"), dims=("y", "x"))
    tree = msi.to_multiscale(image, [2], method=WIDE, chunks=8, block_bytes=16 * 16 * 2)
    assert not streamed_tasks(tree)


def test_runs_leave_tasks_for_the_workers(monkeypatch):
    monkeypatch.setattr(runs, "LEAST_TASKS", 8)
    array = np.zeros((64, 128), "u2")
    tree = make_tree(array, [(2, 2)], MemoryStore(), (8, 8), 8, 16 * 16 * 2)
    assert tree["scale0"].image.data.numblocks == (4, 8)
    assert len(streamed_tasks(tree)) == 8
    assert msi.explain(tree).reading.run == 4


def test_reads_follow_one_another():
    windows = [Interval(0, 18), Interval(14, 34), Interval(30, 48)]
    assert list(runs.new_reads(windows, (8,) * 6)) == [Interval(0, 24), Interval(24, 40), Interval(40, 48)]
