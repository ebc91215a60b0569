"""Sources that memory cannot hold: each chunk is computed once, stored for a while, and read by windows."""

import contextlib
import re
import shutil
from collections import Counter
from itertools import product

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import msi_lazy as msi
from msi_lazy.plan.source_rows import SourceChunks
from msi_lazy.plan.spill import SpillLayout
from msi_lazy.plan.windows import Interval, slices
from msi_lazy.write import projection
from tests.support.counted_image import SAMPLES, CountedImage
from tests.support.stored_images import levels_of

GIB = 2**30
PLANES = (1, -1, -1)
LEDGER = ".msi_lazy-unfinished"


@pytest.fixture
def one_thread():
    with dask.config.set(scheduler="threads", num_workers=1):
        yield


@pytest.fixture
def spilled_always(monkeypatch):
    """Spill whatever can be: the projection of these small images is the same memory either way."""

    def spill(images, _threads, _limit):
        return [image.spilled() if image.may_spill else image for image in images]

    monkeypatch.setattr(projection, "spill_where_needed", spill)


def spilling_limit(tree, threads=1):
    """Memory in which a tree is written if its source is spilled, and not otherwise."""
    held, spilled = (msi.explain(tree).memory(threads, spills=spills).total for spills in (False, True))
    assert spilled < held
    return held - 1


def virtual_planes(shape, chunks=PLANES, dims="zyx"):
    """Planes that must not be computed."""

    def refuse():
        raise AssertionError("a plane is computed")

    chunks = da.core.normalize_chunks(chunks, shape)
    pixels = da.map_blocks(refuse, chunks=chunks, dtype="u2", meta=np.empty((0,) * len(shape), "u2"), name="planes")
    return xr.DataArray(pixels, dims=tuple(dims), name="image")


def is_spilled(write):
    return any("-spilled-" in str(key) for key in write.dask)


def assert_stored(path, tree):
    """The levels are those of ``tree``, in the order of OME-Zarr's dimensions, and nothing else is there."""
    dims = [dim for dim in "tczyx" if dim in tree["scale0/image"].dims]
    for level, found in enumerate(levels_of(path)):
        np.testing.assert_array_equal(found, tree[f"scale{level}/image"].transpose(*dims).values)
    assert sorted(each.name for each in path.iterdir()) == [*tree.children, "zarr.json"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("chunks", "method", "boundary"),
    [
        (PLANES, "gaussian", "trim"),
        (PLANES, "mode", "pad"),
        ((2, 25, -1), "mean", "pad"),
        ((-1, 1, -1), "gaussian", "pad"),
        ((5, 50, 61), "median", "trim"),
    ],
)
def test_a_source_that_memory_cannot_hold_is_computed_once_and_spilled(chunks, method, boundary, tmp_path, one_thread):
    counted, settings = CountedImage(SAMPLES, chunks), {"method": method, "boundary": boundary, "chunks": 16}
    tree = msi.to_multiscale(counted.image, [2, 3], block_bytes="16 kiB", **settings)
    limit = spilling_limit(tree)
    write = tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=limit, compute=False)
    assert is_spilled(write)
    assert not counted.times
    write.compute()
    assert set(counted.times.values()) == {1}
    assert len(counted.times) == msi.explain(tree).reading.source_chunks
    assert_stored(tmp_path / "out.zarr", msi.to_multiscale(msi.to_spatial_image(SAMPLES), [2, 3], **settings))


def edit(tree):
    return tree.map_over_datasets(lambda dataset: dataset * 2 if dataset.data_vars else dataset)


def crop(tree):
    return tree.sel(y=slice(None, 23))


@pytest.mark.parametrize(
    ("dims", "chunks", "method", "change", "options"),
    [
        ("xyz", (-1, -1, 1), "gaussian", None, {}),
        ("zxy", (1, -1, -1), "mean", None, {"shards": 32}),
        ("zyxc", (1, -1, -1, -1), "gaussian", None, {}),
        ("yxc", (2, -1, -1), "mean", None, {}),
        ("zyx", PLANES, "gaussian", edit, {}),
        ("zyx", (8, 16, 16), "gaussian", edit, {}),  # the second stage reads level 0 too
        ("zyx", (8, 16, 16), "gaussian", None, {"encoding": {"/scale0": {"image": {"fill_value": 7}}}}),
        ("zyx", PLANES, "mean", None, {"shards": 32}),
        ("xyz", (-1, -1, 1), "mode", edit, {}),
        ("zyx", PLANES, "mean", crop, {}),
    ],
)
def test_turned_edited_and_merged_images_are_spilled_too(
    dims, chunks, method, change, options, tmp_path, spilled_always
):
    size = {"z": 40, "y": 50, "x": 61, "c": 3}
    pixels = np.resize(SAMPLES, [size[dim] for dim in dims]) + np.arange(size[dims[-1]], dtype="u2")
    settings = {"method": method, "chunks": 16, "block_bytes": "16 kiB"}
    counted = CountedImage(pixels, chunks, dims)
    tree = msi.to_multiscale(counted.image, [2], **settings)
    expected = msi.to_multiscale(xr.DataArray(pixels, dims=tuple(dims), name="image"), [2], **settings)
    tree, expected = (change(each) if change else each for each in (tree, expected))
    assert is_spilled(tree.pyramid.to_zarr(tmp_path / "never.zarr", compute=False, **options))
    tree.pyramid.to_zarr(tmp_path / "never.zarr", mode="w", **options)
    assert set(counted.times.values()) == {1}
    assert_stored(tmp_path / "never.zarr", expected)


def test_what_is_spilled_is_not_computed_again_when_the_write_is_resumed(tmp_path, one_thread):
    counted, fails = CountedImage(SAMPLES, (1, -1, -1)), True

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
    assert set(again) == {corner for corner in counted.times if corner not in before or corner[0] == 37}
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], SAMPLES)
    assert not (tmp_path / "out.zarr" / ".msi_lazy-unfinished").exists()


def test_what_is_spilled_in_other_chunks_is_not_taken_for_those_of_the_resumed_write(tmp_path, one_thread):
    def build(depth, fails):
        def compute(block, block_info=None):
            if fails and block_info[None]["array-location"][0][0] >= 30:
                raise OSError("the reader is gone")
            return block

        image = CountedImage(SAMPLES, (depth, -1, -1)).image
        image = image.copy(data=image.data.map_blocks(compute, dtype="u2", name=f"planes{depth}"))
        return msi.to_multiscale(image, [2], chunks=16, block_bytes="16 kiB")

    options = {"resume": True, "source_id": "the scan"}
    limit = spilling_limit(build(2, fails=False))
    with pytest.raises(OSError, match="the reader is gone"):
        build(2, fails=True).pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=limit, **options)
    limit = spilling_limit(build(1, fails=False))
    build(1, fails=False).pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=limit, **options)
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], SAMPLES)


def test_a_write_resumed_with_more_memory_needs_no_spill(tmp_path, one_thread):
    counted = CountedImage(SAMPLES, (1, -1, -1))
    tree = msi.to_multiscale(counted.image, [2], chunks=16, block_bytes="16 kiB")
    tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=spilling_limit(tree), compute=False)
    tree.pyramid.to_zarr(tmp_path / "out.zarr", resume=True)
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], SAMPLES)
    assert not (tmp_path / "out.zarr" / ".msi_lazy-unfinished").exists()


def test_an_image_is_replaced_by_one_that_is_spilled(tmp_path, one_thread):
    msi.to_multiscale(msi.to_spatial_image(SAMPLES), [2]).pyramid.to_zarr(tmp_path / "out.zarr")
    tree = msi.to_multiscale(CountedImage(SAMPLES + 1, (1, -1, -1)).image, [2], chunks=16, block_bytes="16 kiB")
    tree.pyramid.to_zarr(tmp_path / "out.zarr", mode="w", memory_limit=spilling_limit(tree))
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], SAMPLES + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]


def test_spilling_is_explained(monkeypatch):
    tree = msi.to_multiscale(virtual_planes((256, 10_000, 10_000)), "auto", chunks=64)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 6 * GIB)
    with dask.config.set(scheduler="threads", num_workers=2):
        plan = msi.explain(tree)
    (note,) = plan.notes
    assert "in tiles of 1 x 128 x 128" in note
    assert "a process may use 6.00 GiB" in note
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 1024 * GIB)
    assert not msi.explain(tree).notes
    assert plan.tasks == msi.explain(tree).tasks + 256  # each plane is stored by a task


@pytest.mark.parametrize("change", [None, edit], ids=["whole", "edited"])
@pytest.mark.parametrize("dims", ["zyx", "xyz"])
def test_what_is_spilled_is_said_to_be(dims, change, tmp_path, monkeypatch):
    size = {"z": 256, "y": 2048, "x": 2048}
    image = virtual_planes([size[dim] for dim in dims], [1 if dim == "z" else -1 for dim in dims], dims)
    tree = msi.to_multiscale(image, [2], method="gaussian")
    tree = tree if change is None else change(tree)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", GIB // 2)
    with dask.config.set(scheduler="threads", num_workers=2):
        notes = msi.explain(tree).notes
        assert any("in tiles of" in note for note in notes)
        with contextlib.ExitStack() as stack:
            if any("would hold up to" in note for note in notes):
                stack.enter_context(pytest.warns(UserWarning, match="a process may use 512"))
            write = tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    assert is_spilled(write)


def test_blocks_that_are_merged_to_shards_count_besides_a_spill(tmp_path, one_thread):
    tree = msi.to_multiscale(
        virtual_planes((128, 1024, 1024)), [2, 2], method="gaussian", chunks=32, block_bytes="8 MiB"
    )
    with pytest.raises(msi.MemoryLimitError) as refused:
        tree.pyramid.to_zarr(tmp_path / "out.zarr", shards=128, memory_limit=1)
    (needed,) = re.findall(r"hold up to ([0-9.]+) MiB", str(refused.value))
    assert float(needed) * 2**20 > msi.explain(tree).memory(1, spills=True).total + 2 * 128**3


@given(st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=5).map(tuple), min_size=1, max_size=2), st.data())
def test_any_chunks_are_stored_in_files_of_their_own_and_found_again(lengths, data):
    layout = SpillLayout.of(SourceChunks(tuple(lengths)))
    assert all(tile <= 128 for tile in layout.tile)
    shape = tuple(map(sum, lengths))
    image, stored = np.random.default_rng(0).integers(0, 9, shape), np.full(layout.shape, -1)
    files = Counter()
    for position in np.ndindex(*map(len, lengths)):
        owned = layout.chunks.owned(position)
        ((part, at),) = layout.parts(owned)
        assert part == owned
        stored[slices(at)] = image[slices(part)]
        files.update(product(*(range(i.start // s, -(-i.stop // s)) for i, s in zip(at, layout.shard, strict=True))))
    assert set(files.values()) == {1}
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    window = tuple(Interval(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True))
    found = np.full(shape, -1)
    for part, at in layout.parts(window):
        found[slices(part)] = stored[slices(at)]
    np.testing.assert_array_equal(found[slices(window)], image[slices(window)])


@pytest.mark.parametrize("change", [None, edit], ids=["whole", "edited"])
@pytest.mark.parametrize("chunks", [((7, 13, 20), 50, 61), (PLANES[0], (37, 13), 61), (20, (3, 5, 42), (59, 2))])
def test_chunks_that_have_little_in_common_are_spilled_too(chunks, change, tmp_path, spilled_always):
    counted = CountedImage(SAMPLES, chunks)
    trees = [
        msi.to_multiscale(image, [2], method="gaussian", chunks=16, block_bytes="16 kiB")
        for image in (counted.image, msi.to_spatial_image(SAMPLES))
    ]
    tree, expected = map(change, trees) if change else trees
    tree.pyramid.to_zarr(tmp_path / "out.zarr")
    assert set(counted.times.values()) == {1}
    assert_stored(tmp_path / "out.zarr", expected)


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def planes_of(samples=SAMPLES, fails=()):
    counted = CountedImage(samples, PLANES, fails=fails)
    return counted, msi.to_multiscale(counted.image, [2], chunks=16, block_bytes="16 kiB")


@pytest.mark.parametrize("mode", ["w-", "w"])
def test_the_user_says_where_sources_are_spilled(mode, scratch, tmp_path, spilled_always):
    out = tmp_path / "images" / "out.zarr"
    if mode == "w":
        planes_of(SAMPLES + 1)[1].pyramid.to_zarr(out)
    counted, tree = planes_of()
    write = tree.pyramid.to_zarr(out, mode=mode, spill=scratch, compute=False)
    (folder,) = scratch.iterdir()
    assert folder.name.startswith("msi_lazy-spill-")
    write.compute()
    assert set(counted.times.values()) == {1}
    assert not list(scratch.iterdir())
    assert_stored(out, msi.to_multiscale(msi.to_spatial_image(SAMPLES), [2], chunks=16))


def fail(out, scratch, **options):
    """A write that fails when it has spilled some planes; the first of them."""
    counted, tree = planes_of(fails=[(37, 0, 0)])
    with pytest.raises(OSError, match="the reader is gone"):
        tree.pyramid.to_zarr(out, spill=scratch, **options)
    assert len(list(scratch.iterdir())) == 1
    return {corner for corner in counted.times if corner != (37, 0, 0)}


def test_what_is_spilled_elsewhere_is_not_computed_again(scratch, tmp_path, spilled_always, one_thread):
    before = fail(tmp_path / "out.zarr", scratch)
    counted, tree = planes_of()
    tree.pyramid.to_zarr(tmp_path / "out.zarr", spill=scratch, resume=True)
    assert before
    assert not before & set(counted.times)
    assert not list(scratch.iterdir())
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], SAMPLES)


@pytest.mark.parametrize("again", ["resumed elsewhere", "resumed beside", "started over", "replaced beside"])
def test_what_is_spilled_elsewhere_goes_whatever_ends_the_write(again, scratch, tmp_path, spilled_always):
    out, other = tmp_path / "out.zarr", tmp_path / "other"
    other.mkdir()
    if again == "replaced beside":
        planes_of(SAMPLES + 1)[1].pyramid.to_zarr(out)
        fail(out, scratch, mode="w")
    else:
        fail(out, scratch)
    options = {
        "resumed elsewhere": {"resume": True, "spill": other},
        "resumed beside": {"resume": True},
        "started over": {"mode": "w", "replace": "in place"},
        "replaced beside": {"mode": "w"},
    }
    planes_of()[1].pyramid.to_zarr(out, **options[again])
    np.testing.assert_array_equal(levels_of(out)[0], SAMPLES)
    assert not list(scratch.iterdir())
    assert not list(other.iterdir())


def test_a_note_of_a_folder_that_is_none_of_ours_removes_nothing(scratch, tmp_path, spilled_always):
    fail(tmp_path / "out.zarr", scratch)
    (note,) = (tmp_path / "out.zarr" / LEDGER).glob("*-spill-*")
    (mine,) = scratch.iterdir()
    kept = mine.rename(scratch / "mine")
    mine.symlink_to(kept)
    (note / "zarr.json").write_text('{"attributes": {"directory": 5}}')
    planes_of()[1].pyramid.to_zarr(tmp_path / "out.zarr", mode="w")
    assert sorted(path.name for path in scratch.iterdir()) == ["mine", mine.name]


@pytest.mark.parametrize("spill", [None, "scratch"])
def test_a_spill_without_room_is_refused_before_anything_is_created(
    spill, scratch, tmp_path, spilled_always, monkeypatch
):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, SAMPLES.nbytes - 1))
    counted, tree = planes_of()
    where = scratch if spill else tmp_path / "out.zarr"
    with pytest.raises(
        msi.DiskSpaceError, match=rf"up to 238.28 kiB, and {where} has room for 238.28 kiB; give spill="
    ):
        tree.pyramid.to_zarr(tmp_path / "out.zarr", spill=spill and scratch)
    assert not (tmp_path / "out.zarr").exists()
    assert not list(scratch.iterdir())
    assert not counted.times
    write = tree.pyramid.to_zarr(tmp_path / "out.zarr", spill=False, compute=False)
    assert not is_spilled(write)


def test_a_resumed_spill_needs_room_for_the_rest_of_it_only(scratch, tmp_path, spilled_always, one_thread, monkeypatch):
    stored = len(fail(tmp_path / "out.zarr", scratch))
    left = SAMPLES.nbytes * (40 - stored) // 40
    for free, refused in ((left - 1, True), (left, False)):
        monkeypatch.setattr("shutil.disk_usage", lambda path, free=free: shutil._ntuple_diskusage(0, 0, free))
        with pytest.raises(msi.DiskSpaceError, match="give spill=") if refused else contextlib.nullcontext():
            planes_of()[1].pyramid.to_zarr(tmp_path / "out.zarr", resume=True, spill=scratch)
    np.testing.assert_array_equal(levels_of(tmp_path / "out.zarr")[0], SAMPLES)


def test_a_place_of_a_spill_that_cannot_be_is_refused(tmp_path, scratch):
    _, tree = planes_of()
    inside = tmp_path / "out.zarr" / "inside"
    inside.mkdir(parents=True)
    with pytest.raises(ValueError, match="lies in the image that is written"):
        tree.pyramid.to_zarr(tmp_path / "out.zarr", spill=inside)
    monkey = pytest.MonkeyPatch()
    monkey.setattr("os.access", lambda *_: False)
    with monkey.context(), pytest.raises(ValueError, match="cannot be written to; give a directory"):
        tree.pyramid.to_zarr(tmp_path / "other.zarr", spill=scratch)
    monkey.undo()
    assert not (tmp_path / "other.zarr").exists()
