"""Slices of what is stored are read window by window, and what is no plain slice is left to Dask."""

from functools import partial
from itertools import pairwise, product
from operator import getitem
from uuid import uuid4

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import Task, TaskRef
from hypothesis import assume, given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.plan.windows import Interval, slices
from msi_lazy.source.selection import SlicedArray
from msi_lazy.source.sources import WindowSource, find_source
from msi_lazy.source.stored_chunks import stored_chunks
from msi_lazy.source.views import find_view
from tests.support.counting import CountingStore
from tests.support.optional import require

SHAPE = (6, 20, 30)
ARRAY = np.arange(np.prod(SHAPE)).reshape(SHAPE)


@st.composite
def basic_slices(draw, shape):
    key = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        stop = draw(st.integers(start + 1, n))
        key.append(draw(st.sampled_from([slice(None), slice(start, stop), slice(start, None), start, -n + start])))
    return tuple(key)


@given(first=basic_slices(SHAPE), data=st.data())
def test_any_basic_slices_of_slices_are_seen_through(first, data):
    stored = zarr.create_array(MemoryStore(), data=ARRAY, chunks=(2, 7, 8))
    array = da.from_zarr(stored)[first]
    expected = ARRAY[first]
    if array.ndim and data.draw(st.booleans()):
        second = data.draw(basic_slices(array.shape))
        array, expected = array[second], expected[second]
    if not array.ndim:
        return
    view = find_view(array)
    assert view is not None
    np.testing.assert_array_equal(SlicedArray(ARRAY, view.selection)[(slice(None),) * array.ndim], expected)
    assert tuple(map(sum, view.selection.chunks(stored_chunks(stored)))) == array.shape
    dims = tuple(f"d{i}" for i in range(array.ndim))
    tree = msi.to_multiscale(xr.DataArray(array, dims=dims), [{dims[0]: 1}], chunks=3, block_bytes=200)
    np.testing.assert_array_equal(tree["scale1/image"], expected)


@pytest.mark.parametrize(
    "key",
    [
        ([0, 2, 3],),
        (slice(None), slice(None), [5, 3]),
        (slice(None), [1, 4, 5, 9], 2),
    ],
)
def test_other_slices_are_left_to_dask(key):
    array = da.from_zarr(zarr.create_array(MemoryStore(), data=ARRAY, chunks=(2, 7, 8)))[key]
    assert find_view(array) is None
    expected = ARRAY[key]
    dims = tuple(f"d{i}" for i in range(array.ndim))
    tree = msi.to_multiscale(xr.DataArray(array, dims=dims), [{dims[0]: 1}], chunks=3)
    np.testing.assert_array_equal(tree["scale1/image"], expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a + 0,
        lambda a: a.rechunk(5),
        lambda a: da.concatenate([a, a]),
        lambda a: da.concatenate([a[3:], a[:3]]),
        lambda a: a.astype("f4"),  # narrower: blocks would be read at twice their size
        lambda a: a.astype("f8", casting="safe"),
        lambda a: da.broadcast_to(a, (2, *a.shape)),
        lambda a: a.reshape(1, *a.shape),
        lambda a: a.map_blocks(np.negative),
        lambda a: da.roll(a, 2, axis=1),
    ],
)
def test_other_operations_are_left_to_dask(change):
    array = change(da.from_zarr(zarr.create_array(MemoryStore(), data=ARRAY, chunks=(2, 7, 8))))
    assert find_view(array) is None


def test_one_channel_of_a_stored_image_costs_a_task_per_block():
    store = CountingStore(MemoryStore())
    stored = zarr.create_array(store, data=np.ones((3, 64, 64), "u2"), chunks=(1, 8, 8))
    image = xr.DataArray(da.from_zarr(stored), dims=("c", "y", "x")).isel(c=1)
    tree = msi.to_multiscale(image, [2, 2], chunks=8, block_bytes=32 * 32 * 2)
    plan = msi.explain(tree)
    store.reads.clear()
    tree.pyramid.to_zarr(MemoryStore())
    assert plan.tasks == 4 + 1
    assert plan.reading.chunks == 64 == len(store.chunk_reads())
    assert set(store.chunk_reads().values()) == {1}
    assert all(key.startswith("c/1/") for key in store.chunk_reads())


def test_blocks_that_are_taken_whole_are_part_of_a_slice():
    array = da.from_zarr(zarr.create_array(MemoryStore(), data=ARRAY, chunks=(2, 7, 8)))[:, 1:]
    assert find_view(array).selection.kept == (range(6), range(1, 20), range(30))
    assert find_view(array[2:, :, 3]).selection.kept == (range(2, 6), range(1, 20), 3)


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        ((slice(1, 4), slice(0, 3)), (range(1, 7),)),
        ((slice(0, 4, 3), slice(2, 4)), None),  # of two steps
        ((slice(1, 3), slice(0, 3)), None),  # sample 3 is in neither: what is between the first and the last is more
        ((slice(0, 4), slice(1, 3)), None),
    ],
    ids=["adjacent", "of two steps", "a gap before the border", "a gap after it"],
)
def test_blocks_with_a_gap_between_them_are_no_view(parts, kept):
    """Slices of Dask leave no gap; a graph that is written by hand may."""
    below = da.from_zarr(zarr.create_array(MemoryStore(), data=np.arange(8), chunks=4))
    tasks = {("cut", n): Task(("cut", n), getitem, TaskRef((below.name, n)), (part,)) for n, part in enumerate(parts)}
    graph = HighLevelGraph.from_collections("cut", tasks, dependencies=[below])
    cut = da.Array(graph, "cut", (tuple(len(range(4)[part]) for part in parts),), dtype=below.dtype)
    np.testing.assert_array_equal(cut, np.concatenate([np.arange(8)[:4][parts[0]], np.arange(8)[4:][parts[1]]]))
    view = find_view(cut)
    assert (view and view.selection.kept) == kept


@st.composite
def edits(draw, ndim):
    """A chain of edits of an image of ``ndim`` dimensions."""
    chain = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["rename", "transpose", "crop", "flip", "step", "pick"]))
        if kind == "pick" and ndim == 1:
            kind = "crop"
        dim = draw(st.integers(0, ndim - 1))
        number = draw(st.integers(0, 3))
        order = draw(st.permutations(range(ndim)))
        chain.append((kind, dim, number, order))
        ndim -= kind == "pick"
    return chain


def apply_edits(image, chain):
    for kind, number, amount, order in chain:
        dim = image.dims[number]
        n = image.sizes[dim]
        if kind == "rename":
            free = next(name for name in "abcdef" if name not in image.dims)
            image = image.rename({dim: free})
        elif kind == "transpose":
            image = image.transpose(*(image.dims[axis] for axis in order))
        elif kind == "pick":
            image = image.isel({dim: min(amount, n - 1) - (n if amount % 2 else 0)})
        else:
            start = amount % max(n - 1, 1)
            part = {"crop": slice(start, n - (amount > 1 and n - start > 1)), "flip": slice(None, None, -1)}
            image = image.isel({dim: part.get(kind, slice(start, None, amount - 2 or 3))})
            image = image if image.sizes[dim] else image.isel({dim: slice(None)})
    return image


@pytest.fixture(scope="module")
def stored_pixels(tmp_path_factory):
    """The same samples as each kind of array that windows can be read from."""
    place = tmp_path_factory.mktemp("stored")
    pixels = ARRAY.astype("i4")
    xr.Dataset({"image": (("z", "y", "x"), pixels)}).to_zarr(
        place / "a.zarr", consolidated=False, encoding={"image": {"chunks": (2, 7, 8)}}
    )
    pixels.tofile(place / "a.raw")
    mapped = np.memmap(place / "a.raw", "i4", "r", shape=SHAPE)
    file = require("h5py").File(place / "a.h5", "w")
    chunked = file.create_dataset("chunked", data=pixels, chunks=(2, 7, 8))
    opened = partial(xr.open_zarr, place / "a.zarr", consolidated=False)
    yield {
        "zarr": lambda: da.from_zarr(zarr.open_array(place / "a.zarr/image", mode="r")),
        "zarr, in slabs": lambda: da.from_zarr(zarr.open_array(place / "a.zarr/image", mode="r"), chunks=(4, 20, 9)),
        "zarr by xarray, lazily": lambda: opened(chunks=None).image.variable,
        "zarr by xarray": lambda: opened(chunks={}).image.data,
        "memory map": lambda: mapped,
        "memory map by Dask": lambda: da.from_array(mapped, chunks=(3, 20, 11)),
        "NumPy": lambda: pixels,
        "h5py": lambda: da.from_array(chunked, chunks=(4, 14, 16)),
        "h5py, contiguous": lambda: da.from_array(file.create_dataset(uuid4().hex, data=pixels), chunks=(3, 20, 11)),
    }
    file.close()


KINDS = [
    *("zarr", "zarr, in slabs", "zarr by xarray, lazily", "zarr by xarray", "memory map", "memory map by Dask"),
    *("NumPy", "h5py", "h5py, contiguous"),
]


@given(chain=edits(3), kind=st.sampled_from(KINDS))
def test_any_chain_of_edits_is_read_by_window(chain, kind, stored_pixels):
    image = apply_edits(xr.DataArray(stored_pixels[kind](), dims=("z", "y", "x")), chain)
    expected = apply_edits(xr.DataArray(ARRAY.astype("i4"), dims=("z", "y", "x")), chain)
    assume(expected.size)
    source = find_source(image)
    assert isinstance(source, WindowSource)
    assert source.is_known
    assert source.chunks is None or tuple(map(sum, source.chunks)) == expected.shape
    borders = [sorted({0, n, n // 3, 2 * n // 3}) for n in expected.shape]
    for window in product(*(map(Interval._make, pairwise(along)) for along in borders)):
        np.testing.assert_array_equal(source.read(window), expected.values[slices(window)], strict=True)
