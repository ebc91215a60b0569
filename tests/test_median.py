"""The median: which middle, missing samples, extremes; windows of every size; any cut into blocks."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.methods.median import window_median
from tests.support.optional import require
from tests.support.strategies import INTEGERS, draw_array
from tests.support.window_oracles import reduce_windows

NATIVE = ("?", *INTEGERS, "f4", "f8")


def lower_middle(samples, nodata=None):
    """By definition: in order, without what is missing, the last sample of the lower half."""
    valid = sorted(sample for sample in samples if sample == sample and sample != nodata)
    empty = samples[0] if nodata is None else nodata
    return valid[(len(valid) - 1) // 2] if valid else empty


def median_of(samples, dtype, nodata=None):
    array = np.array(samples, dtype)
    return window_median(array, array.shape, (1,) * array.ndim, nodata).item()


def extremes(dtype, shape, seed=0):
    """A few values with many ties: both ends of the dtype, their neighbours, and those around zero."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        top, tiny = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
        pool = [-np.inf, -top, -tiny, -0.0, 0.0, tiny, 1.0, top, np.inf, np.nan, np.nan]
    elif dtype.kind == "b":
        pool = [False, True]
    else:
        info = np.iinfo(dtype)
        pool = [info.min, info.min + 1, 0, 1, info.max // 2, info.max // 2 + 1, info.max - 1, info.max]
    return np.random.default_rng(seed).choice(np.array(pool, dtype), shape)


def count_windows(shape, factors):
    """Windows along each axis, a partial one at the end counted."""
    return tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))


@st.composite
def images(draw, dtypes, max_extent=9):
    """An image, factors, and how many windows are wanted; the last ones partial or left off."""
    shape = tuple(draw(st.integers(1, max_extent)) for _ in range(draw(st.integers(1, 4))))
    factors = tuple(draw(st.integers(1, min(4, n))) for n in shape)
    whole = tuple(n // f for n, f in zip(shape, factors, strict=True))
    out_shape = draw(st.sampled_from([whole, count_windows(shape, factors)]))
    return draw_array(draw, draw(st.sampled_from(dtypes)), shape), factors, out_shape


@given(case=images(NATIVE))
def test_is_the_sample_in_the_middle(case):
    array, factors, out_shape = case
    expected = reduce_windows(array, factors, out_shape, lower_middle)
    np.testing.assert_array_equal(window_median(array, factors, out_shape), expected, strict=True)


@given(case=images(NATIVE), data=st.data())
def test_nodata_is_left_out(case, data):
    array, factors, out_shape = case
    candidates = [value for value in array.ravel().tolist() if value == value]
    nodata = data.draw(st.sampled_from(candidates or [0.0]))
    expected = reduce_windows(array, factors, out_shape, partial(lower_middle, nodata=nodata))
    np.testing.assert_array_equal(window_median(array, factors, out_shape, nodata), expected, strict=True)


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((8, 8, 8), (2, 2, 2)),
        ((7, 9, 5), (2, 2, 2)),  # partial along every axis
        ((11, 11, 11), (5, 5, 5)),
        ((13, 9, 3), (3, 2, 1)),  # colours last
        ((4, 6, 40), (2, 3, 1)),  # nothing to reduce along the row
        ((33, 34), (16, 17)),  # 272 samples
        ((700,), (300,)),
        ((9, 1101), (2, 2)),  # more windows in a row than lanes
        ((5, 1101, 3), (2, 3, 1)),
        ((301, 7), (2, 3)),  # many short rows
        ((3, 5), (1, 1)),
    ],
)
def test_extremes_and_partial_windows_of_any_size(dtype, shape, factors):
    array = extremes(dtype, shape)
    out_shape = count_windows(shape, factors)
    for nodata in (None, array.min(), array.flat[0], np.nanmax(array)):
        expected = reduce_windows(
            array, factors, out_shape, lambda samples, nodata=nodata: lower_middle(samples, nodata)
        )
        np.testing.assert_array_equal(window_median(array, factors, out_shape, nodata), expected, strict=True)


@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 3, 3), (3, 1, 2), (1, 4, 1), (7, 8, 9)])
@pytest.mark.parametrize("dtype", NATIVE)
def test_agrees_with_tensorstore(dtype, factors):
    """Its tie rule is ours; it does not leave out NaN, so there is none."""
    rng = np.random.default_rng(1)
    shape = (23, 17, 34)
    if np.dtype(dtype).kind == "f":
        array = (rng.standard_normal(shape) * 1e3).astype(dtype)
        array[rng.random(shape) < 0.1] = np.inf
        array[rng.random(shape) < 0.1] = -np.inf
    elif dtype == "?":
        array = rng.random(shape) < 0.5
    else:
        array = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    ts = require("tensorstore")
    expected = ts.downsample(ts.array(array), list(factors), "median").read().result()
    np.testing.assert_array_equal(window_median(array, factors, expected.shape), expected, strict=True)


def test_of_an_even_number_the_lower_middle():
    assert median_of([4, 1, 3, 2], "u1") == 2
    assert median_of([-4, -1, -3, -2], "i2") == -3
    assert median_of([1.5, -1.5], "f4") == -1.5
    assert median_of([True, False], "?") is False
    assert median_of([np.inf, -np.inf, np.inf], "f8") == np.inf


def test_the_largest_integers_are_not_rounded_nor_wrapped():
    assert median_of([2**64 - 1, 2**64 - 2, 2**63, 2**63 - 1, 0], "u8") == 2**63
    assert median_of([2**64 - 1, 2**64 - 2, 2**64 - 3], "u8") == 2**64 - 2
    assert median_of([-(2**63), 2**63 - 1, 2**63 - 2], "i8") == 2**63 - 2
    assert median_of([-(2**63), -(2**63), 2**63 - 1, 2**63 - 1], "i8") == -(2**63)


@pytest.mark.parametrize("dtype", NATIVE)
def test_what_is_left_out_changes_nothing_however_much_it_is(dtype):
    """A window of 12 with the lowest, the highest or another value missing 0 to 12 times."""
    rng = np.random.default_rng(3)
    values = np.unique(extremes(dtype, 300)[:, np.newaxis])
    values = values[values == values]
    for nodata in values:
        others = values[values != nodata]
        for missing in range(13):
            window = np.concatenate([np.full(missing, nodata), rng.choice(others, 12 - missing)])
            found = median_of(rng.permutation(window), dtype, nodata)
            assert found == lower_middle(window.tolist(), nodata.item())


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("samples", [[-0.0, -0.0], [0.0, -0.0], [-0.0, 0.0, 5.0], [-5.0, -0.0, 5.0], [-0.0, 1.0]])
def test_zeros_of_both_signs_are_one_value_written_as_positive(dtype, samples):
    found = median_of(samples, dtype)
    assert found == 0
    assert not np.signbit(found)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_nan_is_left_out_whatever_its_bits(dtype):
    odd = -np.array(np.nan, dtype)
    assert median_of([np.nan, odd, np.nan, 3, 2, 7], dtype) == 3
    assert median_of([odd, odd, odd, odd, -np.inf], dtype) == -np.inf
    assert median_of([np.nan, np.nan, np.nan, np.inf], dtype) == np.inf
    both = window_median(np.array([np.nan, odd, odd, odd], dtype), (2,), (2,))
    assert both.tobytes() == np.full(2, np.nan, dtype).tobytes()


def test_a_window_of_nodata_and_nan_is_nodata():
    assert median_of([np.nan, -1.0, np.nan], "f4", -1.0) == -1.0
    assert median_of([np.nan, np.nan], "f4", -1.0) == -1.0
    assert median_of([-0.0, 0.0, 0.0, 4.0], "f8", 0.0) == 4.0
    assert median_of([np.inf, np.inf, 4.0], "f8", np.inf) == 4.0
    assert np.isnan(median_of([np.nan, np.nan], "f4", np.nan))


@pytest.mark.parametrize("dtype", ["u1", "i8", "f4"])
def test_a_window_as_large_as_the_image(dtype):
    array = np.random.default_rng(2).integers(0, 100, (20, 30, 25)).astype(dtype)
    assert median_of(array, dtype) == np.sort(array, axis=None)[(array.size - 1) // 2]


@pytest.mark.parametrize("dtype", ["u2", "f8"])
def test_takes_views_that_are_not_contiguous_and_leaves_them_alone(dtype):
    base = np.arange(64 * 6).reshape(64, 6).astype(dtype)
    array, before = base.T[:, ::2], base.copy()
    expected = reduce_windows(array, (2, 2), (3, 16), lower_middle)
    np.testing.assert_array_equal(window_median(array, (2, 2), (3, 16), 7), expected)
    window_median(base, (2, 2), (32, 3), 7)
    np.testing.assert_array_equal(base, before)


@given(case=images(NATIVE, max_extent=20), data=st.data())
def test_cutting_into_blocks_makes_no_difference_to_any_bit(case, data):
    array, factors, out_shape = case
    whole = window_median(array, factors, out_shape)
    parts = np.empty_like(whole)
    cuts = [data.draw(st.integers(0, n)) for n in out_shape]
    for corner in np.ndindex(*(2,) * array.ndim):
        ends = [(cut, n) if upper else (0, cut) for upper, cut, n in zip(corner, cuts, out_shape, strict=True)]
        if all(start < stop for start, stop in ends):
            block = array[tuple(slice(a * f, b * f) for (a, b), f in zip(ends, factors, strict=True))]
            part = window_median(block, factors, tuple(stop - start for start, stop in ends))
            parts[tuple(slice(start, stop) for start, stop in ends)] = part
    assert parts.tobytes() == whole.tobytes()
