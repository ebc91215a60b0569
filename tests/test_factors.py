import re

import numpy as np
import pytest

from msi_lazy.arguments.choices import parse_boundary
from msi_lazy.arguments.factors import auto_factors, parse_factors
from msi_lazy.arguments.sizes import parse_bytes_of, parse_chunks
from msi_lazy.axes import Axis

AXES = (Axis("c", "channel", 3), Axis("y", "space", 100), Axis("x", "space", 64))


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ([2, 4], ((1, 2, 2), (1, 4, 4))),
        ([], ()),
        ((np.int64(2),), ((1, 2, 2),)),
        ([{"x": 2}], ((1, 1, 2),)),
        ([{}], ((1, 1, 1),)),
        ([{"c": 3, "y": 5, "x": np.uint8(1)}], ((3, 5, 1),)),
        ([2, {"y": 5}], ((1, 2, 2), (1, 5, 1))),
    ],
)
def test_factors_are_parsed_in_the_order_of_the_axes(given, parsed):
    assert parse_factors(given, AXES, "trim") == parsed


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ([0], ValueError, ["0", "'y'", "level 1"]),
        ([2, -2], ValueError, ["-2", "'y'", "level 2"]),
        ([2.0], TypeError, ["2.0", "'y'", "level 1"]),
        ([True], TypeError, ["True", "'y'", "level 1"]),
        ([{"y": False}], TypeError, ["False", "'y'", "level 1"]),
        ([{"q": 2}], ValueError, ["'q'", "level 1", "('c', 'y', 'x')"]),
        ([50, 3], ValueError, ["3", "'y'", "level 2", "the samples"]),
        ([{"x": 65}], ValueError, ["65", "'x'", "level 1", "64 samples"]),
        (["2"], TypeError, ["'2'"]),
        ([None], TypeError, ["None"]),
        (2, TypeError, ["2", "sequence"]),
        ("automatic", TypeError, ["'automatic'", "'auto'"]),
        ({"y": 2}, TypeError, ["sequence"]),
    ],
)
def test_wrong_factors_are_refused_by_value_dimension_and_level(given, error, words):
    with pytest.raises(error) as caught:
        parse_factors(given, AXES, "trim")
    for word in words:
        assert word in str(caught.value)


def test_exact_refuses_what_trim_takes():
    assert parse_factors([3], AXES, "trim")
    with pytest.raises(ValueError, match=re.escape("does not divide the 100 samples")):
        parse_factors([3], AXES, "exact")


def test_auto_stops_when_every_spatial_dimension_fits_a_chunk():
    axes = (Axis("t", "time", 900), Axis("y", "space", 1000), Axis("x", "space", 300))
    assert auto_factors(axes, (1, 256, 256), "trim") == ((1, 2, 2), (1, 2, 2))


def test_auto_makes_spacing_near_isotropic_first():
    axes = (Axis("z", "space", 256, 2.0), Axis("y", "space", 1024, 0.5), Axis("x", "space", 1024, 0.5))
    steps = auto_factors(axes, (64, 64, 64), "trim")
    assert steps == ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))


def test_auto_takes_spacings_within_root_two_together():
    axes = (Axis("y", "space", 1024, 1.4), Axis("x", "space", 1024, 1.0))
    assert auto_factors(axes, (512, 512), "trim") == ((2, 2),)
    axes = (Axis("y", "space", 1024, 1.5), Axis("x", "space", 1024, 1.0))
    assert auto_factors(axes, (512, 512), "trim") == ((1, 2), (2, 2))


def test_auto_ends_though_a_dimension_is_one_sample_thick():
    axes = (Axis("z", "space", 1), Axis("y", "space", 300), Axis("x", "space", 300))
    assert auto_factors(axes, (64, 64, 64), "trim") == ((1, 2, 2),) * 3


def test_auto_with_exact_stops_before_a_remainder():
    axes = (Axis("y", "space", 600), Axis("x", "space", 600))
    assert auto_factors(axes, (64, 64), "exact") == ((2, 2),) * 3
    assert auto_factors(axes, (64, 64), "trim") == ((2, 2),) * 4


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        (None, (1, 100, 64)),
        (32, (1, 32, 32)),
        (np.int32(32), (1, 32, 32)),
        ((2, 16, 8), (2, 16, 8)),
        ({"x": 16, "c": 3}, (3, 100, 16)),
        ({"y": -1}, (1, 100, 64)),
        (10**6, (1, 100, 64)),
    ],
)
def test_chunks(given, parsed):
    assert parse_chunks(given, AXES) == parsed


@pytest.mark.parametrize(
    ("given", "error"),
    [(0, ValueError), (-2, ValueError), (2.0, TypeError), (True, TypeError), ("64", TypeError), ((2, 2), ValueError)],
)
def test_wrong_chunks_are_refused(given, error):
    with pytest.raises(error, match="chunk"):
        parse_chunks(given, AXES)


def test_chunks_of_an_unknown_dimension_are_refused():
    with pytest.raises(ValueError, match="'q'"):
        parse_chunks({"q": 2}, AXES)


def test_default_chunks_follow_the_number_of_spatial_dimensions():
    volume = tuple(Axis(name, "space", 1000) for name in "zyx")
    assert parse_chunks(None, volume) == (64, 64, 64)
    assert parse_chunks(None, volume[1:]) == (256, 256)


@pytest.mark.parametrize("given", [0, -1, "many", None, 2.5, True, "-1 MiB"])
def test_wrong_block_bytes_are_refused(given):
    with pytest.raises((TypeError, ValueError), match="block_bytes"):
        parse_bytes_of("block_bytes", given)


def test_boundary_is_one_of_three():
    assert parse_boundary("pad") == "pad"
    with pytest.raises(ValueError, match="'trim', 'pad' or 'exact', not 'wrap'"):
        parse_boundary("wrap")
