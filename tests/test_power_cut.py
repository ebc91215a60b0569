"""A power cut at any moment: a write is resumed, and ends right; what has returned is on disk.

Slow, and for root on Linux: a file system is made in a file, and mounted.
"""

import time

import numpy as np
import pytest

import msi_lazy as msi
from tests.support.power_cut import NEW, OLD, disk, levels, start, tree, write

pytestmark = [pytest.mark.slow, pytest.mark.synced]


@pytest.fixture
def a_disk(tmp_path):
    with disk(tmp_path) as made:
        yield made


def expected(array):
    return [node.image.values for node in tree(array)[0].children.values()]


def assert_same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(2))
def test_a_write_that_loses_its_power_is_resumed(a_disk, seed):
    cuts = cut_at_random(a_disk, seed, resume=True)
    whole = write(a_disk.folder / "whole.zarr")
    reads = []
    for cut in cuts:
        with a_disk.after(cut) as where:
            if not is_complete(where / "o.zarr"):
                reads.append(go_on(where / "o.zarr"))
            assert_same(levels(where / "o.zarr"), expected(NEW))
            assert msi.verify(where / "o.zarr").ok
    assert len(reads) > 2
    assert min(reads) < whole  # some of what was stored was not stored again


def go_on(path, **options):
    """Resume a write, or start over where not even its ledger is on disk, and no block was marked."""
    try:
        return write(path, resume=True, **options)
    except msi.ResumeError:
        assert not [found for found in path.parent.rglob("*.msi_lazy-unfinished/*/c/*") if found.stat().st_size]
        return write(path, mode="w")


def is_complete(path):
    try:
        msi.open_multiscale(path)
    except (FileNotFoundError, ValueError):
        return False
    return True


@pytest.mark.parametrize("seed", range(2))
def test_an_image_that_is_replaced_without_power_is_the_old_or_the_new(a_disk, seed):
    write(a_disk.path / "o.zarr", array=OLD)
    time.sleep(2)
    seen = set()
    for cut in cut_at_random(a_disk, seed, mode="w"):
        with a_disk.after(cut) as where:
            found = levels(where / "o.zarr")
            which = "old" if np.array_equal(found[0], OLD) else "new"
            seen.add(which)
            assert_same(found, expected(OLD if which == "old" else NEW))
            go_on(where / "o.zarr", mode="w")
            assert_same(levels(where / "o.zarr"), expected(NEW))
    assert "old" in seen


def cut_at_random(made, seed, **options):
    """Cut the power of a write at eight moments, the last of them after its end."""
    chance = np.random.default_rng(seed)
    process = start(made.path / "o.zarr", 0.6, **options)  # 11 s and more
    began, cuts = time.monotonic(), []
    for moment in sorted(chance.uniform(0.5, 14, 7)):
        time.sleep(max(0, began + moment - time.monotonic()))
        cuts.append(made.cut(len(cuts)))
    process.communicate(timeout=120)
    assert process.returncode == 0
    time.sleep(2)
    return [*cuts, made.cut(len(cuts))]


@pytest.mark.parametrize("operation", ["to_zarr", "write_labels", "add_levels", "replaced"])
def test_what_has_returned_is_on_disk(a_disk, operation):
    path = a_disk.path / "o.zarr"
    labels = tree((NEW // 9000).astype("u4"), method="mode")[0]
    if operation != "to_zarr":
        write(path, array=OLD if operation == "replaced" else NEW)
        time.sleep(2)
    if operation == "write_labels":
        msi.write_labels(path, "cells", labels)
    elif operation == "add_levels":
        msi.add_levels(path, [2])
    else:
        write(path, mode="w" if operation == "replaced" else "w-")
    time.sleep(2)  # the journal is committed, the data not by themselves
    with a_disk.after(a_disk.cut()) as where:
        assert_same(levels(where / "o.zarr")[:2], expected(NEW))
        assert msi.verify(where / "o.zarr").ok
        if operation == "write_labels":
            found = levels(where / "o.zarr", group="labels/cells")
            assert_same(found, [node.image.values for node in labels.children.values()])
        assert len(levels(where / "o.zarr")) == (3 if operation == "add_levels" else 2)
