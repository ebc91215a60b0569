"""Sources whose chunks do not fit the blocks: right, and each of their chunks decoded once."""

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.counting import CountingStore
from tests.support.window_oracles import pyramid_oracle

SHAPE = (40, 72, 64)
DIMS = ("z", "y", "x")
CHUNKS = {
    "planes": (1, 72, 64),
    "strips": (40, 2, 64),
    "columns": (40, 72, 1),
    "one huge chunk": SHAPE,
    "just off": (15, 15, 15),
    "fitting": (16, 16, 16),
    "larger": (32, 32, 32),
}


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(1, 60000, SHAPE, dtype="u2")


def open_image(kind, pixels, form="zarr"):
    """The store that is read, and an image over it."""
    store = CountingStore(MemoryStore())
    if form == "xarray":
        encoding = {"image": {"chunks": CHUNKS[kind]}}
        xr.Dataset({"image": (DIMS, pixels)}).to_zarr(store, consolidated=False, encoding=encoding)
        return store, xr.open_zarr(store, chunks=None, consolidated=False).image
    stored = zarr.create_array(store, data=pixels, chunks=CHUNKS[kind])
    return store, msi.to_spatial_image(stored) if form == "zarr" else xr.DataArray(da.from_zarr(stored), dims=DIMS)


@pytest.mark.parametrize("kind", CHUNKS)
@pytest.mark.parametrize("form", ["zarr", "from_zarr", "xarray"])
def test_each_chunk_is_decoded_at_most_half_as_often_again(kind, form, pixels):
    store, image = open_image(kind, pixels, form)
    tree = msi.to_multiscale(image, [2, 2], chunks=8, block_bytes=32**3 * 2)
    plan = msi.explain(tree)
    store.reads.clear()
    target = MemoryStore()
    tree.pyramid.to_zarr(target)
    decoded = sum(store.chunk_reads().values())
    assert 0 < decoded <= plan.reading.chunks
    assert decoded <= 1.5 * plan.reading.source_chunks
    for number, level in enumerate(pyramid_oracle(pixels, [(2, 2, 2)] * 2, "mean")):
        np.testing.assert_array_equal(zarr.open_group(target)[f"scale{number}/image"][:], level)


@pytest.mark.parametrize("kind", ["fitting", "larger"])
def test_chunks_that_fit_are_read_by_window(kind, pixels):
    _, image = open_image(kind, pixels)
    assert msi.explain(msi.to_multiscale(image, [2, 2], chunks=8)).reading.by_window


@pytest.mark.parametrize("kind", ["planes", "strips", "columns"])
def test_chunks_that_do_not_are_computed_once_and_the_plan_says_so(kind, pixels):
    _, image = open_image(kind, pixels)
    tree = msi.to_multiscale(image, [2, 2], chunks=8, block_bytes=32**3 * 2)
    plan = msi.explain(tree)
    assert not plan.reading.by_window
    assert "computed chunk by chunk, each once" in str(plan)


def test_planes_from_delayed_functions_are_each_called_once(pixels):
    calls = []

    def load(z):
        calls.append(z)
        return pixels[z]

    planes = [da.from_delayed(dask.delayed(load)(z), SHAPE[1:], "u2") for z in range(SHAPE[0])]
    image = xr.DataArray(da.stack(planes), dims=DIMS)
    tree = msi.to_multiscale(image, [2, 2], chunks=8, block_bytes=32**3 * 2)
    assert not calls
    tree.pyramid.to_zarr(MemoryStore())
    assert sorted(calls) == list(range(SHAPE[0]))


def test_irregular_chunks(pixels):
    image = xr.DataArray(da.from_array(pixels, chunks=((3, 30, 7), (1, 71), (20, 20, 24))), dims=DIMS)
    tree = msi.to_multiscale(image, [2, 2], chunks=8, block_bytes=32**3 * 2)
    for number, level in enumerate(pyramid_oracle(pixels, [(2, 2, 2)] * 2, "mean")):
        np.testing.assert_array_equal(tree[f"scale{number}"].image, level)
