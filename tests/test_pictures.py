"""Thumbnails: which samples are shown, in which colours, and what is read for them."""

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from msi_lazy.show.pictures.planes import fit_axis
from tests.support.picturing import build, drawn, gray, levels_read, panels, random_array, stored_tree


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
    low, high = np.quantile(values.astype(dtype).astype(float), [0.001, 0.999], method="nearest")
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


@pytest.mark.parametrize(("value", "shown"), [(7, 255), (0, 0), (-7, 0)])
@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_of_a_constant_image_it_can_be_seen_whether_it_is_zero(dtype, value, shown):
    assert (build(np.full((8, 8), value, dtype)).pyramid.thumbnail() == shown).all()


def test_the_largest_floats_are_shown():
    largest = np.finfo("f8").max
    values = np.array([[-largest, largest], [0, largest]]).repeat(4, 0).repeat(4, 1)
    found = build(values, factors=()).pyramid.thumbnail()[..., 0]
    np.testing.assert_array_equal(found[::4, ::4], [[0, 255], [128, 255]])
    np.testing.assert_array_equal(build(values, factors=()).pyramid.thumbnail(2)[..., 0], [[0, 255], [128, 255]])


def test_an_entry_that_ends_at_a_sample_takes_nothing_of_the_next():
    """87 samples in 105 entries: the edge at 29 is a rounding error away from it."""
    samples = np.where(np.arange(87) < 29, 1.0, np.nan)[np.newaxis]
    found = fit_axis(samples, 1, 87.0, 105, nearest=False)[0]
    np.testing.assert_array_equal(np.isnan(found), np.arange(105) * 29 >= 29 * 35)
    assert fit_axis(np.arange(2), 0, 2.0, 21, nearest=True).tolist() == [0] * 10 + [1] * 11


def test_a_long_thin_image_is_averaged_as_any_other():
    values = np.arange(2**20, dtype="f4").reshape(1, -1)
    found = build(values, factors=()).pyramid.thumbnail(256)
    assert found.shape == (1, 256, 3)
    # the means are ranks themselves; the window is that of the means, from the first to the last
    np.testing.assert_array_equal(found[0, :, 0], np.arange(256))


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


def test_channels_are_no_labels_whatever_the_method():
    picture = random_array((24, 32, 3))
    tree = build(picture, "yxc", method="mode", c_coords=["r", "g", "b"])
    np.testing.assert_array_equal(tree.pyramid.thumbnail(), picture)


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
        with pytest.raises(ValueError, match=r"'y' descends from 7\.0 to 0\.0; reverse the image"):
            getattr(turned.pyramid, method)()


def stored_complex():
    store = MemoryStore()
    ome = build(np.zeros((8, 8)), factors=()).attrs["ome"]
    group = zarr.create_group(store, attributes={"ome": ome})
    group.create_array("scale0/image", shape=(8, 8), dtype="complex64")
    return store
