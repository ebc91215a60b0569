"""Chunks of nothing but the fill value are not stored, whichever pipeline writes them."""

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.graph.write_graph import store_block


def sparse():
    """Blocks with empty chunks, full chunks, and a chunk that begins with the fill value and is not empty."""
    array = np.zeros((64, 96), "f4")
    array[:16, :16] = 7
    array[20, 20] = 3
    array[48:, 80:] = np.nan
    array[:, 32:64] = 1
    return array


@pytest.mark.parametrize("fill", [0, 1, np.nan])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_only_chunks_that_hold_something_are_stored(fill, where, tmp_path):
    array = sparse()
    tree = msi.to_multiscale(msi.to_spatial_image(array), [], chunks=16, block_bytes=16 * 32 * 4)
    store = MemoryStore() if where == "memory" else tmp_path / "out.zarr"
    tree.pyramid.to_zarr(store, encoding={"/scale0": {"image": {"fill_value": fill}}})
    stored = zarr.open_group(store, mode="r")["scale0/image"]
    np.testing.assert_array_equal(stored[:], array)
    chunks = [array[y : y + 16, x : x + 16] for y in range(0, 64, 16) for x in range(0, 96, 16)]
    assert stored.nchunks_initialized == sum(
        not np.array_equal(c, np.full_like(c, fill), equal_nan=True) for c in chunks
    )


@pytest.mark.parametrize("probe", [True, False])
def test_a_block_is_stored_alike_with_and_without_a_look_first(probe):
    array = sparse()
    target = zarr.create_array(MemoryStore(), shape=array.shape, chunks=(16, 16), dtype="f4")
    store_block(array, target, (0, 0), starts=((0,), (0,)), probe=probe)
    np.testing.assert_array_equal(target[:], array)
    assert target.nchunks_initialized == 4 * 2 + 3
