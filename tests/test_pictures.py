"""Thumbnails and plots: the pixels, where they lie, and what is read for them."""

import sys

import dask.array as da
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
import zarr
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.pictures.planes import fit_axis
from tests.conftest import CountingStore


def build(array, dims=None, factors=(2,), method="mean", **options):
    return msi.to_multiscale(msi.to_spatial_image(array, dims=dims, **options), list(factors), method=method)


def random_array(shape, dtype="u1", high=255, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def panels(count, inches=4):
    return Figure(figsize=(inches * count, inches)).subplots(1, count, squeeze=False)


def drawn(panel):
    (image,) = panel.images
    return np.asarray(image.get_array())


def gray(array):
    return np.repeat(array[..., np.newaxis], 3, axis=-1)


@pytest.fixture(autouse=True)
def nothing_else_is_changed():
    """Neither the backend, nor a setting, nor pyplot's figures but for those that a test closes."""
    settings, backend, figures = dict(mpl.rcParams), mpl.get_backend(), plt.get_fignums()
    yield
    assert (dict(mpl.rcParams), mpl.get_backend(), plt.get_fignums()) == (settings, backend, figures)


def test_a_small_image_is_its_own_thumbnail():
    array = random_array((20, 30))
    found = build(array).pyramid.thumbnail()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, gray(array))


def test_a_thumbnail_is_the_level_that_has_its_size():
    array = random_array((64, 128))
    tree = build(array, factors=(2, 2))
    np.testing.assert_array_equal(tree.pyramid.thumbnail(32), gray(tree["scale2"]["image"].values))
    np.testing.assert_array_equal(tree.pyramid.thumbnail(64), gray(tree["scale1"]["image"].values))


@pytest.mark.parametrize(
    ("shape", "size"), [((90, 60), 30), ((90, 60), 33), ((41, 97), 50), ((45, 91), 20), ((300, 7), 64)]
)
def test_a_thumbnail_between_two_levels_is_the_mean_of_the_finer_one(shape, size):
    array = random_array(shape)
    tree = build(array, factors=(2, 2) if min(shape) > 8 else (2,))
    found = tree.pyramid.thumbnail(size)
    assert max(found.shape) == size
    enough = [level["image"].values for level in tree.children.values() if max(level["image"].shape) >= size]
    # each sample cut into as many pieces as pixels, and pieces averaged: exact, and slow
    rows, columns = found.shape[:2]
    pieces = enough[-1].repeat(rows, 0).repeat(columns, 1).astype(float)
    wanted = pieces.reshape(rows, enough[-1].shape[0], columns, enough[-1].shape[1]).mean((1, 3))
    assert np.abs(found[..., 0] - wanted).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 100])
def test_a_thumbnail_is_no_larger_than_asked(size):
    assert max(build(random_array((40, 16))).pyramid.thumbnail(size).shape[:2]) == min(size, 40)


def test_physical_proportions_are_kept():
    array = random_array((16, 64))
    tree = build(array, factors=({"x": 2},), scale={"y": 3.0, "x": 1.0})
    found = tree.pyramid.thumbnail()
    assert found.shape == (48, 64, 3)
    np.testing.assert_array_equal(found, gray(array.repeat(3, axis=0)))
    assert tree.pyramid.thumbnail(32).shape == (24, 32, 3)


def test_channels_add_up_in_their_colours_and_windows():
    array = random_array((3, 12, 16), "u2", 5000)
    store = MemoryStore()
    colors = {"a": "FF8000", "b": "0040FF", "c": "FFFFFF"}
    windows = {"a": (100, 3000), "b": (0, 4999), "c": (2000, 2001)}
    build(array, "cyx", c_coords=list("abc")).pyramid.to_zarr(store, colors=colors, windows=windows)
    tree = msi.open_multiscale(store)
    light = np.zeros((12, 16, 3))
    for plane, color, (start, end) in zip(array, colors.values(), windows.values(), strict=True):
        share = np.minimum(np.maximum(plane.astype(float) - start, 0) / (end - start), 1)
        light += share[..., None] * [int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    wanted = np.minimum(light, 1) * 255
    assert np.abs(tree.pyramid.thumbnail() - wanted).max() <= 0.5 + 1e-9
    panel = panels(1)
    tree.pyramid.plot(panel, levels=["scale0"])
    np.testing.assert_array_equal(drawn(panel[0, 0]), tree.pyramid.thumbnail())


def test_channels_that_are_not_active_are_neither_shown_nor_read():
    array = random_array((4, 64, 64))
    store, tree = stored_tree(array, {"c": 1, "y": 32, "x": 32}, (), "cyx")
    for number, channel in enumerate(tree.attrs["ome"]["omero"]["channels"]):
        channel.update(active=number in (1, 2), color=["FFFFFF", "00FF00", "0000FF", "00FF00"][number])
    found = tree.pyramid.thumbnail()
    np.testing.assert_array_equal(found, np.stack([0 * array[0], array[1], array[2]], axis=-1))
    assert {key.split("/")[3] for key in store.chunk_reads()} == {"1", "2"}
    assert set(store.chunk_reads().values()) == {1}
    for number, channel in enumerate(tree.attrs["ome"]["omero"]["channels"]):
        channel.update(active=number in (0, 2, 3), color=["FF0000", "FFFFFF", "0000FF", "00FF00"][number])
    np.testing.assert_array_equal(tree.pyramid.thumbnail(), np.stack([array[0], array[3], array[2]], axis=-1))


def test_without_an_active_channel_the_first_ones_are_shown():
    tree = build(random_array((6, 16, 16)), "cyx", factors=())
    for channel in tree.attrs["ome"]["omero"]["channels"]:
        channel.update(active=False, color="0000FF")
    wanted = np.minimum(tree["scale0"]["image"].values[:4].astype(int).sum(0), 255)
    np.testing.assert_array_equal(tree.pyramid.thumbnail()[..., 2], wanted)


@pytest.mark.parametrize("names", [["r", "g", "b"], ["Red", "Green", "Blue"]])
@pytest.mark.parametrize("dims", ["yxc", "cyx", "ycx"])
def test_a_colour_picture_is_shown_as_it_is(names, dims):
    picture = random_array((24, 32, 3))
    array = np.transpose(picture, ["yxc".index(dim) for dim in dims])
    np.testing.assert_array_equal(build(array, dims, c_coords=names).pyramid.thumbnail(), picture)


def test_gray_stays_gray_in_a_colour_picture_of_16_bits():
    plane = random_array((16, 16), "u2", 3000)
    tree = build(np.stack([plane, plane, plane // 2]), "cyx", c_coords=["r", "g", "b"])
    found = tree.pyramid.thumbnail().astype(int)
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    inside = (found[..., 0] > 10) & (found[..., 0] < 255)
    assert np.abs(found[..., 2] - found[..., 0] / 2)[inside].max() <= 2


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4", "f8", "u8", ">i2", "f2"])
def test_wider_values_go_from_black_to_white_without_the_extremes(dtype):
    values = np.arange(10_000).reshape(100, 100) % 2000
    values[0, 0], values[50, 50] = 32_000, 0  # a hot pixel
    found = build(values.astype(dtype)).pyramid.thumbnail()[..., 0]
    low, high = np.percentile(values.astype(dtype).astype(float), [0.1, 99.9])
    wanted = 255 * np.clip((values.astype(dtype).astype(float) - low) / (high - low), 0, 1)
    assert np.abs(found - wanted).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("dtype", "black", "white"), [("u1", 0, 255), ("i1", -128, 127)])
def test_8_bits_are_shown_as_they_are(dtype, black, white):
    values = np.array([[black, white], [black, (black + white) // 2]], dtype)
    np.testing.assert_array_equal(build(values, factors=()).pyramid.thumbnail()[..., 0], [[0, 255], [0, 127]])


def test_sparse_and_constant_values_are_shown():
    sparse = np.zeros((64, 64), "u2")
    sparse[3, 4], sparse[5, 6] = 9, 3
    found = build(sparse, factors=()).pyramid.thumbnail()[..., 0]
    assert found[3, 4] == 255
    assert found[5, 6] == 85
    assert found.sum() == 255 + 85
    assert not build(np.full((8, 8), 7.0)).pyramid.thumbnail().any()


def test_nan_is_black_and_left_out_of_means():
    values = np.linspace(0, 1, 64).reshape(8, 8)
    values[0, :2] = values[4:, 4:] = np.nan
    found = build(values, factors=()).pyramid.thumbnail(4)[..., 0]
    assert not found[2:, 2:].any()
    assert found[0, 0] > 0  # of the two samples below
    assert not build(np.full((8, 8), np.nan)).pyramid.thumbnail().any()


def test_the_middle_plane_and_the_first_time():
    array = random_array((2, 5, 16, 16))
    tree = build(array, "tzyx", factors=({"y": 2, "x": 2},))
    np.testing.assert_array_equal(tree.pyramid.thumbnail(), gray(array[0, 2]))
    panel = panels(1)
    tree.pyramid.plot(panel, levels=[0])
    np.testing.assert_array_equal(drawn(panel[0, 0]), gray(array[0, 2]))
    assert panel[0, 0].get_title().splitlines()[-1] == "z = 2"


@pytest.mark.parametrize("dims", [("row", "col"), ("z", "x"), ("z", "y")])
def test_other_names_run_down_and_across_in_their_order(dims):
    array = random_array((16, 24))
    tree = msi.to_multiscale(xr.DataArray(array, dims=dims), [2])
    np.testing.assert_array_equal(tree.pyramid.thumbnail(), gray(array))
    panel = panels(1)[0, 0]
    tree.pyramid.plot(panel, levels=["scale0"])
    assert (panel.get_ylabel(), panel.get_xlabel()) == dims


def test_y_runs_down_in_any_order_of_dimensions():
    array = random_array((16, 24))
    tree = build(array).pyramid.transpose("x", "y")
    np.testing.assert_array_equal(tree.pyramid.thumbnail(), gray(array))


def label_array():
    labels = np.zeros((32, 32), "u4")
    labels[4:16, 4:20], labels[16:28, 8:30] = 1, 2**31 + 5
    return labels


def test_labels_have_distinct_colours_and_none_is_mixed():
    labels = label_array()
    tree = build(labels, factors=(2,), method="mode")
    found = tree.pyramid.thumbnail()
    colors = {label: np.unique(found[labels == label], axis=0) for label in np.unique(labels)}
    assert all(len(color) == 1 for color in colors.values())
    assert not colors[0].any()
    assert len({tuple(color[0]) for color in colors.values()}) == 3
    small = tree.pyramid.thumbnail(11).reshape(-1, 3)
    assert {tuple(color) for color in small} == {tuple(color[0]) for color in colors.values()}


def test_many_labels_can_be_told_apart():
    labels = np.arange(1, 257, dtype="i8").reshape(16, 16)
    found = build(labels, method="mode").pyramid.thumbnail().reshape(-1, 3).astype(int)
    assert len(np.unique(found, axis=0)) == 256
    assert found.max(axis=1).min() == 255  # bright
    neighbours = np.abs(np.diff(found, axis=0)).max(axis=1)
    assert neighbours.min() > 80


@pytest.mark.parametrize("dtype", ["i1", "b1", "i8", "u8"])
def test_labels_of_any_integers_are_painted(dtype):
    labels = np.array([[0, 1], [-1 if dtype[0] == "i" else 1, 0]]).astype(dtype)
    tree = build(np.kron(labels, np.ones((2, 2), dtype)).astype(dtype), factors=(2,), method="mode")
    found = tree.pyramid.thumbnail(2)
    np.testing.assert_array_equal(found.any(axis=-1), labels != 0)


def test_a_stored_label_image_has_its_own_colours():
    store = MemoryStore()
    build(random_array((32, 32))).pyramid.to_zarr(store)
    msi.write_labels(store, "cells", build(label_array(), method="nearest"), colors={1: "FF8000", 0: (1, 2, 3)})
    tree = msi.open_multiscale(store, group="labels/cells")
    found = tree.pyramid.thumbnail()
    assert (found[label_array() == 1] == (255, 128, 0)).all()
    assert (found[label_array() == 0] == (1, 2, 3)).all()
    unknown = np.unique(found[label_array() > 1], axis=0)
    assert len(unknown) == 1
    panel = panels(1)
    tree.pyramid.plot(panel, levels=[0])
    np.testing.assert_array_equal(drawn(panel[0, 0]), found)


def test_integers_of_32_bits_are_no_labels_by_themselves():
    found = build(label_array(), method="mean").pyramid.thumbnail()
    np.testing.assert_array_equal(found[..., 0], found[..., 1])


def stored_tree(array, chunk, factors, dims=None, **options):
    store = CountingStore(MemoryStore())
    image = msi.to_spatial_image(array, dims=dims, **options)
    msi.to_multiscale(image, list(factors), chunks=chunk).pyramid.to_zarr(store)
    tree = msi.open_multiscale(store)
    store.reads.clear()  # of the coordinates
    return store, tree


def levels_read(store):
    return {key.split("/")[0] for key in store.chunk_reads()}


def test_a_thumbnail_reads_each_chunk_of_one_level_once():
    store, tree = stored_tree(random_array((512, 512)), 32, (2, 2, 2, 2))
    tree.pyramid.thumbnail(64)
    assert store.chunk_reads() == {f"scale3/image/c/{i}/{j}": 1 for i in range(2) for j in range(2)}
    store.reads.clear()
    tree.pyramid.thumbnail(65)
    assert levels_read(store) == {"scale2"}


def test_an_axis_that_has_few_samples_anyway_does_not_ask_for_a_finer_level():
    store, tree = stored_tree(random_array((32, 256)), 32, ({"x": 2}, {"x": 2}), scale={"y": 8.0, "x": 1.0})
    tree.pyramid.thumbnail(64)
    assert levels_read(store) == {"scale2"}


def test_of_a_volume_only_the_chunks_of_one_plane_are_read():
    store, tree = stored_tree(random_array((64, 64, 64)), 8, (2, 2))
    tree.pyramid.thumbnail(32)
    assert store.chunk_reads() == {f"scale1/image/c/2/{i}/{j}": 1 for i in range(4) for j in range(4)}


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
    source = da.map_blocks(_never, chunks=da.core.normalize_chunks(blocks, shape), dtype="u2")
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


def _never(*args, **kwargs):
    raise AssertionError("a block of the source was computed")


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
    low, high = np.percentile(plane, [0.1, 99.9])
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
        never = da.map_blocks(_never, chunks=da.core.normalize_chunks(2**14, shape), dtype="u2", meta=np.empty((0, 0)))
        array = random_array(shape, "u2", 900) if step == 4096 else never
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


def test_the_share_of_a_large_mask_is_gray():
    mask = np.zeros((2100, 2100), bool)
    mask[::4, ::2] = True
    found = build(mask, factors=(), method="nearest").pyramid.thumbnail(10)
    assert np.abs(found - 255 / 8).max() < 2


def test_large_labels_without_a_coarser_level_are_not_mixed():
    labels = np.zeros((2100, 2100), "u2")
    labels[:, 1000:] = 500
    tree = build(labels, factors=(), method="mode")
    tree.attrs["ome"]["image-label"] = {"colors": [{"label-value": 500, "rgba": [9, 8, 7, 255]}]}
    found = tree.pyramid.thumbnail(100)
    assert {tuple(color) for color in found.reshape(-1, 3).tolist()} == {(0, 0, 0), (9, 8, 7)}


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
    tree = build(da.map_blocks(_never, chunks=((32,), (32,)), dtype="u1", meta=np.empty((0, 0), "u1")))
    with pytest.raises(AssertionError, match="a block of the source"):
        tree.pyramid.plot()
    assert not plt.get_fignums()


def test_what_is_no_picture_is_refused():
    line = msi.to_multiscale(xr.DataArray(np.zeros(16), dims="x"), [2])
    complex_tree = msi.open_multiscale(stored_complex())
    for method in ("thumbnail", "plot"):
        with pytest.raises(ValueError, match=r"two dimensions of space, and the image has the dimensions \('x',\)"):
            getattr(line.pyramid, method)()
        with pytest.raises(TypeError, match="complex64, and a picture shows real numbers"):
            getattr(complex_tree.pyramid, method)()
        turned = build(np.zeros((8, 8))).map_over_datasets(
            lambda level: level.isel(y=slice(None, None, -1), missing_dims="ignore")
        )
        with pytest.raises(ValueError, match=r"'y' descends from 7\.0 to 0\.0; turn the image"):
            getattr(turned.pyramid, method)()


def stored_complex():
    store = MemoryStore()
    ome = build(np.zeros((8, 8)), factors=()).attrs["ome"]
    group = zarr.create_group(store, attributes={"ome": ome})
    group.create_array("scale0/image", shape=(8, 8), dtype="complex64")
    return store


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    tree = build(random_array((16, 16)))
    axes = panels(2)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for given in (None, axes):
        with pytest.raises(ImportError, match=r"matplotlib, which is not installed: pip install 'msi-lazy\[plot\]'"):
            tree.pyramid.plot(given)
    assert tree.pyramid.thumbnail().shape == (16, 16, 3)
