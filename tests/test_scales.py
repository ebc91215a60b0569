"""The level for a spacing, and the samples for a window, against a search over all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.counting import CountingArray, CountingStore

SPACINGS = st.sampled_from([0.1, 0.25, 1.0, 3.0, 1e-6, 7e4])
STARTS = st.sampled_from([0.0, -12.5, 1e3])


@st.composite
def pyramids(draw):
    """A small pyramid, every sample another number, of any spacing, position and factors."""
    shape = draw(st.tuples(st.integers(9, 40), st.integers(9, 40)))
    scale = {dim: draw(SPACINGS) for dim in "yx"}
    translation = {dim: draw(STARTS) * scale[dim] for dim in "yx"}
    factors = draw(st.lists(st.sampled_from([2, 3, {"x": 2}, {"y": 2, "x": 3}]), max_size=2))
    array = np.arange(shape[0] * shape[1]).reshape(shape)
    method = draw(st.sampled_from(["mean", "nearest"]))
    image = msi.to_spatial_image(array, scale=scale, translation=translation)
    return msi.to_multiscale(image, factors, method=method)


def level_names(tree):
    return list(tree.children)


def spacings(tree, name):
    """Spacing along y and x: the mean step of the coordinates; of a single sample it cannot be known from these."""
    image = tree[name].image
    return {dim: np.diff(image[dim].values).mean() if image.sizes[dim] > 1 else None for dim in "yx"}


@given(pyramids(), st.floats(0.3, 30), st.sampled_from(["both", "y", "x"]))
def test_the_level_is_the_coarsest_that_is_fine_enough(tree, factor, along):
    dims = "yx" if along == "both" else along
    first = spacings(tree, "scale0")
    asked = factor * max(first[dim] for dim in dims)
    chosen = tree.pyramid.level_for(asked if along == "both" else dict.fromkeys(dims, asked))
    known = [name for name in level_names(tree) if all(spacings(tree, name)[dim] is not None for dim in dims)]
    if len(known) == len(level_names(tree)):
        fine = [name for name in known if all(spacings(tree, name)[dim] <= asked * (1 + 1e-6) for dim in dims)]
        assert chosen == (fine[-1] if fine else "scale0")


@given(pyramids())
def test_the_spacing_of_a_level_chooses_it(tree):
    for name in level_names(tree):
        found = spacings(tree, name)
        if all(step is not None for step in found.values()):
            coarser = tree.pyramid.level_for(found)
            assert spacings(tree, coarser) == pytest.approx(found)


@given(pyramids(), st.data())
def test_a_window_has_every_sample_that_reaches_into_it(tree, data):
    name = data.draw(st.sampled_from(level_names(tree)))
    tops = {dim: spacings(tree, name)[dim] for dim in "yx"}
    if None in tops.values():
        return
    expected, window = {}, {}
    for dim, step in tops.items():
        centres = tree[name][dim].values
        edges = centres[0] - step / 2, centres[-1] + step / 2
        low, high = sorted(data.draw(st.tuples(*2 * [st.floats(-0.2, 1.2)])))
        low, high = (edges[0] + share * (edges[1] - edges[0]) for share in (low, high))
        begin, end = centres - step / 2, centres + step / 2
        near = 1e-5 * step
        if np.abs(np.subtract.outer([low, high], np.append(begin, end))).min() < near:
            return  # at an edge rounding decides: tested below
        expected[dim] = np.flatnonzero((begin < high) & (end > low))
        window[dim] = slice(low, high)
    if any(found.size == 0 for found in expected.values()):
        with pytest.raises(ValueError, match="outside of the image"):
            tree.pyramid.sel(window, spacing=tops)
        return
    found = tree.pyramid.sel(window, spacing=tops)
    wanted = tree[tree.pyramid.level_for(tops)].image.isel(expected)
    assert found.identical(wanted)
    assert found.equals(tree.pyramid.sel(**window, spacing=tops))


@given(pyramids(), st.data())
def test_a_position_takes_the_sample_it_lies_in(tree, data):
    image = tree["scale0"].image
    at = {dim: data.draw(st.floats(-0.49, image.sizes[dim] - 0.51)) for dim in "yx"}
    steps = spacings(tree, "scale0")
    found = tree.pyramid.sel({dim: image[dim].values[0] + at[dim] * steps[dim] for dim in "yx"})
    nearest = {dim: int(np.abs(np.arange(image.sizes[dim]) - at[dim]).argmin()) for dim in "yx"}
    if all(abs(at[dim] % 1 - 0.5) > 1e-5 for dim in "yx"):
        assert found.identical(image.isel(nearest))


def make_tree(**options):
    image = msi.to_spatial_image(np.arange(64).reshape(8, 8), scale={"y": 0.1, "x": 0.1}, **options)
    return msi.to_multiscale(image, [2])


def test_a_window_that_ends_at_an_edge_takes_no_more():
    """In decimals that no float has: 0.05 + 3 * 0.1."""
    tree = make_tree()
    assert tree.pyramid.sel(x=slice(0.05, 0.35)).sizes["x"] == 3
    assert tree.pyramid.sel(x=slice(-0.05, 0.75)).sizes["x"] == 8
    assert tree.pyramid.sel(x=slice(0.35, None), spacing=0.2).x.values.tolist() == pytest.approx([0.45, 0.65])
    with pytest.raises(ValueError, match=r"from -0.05 to 0.75 along 'x' on scale0"):
        tree.pyramid.sel(x=slice(0.75, 3))


def test_a_window_of_no_length_takes_the_sample_it_lies_in():
    assert make_tree().pyramid.sel(x=slice(0.31, 0.31)).x.values.tolist() == pytest.approx([0.3])
    assert make_tree().pyramid.sel(x=slice(0.35, 0.35)).x.values.tolist() == pytest.approx([0.4])
    assert make_tree().pyramid.sel(x=slice(-0.05, -0.05)).x.values.tolist() == pytest.approx([0])
    assert make_tree().pyramid.sel(x=slice(0.75, 0.75)).x.values.tolist() == pytest.approx([0.7])  # as for x=0.75


@pytest.mark.parametrize("number", [10**400, -(10**5000)], ids=["large", "small"])
def test_numbers_beyond_all_floats_are_named(number):
    for wanted in (number, slice(number, None)):
        with pytest.raises(ValueError, match=r"x must be finite, not a number of \d+ bits"):
            make_tree().pyramid.sel(x=wanted)
    with pytest.raises(ValueError, match=r"spacing must be positive and finite, not a number of \d+ bits"):
        make_tree().pyramid.level_for(number)


def test_windows_of_two_levels_cover_the_same():
    """What xarray's selection of centres does not."""
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((64, 64))), [4, 4])
    for spacing in (1, 4, 16):
        found = tree.pyramid.sel(y=slice(17, 18), x=slice(30, 34), spacing=spacing)
        assert found.y.values[0] - spacing / 2 <= 17
        assert found.y.values[-1] + spacing / 2 >= 18
        assert found.x.values[-1] + spacing / 2 >= 34
    assert tree["scale2"].image.sel(y=slice(17, 18)).size == 0


def test_channels_and_times_are_selected_as_xarray_does():
    array = np.arange(3 * 2 * 64).reshape(3, 2, 8, 8)
    image = msi.to_spatial_image(array, dims="tcyx", c_coords=["DAPI", "GFP"], t_coords=[0.0, 1.5, 3.0])
    tree = msi.to_multiscale(image, [2])
    found = tree.pyramid.sel(c="GFP", t=slice(1, 3), x=slice(2, 5), spacing=2)
    wanted = tree["scale1"].image.sel(c="GFP", t=slice(1, 3)).isel(x=slice(1, 3))
    assert found.identical(wanted)
    assert tree.pyramid.sel({"c": ["GFP"]}, t=1.5).sizes == {"c": 1, "y": 8, "x": 8}
    with pytest.raises(KeyError, match=r"no 'RFP' along 'c'; it has \['DAPI', 'GFP'\]"):
        tree.pyramid.sel(c="RFP")
    with pytest.raises(ValueError, match="along 'c' is given twice"):
        tree.pyramid.sel({"c": "GFP"}, c="GFP")


def test_choosing_reads_nothing_and_computing_reads_the_window_alone():
    array = CountingArray(np.random.default_rng(0).integers(0, 99, (256, 256)))
    tree = msi.to_multiscale(msi.to_spatial_image(array, dims="yx"), [2])
    assert tree.pyramid.level_for(2) == "scale1"
    tree.pyramid.sel(x=slice(3, 9), spacing=2)
    assert array.samples == 0
    store = CountingStore(MemoryStore())
    small = msi.to_multiscale(msi.to_spatial_image(np.ones((256, 256), "u1")), [2], chunks=32)
    small.pyramid.to_zarr(store)
    back = msi.open_multiscale(store)
    store.reads.clear()
    window = back.pyramid.sel(y=slice(70, 80), x=slice(130, 135), spacing=2.5)
    assert not store.chunk_reads()
    assert window.values.shape == (6, 3)
    assert [key for key in store.chunk_reads() if not key.endswith("image/c/1/2")] == []


@pytest.mark.parametrize("width", [0, 1e-9, 2e-7, 1.9e-6, 3e-6])
def test_a_window_narrower_than_the_rounding_at_an_edge_has_a_sample(width):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((8, 8))), [2])
    found = tree.pyramid.sel(x=slice(2.5 - width / 2, 2.5 + width / 2))
    assert set(found.x.values) <= {2.0, 3.0}
    assert found.sizes["x"] >= 1


@pytest.mark.parametrize("window", [slice(None, -0.5), slice(7.5, None), slice(-3, -0.6), slice(7.6, 9)])
def test_a_window_that_only_meets_the_edge_of_the_image_is_outside(window):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((8, 8))), [2])
    with pytest.raises(ValueError, match=r"outside of the image: the image reaches from -0\.5 to 7\.5"):
        tree.pyramid.sel(x=window)


@pytest.mark.parametrize("odd", ["a", {}, 1.5])
def test_a_label_of_another_kind_is_refused_with_those_that_are_there(odd):
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((2, 8, 8)), dims="cyx"), [2])
    with pytest.raises(KeyError, match="along 'c'; it has"):
        tree.pyramid.sel(c=odd)
