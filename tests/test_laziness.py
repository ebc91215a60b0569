"""Counters, not clocks: what building, planning and writing read and write."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from math import prod

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.counting import CountingStore


@pytest.fixture
def stored(counting_store):
    array = np.random.default_rng(0).integers(1, 60000, (96, 160, 136), dtype="u2")
    return zarr.create_array(counting_store, data=array, chunks=(32, 32, 32))


def images(stored):
    dims = ("z", "y", "x")
    return {
        "dask": xr.DataArray(da.from_zarr(stored), dims=dims),
        "zarr": msi.to_spatial_image(stored),
        "expression": xr.DataArray(da.from_zarr(stored) + 1, dims=dims),
        "fine dask chunks": xr.DataArray(da.from_array(stored, chunks=(32, 32, 32), inline_array=True), dims=dims),
    }


@pytest.mark.parametrize("kind", ["dask", "zarr", "expression", "fine dask chunks"])
def test_building_printing_and_planning_read_nothing(stored, kind, tmp_path):
    stored.store.reads.clear()
    image = images(stored)[kind]
    tree = msi.to_multiscale(image, "auto", block_bytes="1 MiB")
    repr(tree), tree._repr_html_()
    plan = msi.explain(tree)
    str(plan), plan._repr_html_()
    tree.pyramid.refresh()
    delayed = tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    repr(delayed)
    assert not stored.store.chunk_reads()


def test_a_lazily_opened_dataset_is_not_loaded(tmp_path):
    store = CountingStore(MemoryStore())
    xr.Dataset({"image": (("y", "x"), np.ones((64, 64)))}).to_zarr(store, consolidated=False)
    image = xr.open_zarr(store, chunks=None, consolidated=False).image
    store.reads.clear()
    tree = msi.to_multiscale(image, [2, 2], chunks=16, block_bytes=2048)
    repr(tree), str(msi.explain(tree))
    assert not [key for key in store.chunk_reads() if key.startswith("image")]
    assert not image.variable._in_memory


@pytest.mark.parametrize("kind", ["dask", "zarr", "fine dask chunks"])
@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_each_source_chunk_is_read_once_and_each_target_chunk_written_once(stored, kind, version):
    stored.store.reads.clear()
    target = CountingStore(MemoryStore())
    tree = msi.to_multiscale(images(stored)[kind], [2, 2, 2], chunks=16, block_bytes=64**3 * 2)
    plan = msi.explain(tree)
    tree.pyramid.to_zarr(target, version=version)
    reads = stored.store.chunk_reads()
    assert set(reads.values()) == {1}
    assert len(reads) == prod(-(-n // 32) for n in stored.shape) == plan.reading.chunks
    for level in plan.levels:
        writes = target.chunk_writes(f"scale{level.number}/image")
        assert set(writes.values()) == {1}
        assert len(writes) == level.chunk_count
    assert plan.read_amplification == 1


def test_an_expression_is_computed_once_per_chunk(stored):
    stored.store.reads.clear()
    tree = msi.to_multiscale(images(stored)["expression"], [2, 2], chunks=16, block_bytes=64**3 * 2)
    tree.pyramid.to_zarr(MemoryStore())
    assert set(stored.store.chunk_reads().values()) == {1}


def test_levels_are_not_read_back_while_writing(stored):
    target = CountingStore(MemoryStore())
    tree = msi.to_multiscale(images(stored)["zarr"], [2, 2, 2], chunks=16, block_bytes=64**3 * 2)
    tree.pyramid.to_zarr(target)
    assert not [key for key in target.chunk_reads() if "/image/" in key]


def test_one_task_per_block(stored):
    tree = msi.to_multiscale(images(stored)["zarr"], [2, 2, 2], chunks=16, block_bytes=64**3 * 2)
    plan = msi.explain(tree)
    delayed = tree.pyramid.to_zarr(MemoryStore(), compute=False)
    tasks = [node for node in dict(delayed.dask).values() if node.dependencies or not hasattr(node, "value")]
    assert len(tasks) == plan.tasks
    assert plan.blocks < plan.tasks <= 1.2 * plan.blocks + 2


def test_reading_a_corner_of_a_level_reads_its_block_only(stored):
    tree = msi.to_multiscale(images(stored)["zarr"], [2, 2], chunks=16, block_bytes=64**3 * 2)
    stored.store.reads.clear()
    tree["scale1"].image[:4, :4, :4].compute()
    assert len(stored.store.chunk_reads()) == 8


def test_no_configuration_is_changed(stored, tmp_path):
    import dask
    from zarr import config

    before = deepcopy((config.config, dask.config.config, warnings.filters))
    msi.to_multiscale(images(stored)["zarr"], [2]).pyramid.to_zarr(tmp_path / "out.zarr")
    assert (config.config, dask.config.config, warnings.filters) == before


def test_nor_by_many_threads_together(tmp_path):
    from zarr import config

    tree = msi.to_multiscale(msi.to_spatial_image(np.ones((16, 16), "u1")), [2])
    before = deepcopy((config.config, len(warnings.filters)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: tree.pyramid.to_zarr(tmp_path / f"{number}.zarr"), range(40)))
    assert (config.config, len(warnings.filters)) == before
