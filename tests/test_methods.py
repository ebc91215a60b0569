"""Box methods against oracles that share no code with them, and the table's lookup."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.methods import Method, Methods, resolve_method
from msi_lazy.methods.table import check_dtype
from tests.support.kernels import run_kernel
from tests.support.strategies import FLOATS, INTEGERS, windows
from tests.support.window_oracles import ORACLES, exact_mean, reduce_windows


@pytest.mark.parametrize("name", ORACLES)
@given(case=windows(INTEGERS))
def test_integers_are_exact(name, case):
    array, factors, out_shape = case
    expected = reduce_windows(array, factors, out_shape, ORACLES[name])
    np.testing.assert_array_equal(run_kernel(name, array, factors, out_shape), expected, strict=True)


@pytest.mark.parametrize("name", ORACLES)
@given(case=windows(FLOATS))
def test_floats_are_exact_to_the_last_bit(name, case):
    array, factors, out_shape = case
    with np.errstate(invalid="ignore", over="ignore"):
        expected = reduce_windows(array, factors, out_shape, ORACLES[name])
        found = run_kernel(name, array, factors, out_shape)
    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("name", ["min", "max", "nearest", "mode"])
@given(case=windows(["?"]))
def test_bool_for_methods_that_keep_values(name, case):
    array, factors, out_shape = case
    expected = reduce_windows(array, factors, out_shape, ORACLES[name])
    np.testing.assert_array_equal(run_kernel(name, array, factors, out_shape), expected, strict=True)


@pytest.mark.parametrize("name", ["mean", "min", "max", "mode"])
@given(case=windows(INTEGERS), data=st.data())
def test_nodata_is_left_out_and_stays_where_there_is_nothing_else(name, case, data):
    array, factors, out_shape = case
    nodata = array.dtype.type(data.draw(st.sampled_from(array.ravel().tolist())))

    def reduce(samples):
        valid = [sample for sample in samples if sample != nodata]
        return ORACLES[name](valid) if valid else nodata

    expected = reduce_windows(array, factors, out_shape, reduce)
    np.testing.assert_array_equal(run_kernel(name, array, factors, out_shape, nodata), expected, strict=True)


@pytest.mark.parametrize("name", ["mean", "min", "max", "mode"])
def test_nodata_and_nan_are_both_left_out_of_floats(name):
    array = np.array([-1.0, np.nan, 4.0, 4.0, -1.0, -1.0, np.nan, -1.0])
    np.testing.assert_array_equal(run_kernel(name, array, (4,), (2,), -1.0), [4.0, -1.0])


def test_ties_of_the_mean_go_to_the_even_neighbour_also_below_zero():
    array = np.array([0, 1, 1, 2, 2, 3, -1, 0, -2, -1, -3, -2], np.int8)
    assert run_kernel("mean", array, (2,), (6,)).tolist() == [0, 2, 2, 0, -2, -2]


def test_mean_of_the_largest_integers_does_not_overflow():
    for dtype in INTEGERS:
        top = np.iinfo(dtype).max
        array = np.full((64, 64), top, dtype)
        assert (run_kernel("mean", array, (64, 64), (1, 1)) == top).all()


def test_mean_is_unbiased_on_noise():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    found = run_kernel("mean", noise, (2, 2), (256, 256))
    exact = noise.reshape(256, 2, 256, 2).mean((1, 3))
    assert abs((found - exact).mean()) < 0.01


@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 1, 2), (1, 2, 2)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8"])
def test_mean_agrees_with_xarray_coarsen(dtype, factors):
    import xarray as xr

    array = np.random.default_rng(1).integers(0, 200, (12, 9, 8)).astype(dtype)
    coarse = (
        xr.DataArray(array, dims=("z", "y", "x"))
        .coarsen(dict(zip("zyx", factors, strict=True)), boundary="trim")
        .mean()
    )
    expected = np.rint(coarse.values).astype(dtype) if np.dtype(dtype).kind != "f" else coarse.values
    found = run_kernel("mean", array, factors, coarse.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


def test_any_number_of_dimensions():
    array = np.random.default_rng(2).integers(0, 1000, (2, 3, 2, 4, 3, 2, 4), dtype=np.uint16)
    factors = (2, 3, 2, 2, 1, 2, 2)
    out_shape = tuple(n // f for n, f in zip(array.shape, factors, strict=True))
    found = run_kernel("mean", array, factors, out_shape)
    np.testing.assert_array_equal(found, reduce_windows(array, factors, out_shape, exact_mean))


def test_kernels_take_views_that_are_not_contiguous():
    array = np.arange(64 * 6, dtype=np.uint16).reshape(64, 6).T[:, ::2]
    for name in ORACLES:
        expected = reduce_windows(array, (2, 2), (3, 16), ORACLES[name])
        np.testing.assert_array_equal(run_kernel(name, array, (2, 2), (3, 16)), expected)


def test_methods_are_found_by_name_member_or_row():
    row = resolve_method("MEAN")
    assert resolve_method(Methods.MEAN) is row
    assert resolve_method(row) is row


def test_an_unknown_method_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"unknown method 'maxx'; did you mean 'max'\?"):
        resolve_method("maxx")
    with pytest.raises(ValueError, match="Known: mean, bin_shrink"):
        resolve_method("wavelet")
    with pytest.raises(TypeError, match="not 3"):
        resolve_method(3)


@pytest.mark.parametrize(
    ("name", "dtype", "words"),
    [
        ("mean", "?", "use one of median, min, max, mode, nearest, label_gaussian"),
        ("itk_gaussian", "?", "use one of median"),
        ("mean", "c8", "astype"),
        ("max", "M8[ns]", "astype"),
        ("mean", "O", "astype"),
        ("min", "U3", "astype"),
        ("mean", "f16", "astype"),
    ],
)
def test_a_dtype_that_a_method_cannot_take_is_refused_with_advice(name, dtype, words):
    with pytest.raises(TypeError, match=words):
        check_dtype(resolve_method(name), np.dtype(dtype))


def test_a_row_knows_where_its_samples_lie():
    assert [resolve_method("mean").offset(f) for f in (1, 2, 3, 4)] == [0, 0.5, 1, 1.5]
    assert resolve_method("nearest").offset(4) == 0
    assert isinstance(resolve_method("min"), Method)
