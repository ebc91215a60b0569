"""Memory: projected, held against a limit, and live carries read back where they would pile up."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from dask.callbacks import Callback
from dask.task_spec import DataNode
from numcodecs import LZMA
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.graph.fused_task import BlockContext
from msi_lazy.plan import memory
from msi_lazy.run.container_memory import container_memory
from msi_lazy.run.scheduler import process_memory, worker_threads
from msi_lazy.write import projection
from tests.support.counting import CountingStore
from tests.support.stored_images import levels_of
from tests.support.wide_method import WIDE

MIB = 2**20


def make_tree(method="mean", shape=(96, 100, 130), block_bytes=32**3 * 8, levels=3, chunks=8):
    array = np.random.default_rng(0).integers(0, 100, shape).astype("i8")
    image = xr.DataArray(array, dims=("z", "y", "x"))
    return msi.to_multiscale(image, [2] * levels, method=method, chunks=chunks, block_bytes=block_bytes)


@pytest.fixture
def read_back(monkeypatch):
    monkeypatch.setattr(memory, "_READ_BACK_ABOVE", -1)


@pytest.mark.parametrize("method", ["mean", WIDE], ids=["box", "halo"])
@pytest.mark.parametrize("block_bytes", [16**3 * 8, 8**3 * 8, 1])
def test_reading_back_gives_the_same_bits_as_carries(method, block_bytes, monkeypatch):
    # in each case 3 to 5 blocks along each dimension
    shape = {16**3 * 8: (40, 52, 66), 8**3 * 8: (20, 28, 36), 1: (12, 15, 18)}[block_bytes]
    tree = make_tree(method, shape=shape, block_bytes=block_bytes, chunks=4)
    carried, target = MemoryStore(), CountingStore(MemoryStore())
    tree.pyramid.to_zarr(carried)
    monkeypatch.setattr(memory, "_READ_BACK_ABOVE", -1)
    tree.pyramid.to_zarr(target)
    for one, other in zip(levels_of(carried), levels_of(target), strict=True):
        np.testing.assert_array_equal(one, other)
    assert target.chunk_reads()


def test_carries_are_not_read_back_where_there_is_room():
    target = CountingStore(MemoryStore())
    make_tree().pyramid.to_zarr(target)
    assert not target.chunk_reads()


def test_nothing_is_handed_on_where_it_is_read_back(read_back):
    peak = peak_of_results(make_tree(WIDE))
    assert peak == 0


@pytest.mark.parametrize("method", ["mean", WIDE], ids=["box", "halo"])
def test_live_carries_stay_below_the_projection(method):
    tree = make_tree(method, shape=(96, 100, 130), block_bytes=16**3 * 8)
    projected = tree.pyramid.explain().memory(threads=2)
    peak = peak_of_results(tree)
    assert 0 < peak <= projected.carries


def peak_of_results(tree):
    """Bytes of the results that Dask's scheduler held at most, while two threads wrote ``tree``."""
    most = 0

    def after(_key, _value, _dsk, state, _worker):
        nonlocal most
        most = max(most, sum(value.nbytes for value in state["cache"].values() if isinstance(value, np.ndarray)))

    with dask.config.set(scheduler="threads", num_workers=2), Callback(posttask=after):
        tree.pyramid.to_zarr(MemoryStore())
    return most


def test_a_plan_that_cannot_fit_is_refused_before_anything_is_created(tmp_path):
    tree = make_tree()
    with (
        dask.config.set(scheduler="threads", num_workers=3),
        pytest.raises(msi.MemoryLimitError, match=r"3 worker threads .*memory_limit is 65.00 MiB; .*num_workers=1\)"),
    ):
        tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit="65 MiB")
    with pytest.raises(msi.MemoryLimitError, match=r"of all settings tried, .* takes least: raise memory_limit$"):
        tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit="1 MiB")
    assert not (tmp_path / "out.zarr").exists()
    tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit="2 GiB")


def test_what_the_machine_does_not_have_is_warned_of_once(tmp_path, monkeypatch):
    virtual = np.broadcast_to(np.zeros((), "u2"), (512, 512, 512))
    tree = msi.to_multiscale(xr.DataArray(virtual, dims=("z", "y", "x")), [2, 2], method=WIDE, chunks=64)
    tree.pyramid.to_zarr(tmp_path / "silent.zarr", compute=False)
    monkeypatch.setattr(projection, "process_memory", lambda: 2**27)
    with pytest.warns(UserWarning, match=r"memory .* a process may use 128.00 MiB; it fits with") as said:
        tree.pyramid.to_zarr(tmp_path / "out.zarr", compute=False)
    assert len(said) == 1
    assert said[0].filename == __file__
    tree.pyramid.to_zarr(tmp_path / "given.zarr", memory_limit="8 GiB", compute=False)


@pytest.mark.parametrize("given", ["much", 0, -3, 1.5, True])
def test_a_limit_that_is_none_is_refused(given, tmp_path):
    with pytest.raises((TypeError, ValueError), match="memory_limit must be a number of bytes"):
        make_tree().pyramid.to_zarr(tmp_path / "out.zarr", memory_limit=given)
    assert not (tmp_path / "out.zarr").exists()


def test_fewer_threads_need_less():
    plan = make_tree().pyramid.explain()
    one, four = plan.memory(1), plan.memory(4)
    assert four.total - one.total >= 3 * one.per_thread
    assert plan.memory(1, limit=1).read_back == (False, *(True for _ in plan.stages[1:]))
    assert plan.memory(1, limit=1).carries == 0 < one.carries


def test_a_computed_source_counts_what_it_holds():
    planes = da.zeros((256, 512, 512), dtype="u2", chunks=(1, 512, 512)) + np.uint16(1)
    tree = msi.to_multiscale(xr.DataArray(planes, dims=("z", "y", "x")), [2], chunks=64, block_bytes="4 MiB")
    plan = tree.pyramid.explain()
    assert plan.memory().rechunking >= plan.levels[0].blocks[0] * 512 * 512 * 2
    assert "of the source's chunks, until their blocks are complete" in str(plan)


@pytest.mark.parametrize("shape", ["volume", "plane"])
@pytest.mark.parametrize("method", ["mean", "halo"])
def test_the_peak_of_a_process_stays_below_the_projection(shape, method):
    command = [sys.executable, "-m", "benchmarks.memory", "--child", shape, method, "0.0625"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, peak, projected = map(float, done.stdout.split()[-3:])
    assert before < peak <= before + projected


def test_an_edited_tree_is_not_held_against_a_limit(tmp_path):
    tree = make_tree()
    tree["scale1/image"] = tree["scale1"].image + 1
    with pytest.raises(msi.MemoryLimitError, match="cannot be checked for an edited tree"):
        tree.pyramid.to_zarr(tmp_path / "out.zarr", memory_limit="8 GiB")
    assert not (tmp_path / "out.zarr").exists()


def test_a_reopened_tree_is(tmp_path):
    make_tree().pyramid.to_zarr(tmp_path / "one.zarr")
    back = msi.open_multiscale(tmp_path / "one.zarr")
    back.pyramid.to_zarr(tmp_path / "other.zarr", memory_limit="8 GiB")
    with pytest.raises(msi.MemoryLimitError, match="memory_limit is"):
        back.pyramid.to_zarr(tmp_path / "third.zarr", memory_limit="1 MiB")


def test_a_transposed_image_needs_what_its_blocks_need():
    array = np.zeros((300, 200, 100), "f4")
    tree = msi.to_multiscale(xr.DataArray(array, dims=("x", "y", "z")), [2, 2], chunks=16, block_bytes="1 MiB")
    plan = tree.pyramid.explain()
    assert plan.transposed(("z", "y", "x")).memory(2) == plan.memory(2)


def test_chunks_in_the_encoding_count(tmp_path):
    encoding = {"/scale0": {"image": {"chunks": (96, 100, 130)}}}
    with pytest.raises(msi.MemoryLimitError, match="memory_limit is"):
        make_tree().pyramid.to_zarr(tmp_path / "out.zarr", encoding=encoding, memory_limit="85 MiB")
    make_tree().pyramid.to_zarr(tmp_path / "out.zarr", memory_limit="85 MiB")


def test_the_largest_block_counts_where_ends_are_absorbed():
    image = xr.DataArray(da.zeros((39, 2148, 2148), dtype="u2", chunks=256), dims=("z", "y", "x"))
    plan = msi.explain(msi.to_multiscale(image, [2, 2, 2], chunks={"z": 1, "y": 256, "x": 256}))
    largest = 0
    for stage in plan.stages:
        for index in np.ndindex(*stage.counts):
            volumes = [np.prod([interval.length for interval in window]) for window in stage.needed(index)]
            largest = max(largest, int(sum(volumes) + volumes[0]) * 2)
    assert plan.memory_per_thread >= largest


def test_a_halo_on_a_computed_source_counts_the_blocks_that_wait():
    image = xr.DataArray(da.zeros((256, 256, 256), dtype="u2", chunks=24) + 1, dims=("z", "y", "x"))
    plan = msi.explain(msi.to_multiscale(image, [2], method=WIDE, chunks=16, block_bytes=32**3 * 2))
    assert plan.memory().rechunking >= 2 * 24 * 256 * 256 * 2


def test_what_threads_reserve_for_codecs_counts():
    stored = zarr.create_array(MemoryStore(), shape=(256, 256, 256), chunks=(128, 128, 128), dtype="u2")
    tree = msi.to_multiscale(msi.to_spatial_image(stored), [2], chunks=64)
    graph = dict(tree.pyramid.to_zarr(MemoryStore(), compute=False).dask)
    reserve = max(
        node.value.buffers._reserve
        for node in graph.values()
        if isinstance(node, DataNode) and isinstance(node.value, BlockContext)
    )
    plan = msi.explain(tree)
    assert reserve == memory.codec_bytes(2 * 64**3, 2 * 128**3) > 18 * MIB
    assert plan.memory_per_thread == reserve + memory.thread_bytes(plan.stages[0], 2) + 2 * 128**3


def test_half_precision_counts_what_it_is_computed_in():
    half, single = (make_memory(dtype) for dtype in ("f2", "f4"))
    half_reserve, single_reserve = (memory.codec_bytes(size * 16**3, 0) for size in (2, 4))
    assert half.per_thread - half_reserve == 2 * (single.per_thread - single_reserve)


def make_memory(dtype):
    image = xr.DataArray(np.zeros((64, 64, 64), dtype), dims=("z", "y", "x"))
    return msi.explain(msi.to_multiscale(image, [2], chunks=16, block_bytes="64 MiB")).memory()


def test_lossy_codecs_and_edited_trees_are_not_read_back(read_back):
    lossy = {"version": "0.4", "compressors": (LZMA(),)}  # or so it might be: it is not on the list
    for options, edit in ((lossy, False), ({}, True)):
        tree = make_tree(shape=(20, 28, 36), block_bytes=8**3 * 8, chunks=4)
        if edit:
            tree["scale0/image"] = tree["scale0"].image + 0
        target = CountingStore(MemoryStore())
        tree.pyramid.to_zarr(target, **options)
        assert not target.chunk_reads()


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        ({"scheduler": "synchronous"}, 1),
        ({"scheduler": "threads", "num_workers": 5}, 5),
        ({"scheduler": ThreadPoolExecutor(7)}, 7),
        ({"pool": ThreadPool(3)}, 3),
    ],
    ids=["synchronous", "workers", "executor", "pool"],
)
def test_threads_are_those_of_the_scheduler(settings, threads):
    with dask.config.set(settings):
        assert worker_threads() == threads


def test_the_limit_of_a_container_counts(monkeypatch):
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 1)  # which has the least of cgroup, machine and user
    assert process_memory() == 1
    target = CountingStore(MemoryStore())
    with pytest.warns(UserWarning, match="a process may use 1 B; of all settings tried, .* use a machine with more"):
        make_tree(shape=(20, 28, 36), block_bytes=8**3 * 8, chunks=4).pyramid.to_zarr(target)
    assert target.chunk_reads()


def test_the_limits_of_the_user_count():
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_RSS, ({512 * MIB}, {512 * MIB}))
from msi_lazy.run.scheduler import process_memory
print(process_memory())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(ran.stdout) == 512 * MIB


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/user/job/step", {"user/job/memory.max": "5000", "user/job/step/memory.max": "max"}, 5000),
        ("0::/user/job", {"memory.max": "9000", "user/memory.max": "7000", "user/job/memory.max": "8000"}, 7000),
        ("4:memory:/slurm/job\n0::/", {"memory/slurm/job/memory.limit_in_bytes": "6000"}, 6000),
        ("4:cpu,memory:/a", {"memory/memory.limit_in_bytes": "6000", "memory/a/memory.limit_in_bytes": "9999"}, 6000),
        ("0::/user", {"user/memory.max": "max"}, None),
        ("3:cpu:/a", {"a/memory.max": "5"}, None),
        (None, {}, None),
    ],
)
def test_limits_of_nested_control_groups_count(tmp_path, monkeypatch, groups, files, expected):
    stated = {f"sys/fs/cgroup/{name}": content for name, content in files.items()}
    for name, content in {**stated, **({} if groups is None else {"proc/self/cgroup": f"{groups}\n"})}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    monkeypatch.setattr("msi_lazy.run.container_memory._ROOT", tmp_path)
    assert container_memory() == expected
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 10_000)
    assert process_memory() == (expected or 10_000)
