"""Numbers as users give them."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from msi_lazy.arguments.numbers import is_integer, is_real, parse_fraction, parse_integer


@pytest.mark.parametrize("value", [3, np.uint8(3), np.int64(3)])
def test_integers_of_python_and_numpy_become_pythons(value):
    parsed = parse_integer(value, "n must be", least=3, most=3)
    assert (parsed, type(parsed)) == (3, int)


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float64(3), "3", None, [3], Decimal(3)])
def test_what_is_no_integer_is_named_with_its_type(value):
    with pytest.raises(TypeError, match=rf"^n must be an integer, not .* of type {type(value).__name__}$"):
        parse_integer(value, "n must be")


def test_bounds_belong_to_the_allowed_integers():
    assert [parse_integer(n, "n must be", least=1, most=3) for n in (1, 3)] == [1, 3]
    with pytest.raises(ValueError, match=r"^n must be at least 1, not 0$"):
        parse_integer(0, "n must be", least=1)
    with pytest.raises(ValueError, match=r"^n must be from 1 to 3, not 4$"):
        parse_integer(4, "n must be", least=1, most=3, bounds="from 1 to 3")


def test_true_is_no_number():
    assert not is_integer(True)
    assert not is_real(True)
    assert is_real(np.float32(0.5))
    assert not is_real(1j)


@pytest.mark.parametrize("value", [1, 0.01, np.float32(0.25), Fraction(1, 3)])
def test_fractions_become_floats(value):
    assert parse_fraction(value, "sample", "all blocks") == float(value)


@pytest.mark.parametrize("value", [0, -0.5, 1.01, float("nan"), float("inf")])
def test_what_is_no_fraction_of_a_whole_is_refused(value):
    with pytest.raises(ValueError, match=r"^sample must be above 0 and at most 1 \(all blocks\), not "):
        parse_fraction(value, "sample", "all blocks")
