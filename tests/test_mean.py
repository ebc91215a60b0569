"""Means in three roundings against fractions, ITK and xarray; extremes; no bit depends on the block."""

from fractions import Fraction
from math import floor, prod, trunc

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.methods.extremes import window_maximum, window_minimum
from msi_lazy.methods.mean import window_mean, window_mean_half_up, window_mean_truncated
from tests.support.itk_oracles import itk_bin_shrink
from tests.support.strategies import INTEGERS
from tests.support.window_oracles import exact_mean, largest, reduce_windows, smallest

ROUNDINGS = {
    window_mean: round,
    window_mean_half_up: lambda mean: floor(mean + Fraction(1, 2)),
    window_mean_truncated: trunc,
}
EXTREMES = {window_minimum: smallest, window_maximum: largest}
SIGNED = [dtype for dtype in INTEGERS if dtype.startswith("i")]


def by_name(functions):
    return pytest.mark.parametrize("kernel", functions, ids=lambda kernel: kernel.__name__)


def mean_of(kernel, samples, dtype, nodata=None):
    array = np.array(samples, dtype)
    return kernel(array, array.shape, (1,) * array.ndim, nodata).item()


@st.composite
def windows(draw, dtypes):
    """An array, factors, and how many windows: trimmed, or with partial ones."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = tuple(draw(st.integers(1, 9)) for _ in range(draw(st.integers(1, 4))))
    factors = tuple(draw(st.integers(1, min(7, n))) for n in shape)
    pad = draw(st.booleans())
    out_shape = tuple(-(-n // f) if pad else n // f for n, f in zip(shape, factors, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return draw_samples(draw, rng, dtype, shape), factors, out_shape


def draw_samples(draw, rng, dtype, shape):
    """Integers around zero, at an end of the range or all over it; floats with zeros of both signs, NaN, infinities."""
    if dtype.kind == "f":
        array = (rng.standard_normal(shape) * 10.0 ** draw(st.integers(-3, 3))).astype(dtype)
        odd = draw(st.lists(st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf]), max_size=4))
        for value in odd:
            array[rng.random(shape) < 0.2] = value
        return array
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    bounds = draw(st.sampled_from([(low, high), (max(low, -3), 3), (low, low + 2), (high - 2, high)]))
    return rng.integers(*bounds, shape, dtype=dtype, endpoint=True)


@by_name(ROUNDINGS)
@given(case=windows(INTEGERS), data=st.data())
def test_integers_are_rounded_fractions(kernel, case, data):
    array, factors, out_shape = case
    nodata = data.draw(st.none() | st.sampled_from(array.ravel().tolist()))

    def reduce(samples):
        valid = [sample for sample in samples if sample != nodata]
        return ROUNDINGS[kernel](Fraction(sum(valid), len(valid))) if valid else nodata

    expected = reduce_windows(array, factors, out_shape, reduce)
    np.testing.assert_array_equal(kernel(array, factors, out_shape, nodata), expected, strict=True)


@by_name(ROUNDINGS)
@given(case=windows(["f4", "f8"]))
def test_floats_are_summed_in_order_and_not_rounded(kernel, case):
    array, factors, out_shape = case
    with np.errstate(all="ignore"):
        expected = reduce_windows(array, factors, out_shape, exact_mean)
        found = kernel(array, factors, out_shape)
    np.testing.assert_array_equal(found, expected, strict=True)
    np.testing.assert_array_equal(np.signbit(found[found == 0]), np.signbit(expected[expected == 0]))


@by_name([*ROUNDINGS, *EXTREMES])
@given(case=windows(["f4", "f8"]), data=st.data())
def test_nodata_is_left_out_of_floats(kernel, case, data):
    array, factors, out_shape = case
    nodata = array.dtype.type(data.draw(st.sampled_from(array.ravel().tolist())))

    def reduce(samples):
        valid = [sample for sample in samples if sample not in (nodata, -nodata if nodata == 0 else nodata)]
        found = EXTREMES.get(kernel, exact_mean)(valid) if valid else nodata
        return nodata if found != found and not np.isinf(valid).any() else found

    with np.errstate(all="ignore"):
        expected = reduce_windows(array, factors, out_shape, reduce)
        found = kernel(array, factors, out_shape, nodata)
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("dtype", SIGNED)
def test_ties_below_zero(dtype):
    pairs = [(-1, 0), (-2, -1), (-3, -2), (-4, -3), (0, 1), (1, 2), (2, 3)]
    found = {kernel: [mean_of(kernel, pair, dtype) for pair in pairs] for kernel in ROUNDINGS}
    assert found[window_mean] == [0, -2, -2, -4, 0, 2, 2]
    assert found[window_mean_half_up] == [0, -1, -2, -3, 1, 2, 3]
    assert found[window_mean_truncated] == [0, -1, -2, -3, 0, 1, 2]


@by_name(ROUNDINGS)
@pytest.mark.parametrize("dtype", ["i8", "u8"])
@pytest.mark.parametrize("count", [2, 3, 4, 6, 8, 11])
def test_ends_of_64_bits(kernel, dtype, count):
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    for samples in ([high] * count, [low] * count, [high] * (count - 1) + [low], [low] * (count - 1) + [high - 1]):
        expected = ROUNDINGS[kernel](Fraction(sum(samples), count))
        assert mean_of(kernel, samples, dtype) == expected
        assert mean_of(kernel, [7, *samples, 7], dtype, nodata=7) == expected


@by_name(ROUNDINGS)
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("count", [2, 6, 10, 49, 98, 196, 256, 300, 206])
def test_neighbours_of_ties_in_windows_of_any_size(kernel, dtype, count):
    """Products with reciprocals err on some of them; sums of bytes outgrow 16 bits."""
    top = int(np.iinfo(dtype).max)
    for quotient in {0, 1, 2, top - 1} | ({-1, -2, -3, -top} if dtype in SIGNED else set()):
        for more in {0, 1, count // 2 - 1, count // 2, count // 2 + 1, count - 1}:
            samples = [quotient + 1] * more + [quotient] * (count - more)
            assert mean_of(kernel, samples, dtype) == ROUNDINGS[kernel](quotient + Fraction(more, count))


@by_name(ROUNDINGS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_windows_whose_sums_outgrow_every_narrow_sum(kernel, dtype):
    top = int(np.iinfo(dtype).max)
    array = np.full((300, 300), top, dtype)
    array[:150] -= 1
    expected = ROUNDINGS[kernel](top - Fraction(1, 2))
    assert mean_of(kernel, array, dtype) == expected
    array[0] = 0
    samples = [top - 1] * (149 * 300) + [top] * (150 * 300)
    assert mean_of(kernel, array, dtype, nodata=0) == ROUNDINGS[kernel](Fraction(sum(samples), len(samples)))


@by_name(ROUNDINGS)
def test_a_window_whose_sum_outgrows_float64(kernel):
    top, count = 2**32 - 1, 2**22 - 2
    array = np.full(count, top, "u4")
    for more in (count // 2, count // 2 - 1, count // 2 + 1):
        array[:more], array[more:] = top, top - 1
        assert mean_of(kernel, array, "u4") == ROUNDINGS[kernel](top - 1 + Fraction(more, count))


@by_name([*ROUNDINGS, *EXTREMES])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u8", "f4"])
@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((2, 20011), (2, 2)),
        ((3, 4099, 3), (2, 3, 1)),
        ((30011,), (10000,)),
        ((40007, 3), (2, 2)),
        ((7, 3, 9000), (2, 2, 1)),
    ],
)
def test_long_rows_and_many_rows_are_worked_on_piece_by_piece(kernel, dtype, shape, factors):
    """Against NumPy on the whole, with partial windows split off."""
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    out_shape = tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    found = kernel(array, factors, out_shape)
    whole = tuple(n // f for n, f in zip(shape, factors, strict=True))
    trimmed = array[tuple(slice(0, n * f) for n, f in zip(whole, factors, strict=True))]
    split = trimmed.reshape([extent for pair in zip(whole, factors, strict=True) for extent in pair])
    axes = tuple(range(1, split.ndim, 2))
    if kernel in EXTREMES:
        expected = split.min(axes) if kernel is window_minimum else split.max(axes)
    else:
        total, count = split.sum(axes, dtype=np.int64 if dtype != "f4" else np.float64), prod(factors)
        expected = {
            window_mean: np.rint(total / count) if dtype != "f4" else total / count,
            window_mean_half_up: (2 * total + count) // (2 * count) if dtype != "f4" else total / count,
            window_mean_truncated: total // count if dtype != "f4" else total / count,
        }[kernel].astype(dtype)
    np.testing.assert_array_equal(found[tuple(map(slice, whole))], expected)
    last = tuple(slice((n - 1) * f, None) for n, f in zip(out_shape, factors, strict=True))
    assert found[(-1,) * found.ndim] == kernel(array[last].ravel(), (array[last].size,), (1,))[0]


@by_name([*ROUNDINGS, *EXTREMES])
@given(case=windows(["f4", "f8", "i1", "u8"]), data=st.data())
def test_a_window_has_the_same_bits_in_any_block(kernel, case, data):
    """Rows are laid out by the block's shape, and zeros of both signs, NaN of all bits and sums must not show it."""
    array, factors, out_shape = case
    nodata = data.draw(st.none() | st.sampled_from(array.ravel().tolist()))
    starts = tuple(data.draw(st.integers(0, count)) for count in out_shape)
    stops = tuple(data.draw(st.integers(start, count)) for start, count in zip(starts, out_shape, strict=True))
    counts = tuple(stop - start for start, stop in zip(starts, stops, strict=True))
    if 0 in counts:
        return
    block = tuple(slice(a * f, b * f) for a, b, f in zip(starts, stops, factors, strict=True))
    with np.errstate(all="ignore"):
        whole = kernel(array, factors, out_shape, nodata)
        part = kernel(array[block], factors, counts, nodata)
        repeated = kernel(np.stack([array] * 40, -1), (*factors, 1), (*out_shape, 40), nodata)
    assert part.tobytes() == whole[tuple(map(slice, starts, stops))].tobytes()
    assert all(repeated[..., k].tobytes() == whole.tobytes() for k in (0, 39))


def test_extremes_tell_zeros_apart_whatever_their_order():
    for dtype in ("f4", "f8"):
        for samples in ([0.0, -0.0], [-0.0, 0.0]):
            assert not np.signbit(mean_of(window_maximum, samples, dtype))
            assert np.signbit(mean_of(window_minimum, samples, dtype))
        assert mean_of(window_maximum, [-0.0, -5.0, 0.0], dtype, nodata=0.0) == -5.0
        assert mean_of(window_minimum, [-0.0, 5.0, 0.0], dtype, nodata=-0.0) == 5.0


@pytest.mark.parametrize("dtype", [*INTEGERS, "f4", "f8"])
def test_extremes_at_the_ends_of_the_range_with_nodata_there(dtype):
    limits = np.iinfo(dtype) if np.dtype(dtype).kind != "f" else np.finfo(dtype)
    low, high = np.array([limits.min, limits.max], dtype).tolist()
    for nodata in (low, high, 3):
        for samples in ([low, high], [low, 3, high], [low, nodata], [nodata, high], [nodata, nodata]):
            valid = [sample for sample in samples if sample != nodata] or [nodata]
            assert mean_of(window_maximum, samples, dtype, nodata) == max(valid)
            assert mean_of(window_minimum, samples, dtype, nodata) == min(valid)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
@pytest.mark.parametrize(
    ("shape", "factors"), [((9, 12), (2, 2)), ((20, 13), (3, 4)), ((6, 9, 8), (2, 2, 2)), ((7, 6, 15), (3, 1, 2))]
)
def test_half_up_is_what_itk_does(dtype, shape, factors):
    rng = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    for low, high in ((limits.min, limits.max), (max(limits.min, -3), 3)):
        array = rng.integers(low, high, shape, dtype=dtype, endpoint=True)
        expected = itk_bin_shrink(array, factors)
        np.testing.assert_array_equal(window_mean_half_up(array, factors, expected.shape), expected, strict=True)


@pytest.mark.parametrize(("shape", "factors"), [((9, 12), (2, 2)), ((6, 9, 8), (2, 2, 2)), ((7, 6, 15), (3, 1, 2))])
def test_floats_are_what_itk_does(shape, factors):
    array = np.random.default_rng(0).standard_normal(shape).astype("f4")
    expected = itk_bin_shrink(array, factors)
    found = window_mean_half_up(array, factors, expected.shape)
    np.testing.assert_array_max_ulp(found, expected, maxulp=1)


@pytest.mark.parametrize("boundary", ["trim", "pad"])
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(
    ("shape", "factors"),
    [((101,), (2,)), ((9, 12), (2, 2)), ((20, 13), (3, 4)), ((6, 9, 8), (2, 2, 2)), ((5, 3, 4, 7), (3, 1, 2, 6))],
)
def test_truncated_is_what_xarray_does(shape, factors, dtype, boundary):
    rng = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    beyond = 2**40  # xarray's float64 is not exact for larger ones
    for low, high in ((max(limits.min, -beyond), min(limits.max, beyond)), (max(limits.min, -3), 3)):
        array = rng.integers(low, high, shape, dtype=dtype, endpoint=True)
        image = xr.DataArray(array, dims=tuple("tzyx"[-len(shape) :]))
        coarse = image.coarsen(dict(zip(image.dims, factors, strict=True)), boundary=boundary).mean()
        expected = coarse.values.astype(dtype)
        np.testing.assert_array_equal(window_mean_truncated(array, factors, expected.shape), expected, strict=True)
