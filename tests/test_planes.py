"""Images that come in planes: flat chunks by default, flat blocks, and bounded memory."""

import contextlib
import re
from collections import Counter

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.plan.flat_chunks import default_chunks
from msi_lazy.plan.spill import choose_tiles
from tests.support.stored_images import levels_of

GIB = 2**30


def virtual_planes(shape, chunks=None, dims="zyx"):
    """Planes that must not be computed."""

    def refuse():
        raise AssertionError("a plane is computed")

    chunks = da.core.normalize_chunks(chunks or (*(1,) * (len(shape) - 2), -1, -1), shape)
    pixels = da.map_blocks(refuse, chunks=chunks, dtype="u2", meta=np.empty((0,) * len(shape), "u2"), name="planes")
    return xr.DataArray(pixels, dims=tuple(dims), name="image")


@pytest.mark.parametrize(
    ("shape", "source", "expected"),
    [
        ((512, 2048, 2048), (1, 2048, 2048), (16, 128, 128)),
        ((256, 10_000, 10_000), (1, 10_000, 10_000), (4, 256, 256)),
        ((256, 10_000, 10_000), (1, 5000, 5000), (4, 256, 256)),
        ((512, 50_000, 50_000), (1, 50_000, 50_000), (1, 512, 512)),
        ((512, 2048, 2048), (8, 2048, 2048), (16, 128, 128)),
        ((2048, 512, 2048), (2048, 1, 2048), (128, 16, 128)),
        ((512, 512, 512), (1, 512, 512), (64, 64, 64)),  # 64 planes are not much
        ((512, 2048, 2048), (64, 2048, 2048), (64, 64, 64)),  # not flat
        ((512, 2048, 2048), (1, 256, 256), (64, 64, 64)),  # tiles: a block needs few
        ((512, 2048, 2048), (16, 16, 16), (64, 64, 64)),
    ],
)
def test_default_chunks_are_flat_where_the_source_is(shape, source, expected):
    lengths = da.core.normalize_chunks(source, shape)
    assert default_chunks((64, 64, 64), lengths, (True,) * 3, itemsize=2) == expected


def test_flat_chunks_are_explained_and_others_kept():
    image = virtual_planes((512, 2048, 2048))
    plan = msi.explain(msi.to_multiscale(image, "auto"))
    assert {level.chunks[0] for level in plan.levels} == {16}
    assert "16 x 128 x 128 instead of 64 x 64 x 64" in str(plan)
    given = msi.explain(msi.to_multiscale(image, "auto", chunks=64))
    assert given.levels[0].chunks == (64, 64, 64)
    assert "instead of" not in str(given)


def test_an_edited_tree_keeps_the_default_of_its_planes():
    tree = msi.to_multiscale(virtual_planes((512, 2048, 2048)), [2])
    doubled = tree.map_over_datasets(lambda dataset: dataset * 2 if dataset.data_vars else dataset)
    for before, after in zip(msi.explain(tree).levels, msi.explain(doubled).levels, strict=True):
        assert before.chunks == after.chunks


def test_channels_and_times_in_planes_have_flat_chunks_too():
    plan = msi.explain(msi.to_multiscale(virtual_planes((3, 2, 100, 4096, 4096), dims="tczyx"), "auto"))
    assert plan.levels[0].chunks == (1, 1, 16, 128, 128)


@pytest.mark.parametrize("method", ["mean", "gaussian", "mode"])
@pytest.mark.parametrize(("shape", "most"), [((512, 2048, 2048), 1), ((256, 10_000, 10_000), 6)])
def test_planes_take_little_memory(shape, most, method):
    plan = msi.explain(msi.to_multiscale(virtual_planes(shape), "auto", method=method))
    assert plan.memory(2).total < most * GIB
    assert plan.reading.chunks == plan.reading.source_chunks
    assert plan.tasks - plan.reading.source_chunks <= 2 * plan.blocks


class Counted:
    """A computed image, which counts how often each chunk is computed."""

    def __init__(self, samples, chunks):
        self.samples, self.times = samples, Counter()

        def compute(block_info=None):
            corner = tuple(block_info[None]["array-location"])
            self.times[corner] += 1
            return samples[tuple(slice(*along) for along in corner)].copy()

        whole, meta = da.core.normalize_chunks(chunks, samples.shape), np.empty((0,) * samples.ndim, samples.dtype)
        pixels = da.map_blocks(compute, chunks=whole, dtype=samples.dtype, meta=meta, name="counted")
        self.image = xr.DataArray(pixels, dims=("z", "y", "x"), name="image")


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(0).integers(0, 250, (40, 50, 61)).astype("u2")


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("chunks", [(16, 16, 16), (8, 32, 16), (1, -1, -1)])
def test_a_halo_holds_no_neighbouring_chunks_where_the_image_is_read_back(chunks, lossless, samples):
    counted, settings = Counted(samples, chunks), {"method": "gaussian", "chunks": 8 if chunks[0] > 1 else (1, 8, 8)}
    tree = msi.to_multiscale(counted.image, [2, 2], block_bytes=4096, **settings)
    plan = msi.explain(tree)
    assert (plan.stages[0].written, plan.stages[0].carry, any(plan.stages[0].halo)) == ((0,), 0, False)
    assert plan.memory(2).read_back[1]
    assert plan.memory(2).total < plan.memory(2, may_read_back=False).total
    store, expected = MemoryStore(), msi.to_multiscale(counted.image.compute(), [2, 2], **settings)
    counted.times.clear()
    encoding = None if lossless else {"/scale0": {"image": {"fill_value": 7}}}
    tree.pyramid.to_zarr(store, encoding=encoding)
    assert set(counted.times.values()) == {1}
    for level, found in enumerate(levels_of(store)):
        np.testing.assert_array_equal(found, expected[f"scale{level}/image"].values)


def spilling_limit(tree, threads=1):
    """Memory in which a tree is written if its source is spilled, and not otherwise."""
    held, spilled = (msi.explain(tree).memory(threads, spills=spills).total for spills in (False, True))
    assert spilled < held
    return held - 1


@pytest.fixture
def one_thread():
    with dask.config.set(scheduler="threads", num_workers=1):
        yield


@pytest.mark.parametrize(
    ("chunks", "method", "boundary"),
    [
        ((1, -1, -1), "gaussian", "trim"),
        ((1, -1, -1), "mode", "pad"),
        ((2, 25, -1), "mean", "pad"),
        ((-1, 1, -1), "gaussian", "pad"),
        ((5, 50, 61), "median", "trim"),
    ],
)
def test_a_source_that_memory_cannot_hold_is_computed_once_and_spilled(
    chunks, method, boundary, samples, tmp_path, one_thread
):
    counted, settings = Counted(samples, chunks), {"method": method, "boundary": boundary, "chunks": 16}
    tree = msi.to_multiscale(counted.image, [2, 3], block_bytes="16 kiB", **settings)
    limit = spilling_limit(tree)
    write = tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=limit, compute=False)
    assert any("-spilled-" in str(key) for key in write.dask)
    assert not counted.times
    write.compute()
    assert set(counted.times.values()) == {1}
    assert len(counted.times) == msi.explain(tree).reading.source_chunks
    expected = msi.to_multiscale(msi.to_spatial_image(samples), [2, 3], **settings)
    for level, found in enumerate(levels_of(tmp_path / "out.zarr")):
        np.testing.assert_array_equal(found, expected[f"scale{level}/image"].values)
    assert sorted(path.name for path in (tmp_path / "out.zarr").iterdir()) == [
        "scale0",
        "scale1",
        "scale2",
        "zarr.json",
    ]


def test_what_is_spilled_is_not_computed_again_when_the_write_is_resumed(samples, tmp_path, one_thread):
    counted, fails = Counted(samples, (1, -1, -1)), True

    def sometimes(block, block_info=None):
        if fails and block_info[None]["array-location"][0][0] == 37:
            raise OSError("the reader is gone")
        return block

    image = counted.image.copy(data=counted.image.data.map_blocks(sometimes, dtype="u2", name="sometimes"))
    tree = msi.to_multiscale(image, [2], chunks=16, block_bytes="16 kiB")
    options = {"memory_limit": spilling_limit(tree), "resume": True}
    with pytest.raises(OSError, match="the reader is gone"):
        tree.pyramid.to_zarr(tmp_path / "out.zarr", **options)
    before, fails = Counter(counted.times), False
    assert len(before) > 1
    tree.pyramid.to_zarr(tmp_path / "out.zarr", **options)
    again = counted.times - before
    assert set(again) == {corner for corner in counted.times if corner not in before or corner[0] == (37, 38)}
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], samples)
    assert not (tmp_path / "out.zarr" / ".msi_lazy-unfinished").exists()


def test_what_is_spilled_in_other_chunks_is_not_taken_for_those_of_the_resumed_write(samples, tmp_path, one_thread):
    def build(depth, fails):
        def compute(block, block_info=None):
            if fails and block_info[None]["array-location"][0][0] >= 30:
                raise OSError("the reader is gone")
            return block

        image = Counted(samples, (depth, -1, -1)).image
        image = image.copy(data=image.data.map_blocks(compute, dtype="u2", name=f"planes{depth}"))
        return msi.to_multiscale(image, [2], chunks=16, block_bytes="16 kiB")

    options = {"resume": True, "source_id": "the scan"}
    limit = spilling_limit(build(2, fails=False))
    with pytest.raises(OSError, match="the reader is gone"):
        build(2, fails=True).pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=limit, **options)
    limit = spilling_limit(build(1, fails=False))
    build(1, fails=False).pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=limit, **options)
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], samples)


def test_a_write_resumed_with_more_memory_needs_no_spill(samples, tmp_path, one_thread):
    counted = Counted(samples, (1, -1, -1))
    tree = msi.to_multiscale(counted.image, [2], chunks=16, block_bytes="16 kiB")
    tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=spilling_limit(tree), compute=False)
    tree.pyramid.to_zarr(tmp_path / "out.zarr", resume=True)
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], samples)
    assert not (tmp_path / "out.zarr" / ".msi_lazy-unfinished").exists()


def test_an_image_is_replaced_by_one_that_is_spilled(samples, tmp_path, one_thread):
    msi.to_multiscale(msi.to_spatial_image(samples), [2]).pyramid.to_zarr(tmp_path / "out.zarr")
    tree = msi.to_multiscale(Counted(samples + 1, (1, -1, -1)).image, [2], chunks=16, block_bytes="16 kiB")
    tree.pyramid.to_zarr(tmp_path / "out.zarr", mode="w", memory_limit=spilling_limit(tree))
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], samples + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]


def test_spilling_is_explained(monkeypatch):
    tree = msi.to_multiscale(virtual_planes((256, 10_000, 10_000)), "auto", chunks=64)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 6 * GIB)
    with dask.config.set(scheduler="threads", num_workers=2):
        (note,) = msi.explain(tree).notes
    assert "in tiles of 1 x 128 x 128" in note
    assert "a process may use 6.00 GiB" in note
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 1024 * GIB)
    assert not msi.explain(tree).notes


@pytest.mark.parametrize(("dims", "spills"), [("zyx", True), ("xyz", False)])
def test_only_what_is_spilled_is_said_to_be(dims, spills, tmp_path, monkeypatch):
    size = {"z": 256, "y": 2048, "x": 2048}
    image = virtual_planes([size[dim] for dim in dims], [1 if dim == "z" else -1 for dim in dims], dims)
    tree = msi.to_multiscale(image, [2], method="gaussian")
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", GIB // 2)
    with dask.config.set(scheduler="threads", num_workers=2):
        assert any("in tiles of" in note for note in msi.explain(tree).notes) is spills
        with contextlib.nullcontext() if spills else pytest.warns(UserWarning, match="a process may use 512"):
            write = tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    assert any("-spilled-" in str(key) for key in write.dask) is spills


def test_a_limit_is_not_kept_by_a_spill_that_blocks_of_other_chunks_do_not_do(tmp_path, one_thread):
    tree = msi.to_multiscale(
        virtual_planes((128, 1024, 1024)), [2, 2], method="gaussian", chunks=32, block_bytes="8 MiB"
    )
    with pytest.raises(msi.MemoryLimitError) as refused:
        tree.pyramid.to_zarr(tmp_path / "out.zarr", shards=128, memory_limit=1)
    (needed,) = re.findall(r"hold up to ([0-9.]+) MiB", str(refused.value))
    assert float(needed) * 2**20 > msi.explain(tree).memory(1).total > spilling_limit(tree)


def test_chunks_that_have_nothing_in_common_are_not_spilled():
    assert choose_tiles(((3, 5, 7, 100), (10, 10))) is None
    assert choose_tiles(None) is None
