"""Which parts of a level a change reaches, and how a level is cut into blocks: held against brute force."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.graph.block_tasks import reduce_window
from msi_lazy.methods import resolve_method
from msi_lazy.plan.grid import Grid
from msi_lazy.plan.steps import Step, changed_interval, choose_blocks, plan_blocks
from msi_lazy.plan.windows import Interval, intersect, level_extent, needed_interval


@given(st.data())
def test_a_change_reaches_every_output_that_needs_it_and_no_other(data):
    n, factor, radius = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 6)), data.draw(st.integers(0, 9))
    extent = level_extent(n, factor, data.draw(st.sampled_from(["trim", "pad"])))
    start = data.draw(st.integers(0, n - 1))
    changed = Interval(start, data.draw(st.integers(start + 1, n)))
    needs = [needed_interval(Interval(a, a + 1), factor, radius, n) for a in range(extent)]
    expected = {a for a, need in enumerate(needs) if need.start < changed.stop and changed.start < need.stop}
    found = changed_interval(changed, factor, radius, extent)
    assert set(range(*found)) == expected
    assert 0 <= found.start <= found.stop <= extent


@pytest.mark.parametrize("method", ["mean", "nearest", "gaussian", "label_gaussian", "dask_image_gaussian"])
@given(st.data())
def test_no_sample_beyond_the_reach_of_a_change_is_another(method, data):
    """By the kernels themselves: edges that are replicated or reflected, and windows that pad leaves partial."""
    row, boundary = resolve_method(method), data.draw(st.sampled_from(["trim", "pad"]))
    shape = tuple(data.draw(st.integers(2, 23)) for _ in range(2))
    factors = tuple(data.draw(st.integers(1, min(4, n))) for n in shape)
    extents = tuple(level_extent(n, f, boundary) for n, f in zip(shape, factors, strict=True))
    radii = tuple(row.radius(f) if f > 1 else 0 for f in factors)
    step = Step(1, factors, radii, shape, Grid(extents, extents))
    before = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 9, shape).astype("f8")
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    region = tuple(Interval(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True))
    after = before.copy()
    after[tuple(slice(*interval) for interval in region)] += 100
    whole = tuple(Interval(0, n) for n in shape)
    terms = (whole, step.units.whole, factors, shape, row, None)
    differs = reduce_window(before, *terms) != reduce_window(after, *terms)
    outside = np.ones(extents, bool)
    outside[tuple(slice(*interval) for interval in step.changed(region))] = False
    assert not differs[outside].any()


@given(st.data())
def test_blocks_cover_a_level_once_in_whole_units_within_the_limit(data):
    ndim = data.draw(st.integers(1, 3))

    def draw(low, high):
        return tuple(data.draw(st.integers(low, high)) for _ in range(ndim))

    finer, factors, radii = draw(5, 40), draw(1, 4), draw(0, 3)
    extents = tuple(max(n // f, 1) for n, f in zip(finer, factors, strict=True))
    step = Step(1, factors, radii, finer, Grid(extents, draw(1, 7)))
    limit = data.draw(st.integers(1, 4000))
    blocks = plan_blocks(step, 2, limit)
    seen = np.zeros(extents, int)
    for index in map(blocks.index, range(blocks.count)):
        window = blocks.window(index)
        seen[tuple(slice(*interval) for interval in window)] += 1
        assert step.units.rounded(window) == window
        one_unit = len(list(step.units.touching(window))) == 1
        assert one_unit or 2 * prod(interval.length for interval in step.needed(window)) <= limit
    assert (seen == 1).all()


@given(st.data())
def test_parts_that_a_window_touches(data):
    extents = tuple(data.draw(st.integers(1, 20)) for _ in range(2))
    grid = Grid(extents, tuple(data.draw(st.integers(1, 25)) for _ in range(2)))
    starts = [data.draw(st.integers(0, n - 1)) for n in extents]
    window = tuple(Interval(a, data.draw(st.integers(a, n))) for a, n in zip(starts, extents, strict=True))
    every = [grid.index(number) for number in range(grid.count)]
    assert every == list(np.ndindex(*grid.counts))
    assert list(grid.touching(window)) == [index for index in every if intersect(grid.window(index), window)]


def test_covering_takes_in_what_trim_leaves_out():
    step = Step(1, (3, 1), (0, 0), (11, 8), Grid((3, 8), (2, 4)))
    assert step.covering((Interval(2, 3), Interval(4, 8))) == (Interval(6, 11), Interval(4, 8))
    assert step.covering((Interval(0, 2), Interval(0, 4))) == (Interval(0, 6), Interval(0, 4))


def test_a_sample_of_blocks_is_a_fraction_and_repeatable():
    assert len(choose_blocks(5000, 0.01, seed=3)) == 50
    assert len(set(choose_blocks(5000, 0.01, seed=3))) == 50
    assert choose_blocks(5000, 0.01, seed=3) == choose_blocks(5000, 0.01, seed=3) != choose_blocks(5000, 0.01, seed=4)
    assert len(choose_blocks(3, 0.001, seed=0)) == 1
    assert list(choose_blocks(3, 1.0, seed=0)) == [0, 1, 2]
