"""Layer data for napari; shown in napari's own model of a viewer where napari is installed."""

import dask.array as da
import numpy as np
import pytest
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.counting import CountingStore

COLORS = {"DAPI": "0000FF", "GFP": "00FF80"}
SCALE = {"z": 2.0, "y": 0.5, "x": 0.25}
TRANSLATION = {"z": 1.0, "y": -3.0, "x": 10.0}


def stained(store, **options):
    array = np.random.default_rng(0).integers(0, 4096, (2, 4, 16, 32), dtype="u2")
    units = dict.fromkeys("zyx", "micrometer")
    image = msi.to_spatial_image(
        array, dims="czyx", c_coords=list(COLORS), scale=SCALE, translation=TRANSLATION, axis_units=units, name="cells"
    )
    tree = msi.to_multiscale(image, [{"y": 2, "x": 2}, 2])
    tree.pyramid.to_zarr(store, colors=COLORS, **options)
    return tree, msi.open_multiscale(store)


def test_channels_become_layers_with_their_colours_windows_and_places():
    store = CountingStore(MemoryStore())
    _, back = stained(store, windows={"DAPI": (100, 2000), "GFP": (0, 1000)})
    store.reads.clear()
    data, options, layer_type = msi.napari_layer(back)
    assert not store.chunk_reads()
    assert layer_type == "image"
    assert all(isinstance(level, da.Array) for level in data)
    for number, level in enumerate(data):
        np.testing.assert_array_equal(level, back[f"scale{number}"].cells)
    assert options == {
        "multiscale": True,
        "channel_axis": 0,
        "scale": [2.0, 0.5, 0.25],
        "translate": [1.0, -3.0, 10.0],
        "axis_labels": ["z", "y", "x"],
        "units": ["micrometer"] * 3,
        "name": ["DAPI", "GFP"],
        "colormap": ["#0000FF", "#00FF80"],
        "visible": [True, True],
        "contrast_limits": [[100, 2000], [0, 1000]],
    }


def test_windows_that_nobody_measured_are_left_to_napari():
    _, back = stained(MemoryStore())
    assert "contrast_limits" not in msi.napari_layer(back)[1]


def test_inverted_windows_are_turned_as_napari_wants_them():
    tree, _ = stained(MemoryStore(), windows={"DAPI": (100, 2000)})
    window = tree.attrs["ome"]["omero"]["channels"][0]["window"]
    window.update(start=2000, end=100)
    assert msi.napari_layer(tree)[1]["contrast_limits"] == [[100, 2000], [0, 65535]]


def test_an_image_in_memory_without_channels():
    tree = msi.to_multiscale(msi.to_spatial_image(np.ones((8, 8), "f4"), scale={"y": 3.0}), [2])
    data, options, layer_type = msi.napari_layer(tree.load())
    assert layer_type == "image"
    assert [level.shape for level in data] == [(8, 8), (4, 4)]
    assert all(isinstance(level, da.Array) for level in data)
    assert options["scale"] == [3.0, 1.0]
    assert options["units"] == ["pixel", "pixel"]
    assert "channel_axis" not in options
    assert "contrast_limits" not in options


def test_labels_become_a_layer_of_labels():
    labels = msi.to_multiscale(msi.to_spatial_image(np.ones((16, 16), "u4")), [2], method="mode")
    store = MemoryStore()
    tree, _ = stained(store)
    plane = msi.to_spatial_image(np.ones((4, 16, 32), "u4"), scale=SCALE, translation=TRANSLATION)
    msi.write_labels(store, "cells", msi.to_multiscale(plane, [{"y": 2, "x": 2}, 2], method="nearest"))
    for one in (labels, msi.open_multiscale(store, group="labels/cells")):
        _, options, layer_type = msi.napari_layer(one)
        assert layer_type == "labels"
        assert options.keys() <= {"multiscale", "scale", "translate", "axis_labels", "units", "name"}
    assert msi.napari_layer(tree)[2] == "image"


@pytest.mark.filterwarnings("ignore")  # napari's own
def test_napari_takes_them():
    napari = pytest.importorskip("napari.components", exc_type=ImportError)
    viewer = napari.ViewerModel()
    _, back = stained(MemoryStore(), windows={"DAPI": (100, 2000), "GFP": (0, 1000)})
    data, options, _ = msi.napari_layer(back)
    first, second = viewer.add_image(data, **options)
    assert (first.name, second.name) == ("DAPI", "GFP")
    assert first.multiscale
    assert first.contrast_limits == [100, 2000]
    np.testing.assert_allclose(second.colormap.colors[-1], [0, 1, 128 / 255, 1])
    np.testing.assert_allclose(first.scale, [2, 0.5, 0.25])
    np.testing.assert_allclose(first.translate, [1, -3, 10])
    assert first.axis_labels == ("z", "y", "x")
    assert [str(unit) for unit in first.units] == ["micrometer"] * 3
    np.testing.assert_array_equal(second.data[1], back["scale1"].cells[1])
    labels = msi.to_multiscale(msi.to_spatial_image(np.ones((16, 16), "u4")), [2], method="mode")
    data, options, _ = msi.napari_layer(labels)
    assert viewer.add_labels(data, **options).multiscale
