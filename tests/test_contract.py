"""What every row of the table promises: any chunks, no read while building, no shift, no invented value."""

from math import prod

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.methods import method_names, resolve_method
from msi_lazy.plan.windows import level_extent
from tests.support.counting import CountingStore
from tests.support.kernels import run_kernel
from tests.support.strategies import FLOATS, INTEGERS, block_sizes, chunkings, draw_array, windows

ROWS = [resolve_method(name) for name in method_names()]
NAMES = [row.name for row in ROWS]
CENTRED = [row.name for row in ROWS if row.position == "centre"]
KEEPING = [row.name for row in ROWS if row.keeps_values]
AVERAGING = [row.name for row in ROWS if not row.keeps_values]
SKIPPING = [name for name in NAMES if name != "nearest"]
DTYPES = ("?", *INTEGERS, *FLOATS)


def dtypes_of(name):
    return [dtype for dtype in DTYPES if np.dtype(dtype).kind in resolve_method(name).kinds]


def levels_by_kernel(array, name, factors, boundary, nodata=None):
    """Every level, each from the whole one before."""
    levels = [array]
    for step in factors:
        shape = tuple(level_extent(n, f, boundary) for n, f in zip(levels[-1].shape, step, strict=True))
        levels.append(run_kernel(name, levels[-1], step, shape, nodata))
    return levels


@st.composite
def images(draw, name):
    """An image of two to four of the dimensions t, c, z, y, x, factors for all of them, and the rest."""
    dims = tuple(draw(st.permutations("tczyx")))[: draw(st.integers(2, 4))]
    shape = tuple(draw(st.integers(1, 4 if dim in "tc" else 20)) for dim in dims)
    boundary = draw(st.sampled_from(["trim", "pad"]))
    factors, extents = [], list(shape)
    for _ in range(draw(st.integers(1, 3))):
        step = tuple(draw(st.integers(1, min(4, n))) for n in extents)
        extents = [level_extent(n, f, boundary) for n, f in zip(extents, step, strict=True)]
        factors.append(step)
    return dims, draw_array(draw, draw(st.sampled_from(dtypes_of(name))), shape), factors, boundary


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(data=st.data())
def test_any_chunks_and_blocks_give_the_bits_of_the_whole_array(name, data):
    dims, array, factors, boundary = data.draw(images(name))
    nodata = array.ravel()[0] if data.draw(st.booleans()) else None
    chunked = data.draw(st.booleans())
    tree = msi.to_multiscale(
        xr.DataArray(da.from_array(array, chunks=data.draw(chunkings(array.shape))) if chunked else array, dims=dims),
        [dict(zip(dims, step, strict=True)) for step in factors],
        method=name,
        chunks=data.draw(st.integers(1, 8)),
        boundary=boundary,
        nodata=nodata,
        block_bytes=data.draw(block_sizes(array.shape, array.itemsize)),
    )
    with dask.config.set(scheduler="synchronous"), np.errstate(over="ignore", invalid="ignore"):
        for number, level in enumerate(levels_by_kernel(array, name, factors, boundary, nodata)):
            found = tree[f"scale{number}"].image.values
            np.testing.assert_array_equal(found, level, strict=True)
            np.testing.assert_array_equal(np.signbit(found[found == 0]), np.signbit(level[level == 0]))


@pytest.mark.parametrize("name", NAMES)
def test_building_printing_and_planning_read_and_compute_nothing(name, monkeypatch):
    store = CountingStore(MemoryStore())
    stored = zarr.create_array(store, data=np.ones((2, 40, 50), "u2"), chunks=(1, 16, 16))
    store.reads.clear()

    def refuse(*args, **kwargs):
        raise AssertionError("a computation was started")

    with dask.config.set(scheduler=refuse):
        for image in (
            msi.to_spatial_image(stored, dims="cyx"),
            xr.DataArray(da.from_zarr(stored) + 1, dims=tuple("cyx")),
        ):
            tree = msi.to_multiscale(image, [2, 3], method=name, chunks=8, block_bytes=2000)
            repr(tree), tree._repr_html_(), str(tree.pyramid.explain())
            tree.pyramid.to_zarr(MemoryStore(), compute=False)
    assert not store.chunk_reads()


@pytest.mark.parametrize("factors", [(2, 2), (3, 3), (4, 1), (2, 5)])
@pytest.mark.parametrize("name", [*AVERAGING, "nearest"])
def test_samples_of_a_ramp_are_the_coordinates_of_their_level(name, factors):
    y, x = np.arange(240) * 0.5 + 3, np.arange(260) * 2.0 - 7
    for values, dim in ((y[:, np.newaxis] + 0 * x, "y"), (0 * y[:, np.newaxis] + x, "x")):
        image = msi.to_spatial_image(values, scale={"y": 0.5, "x": 2.0}, translation={"y": 3, "x": -7})
        tree = msi.to_multiscale(image, [dict(zip("yx", factors, strict=True))] * 2, method=name, chunks=16)
        for number in (1, 2):
            level = tree[f"scale{number}"].image
            margin = 8 if dim == "x" else 4  # where the image's edge has no say
            inner = level.isel({dim: slice(margin, -margin)}) if name != "nearest" else level
            if inner.sizes[dim]:
                expected = inner[dim].broadcast_like(inner).transpose(*inner.dims)
                np.testing.assert_allclose(inner, expected, rtol=1e-9)


@pytest.mark.parametrize("factors", [(3, 3), (5, 1), (1, 3)])
@pytest.mark.parametrize("name", CENTRED)
def test_a_mirrored_image_gives_the_mirrored_level(name, factors):
    """No half-pixel shift, also of methods that a ramp says nothing of; two values in odd windows leave no ties."""
    array = np.random.default_rng(3).integers(0, 2, (90, 120), dtype=np.uint8) * 200
    out_shape = tuple(n // f for n, f in zip(array.shape, factors, strict=True))
    found = run_kernel(name, np.ascontiguousarray(np.flip(array)), factors, out_shape)
    np.testing.assert_array_equal(found, np.flip(run_kernel(name, array, factors, out_shape)))
    assert len(np.unique(found)) > 1


@pytest.mark.parametrize("name", NAMES)
def test_constants_stay_constant(name):
    for dtype in dtypes_of(name):
        info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
        exact = info is None or np.dtype(dtype).itemsize < 8 or resolve_method(name).keeps_values
        for value in (0, 1, *((info.min, info.max) if info and exact else ())):
            array = np.full((9, 10), value, dtype)
            assert (run_kernel(name, array, (2, 3), (5, 4)) == np.array(value, dtype)).all()


@pytest.mark.parametrize("name", KEEPING)
@settings(max_examples=30)
@given(data=st.data())
def test_methods_that_keep_values_invent_none(name, data):
    array, factors, out_shape = data.draw(windows([dtype for dtype in DTYPES if dtype != "f2"]))
    found = run_kernel(name, array, factors, out_shape)
    assert np.isin(found[found == found], array, kind="sort").all()
    assert found.dtype == array.dtype
    assert (found == found).all() or np.isnan(array).any()


@pytest.mark.parametrize("name", AVERAGING)
def test_methods_that_average_do_invent_values(name):
    array = np.random.default_rng(0).integers(0, 200, (40, 40), dtype=np.uint8) // 50 * 50
    assert not np.isin(run_kernel(name, array, (2, 2), (20, 20)), array).all()


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.chains])
@settings(max_examples=40)
@given(data=st.data())
def test_two_steps_are_one_where_the_row_says_so(name, data):
    shape = tuple(data.draw(st.integers(12, 30)) for _ in range(data.draw(st.integers(1, 3))))
    array = draw_array(data.draw, data.draw(st.sampled_from([*INTEGERS, "f4"])), shape)
    boundary = data.draw(st.sampled_from(["trim", "pad"]))
    nodata = array.ravel()[0] if data.draw(st.booleans()) else None
    steps = [tuple(data.draw(st.integers(1, 3)) for _ in shape) for _ in range(2)]
    product = tuple(map(prod, zip(*steps, strict=True)))
    by_steps = levels_by_kernel(array, name, steps, boundary, nodata)[-1]
    np.testing.assert_array_equal(by_steps, levels_by_kernel(array, name, [product], boundary, nodata)[-1])


@pytest.mark.parametrize("name", [row.name for row in ROWS if not row.chains])
def test_two_steps_are_not_one_where_the_row_says_so(name):
    array = np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8)
    array //= 1 if name in AVERAGING else 80  # few values, so that modes are none by chance
    by_steps = levels_by_kernel(array, name, [(2, 2), (2, 2)], "trim")[-1]
    assert (by_steps != levels_by_kernel(array, name, [(4, 4)], "trim")[-1]).any()


@pytest.mark.parametrize("name", NAMES)
def test_every_dtype_is_taken_as_it_is_or_refused(name):
    for dtype in DTYPES:
        image = xr.DataArray(np.ones((12, 12), np.dtype(dtype).newbyteorder(">")), dims=("y", "x"))
        if dtype in dtypes_of(name):
            level = msi.to_multiscale(image, [2], method=name)["scale1"].image
            assert level.dtype == level.values.dtype == np.dtype(dtype)
            assert (level == 1).all()
        else:
            with pytest.raises(TypeError, match=f"method '{name}' is not defined for images of dtype bool"):
                msi.to_multiscale(image, [2], method=name)


@pytest.mark.parametrize("name", SKIPPING)
def test_nan_and_nodata_are_left_out_and_stay_where_there_is_nothing_else(name):
    for dtype in ("f2", "f4", "f8"):
        array = np.full((60, 60), np.nan, dtype)
        array[:30] = 3
        array[:30:2] = np.nan
        found = run_kernel(name, array, (2, 2), (30, 30))
        assert (found[:15] == 3).all()
        assert np.isnan(found[20:]).all()
        array[np.isnan(array)] = -1
        array[0, 0] = np.nan
        found = run_kernel(name, array, (2, 2), (30, 30), -1)
        assert (found[:15] == 3).all()
        assert (found[20:] == -1).all()
    labels = np.where(np.arange(60) % 2, 7, np.where(np.arange(60) < 30, 9, 7)).astype("u2")
    found = run_kernel(name, np.broadcast_to(labels, (60, 60)), (2, 2), (30, 30), 7)
    assert (found[:, :15] == 9).all()
    assert (found[:, 20:] == 7).all()


def test_nearest_picks_nan_and_nodata_like_any_other_sample():
    array = np.array([np.nan, 1.0, 2.0, 3.0, np.inf, 5.0])
    np.testing.assert_array_equal(run_kernel("nearest", array, (2,), (3,), 2.0), [np.nan, 2.0, np.inf])


@pytest.mark.parametrize("name", NAMES)
def test_infinities_stay_near_where_they_are(name):
    array = np.zeros((2, 80))
    array[0, 40:], array[1, 40:] = np.inf, -np.inf
    found = run_kernel(name, array, (1, 2), (2, 40))
    assert (found[:, :15] == 0).all()
    assert (found[0, 25:] == np.inf).all()
    assert (found[1, 25:] == -np.inf).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", [0, 2, 2, 0, -2, -2]),
        ("bin_shrink", [1, 2, 3, 0, -1, -2]),
        ("xarray_coarsen", [0, 1, 2, 0, -1, -2]),
    ],
)
def test_ties_also_below_zero(name, expected):
    array = np.array([0, 1, 1, 2, 2, 3, -1, 0, -2, -1, -3, -2], np.int8)
    assert run_kernel(name, array, (2,), (6,)).tolist() == expected


@pytest.mark.parametrize("name", [name for name in AVERAGING if "gaussian" in name])
def test_gaussians_round_half_to_even_also_below_zero(name):
    ramp = np.arange(-40, 40, dtype=np.int16)
    found = run_kernel(name, ramp, (2,), (40,))
    np.testing.assert_array_equal(found[4:-4], np.rint(np.arange(-39.5, 40, 2))[4:-4])
