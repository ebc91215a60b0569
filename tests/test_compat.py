"""Canaries: one for each assumption on what libraries are like inside; a failure names the one that broke."""

import asyncio
import operator
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock

import dask
import dask.array as da
import fsspec
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import Alias, DataNode, GraphNode, Task, TaskRef
from zarr.storage import FsspecStore, LoggingStore, MemoryStore, WrapperStore
from zarrs import ZarrsCodecPipeline

from msi_lazy.compat import allocator, dask_graphs, dask_tasks, heap_reserve
from msi_lazy.compat.dask_arrays import meta_of
from msi_lazy.compat.dask_graphs import (
    array_reads,
    block_axes,
    block_calls,
    block_cast,
    block_crops,
    build_calls,
    held_values,
    layers_of,
)
from msi_lazy.compat.fsspec_files import begin_fetch
from msi_lazy.compat.mapped_files import is_still_mapped
from msi_lazy.compat.rust_codecs import chunk_item, one_thread_codecs, pipeline_of
from msi_lazy.compat.tiff_stores import tiff_page
from msi_lazy.compat.xarray_backends import (
    PlainZarrStore,
    adapter_key,
    backend_array,
    backend_layout,
    decode_fill_value,
    is_adapter,
    is_in_memory,
    opened_by_backend,
    replace_transposed,
    transposed_key,
    unwrap_adapters,
)
from msi_lazy.compat.zarr_arrays import array_at, run_by, run_in_python
from msi_lazy.compat.zarr_pipelines import codec_of_format_2
from msi_lazy.compat.zarr_stores import (
    create_key,
    delete_directory,
    delete_key,
    key_exists,
    key_info,
    list_names,
    read_key,
    store_bytes,
    wrapped_store,
    zarr_loop,
)
from msi_lazy.plan.windows import Interval
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.regular_files import RegularStore
from msi_lazy.storage.thread_codecs import thread_codecs
from tests.support.optional import require
from tests.support.serving import serve

PIXELS = np.arange(48).reshape(6, 8)


class Opaque:
    """What only an array-like is."""

    shape, dtype, ndim = PIXELS.shape, PIXELS.dtype, 2

    def __getitem__(self, key):
        return PIXELS[key]


def scale(block, index, *, by):
    return block * by + sum(index)


def test_an_array_has_a_graph_of_layers_and_the_last_has_its_name():
    array = da.from_array(PIXELS, chunks=3) + 1
    layers = layers_of(array)
    assert isinstance(array.dask, HighLevelGraph), "a Dask array's graph is no HighLevelGraph any more"
    assert array.name in layers, "the layer of a Dask array's blocks has another name than the array"


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("lock", [False, Lock()])
def test_reads_of_an_array_like_are_calls_of_a_getter_with_slices(inline, lock):
    array = da.from_array(Opaque(), chunks=(3, 5), inline_array=inline, lock=lock, asarray=True)
    reads = array_reads(array.name, layers_of(array))
    assert reads is not None, "from_array makes another layer than one of getter calls with an ArraySliceDep"
    assert isinstance(reads.array, Opaque), "from_array keeps the array-like elsewhere"
    assert reads.chunks == array.chunks, "ArraySliceDep.chunks are not the chunks of the array"
    assert (reads.lock, reads.plain) == (lock, True), "from_array passes lock and asarray otherwise"


def test_reads_of_a_zarr_array_are_calls_of_a_getter_with_slices():
    stored = zarr.create_array(MemoryStore(), data=PIXELS, chunks=(3, 5))
    array = da.from_zarr(stored)
    reads = array_reads(array.name, layers_of(array))
    assert reads is not None, "from_zarr makes another layer than one of getter calls with an ArraySliceDep"
    assert isinstance(reads.array, zarr.Array), "from_zarr keeps the Zarr array elsewhere"


def test_basic_slices_are_written_out_as_calls_of_getitem():
    array = da.from_array(Opaque(), chunks=(3, 4))
    crops = block_crops(layers_of(array[1:, 2])[array[1:, 2].name])
    assert crops is not None, "a basic slice is no written-out layer of getitem calls any more"
    assert {crop.source for crop in crops} == {array.name}, "a slice's tasks name another layer than what they cut"
    assert {crop.index: (crop.source_index, crop.key) for crop in crops} == {
        (0,): ((0, 0), (slice(1, 3, 1), 2)),
        (1,): ((1, 0), (slice(None), 2)),
    }, "the tasks of a slice cut other parts of its blocks"


def test_a_block_that_a_slice_takes_whole_is_an_alias():
    array = da.from_array(Opaque(), chunks=(3, 4))
    crops = block_crops(layers_of(array[1:])[array[1:].name])
    assert crops is not None, "what a slice takes whole is neither an Alias with a target nor a getitem call"
    cuts = {crop.index: crop.key[0].indices(3) for crop in crops}
    assert {index[0]: cut for index, cut in cuts.items()} == {0: (1, 3, 1), 1: (0, 3, 1)}


def test_a_new_dimension_is_none_in_the_key_of_each_crop():
    array = da.from_array(Opaque(), chunks=(3, 4))
    crops = block_crops(layers_of(array[:, None])[array[:, None].name])
    assert crops is not None, "indexing by None is no written-out layer of getitem calls any more"
    assert all(crop.key == (slice(None), None, slice(None)) for crop in crops), "None is elsewhere in the keys"


def test_a_transposition_is_a_layer_of_calls_of_numpy():
    array = da.from_array(Opaque(), chunks=(3, 4))
    layer = layers_of(array.T)[array.T.name]
    assert block_axes(layer) == (array.name, (1, 0)), "transpose calls another function, or with other arguments"
    assert block_axes(layers_of(array + 1)[(array + 1).name]) is None


def test_a_cast_is_a_layer_of_calls_of_astype():
    array = da.from_array(Opaque(), chunks=(3, 4))
    cast = array.astype("f4")
    found = block_cast(layers_of(cast)[cast.name])
    assert found == (array.name, np.dtype("f4")), "astype calls another function, or with other arguments"
    kept = array.astype("f8", casting="safe")
    assert block_cast(layers_of(kept)[kept.name]) is None


def test_an_alias_names_its_target():
    assert dask_graphs.alias_target(Alias("one", "other")) == "other", "Alias.target is not the key it stands for"


def test_calls_are_read_as_they_were_built():
    layer = build_calls(scale, "scaled", (2, 2), "blocks", index=True, by=TaskRef("factor"))
    calls = block_calls(layer)
    assert calls is not None, "blockwise() builds no Blockwise with a Task"
    assert (calls.function, calls.first) == (scale, "blocks"), "Blockwise.task or Blockwise.indices have changed"
    assert calls.options["by"].key == "factor", "blockwise() changes keyword arguments"
    assert block_calls(build_calls(abs, "x", (2,), TaskRef("one"))).first == "one", "a TaskRef is no literal of a layer"


def test_built_calls_are_given_blocks_values_and_the_index():
    blocks = {("blocks", i, j): DataNode(("blocks", i, j), np.full(1, 10 * i + j)) for i in range(2) for j in range(2)}
    layer = build_calls(_join, "joined", (2, 2), "blocks", TaskRef("held"), index=True)
    tasks = dask_tasks.convert_tasks({**blocks, "held": DataNode("held", "h"), **layer})
    found = dask.get(tasks, [("joined", 0, 1), ("joined", 1, 0)])
    message = "blockwise() gives its calls other arguments: a block, the value of a task, and the block's index"
    assert found == ((1, "h", (0, 1)), (10, "h", (1, 0))), message


def _join(block, value, index):
    return int(block[0]), value, index


def test_a_layer_of_calls_is_written_out_as_dask_does():
    array = da.from_array(Opaque(), chunks=(3, 4)) * 2
    layer = layers_of(array)[array.name]
    assert dask_tasks.is_plain(layer), "an elementwise layer has other arguments than one block of each array"
    written = dask_tasks.write_out(layer)
    assert written == dict(layer), "Dask writes a Blockwise layer out to other tasks, see blockwise_token, io_deps"


def test_tuples_of_the_older_notation_become_tasks():
    tasks = dask_tasks.convert_tasks({"a": 1, "b": (operator.add, "a", 2), "c": "b"})
    assert all(isinstance(task, GraphNode) for task in tasks.values()), "convert_legacy_graph leaves tuples"
    assert dask.get(tasks, ["b", "c"]) == (3, 3), "convert_legacy_graph makes other tasks of tuples"


@pytest.mark.parametrize(
    "make",
    [
        lambda held: da.from_array(held, chunks=3, inline_array=True),
        lambda held: da.from_array(held, chunks=3, inline_array=False),
        lambda held: da.from_array(held, chunks=3, inline_array=True) + 1,
        lambda held: dask.optimize(da.from_array(held, chunks=3) * 2 + 1)[0],
        lambda held: da.map_blocks(_join, da.ones(4, chunks=2), held, (0,), dtype=float),
        lambda held: da.from_delayed(dask.delayed(_join)(held, 0, 0), (4,), dtype=float),
    ],
    ids=["inline", "named", "below another layer", "fused", "literal", "delayed"],
)
def test_what_tasks_hold_is_found(make):
    held = Opaque()
    layers = layers_of(make(held))
    found = [value for layer in layers.values() for value in held_values(layer)]
    assert any(value is held for value in found), (
        "what a layer holds is neither in its tasks nor among Blockwise.indices"
    )


def test_a_client_is_the_owner_of_the_scheduler():
    distributed = pytest.importorskip("distributed")
    with dask.config.set(scheduler="threads"):
        assert not isinstance(dask_graphs.scheduler_owner(), distributed.Client)
    with distributed.Client(n_workers=1, processes=False, dashboard_address=":0") as client:
        assert dask_graphs.scheduler_owner() is client, "get_scheduler() gives no bound method of the active client"


def test_a_task_has_its_function_and_arguments():
    task = Task("key", operator.add, TaskRef("a"), 2)
    assert (task.func, task.args[1], task.dependencies) == (operator.add, 2, {"a"}), "Task has other attributes"


def test_zarr_has_one_event_loop_in_a_thread_of_its_own():
    loop = zarr_loop()
    assert loop.is_running()
    assert zarr_loop() is loop, "zarr takes a new event loop for each call, so stores belong to none"
    future = asyncio.run_coroutine_threadsafe(MemoryStore().exists("a"), loop)
    assert future.result(10) is False


@pytest.fixture
def lazily_opened(tmp_path):
    xr.Dataset({"image": (("y", "x"), PIXELS)}).to_zarr(tmp_path / "a.zarr", consolidated=False)
    return xr.open_zarr(tmp_path / "a.zarr", chunks=None, consolidated=False).image


def test_a_lazily_opened_variable_shows_the_array_that_zarr_opened(lazily_opened):
    variable = lazily_opened.variable
    assert not is_in_memory(variable), "Variable._in_memory tells no longer that nothing is loaded"
    layers = list(unwrap_adapters(backend_array(variable)))
    assert is_adapter(layers[0]), "xarray's adapters are defined elsewhere than in xarray"
    assert isinstance(layers[-1], zarr.Array), "xarray's backend array keeps the Zarr array elsewhere than in _array"
    assert not is_in_memory(variable), "looking through xarray's adapters has loaded the variable"
    assert is_in_memory(variable.load()), "Variable._in_memory tells no longer that all is loaded"


def test_a_lazily_opened_variable_says_how_it_is_indexed(lazily_opened):
    one, other = (list(unwrap_adapters(backend_array(part.variable))) for part in (lazily_opened[1:], lazily_opened))
    keys = [[getattr(getattr(layer, "key", None), "tuple", None) for layer in layers] for layers in (one, other)]
    assert keys[0] != keys[1], "an indexed lazy variable holds its key elsewhere than in .key.tuple of an adapter"


def test_the_key_of_a_lazy_variable_has_a_part_for_each_dimension(lazily_opened):
    adapters = list(unwrap_adapters(backend_array(lazily_opened[::-1, 2].variable)))
    keys = [key for key in map(adapter_key, adapters) if key is not None]
    assert keys == [(slice(5, None, -1), 2)], "the key of an indexed lazy variable has another form"


def test_a_transposed_lazy_variable_is_indexed_point_by_point_and_can_be_replaced(lazily_opened):
    data = backend_array(lazily_opened.T.variable)
    key = transposed_key(data)
    assert key is not None, "xarray transposes a lazy variable by another adapter than LazilyVectorizedIndexedArray"
    assert [positions.shape for positions in key] == [(1, 6), (8, 1)]
    replaced = xr.Variable(("y", "x"), replace_transposed(data, [slice(None), slice(None, None, 2)]))
    assert not is_in_memory(replaced), "xarray loads a variable of its own adapters"
    np.testing.assert_array_equal(replaced, PIXELS[:, ::2])
    assert transposed_key(backend_array(lazily_opened.variable)) is None


def test_a_netcdf_variable_says_how_it_is_stored(tmp_path):
    require("h5netcdf")
    dataset = xr.Dataset({"image": (("y", "x"), PIXELS.astype("i4"))})
    layouts = {}
    for name, engine, options in (
        ("chunked", "h5netcdf", {"chunksizes": (3, 4)}),
        ("plain", "h5netcdf", {}),
        ("third", "scipy", {}),
    ):
        dataset.to_netcdf(tmp_path / name, engine=engine, encoding={"image": options})
        with xr.open_dataset(tmp_path / name, engine=engine) as opened:
            *_, backend = unwrap_adapters(backend_array(opened.image.variable))
            layouts[name] = backend_layout(backend)
    expected = {"chunked": (3, 4), "plain": "contiguous", "third": "contiguous"}
    assert layouts == expected, "xarray's array of a netCDF file has no get_array, or another module"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_xarray_stores_booleans_as_such_where_it_is_told_to(zarr_format):
    store = MemoryStore()
    dataset = xr.Dataset({"image": (("y", "x"), PIXELS > 20)})
    dataset.dump_to_store(PlainZarrStore.open_group(store, mode="a", zarr_format=zarr_format))
    stored = zarr.open_array(store, path="image")
    assert stored.dtype == bool, "dump_to_store encodes variables elsewhere than in encode_variable"
    assert "dtype" not in stored.attrs
    assert xr.open_zarr(store, consolidated=False).image.dtype == bool


def test_xarray_creates_each_array_by_the_create_of_its_group():
    store = MemoryStore()
    dataset = xr.Dataset({"image": (("y", "x"), PIXELS)}, {"grid": (("y", "x"), PIXELS)})
    with zarr.config.set({"array.order": "F"}):
        dataset.dump_to_store(PlainZarrStore.open_group(store, mode="a", zarr_format=2))
    for name in ("image", "grid"):
        stored = zarr.open_array(store, path=name)
        assert stored.metadata.order == "C", "dump_to_store creates arrays elsewhere than in Group.create"
        np.testing.assert_array_equal(stored[:], PIXELS)


def test_an_array_keeps_the_pipeline_it_was_given(tmp_path):
    stored = zarr.create_array(tmp_path / "a.zarr", data=PIXELS, chunks=(4, 4))
    fast = run_by(stored, stored.store, ZarrsCodecPipeline.from_array_metadata_and_store(stored.metadata, stored.store))
    for array in (fast, pickle.loads(pickle.dumps(fast))):
        found = type(array.async_array.codec_pipeline)
        assert found is ZarrsCodecPipeline, "an array keeps its pipeline elsewhere than in codec_pipeline"
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        plain = run_in_python(zarr.open_array(tmp_path / "a.zarr"))
    assert not isinstance(plain.async_array.codec_pipeline, ZarrsCodecPipeline)
    np.testing.assert_array_equal(plain[:], PIXELS)


def test_a_wrapper_store_holds_what_it_wraps():
    inner = MemoryStore()
    assert wrapped_store(LoggingStore(inner)) is inner, "a wrapper store keeps its store elsewhere than in _store"
    assert wrapped_store(inner) is None


def test_keys_of_a_store_can_be_used_without_a_coroutine():
    store = MemoryStore()
    store_bytes(store, "a/b", b"x")
    assert key_exists(store, "a/b"), "zarr.core.sync.sync does not run a coroutine of a store"
    assert list_names(store, "a") == ["b"], "Store.list_dir gives other names"
    create_key(store, "a/b", b"y")
    assert read_key(store, "a/b") == b"x", "Store.set_if_not_exists replaces a key"
    delete_key(store, "a/b")
    assert not key_exists(store, "a/b")
    assert read_key(store, "a/b") is None
    create_key(store, "a/b", b"y")
    assert read_key(store, "a/b") == b"y"
    delete_key(store, "a/b")
    store_bytes(store, "a/c/d", b"x")
    delete_directory(store, "a")
    assert not list_names(store, "a")


def test_details_of_a_key_come_from_an_asynchronous_file_system(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    store = FsspecStore.from_url(f"file://{tmp_path}")
    assert key_info(store, "a")["size"] == 1, "fsspec's asynchronous file systems have no _info"


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("below", ["", "x[1]"])
def test_a_name_that_is_a_pattern_deletes_itself_alone(below, wrapped):
    files = fsspec.filesystem("memory")
    files.store.clear()
    store = FsspecStore.from_url(f"memory://patterns/{below}".rstrip("/"))
    store = WrapperStore(store) if wrapped else store
    for key in ("a*/b/c", "a*/b/d", "ab/b/c", "a*c", "abc", "k?", "kk"):
        store_bytes(store, key, b"x")
    store_bytes(FsspecStore.from_url("memory://patterns/x1"), "a*/b/c", b"x")
    delete_directory(store, "a*")
    delete_key(store, "k?")
    delete_key(store, "no*")
    left = {"ab/b/c", "a*c", "abc", "kk"}
    assert {key for key in left if key_exists(store, key)} == left
    assert set(list_names(store, "")) - {"x1"} == {"ab", "a*c", "abc", "kk"}
    assert files.exists("/patterns/x1/a*/b/c")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no Linux")
def test_a_map_of_a_file_that_was_replaced_is_told(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    np.save(tmp_path / "b.npy", PIXELS)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert is_still_mapped(mapped, str(tmp_path / "a.npy"))
    (tmp_path / "b.npy").rename(tmp_path / "a.npy")
    assert not is_still_mapped(mapped, str(tmp_path / "a.npy")), "/proc/self/maps shows no deleted files"


@pytest.mark.parametrize(("fill", "dtype"), [(-9999.5, "f4"), (np.nan, "f8"), (7, "u2"), (-1, "i1")])
def test_xarray_stores_fill_values_of_arrays_as_they_are_decoded(fill, dtype):
    store = MemoryStore()
    image = xr.Variable(("x",), np.zeros(3, dtype), {"_FillValue": fill})
    xr.Dataset({"image": image}).to_zarr(store, zarr_format=3, consolidated=False)
    stored = zarr.open_array(store, path="image").attrs["_FillValue"]
    np.testing.assert_equal(decode_fill_value(stored), fill)
    assert decode_fill_value("NaN") != decode_fill_value("NaN")
    assert decode_fill_value([1]) is decode_fill_value("what") is None


def test_an_array_of_a_backend_shows_what_was_opened(tmp_path):
    xr.Dataset({"image": (("y", "x"), PIXELS)}).to_netcdf(tmp_path / "a.nc", engine="scipy")
    variable = xr.open_dataset(tmp_path / "a.nc", engine="scipy").image.variable
    *_, array = unwrap_adapters(backend_array(variable))
    opened = opened_by_backend(array)
    assert opened == (str(tmp_path / "a.nc"), ""), "a backend's array has its file manager elsewhere"
    assert opened_by_backend(PIXELS) == (None, "")


def test_a_group_in_a_file_is_shown_too(tmp_path):
    require("h5netcdf")
    xr.Dataset({"image": (("y", "x"), PIXELS)}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf", group="one")
    variable = xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf", group="one").image.variable
    *_, array = unwrap_adapters(backend_array(variable))
    opened, group = opened_by_backend(array)
    assert (opened, group.strip("/")) == (str(tmp_path / "a.nc"), "one"), "a store keeps its group elsewhere"


def test_a_store_of_tifffile_shows_its_page(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    found = tiff_page(tifffile.imread(tmp_path / "a.tif", aszarr=True))
    assert found is not None, "a store of tifffile keeps its series elsewhere than in _data"
    assert (found[0], found[1] > 0) == (str(tmp_path / "a.tif"), True)
    assert tiff_page(MemoryStore()) is None


def test_a_dask_array_has_a_meta():
    masked = da.ma.masked_greater(da.from_array(PIXELS), 20)
    assert isinstance(meta_of(masked), np.ma.MaskedArray), "meta_from_array does not return the meta of an array"
    assert meta_of(PIXELS) is PIXELS


def test_zarr_calls_codecs_of_format_2_by_the_methods_of_numcodecs(tmp_path):
    calls = []

    class Doubling:
        codec_id = "doubling"

        def decode(self, stored, out=None):
            calls.append("decode")
            return (np.frombuffer(stored, "u1") // 2).tobytes()

    array = zarr.create_array(tmp_path / "a.zarr", shape=(4,), dtype="u1", zarr_format=2, compressors=None)
    array[:] = [2, 4, 6, 8]
    pipeline = type(array._async_array.codec_pipeline).from_codecs([codec_of_format_2(None, Doubling())])
    object.__setattr__(array._async_array, "codec_pipeline", pipeline)
    assert array[:].tolist() == [1, 2, 3, 4]
    assert calls == ["decode"]


def test_the_rust_pipeline_has_its_codecs_in_impl_and_zarrs_own_besides(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4,), dtype="u1")
    pipeline = ZarrsCodecPipeline.from_array_metadata_and_store(array.metadata, array.store)
    assert {"retrieve_chunks_and_apply_index", "store_chunks_with_indices"} <= set(dir(pipeline.impl))
    again = ZarrsCodecPipeline(pipeline.metadata, pipeline.store, None, pipeline.python_impl)
    assert again.impl is None


def test_with_these_limits_the_codecs_of_rust_run_in_the_thread_that_calls_them(tmp_path):
    stored = zarr.create_array(tmp_path / "a.zarr", shape=(64, 2**16), chunks=(8, 2**16), dtype="u4")
    codecs = one_thread_codecs(stored.metadata, tmp_path / "a.zarr")
    assert pipeline_of(stored) is stored.async_array.codec_pipeline
    samples = np.random.default_rng(0).integers(0, 99, stored.shape, "u4")
    whole = (slice(0, 8), slice(0, 2**16))
    places = [(f"c/{n}/0", (slice(8 * n, 8 * n + 8), whole[1])) for n in range(8)]
    items = [chunk_item(key, whole, stored.chunks, place, stored.shape) for key, place in places]
    before, all_before = time.thread_time(), time.process_time()
    codecs.store_chunks_with_indices(items, samples, False)
    # of a pool of threads, this one would only wait
    assert time.thread_time() - before > (time.process_time() - all_before) / 2
    found = np.empty_like(samples)
    codecs.retrieve_chunks_and_apply_index(items, found)
    np.testing.assert_array_equal(found, samples)
    np.testing.assert_array_equal(stored[:], samples)


RESERVE = """
import ctypes, os, resource, sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("heap_reserve", sys.argv[1])
module = module_from_spec(spec)
spec.loader.exec_module(module)
reserve = module.HeapReserve(int(sys.argv[2]))
library = module._glibc()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    block = library.malloc(2**20)
    ctypes.memset(block, 1, 2**20)
    library.free(block)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
held = reserve.is_held
reserve.close()
print(faults, held, reserve.is_held)
"""


@pytest.mark.skipif(heap_reserve._glibc() is None, reason="the C library is not glibc")
def test_a_reserve_of_the_heap_is_used_for_large_blocks_where_glibc_would_map_each():
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    runs = []
    for nbytes in ("0", str(2**22)):
        command = [sys.executable, "-c", RESERVE, heap_reserve.__file__, nbytes]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        runs.append(done.stdout.split())
    (mapped, *none), (reserved, *held) = runs
    assert (none, held) == (["False", "False"], ["True", "False"])
    assert int(mapped) > 20
    assert int(reserved) < int(mapped) / 4


ALLOCATOR = """
import ctypes, resource, sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("allocator", sys.argv[1])
module = module_from_spec(spec)
spec.loader.exec_module(module)
kept = sys.argv[2] == "1" and module.keep_freed_memory()
library = ctypes.PyDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
for n in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = library.malloc(2**24)
    ctypes.memset(block, 1, 2**24)
    library.free(block)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(heap_reserve._glibc() is None, reason="the C library is not glibc")
def test_glibc_keeps_freed_memory_where_it_is_told_to():
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    runs = []
    for told in "01":
        command = [sys.executable, "-c", ALLOCATOR, allocator.__file__, told]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        runs.append(done.stdout.split())
    (_, mapped), (kept, faults) = runs
    assert kept == "True"
    assert int(faults) < int(mapped) / 4


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_at_another_path_reads_and_writes_there(tmp_path, zarr_format):
    for name in "ab":
        zarr.create_array(tmp_path, name=name, shape=(4,), chunks=(2,), dtype="u2", zarr_format=zarr_format)
    one = open_array(RegularStore(tmp_path), "a")
    assert thread_codecs(one, writes=True).path == "a"
    other = array_at(one, "b")
    assert (one.path, other.path, pickle.loads(pickle.dumps(other)).path) == ("a", "b", "b")
    thread_codecs(other, writes=True).write((Interval(0, 2),), np.array([1, 2], "u2"))
    other[2:] = 7
    np.testing.assert_array_equal(zarr.open_array(tmp_path, path="b", mode="r"), [1, 2, 7, 7])
    assert not np.any(zarr.open_array(tmp_path, path="a", mode="r"))
    np.testing.assert_array_equal(array_at(run_in_python(one), "b"), [1, 2, 7, 7])


def test_asynchronous_file_systems_read_parts_on_their_loop(tmp_path):
    """Else zip files behind URLs are read by a thread for each part."""
    (tmp_path / "a").write_bytes(b"0123456789")
    with serve(tmp_path) as url:
        files, path = fsspec.url_to_fs(f"{url}/a")
        fetched = asyncio.run(_awaited(lambda: begin_fetch(files, path, 2, 5)))
    assert b"0123456789"[2:5] in fetched  # this server sends the whole file
    assert begin_fetch(fsspec.filesystem("memory"), "a", 0, 1) is None


async def _awaited(begin):
    return await begin()
