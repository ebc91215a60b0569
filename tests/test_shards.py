"""Shards: whole ones in one task each, no lock, nothing read back."""

from itertools import pairwise

import dask
import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.counting import CountingStore
from tests.support.optional import validate_elsewhere


def make_tree(shape=(70, 100, 90), method="mean", block_bytes=64 * 64 * 64 * 2, **options):
    array = np.random.default_rng(0).integers(1, 60000, shape, dtype="u2")
    image = msi.to_spatial_image(array, dims=("z", "y", "x")[-len(shape) :])
    return msi.to_multiscale(image, [2, 2], method=method, chunks=16, block_bytes=block_bytes, **options)


def stored_levels(store):
    return [zarr.open_array(store, path=f"scale{level}/image", mode="r") for level in range(3)]


@pytest.mark.parametrize("method", ["mean", "gaussian"])
@pytest.mark.parametrize("shards", ["auto", 32, (16, 64, 96), {"z": 64}, 1024])
def test_every_shard_is_written_once_and_nothing_is_read(shards, method):
    tree = make_tree(method=method)
    target = CountingStore(MemoryStore())
    with dask.config.set(scheduler="synchronous"):
        tree.pyramid.to_zarr(target, shards=shards)
    for level in range(3):
        assert set(target.chunk_writes(f"scale{level}/image").values()) == {1}
    assert not target.bytes_read  # zarr-python asks for a shard that is not there yet, and gets nothing
    for level, stored in enumerate(stored_levels(target)):
        np.testing.assert_array_equal(stored[:], tree[f"scale{level}"].image)
        assert stored.chunks == tuple(min(16, n) for n in stored.shape)
        assert all(shard % chunk == 0 for shard, chunk in zip(stored.shards, stored.chunks, strict=True))


def test_auto_shards_are_the_blocks_that_a_level_is_made_in():
    tree = make_tree((256, 256), block_bytes=64 * 64 * 2)
    plan = tree.pyramid.explain()
    tree.pyramid.to_zarr(store := MemoryStore(), shards="auto")
    assert [stored.shards for stored in stored_levels(store)] == [level.blocks for level in plan.levels]
    assert plan.levels[0].blocks == (64, 64)


def test_fewer_files(tmp_path):
    counts = []
    for shards in (None, "auto"):
        make_tree().pyramid.to_zarr(tmp_path / f"{shards}.zarr", shards=shards)
        validate_elsewhere(tmp_path / f"{shards}.zarr")
        assert msi.validate(tmp_path / f"{shards}.zarr", decode="all").ok
        counts.append(sum(file.is_file() for file in (tmp_path / f"{shards}.zarr").rglob("c/**/*")))
    assert counts[1] * 5 < counts[0]
    for one, other in pairwise(stored_levels(tmp_path / f"{shards}.zarr") for shards in (None, "auto")):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a[:], b[:])


def test_an_edited_tree_and_shards_of_one_level():
    tree = make_tree().map_over_datasets(lambda level: level // 2 if level.data_vars else level)
    encoding = {"/scale1": {"image": {"chunks": (16, 16, 16), "shards": (32, 32, 32)}}}
    tree.pyramid.to_zarr(store := MemoryStore(), encoding=encoding)
    first, second, _ = stored_levels(store)
    assert (first.shards, second.shards) == (None, (32, 32, 32))
    np.testing.assert_array_equal(second[:], tree["scale1"].image)


@pytest.mark.parametrize(
    ("shards", "error", "words"),
    [
        (24, ValueError, "along 'z' of scale0 a shard of 24 is none of chunks of 16"),
        ((32, 32), ValueError, "have 2 entries"),
        ({"t": 2}, ValueError, "name the dimension 't'"),
        ("large", ValueError, "must be None, 'auto'"),
        (0, TypeError, "positive integers, not 0"),
        (True, TypeError, "positive integers"),
        ((32.0, 32, 32), TypeError, "positive integers"),
    ],
)
def test_bad_shards_are_refused_before_anything_is_created(shards, error, words, tmp_path):
    with pytest.raises(error, match=words):
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr", shards=shards)
    assert not (tmp_path / "a.zarr").exists()


def test_zarr_v2_has_no_shards(tmp_path):
    with pytest.raises(ValueError, match="shards need Zarr v3"):
        make_tree().pyramid.to_zarr(tmp_path / "a.zarr", version="0.4", shards="auto")
    assert not (tmp_path / "a.zarr").exists()
