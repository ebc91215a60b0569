"""The block rule: integral carries, no empty block, every write unit owned by one block."""

from itertools import accumulate, pairwise
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msi_lazy.plan.block_size import Pyramid, plan_stages
from msi_lazy.plan.stages import StagePlan
from msi_lazy.plan.windows import level_extent


def make_pyramid(shape, factors, chunks, itemsize=2, boundary="trim", radius=0):
    extents = [shape]
    for step in factors:
        extents.append(tuple(level_extent(n, f, boundary) for n, f in zip(extents[-1], step, strict=True)))
    radii = tuple(tuple(radius if f > 1 else 0 for f in step) for step in factors)
    chunks = tuple(map(min, chunks, shape))
    return Pyramid(tuple(extents), tuple(factors), radii, chunks, itemsize)


@st.composite
def planned(draw):
    """A pyramid, up to 3D, any factors, and a limit for its blocks."""
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 3000)) for _ in range(ndim))
    boundary = draw(st.sampled_from(["trim", "pad"]))
    factors, extents = [], shape
    for _ in range(draw(st.integers(0, 5))):
        step = tuple(draw(st.integers(1, min(5, n))) for n in extents)
        extents = tuple(level_extent(n, f, boundary) for n, f in zip(extents, step, strict=True))
        factors.append(step)
    chunks = tuple(draw(st.integers(1, 300)) for _ in range(ndim))
    pyramid = make_pyramid(shape, factors, chunks, boundary=boundary, radius=draw(st.sampled_from([0, 3])))
    return pyramid, draw(st.integers(1, 10**8))


@given(planned())
def test_every_level_is_written_by_one_stage_and_handed_on_to_the_next(case):
    pyramid, block_bytes = case
    stages, _ = plan_stages(pyramid, block_bytes)
    assert [level for stage in stages for level in stage.written] == list(range(pyramid.last + 1))
    for stage, following in pairwise(stages):
        assert following.first == stage.carry
    assert stages[0].first == 0
    assert stages[-1].carry is None


@given(planned())
def test_blocks_cover_each_level_without_gap_overlap_or_empty_block(case):
    pyramid, block_bytes = case
    stages, _ = plan_stages(pyramid, block_bytes)
    for stage in stages:
        for level in {*stage.outputs, stage.first}:
            for dim, lengths in enumerate(stage.block_chunks(level)):
                assert min(lengths) >= 1
                assert sum(lengths) == pyramid.extents[level][dim]


@given(planned())
def test_no_write_unit_is_shared_by_two_blocks(case):
    pyramid, block_bytes = case
    stages, _ = plan_stages(pyramid, block_bytes)
    for stage in stages:
        for level in stage.written:
            for lengths, chunk in zip(stage.block_chunks(level), pyramid.chunks, strict=True):
                assert all(border % chunk == 0 for border in list(accumulate(lengths))[:-1])


@given(planned())
def test_carries_are_integral(case):
    pyramid, block_bytes = case
    stages, _ = plan_stages(pyramid, block_bytes)
    for stage in stages:
        for edge, count, factor in zip(stage.edges, stage.counts, stage.cumulative[-1], strict=True):
            assert count == 1 or edge % factor == 0


@given(planned())
def test_blocks_keep_the_limit_unless_a_single_chunk_and_factor_exceed_it(case):
    pyramid, block_bytes = case
    stages, largest = plan_stages(pyramid, block_bytes)
    for stage in stages:
        nbytes = prod(map(min, stage.edges, stage.extents[0])) * pyramid.itemsize
        assert nbytes <= max(block_bytes, largest)
    steps = (*pyramid.factors, (1,) * len(pyramid.chunks))
    least = max(
        prod(min(n, chunk * f + f) for n, chunk, f in zip(extents, pyramid.chunks, step, strict=True))
        for extents, step in zip(pyramid.extents, steps, strict=True)
    )
    assert largest <= block_bytes or least * pyramid.itemsize > block_bytes


def test_the_design_example():
    shapes = make_pyramid((1024,) * 3, ((2, 2, 2),) * 5, (64,) * 3)
    stages, _ = plan_stages(shapes, 64 * 2**20)
    assert [(s.edges, s.written, s.carry) for s in stages] == [
        ((256,) * 3, (0, 1, 2), 3),
        ((128,) * 3, (3, 4, 5), None),
    ]


@pytest.mark.parametrize("factors", [(2, 3, 4), (3, 3, 3), (5, 5), (4, 4, 4)])
def test_blocks_of_uneven_factors_stay_moderate(factors):
    pyramid = make_pyramid((4096,) * 3, tuple((f,) * 3 for f in factors), (64,) * 3)
    stages, largest = plan_stages(pyramid, 128 * 2**20)
    assert largest <= 128 * 2**20
    assert stages[0].blocks > 1


def test_a_tail_too_short_for_a_sample_of_the_carry_joins_the_last_block():
    (stage, *_) = plan_stages(make_pyramid((129,), ((2,), (2,)), (16,)), 64 * 2)[0]
    assert stage.block_chunks(0) == ((64, 65),)
    (stage, *_) = plan_stages(make_pyramid((133,), ((2,), (2,)), (16,)), 64 * 2)[0]
    assert stage.block_chunks(0)[0][-1] >= stage.cumulative[-1][0]


def test_small_planes_grow_along_channels_and_time():
    factors = ((1, 1, 2, 2), (1, 1, 2, 2))
    pyramid = make_pyramid((50, 3, 512, 512), factors, (1, 1, 256, 256))
    (stage,), _ = plan_stages(pyramid, 16 * 2**20)
    assert stage.edges == (10, 3, 512, 512)


def test_a_factor_of_one_costs_nothing():
    pyramid = make_pyramid((4096, 4096), ((1, 2), (1, 2)), (256, 256))
    (stage, *_) = plan_stages(pyramid, 256 * 1024 * 2)[0]
    assert stage.edges == (256, 1024)


@given(planned(), st.data())
def test_a_window_touches_just_the_blocks_that_own_its_samples(case, data):
    pyramid, block_bytes = case
    stages, _ = plan_stages(pyramid, block_bytes)
    for stage, following in pairwise(stages):
        index = tuple(data.draw(st.integers(0, count - 1)) for count in following.counts)
        window = following.needed(index)[0]
        for dim, positions in enumerate(stage.touching(following.first, window)):
            borders = [0, *accumulate(stage.block_chunks(following.first)[dim])]
            interval = window[dim]
            touching = [
                i
                for i, (start, stop) in enumerate(pairwise(borders))
                if start < interval.stop and stop > interval.start
            ]
            assert list(positions) == touching


@pytest.mark.parametrize(("extent", "lengths"), [(19, (8, 11)), (20, (8, 8, 4)), (21, (8, 8, 5)), (3, (3,))])
def test_a_tail_is_a_block_of_its_own_from_one_sample_of_the_deepest_level_on(extent, lengths):
    """At equality it has just that one sample: an absorbed tail would make the last block larger than it has to be."""
    stage = StagePlan(0, ((extent,), (extent // 2,), (extent // 4,)), ((2,), (2,)), ((0,), (0,)), (8,), (0, 1, 2), None)
    assert stage.block_chunks(0) == (lengths,)
    assert min(stage.block_chunks(2)[0]) >= min(1, extent // 4)


@pytest.mark.parametrize(("extent", "blocks"), [(18, 2), (19, 3)])
def test_a_tail_as_long_as_the_halo_is_a_block_of_its_own(extent, blocks):
    stage = StagePlan(0, ((extent,), (extent // 2,)), ((2,),), ((3,),), (8,), (0, 1), None)
    assert stage.halo == (3,)
    assert stage.counts == (blocks,)
