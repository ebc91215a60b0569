"""Plots of a tree: which samples lie where, and what is read for them."""

import sys

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.show.pictures.planes import fit_axis
from tests.support.bad_arguments import is_ours
from tests.support.counting import CountingStore
from tests.support.optional import require
from tests.support.picturing import build, drawn, gray, levels_read, never, panels, random_array, stored_tree

mpl, plt = require("matplotlib"), require("matplotlib.pyplot")
FigureCanvasAgg, Figure = require("matplotlib.backends.backend_agg").FigureCanvasAgg, plt.Figure


@pytest.fixture(autouse=True)
def nothing_else_is_changed():
    """Neither the backend, nor a setting, nor pyplot's figures but for those that a test closes."""
    settings, backend, figures = dict(mpl.rcParams), mpl.get_backend(), plt.get_fignums()
    yield
    assert (dict(mpl.rcParams), mpl.get_backend(), plt.get_fignums()) == (settings, backend, figures)


def test_a_plot_reads_each_chunk_of_the_levels_that_fit_once():
    store, tree = stored_tree(random_array((1024, 1024)), 64, (2, 2, 2, 2))
    axes = panels(5, inches=2)  # 200 pixels in all, and fewer for the panel
    tree.pyramid.plot(axes)
    reads = store.chunk_reads()
    assert levels_read(store) == {"scale2", "scale3", "scale4"}
    assert set(reads.values()) == {1}
    titles = [panel.get_title().splitlines()[0] for panel in axes.ravel()]
    assert titles == ["scale0, drawn from scale2", "scale1, drawn from scale2", "scale2", "scale3", "scale4"]
    assert [drawn(panel).shape[0] for panel in axes.ravel()] == [256, 256, 256, 128, 64]


def terabyte(shape, chunk, dims):
    """A stored image whose large levels have metadata, and no chunk."""
    blocks = tuple(min(n, 2**14 if len(shape) == 2 else 512) for n in shape)
    source = da.map_blocks(never, chunks=da.core.normalize_chunks(blocks, shape), dtype="u2")
    ome = build(source, dims, factors=[2] * (11 if len(shape) == 2 else 6)).attrs["ome"]
    store = CountingStore(MemoryStore())
    group = zarr.create_group(store, attributes={"ome": ome})
    for number, dataset in enumerate(ome["multiscales"][0]["datasets"]):
        level = tuple(n >> number for n in shape)
        chunks = tuple(min(n, chunk) for n in level)
        array = group.create_array(dataset["path"], shape=level, chunks=chunks, dtype="u2", fill_value=0)
        if np.prod(level) <= 2**21:
            array[...] = random_array(level, "u2", 4000)
    store.reads.clear()
    return store, source.nbytes


@pytest.mark.parametrize(
    ("shape", "chunk", "dims", "level"), [((2**19, 2**20), 1024, "yx", 11), ((2**13,) * 3, 128, "zyx", 6)]
)
def test_a_stored_terabyte_is_drawn_from_its_smallest_levels(shape, chunk, dims, level):
    store, nbytes = terabyte(shape, chunk, dims)
    assert nbytes >= 2**40
    tree = msi.open_multiscale(store)
    smallest = tree[f"scale{level}"]["image"].values
    store.reads.clear()
    size = max(smallest.shape)
    picture = tree.pyramid.thumbnail(size)
    assert levels_read(store) == {f"scale{level}"}
    plane = smallest if smallest.ndim == 2 else smallest[len(smallest) // 2]
    low, high = np.quantile(plane, [0.001, 0.999], method="nearest")
    wanted = 255 * np.clip((plane.astype(float) - low) / (high - low), 0, 1)
    assert np.abs(picture[..., 0] - wanted).max() <= 0.5 + 1e-9
    store.reads.clear()
    figure = Figure(figsize=(1.2, 1.2))
    axes = tree.pyramid.plot(figure.add_axes((0, 0, 1, 1)), levels=["scale0"])
    np.testing.assert_array_equal(drawn(axes[0]), picture)
    assert levels_read(store) == {f"scale{level}"}
    assert sum(store.chunk_reads().values()) <= 2


def test_of_a_tree_of_a_terabyte_no_block_of_the_large_levels_is_computed():
    levels = {}
    for number, step in enumerate((1, 16, 256, 4096)):
        shape = (2**20 // step, 2**19 // step)
        large = da.map_blocks(never, chunks=da.core.normalize_chunks(2**14, shape), dtype="u2", meta=np.empty((0, 0)))
        array = random_array(shape, "u2", 900) if step == 4096 else large
        coords = {dim: (np.arange(n) + 0.5) * step for dim, n in zip("yx", shape, strict=True)}
        levels[f"/scale{number}"] = xr.Dataset({"image": (("y", "x"), array)}, coords)
    tree = xr.DataTree.from_dict(levels)
    assert tree["scale0"]["image"].nbytes == 2**40
    small = tree["scale3"]["image"].values
    picture = tree.pyramid.thumbnail(256)
    assert picture.shape == (256, 128, 3)
    assert picture[..., 0][small <= np.percentile(small, 0.1)].max() == 0
    axes = tree.pyramid.plot(Figure(figsize=(2, 2)).subplots(1, 2), levels=[0, 3])
    for panel in axes:
        np.testing.assert_array_equal(drawn(panel), picture)
    with pytest.raises(AssertionError, match="a block of the source"):
        tree.pyramid.thumbnail(257)


def test_of_a_lazy_pyramid_only_what_is_shown_is_computed():
    blocks = []

    def block(block_info=None):
        blocks.append(block_info[None]["chunk-location"])
        return np.full(block_info[None]["chunk-shape"], blocks[-1][0], "u1")

    source = da.map_blocks(block, chunks=((16,) * 8, (64,), (64,)), dtype="u1", meta=np.empty(0, "u1"))
    image = msi.to_spatial_image(source, dims="zyx")
    tree = msi.to_multiscale(image, [{"y": 2, "x": 2}], chunks=16, block_bytes=16 * 64 * 64)
    axes = panels(2)
    assert not blocks
    tree.pyramid.plot(axes)
    tree.pyramid.thumbnail()
    assert {location[0] for location in blocks} == {4}
    assert (drawn(axes[0, 1]) == 4).all()


def test_a_large_level_without_a_coarser_one_is_reduced_by_blocks():
    y, x = np.mgrid[:3000, :2005]
    array = (2 * y / 100 + 3 * x / 100 + 100 * (x >= 1900)).astype("u1")
    tree = build(da.from_array(array, chunks=512), factors=())
    found = tree.pyramid.thumbnail(300)
    assert found.shape == (300, 200, 3)
    exact = fit_axis(fit_axis(array, 0, 3000, 300, nearest=False), 1, 2005, 200, nearest=False)
    assert np.abs(found[..., 0] - exact).max() <= 1  # the windows' means are rounded
    panel = panels(1, inches=3)[0, 0]
    tree.pyramid.plot(panel)
    (image,) = panel.images
    assert panel.get_title().startswith("scale0, in windows of 12 x 12\n")
    rows, columns = -(-3000 // 12), -(-2005 // 12)
    assert drawn(panel).shape == (rows, columns, 3)
    assert tuple(image.get_extent()) == (-0.5, columns * 12 - 0.5, rows * 12 - 0.5, -0.5)
    assert (panel.get_xlim(), panel.get_ylim()) == ((-0.5, 2004.5), (2999.5, -0.5))


def test_panels_have_the_same_extent_and_each_level_lies_in_its_place():
    array = random_array((33, 50))
    scale, origin, units = {"y": 2.0, "x": 0.5}, {"y": 100.0, "x": -3.0}, {"y": "micrometer", "x": "micrometer"}
    tree = build(array, factors=(2, 2), scale=scale, translation=origin, axis_units=units)
    axes = panels(3)
    returned = tree.pyramid.plot(axes)
    assert returned.shape == (3,)
    assert list(returned) == list(axes.ravel())
    for number, panel in enumerate(returned):
        level = tree[f"scale{number}"]["image"]
        (image,) = panel.images
        y, x = level.y.values, level.x.values
        dy, dx = (y[1] - y[0]) / 2, (x[1] - x[0]) / 2
        assert image.get_extent() == pytest.approx([x[0] - dx, x[-1] + dx, y[-1] + dy, y[0] - dy])
        assert panel.get_xlim() == pytest.approx((-3.25, 21.75))
        assert panel.get_ylim() == pytest.approx((165.0, 99.0))  # downwards
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("x [micrometer]", "y [micrometer]")
        assert panel.get_aspect() == 1
        assert image.get_interpolation() == "nearest"
        np.testing.assert_array_equal(drawn(panel), gray(level.values))
    assert returned[2].get_title() == "scale2\n8 x 12, spacing 8 x 2"


def test_the_pixels_on_the_screen_are_the_samples():
    array = random_array((4, 6))
    figure = Figure(figsize=(6, 4), dpi=10)
    panel = figure.add_axes((0, 0, 1, 1))
    build(array, factors=()).pyramid.plot(panel)
    panel.set_axis_off()
    panel.set_title("")
    FigureCanvasAgg(figure).draw()
    seen = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    np.testing.assert_array_equal(seen, gray(array).repeat(10, 0).repeat(10, 1))


def test_all_panels_show_one_range_of_values():
    array = random_array((64, 64), "u2", 3000)
    tree = build(array, factors=(2, 2))
    axes = panels(3)
    tree.pyramid.plot(axes)
    low, high = np.percentile(array, [0.1, 99.9])
    wanted = 255 * np.clip((tree["scale2"]["image"].values - low) / (high - low), 0, 1)
    assert np.abs(drawn(axes[0, 2])[..., 0] - wanted).max() <= 0.5 + 1e-9


def test_a_figure_is_made_where_none_is_given():
    tree = build(random_array((64, 64)), factors=(2, 2, 2, 2, 2))
    for levels, count in ((None, 6), (["scale1"], 1), (["scale3", 0], 2)):
        axes = tree.pyramid.plot(levels=levels)
        assert axes.shape == (count,)
        figure = axes[0].figure
        assert plt.gcf() is figure
        assert figure.axes == list(axes)
        plt.close(figure)


def test_levels_are_drawn_in_the_order_given():
    tree = build(random_array((32, 32)), factors=(2, 2))
    axes = tree.pyramid.plot(list(panels(2).ravel()), levels=np.array([2, 0]))
    assert [panel.get_title().splitlines()[0] for panel in axes] == ["scale2", "scale0"]


def test_a_figure_is_closed_if_nothing_can_be_drawn():
    tree = build(da.map_blocks(never, chunks=((32,), (32,)), dtype="u1", meta=np.empty((0, 0), "u1")))
    with pytest.raises(AssertionError, match="a block of the source"):
        tree.pyramid.plot()
    assert not plt.get_fignums()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    tree = build(random_array((16, 16)))
    axes = panels(2)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for given in (None, axes):
        with pytest.raises(ImportError, match=r"matplotlib, which is not installed: pip install 'msi-lazy\[plot\]'"):
            tree.pyramid.plot(given)
    assert tree.pyramid.thumbnail().shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((1, 3), "2 levels are drawn, each in Axes of its own, and 3 are given"), ((), "and 1 are given")],
)
def test_as_many_axes_as_levels(shape, words):
    with pytest.raises(ValueError, match=words) as caught:
        build(random_array((8, 8))).pyramid.plot(Figure().subplots(*shape))
    assert is_ours(caught.value)
