"""Memory maps: the map itself at home, whatever becomes of its file; the same file, or an error, in other processes."""

import os
import pickle
import tempfile
from dataclasses import replace

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster

import msi_lazy as msi
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.level_identity import identify_levels
from msi_lazy.source.memory_map import FileMark, MappedFile, MemmapFile
from msi_lazy.tree.read_plan import level_images

PIXELS = np.random.default_rng(0).integers(0, 60000, (64, 96), dtype="u2")


def tree_of(pixels):
    return msi.to_multiscale(xr.DataArray(pixels, dims=("y", "x")), [2], chunks=8, block_bytes=2000)


def saved(path, pixels=PIXELS):
    np.save(path, pixels)
    return np.load(path, mmap_mode="r")


def replace_file(path, pixels=PIXELS[::-1]):
    """Save anew beside the file, and then take its place, as editors do."""
    np.save(path.with_suffix(".new.npy"), pixels)
    os.replace(path.with_suffix(".new.npy"), path)


def remove(path):
    path.unlink()


def rename(path):
    replace_file(path.with_name("other.npy"), PIXELS)
    path.rename(path.with_name("older.npy"))
    path.with_name("other.npy").rename(path)


FATES = {"replaced": replace_file, "removed": remove, "renamed": rename}


@pytest.fixture(params=[(fate, when) for fate in FATES for when in ("before the tree", "after it")], ids=": ".join)
def tree_of_a_lost_file(tmp_path, request):
    """A pyramid of a memory map whose file met its fate before or after the tree was built."""
    fate, when = request.param
    mapped = saved(tmp_path / "a.npy")
    if when == "before the tree":
        FATES[fate](tmp_path / "a.npy")
    tree = tree_of(mapped)
    if when == "after it":
        FATES[fate](tmp_path / "a.npy")
    return tree


def test_at_home_the_map_has_its_samples_whatever_becomes_of_the_file(tmp_path, tree_of_a_lost_file):
    tree = tree_of_a_lost_file
    np.testing.assert_array_equal(tree["scale0"].image, PIXELS)
    tree.pyramid.to_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "out.zarr")["scale0"].image, PIXELS)


def test_elsewhere_another_file_of_the_name_is_refused(tree_of_a_lost_file):
    sent = pickle.loads(pickle.dumps(tree_of_a_lost_file))
    with pytest.raises(ValueError, match="removed, replaced or cut off since it was mapped") as caught:
        sent["scale1"].image.compute()
    assert any("reading the source" in note for note in caught.value.__notes__)


def test_a_temporary_file_that_was_closed_is_as_good_as_ever():
    with tempfile.NamedTemporaryFile() as file:
        scratch = np.memmap(file, "u2", "w+", shape=PIXELS.shape)
        scratch[:] = PIXELS
    np.testing.assert_array_equal(tree_of(scratch)["scale0"].image, PIXELS)


def test_a_map_that_its_user_writes_to_is_read_as_it_is_when_computed(tmp_path):
    mapped = np.memmap(tmp_path / "a.raw", "u2", "w+", shape=PIXELS.shape)
    tree = tree_of(mapped)
    sent = pickle.loads(pickle.dumps(tree))
    mapped[:] = PIXELS
    np.testing.assert_array_equal(tree["scale0"].image, PIXELS)
    np.testing.assert_array_equal(sent["scale0"].image, PIXELS)  # the same file, though it was changed


VIEWS = {
    "whole": lambda mapped: mapped,
    "rows": lambda mapped: mapped[3:],
    "steps": lambda mapped: mapped[1::2, ::3],
    "flipped": lambda mapped: mapped[::-1, ::-1],
    "transposed": lambda mapped: mapped.T,
    "one plane": lambda mapped: mapped[None, :, 5][0],
    "other bytes": lambda mapped: mapped.view(">u2"),
    "plain": np.asarray,
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("offset", [0, 6, 5000])
@pytest.mark.parametrize("kind", VIEWS)
def test_every_view_is_found_in_its_file(tmp_path, kind, offset, order):
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(offset) + PIXELS.tobytes(order))
    view = VIEWS[kind](np.memmap(path, "u2", "r", offset, PIXELS.shape, order))
    found = MemmapFile.of(view)
    sent = pickle.loads(pickle.dumps(found))
    assert isinstance(sent, MappedFile)
    assert len(pickle.dumps(found)) < 1000
    for source in (found, sent):
        assert (source.shape, source.dtype) == (view.shape, view.dtype)
        np.testing.assert_array_equal(source[1:9], view[1:9])
        np.testing.assert_array_equal(source[...], view)
        assert not np.shares_memory(source[1:9], view)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: np.load(path, mmap_mode="c"),  # changes are in memory only
        lambda path: np.load(path, mmap_mode="r") + 1,
        lambda path: np.load(path, mmap_mode="r").copy(),
        lambda path: np.load(path),
    ],
    ids=["copy on write", "sum", "copy", "array"],
)
def test_what_only_comes_from_a_map_is_in_memory(tmp_path, make):
    np.save(tmp_path / "a.npy", PIXELS)
    assert MemmapFile.of(make(tmp_path / "a.npy")) is None


def test_no_descriptor_is_kept(tmp_path):
    sent = pickle.loads(pickle.dumps(MemmapFile.of(saved(tmp_path / "a.npy"))))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        sent[2:9]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_copy_on_another_machine_is_the_same_by_its_size_and_time(tmp_path):
    saved(tmp_path / "a.npy")
    mark = FileMark.of(str(tmp_path / "a.npy"))
    elsewhere = replace(mark, machine="another", device=7, inode=7)
    assert mark.is_same(elsewhere)
    assert not mark.is_same(replace(elsewhere, size=mark.size + 1))
    assert not mark.is_same(replace(elsewhere, modified=mark.modified + 1))
    assert mark.is_same(replace(mark, modified=mark.modified + 1))
    assert not mark.is_same(replace(mark, inode=mark.inode + 1))


def test_a_file_that_was_cut_off_is_refused(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(PIXELS.tobytes())
    sent = pickle.loads(pickle.dumps(MemmapFile.of(np.memmap(path, "u2", "r", 0, PIXELS.shape))))
    os.truncate(path, 100)
    with pytest.raises(ValueError, match="cut off"):
        sent[:1]
    os.truncate(path, PIXELS.nbytes + 100)  # a file may grow
    assert sent[:1].shape == (1, 96)


def identity(tree):
    return identify_levels(LevelGraph.of([level.data for level in level_images(tree)]))


def test_a_map_whose_file_is_gone_is_identified_by_its_content(tmp_path):
    mapped = saved(tmp_path / "a.npy")
    by_file = identity(tree_of(mapped))
    replace_file(tmp_path / "a.npy")
    assert "content" in identity(tree_of(mapped))[0]
    assert identity(tree_of(mapped)) == identity(tree_of(np.array(mapped)))
    assert identity(tree_of(np.load(tmp_path / "a.npy", mmap_mode="r"))) != by_file


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster:
        yield cluster


def test_a_cluster_reads_the_file_or_refuses_before_anything_is_created(cluster, tmp_path):
    mapped = saved(tmp_path / "a.npy")
    with Client(cluster):
        tree_of(mapped[::-1]).pyramid.to_zarr(tmp_path / "flipped.zarr")
        tree = tree_of(mapped)
        replace_file(tmp_path / "a.npy")
        with pytest.raises(ValueError, match=r"a\.npy was removed, replaced or cut off"):
            tree.pyramid.to_zarr(tmp_path / "out.zarr")
        assert not (tmp_path / "out.zarr").exists()
        with dask.config.set(scheduler="threads"):
            tree.pyramid.to_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "flipped.zarr")["scale0"].image, PIXELS[::-1])
    np.testing.assert_array_equal(msi.open_multiscale(tmp_path / "out.zarr")["scale0"].image, PIXELS)
