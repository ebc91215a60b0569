"""explain(measure=True): what it reads, and what it says."""

import os
import tempfile
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr

import msi_lazy as msi
from tests.support.counting import CountingArray

PIXELS = np.random.default_rng(0).integers(0, 60, (128, 192), "u2")


def blocks_of(counting_store, method="mean", made=lambda stored: stored):
    """A pyramid of 3 x 2 blocks of 64 x 64 samples, read from chunks of 32 x 32."""
    stored = zarr.create_array(counting_store, data=PIXELS, chunks=(32, 32))
    image = xr.DataArray(made(stored), dims=("y", "x")) if made is da.from_zarr else msi.to_spatial_image(made(stored))
    tree = msi.to_multiscale(image, [2, 2], method=method, chunks=16, block_bytes=64**2 * 2)
    counting_store.reads.clear()
    return tree


def test_without_it_nothing_is_read(counting_store):
    plan = blocks_of(counting_store).pyramid.explain()
    assert plan.measured is None
    assert "projected" not in str(plan)
    assert not counting_store.chunk_reads()


@pytest.mark.parametrize("made", [lambda stored: stored, da.from_zarr])
def test_one_blocks_window_is_read_once(counting_store, made):
    plan = msi.explain(blocks_of(counting_store, made=made), measure=True)
    assert list(counting_store.chunk_reads().values()) == [1] * 4  # chunks of 32 in a block of 64
    assert plan.measured.block_bytes == 64 * 64 * 2


def test_of_chunks_that_are_overlapped_only_those_around_the_block_are_read():
    source = CountingArray(PIXELS)
    image = xr.DataArray(da.from_array(source, chunks=(32, 32), asarray=False), dims=("y", "x"))
    tree = msi.to_multiscale(image, [2], method="gaussian", chunks=16, block_bytes=64**2 * 2)
    msi.explain(tree)
    assert source.samples == 0
    msi.explain(tree, measure=True)
    assert 0 < source.samples < PIXELS.size / 2


@pytest.mark.parametrize("kind", ["expression", "edited", "reopened"])
def test_what_is_not_read_by_windows_is_computed_in_one_block(counting_store, kind, tmp_path):
    made = (lambda stored: da.from_zarr(stored) + 1) if kind == "expression" else (lambda stored: stored)
    tree = blocks_of(counting_store, made=made)
    if kind == "edited":
        tree = tree.map_over_datasets(lambda level: level + 1 if level.data_vars else level)
    if kind == "reopened":
        tree.pyramid.to_zarr(tmp_path / "a.zarr")
        tree = msi.open_multiscale(tmp_path / "a.zarr")
    counting_store.reads.clear()
    measured = msi.explain(tree, measure=True).measured
    # arithmetic drops the chunks of 16, and those of 256, the default, make one block of the image
    assert len(counting_store.chunk_reads()) == {"expression": 4, "edited": 24, "reopened": 0}[kind]
    assert measured.read_seconds > 0
    assert measured.seconds > 0


@pytest.mark.parametrize("method", ["mean", "gaussian", "mode"])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f2"])
def test_the_projected_size_is_that_of_the_store(method, dtype, tmp_path):
    image = msi.to_spatial_image(np.random.default_rng(0).integers(0, 60, (512, 512)).astype(dtype))
    tree = msi.to_multiscale(image, [2, 2], method=method, chunks=64, block_bytes="64 kiB")
    measured = msi.explain(tree, measure=True).measured
    tree.pyramid.to_zarr(tmp_path / "a.zarr")
    images = (tmp_path / "a.zarr").rglob("image/c/*/*")
    assert measured.projected_bytes == pytest.approx(sum(path.stat().st_size for path in images), rel=0.1)


def test_an_image_of_zeros_takes_no_space():
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((64, 64), "u1")), [2])
    plan = msi.explain(tree, measure=True)
    assert (plan.measured.stored_bytes, plan.measured.projected_bytes, plan.measured.ratio) == (0, 0, float("inf"))
    assert "0 B at ratio inf" in str(plan)


def test_text_and_html_say_it():
    tree = msi.to_multiscale(msi.to_spatial_image(PIXELS), [2, 2], chunks=16, block_bytes=64**2 * 2)
    plan, bare = msi.explain(tree, measure=True), msi.explain(tree)
    added = [line for line in str(plan).splitlines() if line not in str(bare).splitlines()]
    assert [line.split(":")[0] for line in added] == ["projected", "stored"]
    assert "per block of 8.00 kiB" in added[0]
    assert "(measured on one block)" in added[1]
    assert [line for line in str(plan).splitlines() if line not in added] == str(bare).splitlines()
    assert "<dt>projected</dt>" in plan._repr_html_()


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = Path(os.curdir).absolute(), sorted(os.listdir())
    msi.explain(msi.to_multiscale(msi.to_spatial_image(PIXELS), [2]), measure=True)
    assert not list(tmp_path.iterdir())
    assert (Path(os.curdir).absolute(), sorted(os.listdir())) == before


def test_twice_the_blocks_take_twice_as_long_but_for_the_metadata(monkeypatch):
    """With a clock that ticks once each time it is looked at."""
    from msi_lazy.write import measure

    class Clock:
        def __init__(self):
            self.now = 0

        def __call__(self):
            self.now += 1
            return self.now

    monkeypatch.setattr(measure, "all_threads", lambda: 1)
    monkeypatch.setattr(measure, "CPU_COUNT", 1)
    seconds = []
    for rows in (1, 2, 4):
        monkeypatch.setattr(measure, "perf_counter", Clock())
        image = msi.to_spatial_image(np.tile(PIXELS, (rows, 1)))
        tree = msi.to_multiscale(image, [2], chunks=32, block_bytes=64**2 * 2)
        seconds.append(msi.explain(tree, measure=True).measured.seconds - 2 * measure._METADATA_SECONDS)
    blocks = 6
    assert seconds == pytest.approx([3 * blocks, 6 * blocks, 12 * blocks])
