"""Buffers of a write: blocks are computed in arrays that are used again; what outlives a block is in none of them."""

import gc
import pickle
from contextlib import contextmanager
from weakref import ref

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.graph.buffers import BlockBuffers, ThreadBuffers
from msi_lazy.methods import Method, method_names, resolve_method
from msi_lazy.methods.lending import fresh
from msi_lazy.plan import memory, runs
from tests.support.stored_images import levels_of

POISON = 0xCD


@pytest.fixture
def lent(monkeypatch):
    """Names of what is lent, all of it full of garbage before it is used, and again after its block."""
    names, lend_all = [], BlockBuffers.lent

    @contextmanager
    def lend_poisoned(self):
        with lend_all(self) as lend:
            arrays = []

            def poisoned(name, shape, dtype):
                array = lend(name, shape, dtype)
                array.reshape(-1).view("u1")[:] = POISON
                arrays.append(array)
                names.append(name)
                return array

            yield poisoned
            for array in arrays:
                array.reshape(-1).view("u1")[:] = POISON

    monkeypatch.setattr(BlockBuffers, "lent", lend_poisoned)
    return names


def make_tree(source, method="mean", factors=(2, 2, 2), boundary="trim", nodata=None, block_bytes=1024):
    image = xr.DataArray(source, dims=("z", "y", "x"))
    options = {"method": method, "boundary": boundary, "nodata": nodata, "chunks": 4, "block_bytes": block_bytes}
    return msi.to_multiscale(image, list(factors), **options)


def store(path, shape=(21, 26, 30), dtype="u2", chunks=(4, 4, 4), **options):
    samples = np.random.default_rng(0).integers(0, 5, shape).astype(dtype)
    zarr.create_array(path, data=samples, chunks=chunks, overwrite=True, **options)
    return samples, da.from_zarr(str(path))


def expected(tree):
    """Levels as plain Dask computes them, which lends nothing."""
    with dask.config.set(scheduler="sync"):
        return [node[next(iter(node.data_vars))].values for node in tree.children.values()]


def check(tree, target, lent, **options):
    wanted = expected(tree)
    lent.clear()
    tree.pyramid.to_zarr(target, **options)
    for one, other in zip(levels_of(target), wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", method_names())
def test_every_method_computes_in_lent_arrays_of_which_nothing_stays(tmp_path, lent, method):
    dtype = "f2" if method in ("mean", "gaussian", "max") else "u2"
    _, source = store(tmp_path / "a.zarr", dtype=dtype)
    check(make_tree(source, method, boundary="pad", nodata=2), tmp_path / "out.zarr", lent)
    assert "window" in lent
    assert any(name.endswith("result") for name in lent)


@pytest.mark.parametrize("method", ["mean", "gaussian"])
@pytest.mark.parametrize("compressors", [None, ZstdCodec(), BloscCodec()])
def test_carries_halos_and_what_is_read_back_outlive_their_block(tmp_path, lent, monkeypatch, method, compressors):
    _, source = store(tmp_path / "a.zarr", compressors=compressors)
    tree = make_tree(source, method)
    check(tree, tmp_path / "carried.zarr", lent, compressors=compressors)
    monkeypatch.setattr(memory, "_READ_BACK_ABOVE", -1)
    check(tree, tmp_path / "read_back.zarr", lent, compressors=compressors, memory_limit="1 GiB")
    assert "stored window" in lent


def test_runs_of_blocks_use_what_was_lent_for_the_block_before(tmp_path, lent, monkeypatch):
    monkeypatch.setattr(runs, "LEAST_TASKS", 1)
    _, source = store(tmp_path / "a.zarr", shape=(8, 16, 128), chunks=(8, 8, 8))
    tree = make_tree(source, "gaussian", factors=({"y": 2, "x": 2},), block_bytes=8 * 16 * 16 * 2)
    assert tree.pyramid.explain().reading.run > 1
    check(tree, tmp_path / "out.zarr", lent)
    assert "run" in lent


def test_a_computed_source_is_gathered_in_lent_arrays(tmp_path, lent):
    samples = np.random.default_rng(0).integers(0, 99, (21, 26, 30)).astype("u2")
    source = da.from_array(samples, chunks=(1, 26, 30)).map_blocks(np.negative)
    check(make_tree(source, "gaussian"), tmp_path / "out.zarr", lent)
    assert "window" in lent


@pytest.mark.parametrize("compressors", [None, "auto"])
def test_stores_that_might_keep_a_block_are_lent_none(tmp_path, lent, compressors):
    _, source = store(tmp_path / "a.zarr")
    check(make_tree(source), MemoryStore(), lent, compressors=compressors)
    assert not lent


def keep(block):
    KEPT.append(block)
    return block


KEPT = []


def test_functions_of_users_are_lent_nothing(tmp_path, lent):
    samples, source = store(tmp_path / "a.zarr")
    tree = make_tree(source, block_bytes=10**6)
    edited = tree.map_over_datasets(lambda data: data.map(lambda a: a.copy(data=a.data.map_blocks(keep, dtype="u2"))))
    KEPT.clear()
    edited.pyramid.to_zarr(tmp_path / "out.zarr")
    assert not lent
    np.testing.assert_array_equal(next(block for block in KEPT if block.shape == samples.shape), samples)
    kernel = resolve_method("max").kernel.load()
    own = Method("own_peak", kernel, "largest sample", keeps_values=True)
    check(make_tree(source, own), tmp_path / "own.zarr", lent)
    assert not lent


def test_shards_and_the_ends_of_arrays_are_stored_from_lent_arrays(tmp_path, lent):
    _, source = store(tmp_path / "a.zarr")
    tree = make_tree(source, "gaussian", factors=(2,))
    for number, compressors in enumerate(["auto", None]):
        check(tree, tmp_path / f"{number}.zarr", lent, shards="auto", compressors=compressors)
        assert msi.verify(tmp_path / f"{number}.zarr").ok
    assert "chunk" in lent


def test_buffers_are_freed_when_the_write_ends(tmp_path, monkeypatch):
    _, source = store(tmp_path / "a.zarr")
    made, begin = [], ThreadBuffers.__init__

    def note(self, reserve):
        begin(self, reserve)
        made.append((ref(self), self._reserve))

    monkeypatch.setattr(ThreadBuffers, "__init__", note)
    delayed = make_tree(source).pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    delayed.compute(scheduler="sync")
    assert made
    assert not any(reserve.is_held for _, reserve in made)
    assert all(thread() is None or not thread()._arrays for thread, _ in made)
    del delayed
    gc.collect()
    assert all(thread() is None for thread, _ in made)


def test_a_thread_is_lent_the_same_memory_again_and_what_fails_gives_it_back():
    buffers = BlockBuffers()
    shape, dtype = (4, 5), np.dtype("u2")
    with buffers.lent() as lend:
        first = lend("window", shape, dtype)
        assert not np.shares_memory(first, lend("chunk", shape, dtype))
        with buffers.lent() as inner:  # by a task within the task
            assert inner is fresh
    with buffers.lent() as lend:
        assert np.shares_memory(lend("window", (2, 3), np.dtype("f4")), first)
    with pytest.raises(KeyError), buffers.lent() as lend:
        raise KeyError
    with pickle.loads(pickle.dumps(buffers)).lent() as lend:
        assert not np.shares_memory(lend("window", shape, dtype), first)
