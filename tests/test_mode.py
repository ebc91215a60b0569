"""The mode: votes, ties and missing samples; windows of every size; any chunking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.methods.mode import window_mode
from tests.support.optional import require
from tests.support.strategies import INTEGERS
from tests.support.window_oracles import most_frequent, reduce_windows

NATIVE = ("?", *INTEGERS, "f4", "f8")


def mode_of(samples, dtype, nodata=None):
    array = np.array(samples, dtype)
    return window_mode(array, array.shape, (1,) * array.ndim, nodata).item()


def few_values(dtype, shape, seed=0):
    """Values with many ties, at both ends of the dtype and around zero."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        pool = [-np.inf, -2.5, -0.0, 0.0, 1e-40, 3.0, np.inf, np.nan]
    elif dtype.kind == "b":
        pool = [False, True]
    else:
        info = np.iinfo(dtype)
        pool = [info.min, info.min + 1, 0, 1, info.max // 2, info.max // 2 + 1, info.max]
    return np.random.default_rng(seed).choice(np.array(pool, dtype), shape)


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((8, 8, 8), (2, 2, 2)),
        ((7, 9, 5), (2, 2, 2)),
        ((11, 11, 11), (5, 5, 5)),
        ((13, 9, 3), (3, 2, 1)),
        ((4, 6, 40), (2, 3, 1)),
        ((33, 34), (16, 17)),
        ((700,), (300,)),
        ((9, 300), (1, 2)),
        ((3, 5), (1, 1)),
    ],
)
def test_ties_and_partial_windows_of_any_size(dtype, shape, factors):
    array = few_values(dtype, shape)
    out_shape = tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    expected = reduce_windows(array, factors, out_shape, most_frequent)
    np.testing.assert_array_equal(window_mode(array, factors, out_shape), expected, strict=True)


@given(st.data())
def test_windows_larger_than_a_count_of_their_own_width(data):
    """More than 127, 255 and 32,767 samples: a count must not wrap."""
    dtype = data.draw(st.sampled_from(["u1", "i1", "u2", "i2"]))
    votes = data.draw(st.lists(st.sampled_from([1, 60, 127, 128, 255, 256, 257, 33000]), min_size=2, max_size=4))
    samples = [value for value, count in enumerate(votes) for _ in range(count)]
    array = np.random.default_rng(0).permutation(np.array(samples, dtype))
    assert window_mode(array, array.shape, (1,))[0] == most_frequent(samples)


@pytest.mark.parametrize("factors", [(2, 2, 2), (4, 3, 2), (8, 8, 8)])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i4", "u8", "i8"])
def test_agrees_with_tensorstore_on_labels(dtype, factors):
    rng = np.random.default_rng(1)
    cells = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (5, 6, 7), dtype=dtype, endpoint=True)
    labels = cells.repeat(5, 0).repeat(5, 1).repeat(5, 2)
    labels[rng.random(labels.shape) < 0.1] = 0
    ts = require("tensorstore")
    expected = ts.downsample(ts.array(labels), list(factors), "mode").read().result()
    np.testing.assert_array_equal(window_mode(labels, factors, expected.shape), expected, strict=True)


def test_of_equally_frequent_samples_the_smallest_also_below_zero():
    assert mode_of([3, 3, 1, 1], "u1") == 1
    assert mode_of([4, -4, 2, -1], "i2") == -4
    assert mode_of([-1.5, 2.0, -1.5, 2.0], "f4") == -1.5
    assert mode_of([2**63, 1, 2**64 - 1, 2**63, 2**64 - 1], "u8") == 2**63
    assert mode_of([np.inf, -np.inf], "f8") == -np.inf
    assert mode_of([True, False], "?") is False


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("samples", [[-0.0, -0.0], [0.0, -0.0], [-0.0, 0.0, 5.0], [-0.0, 5.0, -0.0], [1.0, -0.0, 0.0]])
def test_zeros_of_both_signs_are_one_value_written_as_positive(dtype, samples):
    found = mode_of(samples, dtype)
    assert found == 0
    assert not np.signbit(found)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_nan_has_no_vote_whatever_its_bits(dtype):
    odd = -np.array(np.nan, dtype)
    assert mode_of([np.nan, odd, np.nan, 3, 2, 3], dtype) == 3
    assert np.isnan(mode_of([np.nan, odd], dtype))
    both = window_mode(np.array([np.nan, odd, odd, odd], dtype), (2,), (2,))
    assert both.tobytes() == np.full(2, np.nan, dtype).tobytes()


@pytest.mark.parametrize("dtype", ["i1", "u4", "u8", "f4", "f8"])
def test_nodata_has_no_vote(dtype):
    assert mode_of([7, 7, 7, 2, 2, 1], dtype, 7) == 2
    assert mode_of([7, 7, 7, 7], dtype, 7) == 7
    assert mode_of([7, 7, 7, 0], dtype, 7) == 0


def test_a_window_of_nodata_and_nan_is_nodata():
    assert mode_of([np.nan, -1.0, np.nan], "f4", -1.0) == -1.0
    assert mode_of([np.nan, np.nan], "f4", -1.0) == -1.0
    assert mode_of([-0.0, 0.0, 0.0, 4.0], "f8", 0.0) == 4.0
    assert np.isnan(mode_of([np.nan, np.nan], "f4", np.nan))


def test_a_window_as_large_as_the_image():
    array = np.random.default_rng(2).integers(0, 50, (40, 60, 50), dtype=np.uint16)
    assert mode_of(array, "u2") == np.bincount(array.ravel()).argmax()
