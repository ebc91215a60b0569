"""Very large writes are cut into slabs, each a graph that a scheduler can take, in one call."""

from itertools import product

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.graph import cut_write
from msi_lazy.plan import slabs
from msi_lazy.plan.memory import finer_window
from tests.support.counting import CountingStore
from tests.support.failing_writes import assert_complete, failed_write, snapshot
from tests.support.strategies import pyramids

ARRAY = np.random.default_rng(0).integers(0, 4000, (64, 72)).astype("u2")


def few_at_once(patch, blocks):
    patch.setattr(slabs, "SLAB_BLOCKS", blocks)
    patch.setattr(cut_write, "SLAB_BLOCKS", blocks)


def count_graphs(patch):
    """Count the graphs that a write computes."""
    graphs = []
    run = msi.run.compute.run
    patch.setattr("msi_lazy.run.compute.run", lambda graph, *args: (graphs.append(graph), run(graph, *args))[1])
    return graphs


def build(method="mean", array=ARRAY, steps=(2, 2, 2), **options):
    source = CountingStore(MemoryStore())
    image = msi.to_spatial_image(zarr.create_array(source, name="source", data=array, chunks=(8, 8)))
    options = {"chunks": 4, "block_bytes": 2 * 8**2, **options}
    return msi.to_multiscale(image, list(steps), method=method, **options), source


@given(case=pyramids(max_dims=3, max_extent=40), data=st.data())
def test_each_block_is_in_one_slab_after_those_that_it_needs(case, data):
    shape, factors = case
    dims = ("z", "y", "x")[-len(shape) :]
    image = xr.DataArray(da.zeros(shape, dtype="u2"), dims=dims)
    steps = [dict(zip(dims, step, strict=True)) for step in factors]
    method = data.draw(st.sampled_from(["mean", "gaussian"]))
    tree = msi.to_multiscale(image, steps, chunks=3, block_bytes=data.draw(st.integers(60, 900)), method=method)
    stages = tree.pyramid.explain().stages
    read_back = [data.draw(st.booleans()) for _ in stages]
    most = data.draw(st.integers(1, stages[0].blocks))
    cut = list(slabs.cut_slabs(stages, read_back, most))
    assert len(cut) == slabs.count_slabs(stages, most)
    for number, stage in enumerate(stages):
        assert (sum(slab[number].astype(int) for slab in cut) == 1).all()
        for at, slab in enumerate(cut):
            for index in map(tuple, np.argwhere(slab[number])) if number else ():
                window, level, before = stage.needed(index)[0], stage.first, stages[number - 1]
                if read_back[number]:
                    window, level = finer_window(before, level, window), before.written[-1]
                for needed in product(*before.touching(level, window)):
                    assert any(earlier[number - 1][needed] for earlier in cut[: at + 1])


@pytest.mark.parametrize("method", ["mean", "gaussian"])
@pytest.mark.parametrize("read_back", [False, True])
def test_a_write_in_slabs_is_the_write_in_one(method, read_back, monkeypatch):
    monkeypatch.setattr("msi_lazy.plan.memory._READ_BACK_ABOVE", -1 if read_back else 1)
    whole, cut = MemoryStore(), MemoryStore()
    build(method)[0].pyramid.to_zarr(whole)
    graphs = count_graphs(monkeypatch)
    few_at_once(monkeypatch, 12 if method == "mean" else 4)
    tree, source = build(method)
    tree.pyramid.to_zarr(cut)
    assert len(graphs) > 2
    assert max(len(graph.dask) for graph in graphs) < 40
    assert snapshot(cut) == snapshot(whole)
    if method == "mean":
        assert set(source.chunk_reads().values()) == {1}


def test_a_write_in_slabs_is_resumed_and_stores_nothing_again(monkeypatch):
    few_at_once(monkeypatch, 12)
    whole = MemoryStore()
    build("gaussian")[0].pyramid.to_zarr(whole, source_id="it")
    store = failed_write(build("gaussian")[0], 300, source_id="it")
    stored = {key for key in store.state["set"] if "/c/" in key}
    store.state["set"] = []
    build("gaussian")[0].pyramid.to_zarr(store, resume=True, source_id="it")
    assert len(stored & set(store.state["set"])) < 40
    assert snapshot(store) == snapshot(whole)


@pytest.mark.parametrize("kind", ["edited", "computed", "lossy", "by hand"])
def test_what_cannot_be_cut_is_written_in_one_graph(kind, monkeypatch):
    few_at_once(monkeypatch, 12)
    graphs = count_graphs(monkeypatch)
    tree = build()[0]
    store, options = MemoryStore(), {}
    if kind == "edited":
        tree = tree + 1
    elif kind == "computed":
        image = xr.DataArray(da.from_array(ARRAY, chunks=16) + 1, dims=("y", "x"))
        tree = msi.to_multiscale(image, [2, 2, 2], chunks=4, block_bytes=2 * 8**2)
    elif kind == "lossy":
        monkeypatch.setattr("msi_lazy.write.job.ImageJob.lossless", False)
    else:
        options["compute"] = False
    delayed = tree.pyramid.to_zarr(store, **options)
    if kind == "by hand":
        graphs.append(delayed)
        delayed.compute()
    assert len(graphs) == 1
    assert_complete(msi.open_multiscale(store), tree)


def test_labels_have_slabs_of_their_own(monkeypatch):
    few_at_once(monkeypatch, 12)
    graphs = count_graphs(monkeypatch)
    labels = {"cells": build("mode", (ARRAY % 7).astype("u4"))[0]}
    store = MemoryStore()
    build()[0].pyramid.to_zarr(store, labels=labels)
    assert len(graphs) > 6
    assert msi.verify(store).ok


def test_a_plan_of_a_hundred_terabytes_says_so():
    image = xr.DataArray(da.from_array(Blank((36864,) * 3), chunks=(128,) * 3), dims=("z", "y", "x"))
    plan = msi.to_multiscale(image, "auto").pyramid.explain()
    assert 10 < plan.slabs < 20
    assert f"computed in {plan.slabs} slabs" in str(plan)
    assert plan.memory(2).graph < 2**30
    small = msi.to_multiscale(msi.to_spatial_image(ARRAY), [2]).pyramid.explain()
    assert small.slabs == 1
    assert "slabs" not in str(small)


class Blank:
    """A source of any size."""

    dtype, ndim = np.dtype("u2"), 3

    def __init__(self, shape):
        self.shape = shape

    def __getitem__(self, key):
        raise AssertionError("no pixel is read")
