"""Neuroglancer in a real browser shows the samples of the right level, at the right place, in the right colours."""

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

import msi_lazy as msi
from tests.support.browsing import BARE, expected_panel, load, move, open_browser, open_page, panel
from tests.support.counting import CountingStore

pytestmark = pytest.mark.browser
N = 512
COLORS = {"DAPI": "0080FF", "GFP": "00FF00", "RFP": "FF4000"}
WINDOWS = {"DAPI": (1000, 3000), "GFP": (0, 4095), "RFP": (500, 2500)}
ZOOMS = [(0.25, 0), (2, 1), (4, 2)]
"""Samples of level 0 in a pixel of the screen, and the level that has not more than one sample for it."""
CORNER = 60
"""Pixels at the panel's edges that controls may cover."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module", params=["0.4", "0.6", "sharded"])
def store(request):
    """Three channels of noise, in which no level looks like another, below bars that differ by channel."""
    image = np.random.default_rng(0).integers(0, 4096, (3, N, N), dtype=np.uint16)
    image[0, : N // 2], image[1, :, : N // 2] = image[0, : N // 2] // 4, image[1, :, : N // 2] // 8
    tree = msi.to_multiscale(
        msi.to_spatial_image(
            image, dims="cyx", c_coords=list(COLORS), scale={"y": 0.5, "x": 0.5}, axis_units={"y": "um", "x": "um"}
        ),
        [2, 2],
        chunks={"y": 64, "x": 64},
    )
    store = CountingStore(MemoryStore())
    how = {"shards": {"y": 128, "x": 128}} if request.param == "sharded" else {}
    version = "0.5" if request.param == "sharded" else request.param
    tree.pyramid.to_zarr(store, version=version, colors=COLORS, windows=WINDOWS, **how)
    return store


def level_array(store, level):
    group = zarr.open_group(store, mode="r+")
    multiscales = group.attrs.get("ome", group.attrs)["multiscales"]
    return group[multiscales[0]["datasets"][level]["path"]]


def mix_channels(samples):
    """RGB of (c, y, x) samples: each channel from black to its colour over its window, all added up."""
    rgb = np.zeros((*samples.shape[1:], 3))
    for channel, name in zip(samples, COLORS, strict=True):
        start, end = WINDOWS[name]
        color = np.array([int(COLORS[name][i : i + 2], 16) for i in (0, 2, 4)])
        rgb += ((channel.astype(float) - start) / (end - start)).clip(0, 1)[..., None] * color
    return rgb.clip(0, 255)


def show(browser, viewer, scale, factor):
    """Pixels of the panel, and the position at its middle: such that no pixel's centre is on an edge of a sample."""
    load(browser, viewer, **BARE, crossSectionScale=scale)
    middle = (N // 2 // factor * factor - 0.5 + n % 2 * scale / 2 for n in panel(browser).shape[:2])
    y, x = (at + (0.1 if scale < factor else 0) for at in middle)
    move(browser, [x, y])
    return panel(browser), (y, x)


def faulty_pixels(seen, wanted):
    """Whether each pixel, away from the panel's edges, is another than ``wanted`` by more than rounding."""
    wrong = np.abs(seen - wanted).max(axis=2) > 2
    wrong[:CORNER], wrong[-CORNER:], wrong[:, :CORNER], wrong[:, -CORNER:] = False, False, False, False
    return wrong


@pytest.mark.parametrize(
    ("store", "scale", "level"),
    [("0.4", 2, 1), ("0.6", 2, 1), *(("sharded", *zoom) for zoom in ZOOMS)],
    indirect=["store"],
)
def test_each_zoom_shows_the_samples_of_its_level(browser, store, scale, level):
    with msi.view(store, open_browser=False) as viewer:
        store.reads.clear()
        seen, position = show(browser, viewer, scale, 2**level)
    wanted, inside = expected_panel(
        mix_channels(level_array(store, level)[...]), seen.shape[:2], scale, position, 2**level
    )
    assert inside[CORNER:-CORNER, CORNER:-CORNER].sum() > 10_000
    assert not faulty_pixels(seen, wanted).any()
    for other in {0, 1, 2} - {level}:
        mixed = mix_channels(level_array(store, other)[...])
        wanted, _ = expected_panel(mixed, seen.shape[:2], scale, position, 2**other)
        assert faulty_pixels(seen, wanted)[inside].mean() > 0.3


@pytest.mark.parametrize("store", ["sharded"], indirect=True)
def test_the_page_shows_its_state_however_long(browser, store):
    with msi.view(store, open_browser=False) as viewer:
        open_page(browser, viewer)
        assert browser.execute_script("return viewer.layerManager.managedLayers.map(l => l.name)") == list(COLORS)
        assert browser.execute_script("return [...viewer.position.value]") == viewer.state["position"]
        assert browser.execute_script("return viewer.crossSectionScale.value") == viewer.state["crossSectionScale"]


@pytest.mark.parametrize("store", ["sharded"], indirect=True)
def test_a_chunk_that_changed_is_seen(browser, store):
    """Else the comparison would be none."""
    array = level_array(store, 1)
    before = array[...]
    array[1, 128:192, 64:128] = 4095 - array[1, 128:192, 64:128]
    with msi.view(store, open_browser=False) as viewer:
        seen, position = show(browser, viewer, 2, 2)
    array[...] = before
    index = np.stack([*np.mgrid[1:257, 1:257], np.zeros((256, 256), int)], axis=2)
    rows, columns, _ = np.moveaxis(expected_panel(index, seen.shape[:2], 2, position, 2)[0], 2, 0)
    changed = (rows > 128) & (rows <= 192) & (columns > 64) & (columns <= 128)
    wrong = faulty_pixels(seen, expected_panel(mix_channels(before), seen.shape[:2], 2, position, 2)[0])
    assert wrong[changed].mean() > 0.9
    assert not wrong[~changed].any()


@pytest.mark.parametrize("store", ["sharded", "0.6"], indirect=True)
def test_labels_lie_over_the_image_in_their_colours(browser, store):
    rows = np.arange(N)[:, None] // 100 + np.zeros((1, N), int)
    labels = msi.to_multiscale(
        msi.to_spatial_image(rows.astype("u4"), scale={"y": 0.5, "x": 0.5}, axis_units={"y": "um", "x": "um"}),
        [2, 2],
        method="mode",
    )
    colors = {1: "FF0000", 2: "00FF00", 3: "0000FF", 4: "FFFF00", 5: "FF00FF"}
    if "labels" not in zarr.open_group(store):
        msi.write_labels(store, "cells", labels, colors=colors)
    table = np.array([[0, 0, 0], *([int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in colors.values())])
    mixed = mix_channels(level_array(store, 0)[...])
    over = np.where(rows[..., None] > 0, (mixed + table[rows]) / 2, mixed)  # half transparent, and label 0 is nothing
    for group, pixels in (("", over), ("labels/cells", table[rows])):
        with msi.view(store, group=group, open_browser=False) as viewer:
            seen, position = show(browser, viewer, 1, 1)
        wanted, _ = expected_panel(pixels, seen.shape[:2], 1, position, 1)
        assert not faulty_pixels(seen, wanted).any()


@pytest.mark.parametrize("store", ["sharded"], indirect=True)
def test_only_what_is_on_the_screen_is_read(browser, store):
    with msi.view(store, open_browser=False) as viewer:
        store.reads.clear()
        load(browser, viewer, **BARE, crossSectionScale=4)
        finest = level_array(store, 0).path
        assert store.chunk_reads()
        assert not [key for key in store.chunk_reads() if key.startswith(finest + "/")]


def test_a_volume_in_memory_is_shown_in_its_middle_plane(browser):
    volume = np.random.default_rng(1).integers(0, 256, (5, 256, 256), dtype=np.uint8)
    tree = msi.to_multiscale(
        msi.to_spatial_image(volume, scale={"z": 3.0}, translation={"z": 30.0, "y": 7.0, "x": -4.0}), []
    )
    with tree.pyramid.view(open_browser=False) as viewer:
        assert viewer.state["layout"] == "4panel"
        viewer.state["layout"] = "xy"
        load(browser, viewer, **BARE, crossSectionScale=1)
        seen = panel(browser)
        x, y, z = viewer.state["position"]
        assert (x, y, z) == (127.5 - 4, 127.5 + 7, 12)
        half = [n % 2 / 2 for n in seen.shape[:2]]
        move(browser, [x + half[1], y + half[0], z])
        seen = panel(browser)
    level = np.repeat(volume[2][..., None], 3, axis=2)
    wanted, _ = expected_panel(level, seen.shape[:2], 1, (127.5 + half[0], 127.5 + half[1]), 1)
    assert not faulty_pixels(seen, wanted).any()
