"""A method with a radius: composed halos give the bits of the whole array, for any blocks and any source."""

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.graph import block_tasks
from msi_lazy.methods import resolve_method
from msi_lazy.plan.windows import Interval, level_extent
from tests.support.counting import CountingStore
from tests.support.strategies import block_sizes, chunkings, pyramids
from tests.support.wide_method import WIDE, whole_array_levels


@given(case=pyramids(max_dims=3, max_extent=40), data=st.data())
def test_blocks_and_sources_make_no_difference(case, data):
    shape, factors = case
    array = np.random.default_rng(0).integers(0, 999, shape)
    dims = ("z", "y", "x")[-len(shape) :]
    pixels = da.from_array(array, chunks=data.draw(chunkings(shape))) if data.draw(st.booleans()) else array
    boundary = data.draw(st.sampled_from(["trim", "pad"]))
    tree = msi.to_multiscale(
        xr.DataArray(pixels, dims=dims),
        [dict(zip(dims, step, strict=True)) for step in factors],
        method=WIDE,
        chunks=data.draw(st.integers(3, 8)),
        boundary=boundary,
        block_bytes=data.draw(block_sizes(shape, 8)),
    )
    expected = whole_array_levels(array, factors, boundary)
    store = MemoryStore()
    with dask.config.set(scheduler="synchronous"):
        tree.pyramid.to_zarr(store) if len(shape) > 1 else None
        for number, level in enumerate(expected):
            np.testing.assert_array_equal(tree[f"scale{number}"].image, level)
            if len(shape) > 1:
                np.testing.assert_array_equal(zarr.open_group(store)[f"scale{number}/image"][:], level)


@pytest.fixture
def stored():
    array = np.random.default_rng(0).integers(0, 60000, (64, 64, 64), dtype="i4")
    store = CountingStore(MemoryStore())
    return zarr.create_array(store, data=array, chunks=(16, 16, 16))


def test_chunks_decoded_are_as_planned_and_each_target_chunk_is_written_once(stored):
    stored.store.reads.clear()
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2, 2], method=WIDE, chunks=8, block_bytes=32**3 * 4)
    plan = msi.explain(tree)
    target = CountingStore(MemoryStore())
    tree.pyramid.to_zarr(target)
    assert sum(stored.store.chunk_reads().values()) == plan.reading.chunks > 64
    assert set(target.chunk_writes("scale0/image").values()) == {1}
    assert 1 < plan.read_amplification < 4
    assert plan.blocks == 8
    for number, level in enumerate(whole_array_levels(stored[:], [(2, 2, 2)] * 2, "trim")):
        np.testing.assert_array_equal(zarr.open_group(target)[f"scale{number}/image"][:], level)


def test_a_source_that_cannot_be_sliced_is_computed_once(stored):
    pixels = da.from_zarr(stored) + 1
    tree = msi.to_multiscale(
        xr.DataArray(pixels, dims=("z", "y", "x")), [2], method=WIDE, chunks=8, block_bytes=32**3 * 4
    )
    stored.store.reads.clear()
    tree.pyramid.to_zarr(MemoryStore())
    assert set(stored.store.chunk_reads().values()) == {1}


def test_samples_read_stay_within_half_as_many_again():
    image = xr.DataArray(da.from_array(np.broadcast_to(np.uint16(0), (1024,) * 3), chunks=128), dims=("z", "y", "x"))
    assert msi.explain(msi.to_multiscale(image, [2] * 4, method=WIDE)).read_amplification < 1.5


def test_a_halo_wider_than_the_image():
    array = np.random.default_rng(0).integers(0, 999, (10, 60))
    image = xr.DataArray(da.from_array(array, chunks=(3, 11)), dims=("y", "x"))
    tree = msi.to_multiscale(image, [5, {"y": 2, "x": 2}], method=WIDE, chunks=2, block_bytes=1000)
    for number, level in enumerate(whole_array_levels(array, [(5, 5), (2, 2)], "trim")):
        np.testing.assert_array_equal(tree[f"scale{number}"].image, level)


@pytest.mark.parametrize("boundary", ["trim", "pad"])
@pytest.mark.parametrize(("method", "dtype"), [("gaussian", "u2"), ("label_gaussian", "u1"), ("mean", "f2")])
def test_what_is_copied_first_is_computed_part_by_part(monkeypatch, method, dtype, boundary):
    samples = np.random.default_rng(0).integers(0, 9, (21, 18, 26)).astype(dtype)
    row, output = resolve_method(method), tuple(Interval(0, level_extent(n, 2, boundary)) for n in samples.shape)
    whole = tuple(Interval(0, n) for n in samples.shape)
    calls = []
    extend = block_tasks._cut_out
    monkeypatch.setattr(block_tasks, "_cut_out", lambda *given: calls.append(given[2]) or extend(*given))
    found = {}
    for part_bytes in (2**20, 1000):
        monkeypatch.setattr(block_tasks, "_PART_BYTES", part_bytes)
        found[part_bytes] = block_tasks.reduce_window(samples, whole, output, (2, 2, 2), samples.shape, row, None)
    np.testing.assert_array_equal(found[1000], found[2**20])
    assert calls[0] == output
    assert len(calls) == 1 + output[0].length
