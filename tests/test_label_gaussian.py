"""Gaussian votes on labels: against votes counted one by one, with exact ties, whatever the block."""

from fractions import Fraction
from functools import reduce
from math import exp, floor, log, prod, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.methods import votes
from msi_lazy.methods.votes import window_votes
from msi_lazy.methods.weights import gaussian_radius, gaussian_votes
from tests.support.kernels import run_kernel
from tests.support.strategies import INTEGERS, draw_array

NATIVE = ("?", *INTEGERS, "f4", "f8")


def votes_by_definition(factor, bits):
    """Weights at distances of at most four sigma, multiples of 2^-36, rounded; the centre has what they leave."""
    if factor == 1:
        return [2**bits]
    sigma = sqrt((factor**2 - 1) / (8 * log(2)))
    reach = floor(4 * sigma - (factor - 1) / 2)
    weights = [exp(-(((i - (factor - 1) / 2) / sigma) ** 2) / 2) for i in range(-reach, factor + reach)]
    units = [round(weight / sum(weights) * 2**36) for weight in weights]
    taps = [max(1, round(Fraction(unit, 2 ** (36 - bits)))) for unit in units]
    centre = (len(taps) - 1) // 2
    taps[centre] += 2**bits - sum(taps) if factor % 2 else (2**bits - sum(taps)) // 2
    taps[-centre - 1] = taps[centre]
    return taps


def with_halo(array, factors, out_shape):
    for axis, (factor, count) in enumerate(zip(factors, out_shape, strict=True)):
        reach = np.arange(-gaussian_radius(factor), count * factor + gaussian_radius(factor))
        array = array.take(reach.clip(0, array.shape[axis] - 1), axis)
    return array


def elect(array, factors, out_shape, nodata=None):
    """Oracle: a dict of votes for each window of ``array``, whose edges are repeated."""
    divided = sum(factor > 1 for factor in factors)
    bits = min(36, 62 // max(divided, 1))
    taps = [np.array(votes_by_definition(f, bits) if f > 1 else [1], object) for f in factors]
    weights = reduce(np.multiply.outer, taps, np.array(1, object)).ravel()
    padded = with_halo(array, factors, out_shape)
    out = np.empty(out_shape, array.dtype)
    for index in np.ndindex(*out_shape):
        around = padded[tuple(slice(i * f, i * f + len(t)) for i, f, t in zip(index, factors, taps, strict=True))]
        found = {}
        for label, weight in zip(around.ravel().tolist(), weights, strict=True):
            if label == label and label != nodata:
                found[label + 0] = found.get(label + 0, 0) + weight
        found = found or {np.nan if nodata is None else nodata: 0}
        out[index] = min(found, key=lambda label: (-found[label], label))
    return out


def whole_image(array, factors, out_shape=None, nodata=None):
    out_shape = out_shape or tuple(n // f for n, f in zip(array.shape, factors, strict=True))
    return run_kernel("label_gaussian", array, factors, out_shape, nodata)


def assert_elected(array, factors):
    out_shape = tuple(n // f for n, f in zip(array.shape, factors, strict=True))
    np.testing.assert_array_equal(whole_image(array, factors), elect(array, factors, out_shape), strict=True)


def blocky(rng, dtype, shape, cell, salt=0.0):
    """Cells of random labels with some random samples."""
    labels = 2 if np.dtype(dtype).kind == "b" else 100
    cells = rng.integers(0, labels, [n // cell + 2 for n in shape])
    array = cells[np.ix_(*((np.arange(n) + rng.integers(cell)) // cell for n in shape))]
    return np.where(rng.random(shape) < salt, rng.integers(0, labels, shape), array).astype(dtype)


@st.composite
def label_images(draw, dtypes=NATIVE, max_extent=9):
    """Blocky, few or many labels, or samples over the whole range of the dtype."""
    shape = tuple(draw(st.integers(1, max_extent)) for _ in range(draw(st.integers(1, 3))))
    factors = tuple(draw(st.integers(1, min(4, n))) for n in shape)
    pad = draw(st.booleans())
    out_shape = tuple(-(-n // f) if pad else n // f for n, f in zip(shape, factors, strict=True))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["blocky", "few", "many", "any"]))
    if kind == "any":
        array = draw_array(draw, dtype, shape)
    elif kind == "blocky":
        array = blocky(rng, dtype, shape, draw(st.integers(2, 5)), draw(st.sampled_from([0.0, 0.1])))
    else:
        array = rng.integers(0, 3 if kind == "few" else 100, shape).astype(dtype)
    return array, factors, out_shape


@pytest.mark.parametrize("bits", [12, 15, 20, 31, 36])
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 64])
def test_votes_are_the_rounded_weights(factor, bits):
    found = gaussian_votes(factor, bits)
    assert len(found) == factor + 2 * gaussian_radius(factor)
    assert sum(found) == 2**bits
    assert found == found[::-1]
    assert min(found) >= 1
    assert list(found) == votes_by_definition(factor, bits)
    with pytest.raises(ValueError, match=f"8 votes are too few for the taps of factor {factor + 20}; divide fewer"):
        gaussian_votes(factor + 20, 8)


@given(case=label_images(), data=st.data())
def test_any_image_has_the_votes_of_a_dense_count(case, data):
    array, factors, out_shape = case
    nodata = data.draw(st.sampled_from([None, *array.ravel().tolist()]))
    found = whole_image(array, factors, out_shape, nodata)
    np.testing.assert_array_equal(found, elect(array, factors, out_shape, nodata), strict=True)
    assert not np.signbit(found[found == 0]).any()


@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 3, 3), (4, 4, 4), (4, 2, 3), (1, 2, 4), (5, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("labels", [2, 4, 30, 2**31])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "u8", "f4"])
def test_noise_of_any_number_of_labels(dtype, labels, factors):
    assert_elected(np.random.default_rng(labels).integers(0, labels, (8, 9, 10)).astype(dtype), factors)


@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 2, 4)])
@pytest.mark.parametrize("salt", [0.0, 0.1])
def test_cells_with_and_without_salt(factors, salt):
    assert_elected(blocky(np.random.default_rng(4), "u2", (22, 23, 24), 6, salt), factors)


@pytest.mark.parametrize("factors", [(2,), (4,), (2, 2), (4, 4), (2, 2, 2), (4, 4, 4), (2, 4, 2)])
@pytest.mark.parametrize(
    ("dtype", "smaller", "larger"),
    [
        ("u1", 127, 128),
        ("i1", -1, 1),
        ("i8", -(2**63), 2**63 - 1),
        ("u8", 2**63 - 1, 2**63),
        ("?", False, True),
        ("f4", -2.5, -1.5),
        ("f8", -np.inf, 1e-300),
    ],
)
def test_of_two_halves_the_smaller_label_wins_unless_the_lightest_tap_decides(dtype, smaller, larger, factors):
    length = [f + 2 * gaussian_radius(f) for f in factors]
    for axis in range(len(factors)):
        array = np.full(length, smaller, dtype)
        half = [slice(None)] * len(factors)
        half[axis] = slice(length[axis] // 2)
        array[tuple(half)] = larger
        ones = (1,) * len(factors)
        assert window_votes(array, factors, ones).item() == smaller
        assert window_votes(np.flip(array, axis), factors, ones).item() == smaller
        array[(-1,) * len(factors)] = larger
        assert window_votes(array, factors, ones).item() == larger


def test_of_many_equal_labels_the_smallest_wins():
    """Eight octants, then all taps at equal distances from the centre, have the same votes."""
    octants = np.random.default_rng(0).permutation(8).reshape(2, 2, 2).astype("i4") - 3
    assert window_votes(octants.repeat(3, 0).repeat(3, 1).repeat(3, 2), (2, 2, 2), (1, 1, 1)).item() == -3
    distinct = np.random.default_rng(1).permutation(216).reshape(6, 6, 6)
    centre = distinct[2:4, 2:4, 2:4]
    for dtype in ("i2", "u8", "f4"):
        assert window_votes(distinct.astype(dtype), (2, 2, 2), (1, 1, 1)).item() == centre.min()


@pytest.mark.parametrize(
    ("centre", "winner"),
    [([0, 1, 2, 3, 4, 5, 6, 7], 9), ([0, 0, 0, 0, 1, 2, 3, 4], 9), ([1, 0, 2, 0, 3, 0, 0, 0], 0)],
)
def test_a_label_that_the_centre_does_not_hold_can_win(centre, winner):
    array = np.full((6, 6, 6), 9, "u2")
    array[2:4, 2:4, 2:4] = np.reshape(centre, (2, 2, 2))
    assert window_votes(array, (2, 2, 2), (1, 1, 1)).item() == winner


@pytest.mark.parametrize("factors", [(2,), (7, 7), (2, 2, 2), (3, 3, 3), (4, 4, 4), (2, 6, 5), (2, 2, 2, 2)])
def test_a_label_that_fills_a_box_wins_with_more_than_half_of_the_votes(factors):
    radii = [gaussian_radius(f) for f in factors]
    for side in range(max(radii) + 1):
        array = np.full([f + 2 * r for f, r in zip(factors, radii, strict=True)], 1, "i4")
        box = tuple(slice(max(r - side, 0), f + r + side) for f, r in zip(factors, radii, strict=True))
        array[box] = 2
        taps = [votes_by_definition(f, 15) for f in factors]
        share = prod(sum(t[part]) / 2**15 for t, part in zip(taps, box, strict=True))
        assert window_votes(array, factors, (1,) * len(factors)).item() == (2 if share > 0.5 else 1)


@pytest.mark.parametrize("dtype", ["u8", "i8"])
def test_labels_beyond_the_integers_of_floats(dtype):
    assert_elected(np.iinfo(dtype).max - blocky(np.random.default_rng(2), dtype, (16, 17, 18), 4, 0.3), (2, 2, 2))


@pytest.mark.parametrize("step", [2**8, 2**32, 2**56, 3**30])
def test_labels_at_equal_distances(step):
    assert_elected(np.random.default_rng(3).integers(0, 200, (8, 8, 8), dtype="u8") * np.uint64(step), (2, 2, 2))


@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 3, 1)])
def test_a_value_is_never_invented(factors):
    array = np.random.default_rng(5).integers(0, 2**63, (20, 20, 20), dtype="u8")
    padded = with_halo(array, factors, tuple(20 // f for f in factors))
    found = whole_image(array, factors)
    for index in np.ndindex(*found.shape):
        reach = (slice(i * f, i * f + f + 2 * gaussian_radius(f)) for i, f in zip(index, factors, strict=True))
        assert found[index] in padded[tuple(reach)]


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("dtype", NATIVE)
def test_constants_stay_constant(dtype, value):
    found = whole_image(np.full((9, 10, 70), value, dtype), (2, 3, 2))
    np.testing.assert_array_equal(found, np.full((4, 3, 35), value, dtype), strict=True)


@pytest.mark.parametrize("shape", [(11, 10, 3), (6, 7, 40), (5, 6, 2, 4), (300, 5)])
def test_axes_that_are_not_divided(shape):
    factors = tuple(2 if axis < 2 and n > 5 else 1 for axis, n in enumerate(shape))
    assert_elected(np.random.default_rng(6).integers(0, 5, shape, dtype="u2"), factors)


def test_any_number_of_dimensions():
    assert_elected(np.random.default_rng(7).integers(0, 4, (2, 3, 2, 4, 2), dtype="u1"), (2, 3, 1, 2, 2))


@pytest.mark.parametrize("dtype", ["i1", "u4", "u8", "f4", "f8"])
def test_nodata_has_no_vote(dtype):
    array = np.full((6, 6, 6), 7, dtype)
    assert window_votes(array, (2, 2, 2), (1, 1, 1), 7).item() == 7
    for place, label in ((0, 3), (5, 2), (2, 4)):  # two corners, then the centre
        array[place, place, place] = label
        assert window_votes(array, (2, 2, 2), (1, 1, 1), 7).item() == label
    assert window_votes(array, (2, 2, 2), (1, 1, 1)).item() == 7


def test_missing_samples_around_others():
    array = np.array([np.nan, np.nan, 5.0, np.nan, 7.0, 7.0, *[np.nan] * 14])
    np.testing.assert_array_equal(whole_image(array, (2,)), [5.0, 5.0, 7.0, 7.0] + [np.nan] * 6)
    np.testing.assert_array_equal(whole_image(array, (2,), None, -1.0), [5.0, 5.0, 7.0, 7.0] + [-1.0] * 6)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_nan_has_no_vote_whatever_its_bits(dtype):
    odd = -np.array(np.nan, dtype)
    array = np.full((6, 6), np.nan, dtype)
    array[::2] = odd
    missing = window_votes(array, (2, 2), (1, 1))
    assert missing.tobytes() == np.array(np.nan, dtype).tobytes()
    assert window_votes(array, (2, 2), (1, 1), -1).item() == -1
    array[0, 0] = -1
    assert window_votes(array, (2, 2), (1, 1)).item() == -1
    assert window_votes(array, (2, 2), (1, 1), -1).item() == -1
    assert window_votes(np.full((6, 6), odd), (2, 2), (1, 1)).tobytes() == missing.tobytes()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_zeros_of_both_signs_are_one_value_written_as_positive(dtype):
    array = np.full((6, 6), -0.0, dtype)
    assert not np.signbit(window_votes(array, (2, 2), (1, 1))).any()
    array[2:4, 2:4] = [[0.0, -0.0], [1.0, 1.0]]
    found = window_votes(array, (2, 2), (1, 1)).item()
    assert found == 0
    assert not np.signbit(found)
    assert window_votes(array, (2, 2), (1, 1), 0.0).item() == 1


@pytest.mark.parametrize("nodata", [None, 0])
@given(case=label_images(max_extent=12), data=st.data())
def test_two_blocks_give_the_bits_of_the_whole(nodata, case, data):
    array, factors, out_shape = case
    whole = whole_image(array, factors, out_shape, nodata)
    axis = data.draw(st.integers(0, array.ndim - 1))
    cut = data.draw(st.integers(1, max(1, out_shape[axis] - 1)))
    padded, factor = with_halo(array, factors, out_shape), factors[axis]
    parts = []
    for start, stop in ((0, cut), (cut, out_shape[axis])):
        if start < stop:
            reach = np.arange(start * factor, stop * factor + 2 * gaussian_radius(factor))
            block = tuple(stop - start if other == axis else n for other, n in enumerate(out_shape))
            parts.append(window_votes(padded.take(reach, axis), factors, block, nodata))
    assert np.concatenate(parts, axis).tobytes() == whole.tobytes()


@pytest.mark.parametrize(("windows", "nodata"), [(1, None), (7, 3), (40, None)])
def test_slabs_make_no_difference(windows, nodata):
    array = blocky(np.random.default_rng(8), "f4", (16, 18, 20), 5, 0.2)
    whole = whole_image(array, (2, 3, 2), None, nodata)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(votes, "_SLAB", windows)
        np.testing.assert_array_equal(whole_image(array, (2, 3, 2), None, nodata), whole, strict=True)


def test_a_block_without_its_halo_is_refused():
    with pytest.raises(ValueError, match=r"windows \(2, 2\) of \(2, 1\) with their halo .* \(8, 2\) .* not \(4, 2\)"):
        window_votes(np.zeros((4, 2), "u1"), (2, 1), (2, 2))
