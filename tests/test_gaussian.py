"""The Gaussian: against SciPy's filter, a dense sum in NumPy, and itself in other blocks."""

from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from msi_lazy.methods import separable
from msi_lazy.methods.gaussian import window_gaussian
from msi_lazy.methods.weights import gaussian_radius, gaussian_weights
from msi_lazy.plan.windows import level_extent
from tests.support.kernels import run_kernel
from tests.support.strategies import INTEGERS, draw_array


def sigma_of(factor):
    return np.sqrt((factor**2 - 1) / (8 * np.log(2)))


def dense_filter(factor):
    """Offsets from a window's first sample, and weights, straight from the definition."""
    offsets = np.arange(-40 * factor, 40 * factor)
    distances = offsets - (factor - 1) / 2
    near = np.abs(distances) <= 4 * sigma_of(factor)
    shares = np.exp(-(distances[near] ** 2) / (2 * sigma_of(factor) ** 2)) if factor > 1 else np.ones(1)
    return (offsets[near] if factor > 1 else np.zeros(1, int)), shares / shares.sum()


def dense_gaussian(array, factors, out_shape, valid=None):
    """All taps of all axes in one sum per window, edges replicated; NaN where no valid sample has a weight."""
    valid = np.ones(array.shape, bool) if valid is None else valid
    filters = [dense_filter(factor) for factor in factors]
    weights = reduce(np.multiply.outer, [weights for _, weights in filters])
    out = np.empty(out_shape)
    for index in np.ndindex(*out_shape):
        reach = [
            (i * f + offsets).clip(0, n - 1)
            for i, f, (offsets, _), n in zip(index, factors, filters, array.shape, strict=True)
        ]
        samples, votes = array[np.ix_(*reach)].astype(float), weights * valid[np.ix_(*reach)]
        total = votes.sum()
        out[index] = (votes * np.where(votes > 0, samples, 0)).sum() / total if total else np.nan
    return out


def levels_of(shape, factors, boundary="trim"):
    return tuple(level_extent(n, f, boundary) for n, f in zip(shape, factors, strict=True))


@st.composite
def images(draw, dtypes, max_extent=12):
    shape = tuple(draw(st.integers(1, max_extent)) for _ in range(draw(st.integers(1, 3))))
    factors = tuple(draw(st.integers(1, min(4, n))) for n in shape)
    boundary = draw(st.sampled_from(["trim", "pad"]))
    return draw_array(draw, draw(st.sampled_from(dtypes)), shape), factors, levels_of(shape, factors, boundary)


@pytest.mark.parametrize("factor", range(1, 40))
def test_weights_are_those_of_the_definition(factor):
    half = gaussian_weights(factor)
    offsets, weights = dense_filter(factor)
    assert -offsets[0] == gaussian_radius(factor)
    assert len(offsets) == factor + 2 * gaussian_radius(factor)
    found = np.array(half)
    found[-1] *= 1 + len(offsets) % 2  # the sample in the centre is paired with itself
    np.testing.assert_allclose(found, weights[: len(half)], rtol=0, atol=1e-9)
    assert sum(map(Fraction, half)) == Fraction(1, 2)
    assert all(weight * 2**36 == int(weight * 2**36) > 0 for weight in half)


def test_a_factor_of_two_has_six_taps():
    assert 2 + 2 * gaussian_radius(2) == 6


@pytest.mark.parametrize("factors", [(3, 3, 3), (5, 3, 1), (1, 7, 3), (1, 1, 5)])
@pytest.mark.parametrize("dtype", ["u2", "i4", "f8"])
def test_odd_factors_agree_with_scipy(dtype, factors):
    array = np.random.default_rng(0).integers(0, 1000, (17, 23, 31)).astype(dtype)
    smooth = array.astype(float)
    for axis, factor in enumerate(factors):
        reach = [0] * 3
        reach[axis] = gaussian_radius(factor) + factor // 2
        sigma = [sigma_of(f) if i == axis else 0 for i, f in enumerate(factors)]
        smooth = gaussian_filter(smooth, sigma, mode="nearest", radius=reach) if factor > 1 else smooth
    out_shape = levels_of(array.shape, factors)
    centres = smooth[tuple(slice(f // 2, f // 2 + f * n, f) for f, n in zip(factors, out_shape, strict=True))]
    found = run_kernel("gaussian", array, factors, out_shape)
    np.testing.assert_allclose(found, centres, rtol=1e-9, atol=0.5 + 1e-6 if dtype != "f8" else 0)


@pytest.mark.parametrize("factors", [(2, 2, 2), (4, 2, 1), (1, 6, 3), (2, 1, 1)])
@pytest.mark.parametrize("boundary", ["trim", "pad"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8"])
def test_any_factors_agree_with_a_dense_sum(dtype, factors, boundary):
    array = np.random.default_rng(0).integers(0, 127, (7, 13, 9)).astype(dtype)
    out_shape = levels_of(array.shape, factors, boundary)
    exact = dense_gaussian(array, factors, out_shape)
    found = run_kernel("gaussian", array, factors, out_shape)
    if np.dtype(dtype).kind == "f":
        np.testing.assert_allclose(found, exact, rtol=1e-9 if dtype == "f8" else 1e-6)
    else:
        np.testing.assert_array_equal(found, np.rint(exact))


@given(case=images(INTEGERS), data=st.data())
def test_integers_of_any_range_with_and_without_nodata(case, data):
    array, factors, out_shape = case
    nodata = data.draw(st.sampled_from([None, *array.ravel().tolist()]))
    found = run_kernel("gaussian", array, factors, out_shape, nodata)
    exact = dense_gaussian(array, factors, out_shape, None if nodata is None else array != nodata)
    if max(factors) == 1:
        np.testing.assert_array_equal(found, array, strict=True)
        return
    alone = np.isnan(exact)
    assert (found[alone] == nodata).all() if nodata is not None else not alone.any()
    near = np.abs(found.astype(float) - exact)[~alone]
    assert (near <= 0.5 + 1e-9 * np.abs(array.astype(float)).max()).all()


@given(case=images(["f4", "f8"]))
def test_nan_is_left_out_with_its_weight(case):
    array, factors, out_shape = case
    array[np.isinf(array)] = 1
    if max(factors) == 1:
        return
    exact = dense_gaussian(array, factors, out_shape, ~np.isnan(array))
    scale = np.nan_to_num(np.abs(array)).max()
    found = run_kernel("gaussian", array, factors, out_shape)
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6 * scale if array.dtype == "f4" else 1e-8 * scale)


def test_infinities_are_summed_as_they_are():
    array = np.zeros((2, 24))
    array[0, 6], array[1, 6], array[1, 7], array[:, 20] = np.inf, np.inf, -np.inf, np.nan
    found = run_kernel("gaussian", array, (1, 2), (2, 12))
    assert found[0, 2:5].tolist() == [np.inf] * 3
    assert np.isnan(found[1, 2:5]).all()
    assert (found[:, [0, 1, *range(5, 12)]] == 0).all()


@pytest.mark.parametrize("dtype", ["u1", "i4", "u8", "f4", "f8"])
def test_leaving_out_a_value_that_does_not_occur_changes_no_bit(dtype):
    array = np.random.default_rng(0).integers(0, 100, (20, 31, 12)).astype(dtype)
    plain = run_kernel("gaussian", array, (2, 3, 2), (10, 10, 6))
    assert run_kernel("gaussian", array, (2, 3, 2), (10, 10, 6), 101).tobytes() == plain.tobytes()


def test_nan_elsewhere_changes_no_bit_not_even_the_sign_of_a_zero():
    array = np.full((8, 60), -0.0)
    array[:, 50] = np.nan
    found = run_kernel("gaussian", array, (2, 2), (4, 30))
    assert np.signbit(found[:, :20]).all()
    assert (found == 0).all()


def test_a_window_of_nan_and_nodata_is_nodata():
    array = np.array([-1, np.nan] * 10, "f4")
    assert (run_kernel("gaussian", array, (2,), (10,), -1.0) == -1).all()
    assert np.isnan(run_kernel("gaussian", np.full(20, np.nan), (2,), (10,))).all()


@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 1, 4)])
def test_a_ramp_gives_the_coordinates_of_the_level(factors):
    ramp = np.add.outer(np.add.outer(np.arange(48.0) * 1e4, np.arange(48.0) * 100), np.arange(48.0))
    found = run_kernel("gaussian", ramp, factors, levels_of(ramp.shape, factors))
    centres = [np.arange(n) * f + (f - 1) / 2 for n, f in zip(found.shape, factors, strict=True)]
    expected = np.add.outer(np.add.outer(centres[0] * 1e4, centres[1] * 100), centres[2])
    interior = tuple(slice(3, -3) if f > 1 else slice(None) for f in factors)
    np.testing.assert_allclose(found[interior], expected[interior], rtol=1e-14)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4"])
def test_constants_stay_constant_to_the_last_bit(dtype):
    info = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    for value in (info.min, info.max, 7, info.max // 3):
        array = np.full((9, 10, 11), value, dtype)
        assert (run_kernel("gaussian", array, (2, 3, 5), (5, 4, 3)) == np.array(value, dtype)).all()


@pytest.mark.parametrize("dtype", ["u8", "i8"])
def test_the_largest_integers_do_not_wrap(dtype):
    info = np.iinfo(dtype)
    for value in (info.min, info.max, info.max - 5000):
        found = run_kernel("gaussian", np.full((9, 10, 11), value, dtype), (2, 3, 5), (5, 4, 3))
        error = max(abs(int(sample) - value) for sample in found.ravel())
        assert error <= 31 * 2**-53 * abs(value)  # three axes of at most eight pairs, as the docstring says


def test_ties_go_to_the_even_neighbour_also_below_zero():
    ramp = np.arange(-20, 20, dtype=np.int16)
    found = run_kernel("gaussian", ramp, (2,), (20,))
    np.testing.assert_array_equal(found[2:-2], [-16, -14, -12, -10, -8, -6, -4, -2, 0, 2, 4, 6, 8, 10, 12, 14])
    steep = np.add.outer(3 * ramp, np.zeros(9, np.int16)).astype(np.int8)  # -58.5, -52.5, ...: to even, both ways
    expected = np.rint((steep[::2, :4] + steep[1::2, :4].astype(float)) / 2)
    np.testing.assert_array_equal(run_kernel("gaussian", steep, (2, 2), (20, 4))[2:-2], expected[2:-2])


def test_no_bias_on_noise():
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024), dtype=np.uint8)
    found = run_kernel("gaussian", noise, (2, 2), (512, 512))
    exact = run_kernel("gaussian", noise.astype(float), (2, 2), (512, 512))
    assert abs((found - exact).mean()) < 0.02


@given(case=images(["u2", "f4", "f8"]))
def test_a_mirrored_image_gives_the_mirrored_level(case):
    array, factors, _ = case
    array = array[tuple(slice(n // f * f) for n, f in zip(array.shape, factors, strict=True))]
    out_shape = levels_of(array.shape, factors)
    mirrored = run_kernel("gaussian", np.flip(array), factors, out_shape)
    np.testing.assert_array_equal(mirrored, np.flip(run_kernel("gaussian", array, factors, out_shape)))


@given(case=images(["u1", "f4"], max_extent=30), samples=st.integers(1, 300), nodata=st.booleans())
def test_strips_give_the_bits_of_whole_planes(case, samples, nodata):
    array, factors, out_shape = case
    value = array.ravel()[0] if nodata else None
    whole = run_kernel("gaussian", array, factors, out_shape, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(separable, "_PLANE_SAMPLES", samples)
        patch.setattr(separable, "_SHORT", 2 + samples % 40)
        assert run_kernel("gaussian", array, factors, out_shape, value).tobytes() == whole.tobytes()


def test_axes_beside_the_divided_ones():
    picture = np.random.default_rng(0).integers(0, 256, (12, 64, 40, 3), dtype=np.uint8)
    found = run_kernel("gaussian", picture, (1, 2, 2, 1), (12, 32, 20, 3))
    for t in (0, 11):
        for c in range(3):
            alone = np.ascontiguousarray(picture[t, :, :, c])
            np.testing.assert_array_equal(found[t, :, :, c], run_kernel("gaussian", alone, (2, 2), (32, 20)))
    np.testing.assert_array_equal(window_gaussian(picture, (1,) * 4, picture.shape), picture)
