from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.plan.windows import Interval, hull, level_extent, needed_interval


@given(
    n=st.integers(1, 1000), one=st.integers(1, 9), other=st.integers(1, 9), boundary=st.sampled_from(["trim", "pad"])
)
def test_extents_of_chained_factors_are_those_of_their_product(n, one, other, boundary):
    chained = level_extent(level_extent(n, one, boundary), other, boundary)
    assert chained == level_extent(n, one * other, boundary)


@given(start=st.integers(0, 50), length=st.integers(1, 50), factor=st.integers(1, 6), radius=st.integers(0, 9))
def test_needed_interval_holds_every_window_and_its_radius(start, length, factor, radius):
    extent = (start + length) * factor + 3
    found = needed_interval(Interval(start, start + length), factor, radius, extent)
    wanted = {
        sample
        for output in range(start, start + length)
        for sample in range(output * factor - radius, output * factor + factor + radius)
        if 0 <= sample < extent
    }
    assert set(range(found.start, found.stop)) == wanted


def test_hull():
    assert hull(Interval(3, 5), Interval(1, 4)) == Interval(1, 5)
