"""The Gaussian vote: against a dense count in plain Python, exact ties, missing samples."""

from collections import Counter
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.methods.votes import window_votes
from msi_lazy.methods.weights import gaussian_radius, gaussian_votes
from tests.strategies import INTEGERS, draw_array
from tests.test_gaussian import dense_filter
from tests.test_methods import run_kernel


def count_votes(array, factors, out_shape, nodata=None):
    """The vote of every window, label by label, with Python's integers."""
    bits = min(36, 62 // max(1, sum(factor > 1 for factor in factors)))
    weights = reduce(np.multiply.outer, [np.array(gaussian_votes(f, bits) if f > 1 else (1,)) for f in factors])
    out = np.empty(out_shape, array.dtype)
    for index in np.ndindex(*out_shape):
        reach = []
        for i, f, n in zip(index, factors, array.shape, strict=True):
            radius = gaussian_radius(f) if f > 1 else 0
            reach.append(np.arange(i * f - radius, i * f + f + radius).clip(0, n - 1))
        votes = Counter()
        for label, weight in zip(array[np.ix_(*reach)].ravel().tolist(), weights.ravel().tolist(), strict=True):
            if label == label and label != nodata:
                votes[label + 0.0 if isinstance(label, float) else label] += weight
        out[index] = min(votes, key=lambda label: (-votes[label], label)) if votes else _nothing(array, nodata)
    return out


def _nothing(array, nodata):
    return np.nan if nodata is None and array.dtype.kind == "f" else nodata


@st.composite
def images(draw, dtypes):
    shape = tuple(draw(st.integers(1, 13)) for _ in range(draw(st.integers(1, 3))))
    factors = tuple(draw(st.integers(1, min(4, n))) for n in shape)
    pad = draw(st.booleans())
    out_shape = tuple(-(-n // f) if pad else n // f for n, f in zip(shape, factors, strict=True))
    return draw_array(draw, draw(st.sampled_from(dtypes)), shape), factors, out_shape


@given(case=images(["?", *INTEGERS, "f4", "f8"]), data=st.data())
def test_agrees_with_a_count_in_plain_python(case, data):
    array, factors, out_shape = case
    if data.draw(st.booleans()) and array.dtype.kind == "f":
        array = np.rint(array / 100).astype(array.dtype)  # few labels, 0.0 and -0.0 among them
    nodata = array.ravel()[0] if data.draw(st.booleans()) else None
    found = run_kernel("label_gaussian", array, factors, out_shape, nodata)
    np.testing.assert_array_equal(found, count_votes(array, factors, out_shape, nodata), strict=True)
    assert not np.signbit(found[found == 0]).any()


@pytest.mark.parametrize("labels", [2, 5, 40, 60000])
@pytest.mark.parametrize("factors", [(2, 2, 2), (3, 2, 1), (4, 4, 4)])
def test_few_and_many_labels_in_a_window(factors, labels):
    array = np.random.default_rng(0).integers(0, labels, (12, 12, 16), dtype="u4") * np.uint32(71000)
    out_shape = tuple(n // f for n, f in zip(array.shape, factors, strict=True))
    expected = count_votes(array, factors, out_shape)
    np.testing.assert_array_equal(run_kernel("label_gaussian", array, factors, out_shape), expected)


def test_cells_with_salt():
    rng = np.random.default_rng(1)
    array = rng.integers(1, 2**62, (3, 4, 4)).repeat(6, 0).repeat(6, 1).repeat(6, 2)
    array[rng.random(array.shape) < 0.1] = 0
    found = run_kernel("label_gaussian", array, (2, 2, 2), (9, 12, 12))
    np.testing.assert_array_equal(found, count_votes(array, (2, 2, 2), (9, 12, 12)))
    assert (found != 0).all()


@pytest.mark.parametrize("factor", range(2, 12))
@pytest.mark.parametrize("bits", [15, 20, 31, 36])
def test_votes_are_the_gaussians_weights_as_integers(factor, bits):
    votes = gaussian_votes(factor, bits)
    _, weights = dense_filter(factor)
    assert sum(votes) == 2**bits
    assert votes == votes[::-1]
    assert min(votes) >= 1
    np.testing.assert_allclose(np.array(votes) / 2**bits, weights, atol=2.0 ** (1 - bits) * len(votes))


def test_a_true_tie_goes_to_the_smallest_whatever_its_side():
    for left, right in ((9, 4), (4, 9)):
        array = np.full((40, 40), left, "u2")
        array[:, 21:] = right  # the border runs through the middle of a window
        found = run_kernel("label_gaussian", array, (2, 2), (20, 20))
        assert set(found[:, 10]) == {4} == set(np.minimum(found[:, 9], found[:, 11]).tolist()) & {4}
        assert set(found[:, 9]) == {left}
        assert set(found[:, 11]) == {right}


def test_labels_beyond_the_precision_of_floats():
    array = np.full((8, 8), 2**63 + 1, "u8")
    array[:, 4:] = 2**63 + 3
    found = run_kernel("label_gaussian", array, (2, 2), (4, 4))
    assert set(found.ravel().tolist()) == {2**63 + 1, 2**63 + 3}


def test_missing_samples():
    array = np.array([np.nan, np.nan, 5.0, np.nan, 7.0, 7.0, *[np.nan] * 14])
    assert run_kernel("label_gaussian", array, (2,), (10,))[:3].tolist() == [5.0, 5.0, 7.0]
    assert np.isnan(run_kernel("label_gaussian", array, (2,), (10,))[6:]).all()
    assert (run_kernel("label_gaussian", array, (2,), (10,), -1.0)[6:] == -1.0).all()


def test_an_array_without_its_halo_is_refused():
    with pytest.raises(ValueError, match="with their halo are"):
        window_votes(np.zeros((8, 8), "u1"), (2, 2), (4, 4))
