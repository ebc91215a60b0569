"""Wide, flat blocks where there is a halo: fewer chunks of a stored source are decoded twice, in bounded memory."""

from math import prod

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.plan import block_size, runs


def plan_of(shape, stored_chunks, method="gaussian", **options):
    stored = zarr.create_array(MemoryStore(), shape=shape, chunks=stored_chunks, dtype="u2")
    image = msi.to_spatial_image(stored, dims=("z", "y", "x")[-len(shape) :])
    return msi.explain(msi.to_multiscale(image, [2] * 4, method=method, **{"chunks": 64, **options}))


def cubes_of(monkeypatch, *arguments, **options):
    """Plan of the same with blocks that are as small as they can be."""
    with monkeypatch.context() as patch:
        patch.setattr(block_size, "choose_wide", lambda _cuts, default, *_others: default)
        return plan_of(*arguments, **options)


@pytest.mark.parametrize(("edge", "most"), [(640, 2.8), (1024, 2), (2048, 2.2), (4096, 3)])
def test_wide_blocks_decode_fewer_chunks(monkeypatch, edge, most):
    plan, cubes = plan_of((edge,) * 3, (128,) * 3), cubes_of(monkeypatch, (edge,) * 3, (128,) * 3)
    assert plan.reading.chunks <= most * plan.reading.source_chunks
    assert plan.reading.chunks < cubes.reading.chunks
    assert prod(plan.stages[0].edges) * 2 <= plan.block_bytes
    assert runs.count_tasks(plan.stages[0]) >= runs.LEAST_TASKS


def test_a_run_holds_a_small_multiple_of_a_block():
    plan = plan_of((2048,) * 3, (128,) * 3)
    assert plan.memory_per_thread <= 5.5 * plan.block_bytes
    assert plan.memory().carries <= 4 * plan.block_bytes


@pytest.mark.parametrize("block_bytes", ["4 MiB", "16 MiB", "64 MiB", "256 MiB"])
def test_wide_blocks_follow_block_bytes(monkeypatch, block_bytes):
    arguments, options = ((1024,) * 3, (64,) * 3), {"block_bytes": block_bytes, "chunks": 32}
    plan, cubes = plan_of(*arguments, **options), cubes_of(monkeypatch, *arguments, **options)
    assert prod(plan.stages[0].edges) * 2 <= plan.block_bytes
    assert plan.reading.chunks <= cubes.reading.chunks


def test_large_images_carry_no_more_than_before(monkeypatch):
    plan, cubes = plan_of((8192,) * 3, (128,) * 3), cubes_of(monkeypatch, (8192,) * 3, (128,) * 3)
    assert plan.carry_bytes <= cubes.carry_bytes
    assert plan.reading.chunks < cubes.reading.chunks


def test_other_chunks_of_the_source_are_still_read_window_by_window():
    """Mid-chunk borders would decode each chunk for two blocks, halo or not, and have the source rechunked."""
    for chunks in [(128, 128, 128), (100, 90, 80), (640, 64, 64), (1, 640, 640)]:
        assert plan_of((640,) * 3, chunks).reading.fits


@pytest.mark.parametrize("chunks", [(512, 512), (1, 64, 64)])
def test_what_saves_little_takes_no_memory(monkeypatch, chunks):
    """Of large planes, little is decoded twice."""
    shape = (16384, 16384) if len(chunks) == 2 else (1, 4096, 4096)
    assert plan_of(shape, chunks, chunks=512) == cubes_of(monkeypatch, shape, chunks, chunks=512)


def test_methods_without_a_halo_and_sources_without_chunks_keep_their_blocks(monkeypatch):
    monkeypatch.setattr(block_size, "choose_wide", None)  # not called
    plan_of((1024,) * 3, (128,) * 3, "mean")
    msi.to_multiscale(xr.DataArray(np.zeros((256, 256), "u2"), dims=("y", "x")), [2], method="gaussian")
