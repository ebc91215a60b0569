"""The viewer without a browser: what is served, to whom, and what Neuroglancer is told to show."""

import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit
from urllib.request import urlopen

import dask.array as da
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from zarr.storage import MemoryStore, ZipStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.ngff.label_attributes import label_colors
from msi_lazy.show.viewer import stored_display
from tests.support.browsing import ask
from tests.support.optional import require


def make_stained(**options):
    array = np.random.default_rng(0).integers(0, 4096, (2, 5, 32, 48), dtype="u2")
    image = msi.to_spatial_image(
        array,
        dims="czyx",
        c_coords=["DAPI", "GFP"],
        scale={"z": 2.0, "y": 0.5, "x": 0.25},
        translation={"z": 4.0},
        axis_units=dict.fromkeys("zyx", "micrometer"),
    )
    return msi.to_multiscale(image, [{"y": 2, "x": 2}], **options)


def edit_channels(path, changes):
    """Change what the ``omero`` block of an image of version 0.5 says of each channel."""
    group = zarr.open_group(path)
    ome = group.attrs["ome"]
    for channel, change in zip(ome["omero"]["channels"], changes, strict=True):
        channel.update(change)
    group.attrs["ome"] = ome


def read_state(viewer):
    """State that the page loads."""
    with urlopen(viewer.url.partition("#!")[2]) as answer:
        return json.load(answer)


class TestView:
    @pytest.mark.parametrize("kind", ["local", "memory", "zip", "0.4"])
    def test_another_reader_opens_what_is_served(self, tmp_path, kind):
        path, tree = tmp_path / "out.zarr", make_stained()
        target = MemoryStore() if kind == "memory" else path
        tree.pyramid.to_zarr(target, version="0.4" if kind == "0.4" else "0.5")
        if kind == "zip":
            shutil.make_archive(str(tmp_path / "packed"), "zip", path)
            target = ZipStore(tmp_path / "packed.zip", mode="r")
        with msi.view(target, open_browser=False) as viewer:
            level = {"driver": "zarr" if kind == "0.4" else "zarr3", "kvstore": f"{viewer.store_url}scale1/image/"}
            read = require("tensorstore").open(level, open=True).result().read().result()
        np.testing.assert_array_equal(read, tree["scale1"].image)

    def test_documents_of_06_are_served_in_the_form_that_neuroglancer_reads(self, tmp_path):
        path, tree = tmp_path / "out.zarr", make_stained()
        labels = msi.to_multiscale(
            tree["scale0"].image[0].astype("u4").drop_vars("c"), [{"y": 2, "x": 2}], method="mode"
        )
        served = {}
        for version in ("0.5", "0.6"):
            msi.to_zarr(tree, path, version=version, labels={"cells": labels}, mode="w", delete_labels=True)
            with msi.view(path, open_browser=False) as viewer:
                for key in ("", "labels/cells/"):
                    with urlopen(f"{viewer.store_url}{key}zarr.json") as answer:
                        document = json.load(answer)
                    (image,) = document["attributes"]["ome"]["multiscales"]
                    about = [document[name] for name in ("zarr_format", "node_type")]
                    parts = [image["axes"], image["datasets"], document["attributes"]["ome"]["version"]]
                    served[version, key] = [*about, *parts]
        for key in ("", "labels/cells/"):
            assert served["0.6", key] == served["0.5", key]
        assert "coordinateSystems" in zarr.open_group(path).attrs["ome"]["multiscales"][0]

    def test_the_page_and_its_files_are_served(self, tmp_path):
        make_stained().pyramid.to_zarr(tmp_path / "out.zarr")
        with msi.view(tmp_path / "out.zarr", open_browser=False) as viewer:
            status, headers, body = ask(viewer._server, urlsplit(viewer.url).path)
            assert status == 200
            assert headers["Content-Type"].startswith("text/html")
            assert b"<script" in body
            assert viewer.url in repr(viewer)
            assert f'href="{viewer.url.split("#")[0]}' in viewer._repr_html_()

    def test_what_neuroglancer_is_told(self, tmp_path):
        tree = make_stained()
        tree.pyramid.to_zarr(
            tmp_path / "out.zarr", colors={"DAPI": "0000FF", "GFP": "00FF00"}, windows={"DAPI": (5, 99)}
        )
        cells = msi.to_spatial_image(
            np.ones((5, 32, 48), "u4"),
            scale={"z": 2.0, "y": 0.5, "x": 0.25},
            translation={"z": 4.0},
            axis_units=dict.fromkeys("zyx", "micrometer"),
        )
        cells = msi.to_multiscale(cells, [{"y": 2, "x": 2}], method="mode")
        msi.write_labels(tmp_path / "out.zarr", "cells", cells, colors={1: "FF8000"})
        with msi.view(tmp_path / "out.zarr", open_browser=False) as viewer:
            state = read_state(viewer)
            assert state == viewer.state
        assert state["dimensions"] == {
            "x": [pytest.approx(0.25e-6), "m"],
            "y": [pytest.approx(0.5e-6), "m"],
            "z": [pytest.approx(2e-6), "m"],
        }
        assert state["layout"] == "4panel"
        assert state["position"] == [23.5, 15.5, 2 + 4 / 2]
        dapi, gfp, labels = state["layers"]
        assert (dapi["name"], dapi["type"], dapi["localPosition"]) == ("DAPI", "image", [0])
        assert (gfp["name"], gfp["localPosition"]) == ("GFP", [1])
        assert "range=[5, 99]" in dapi["shader"]
        assert 'default="#0000FF"' in dapi["shader"]
        assert 'default="#00FF00"' in gfp["shader"]
        assert (labels["type"], labels["name"], labels["segmentColors"]) == ("segmentation", "cells", {"1": "#ff8000"})
        assert labels["source"] == viewer.store_url + "labels/cells/|zarr3:"

    def test_labels_that_have_no_place_in_the_image_are_named_and_left_out(self, tmp_path):
        image = msi.to_spatial_image(np.ones((32, 32), "u1"), axis_units=dict.fromkeys("yx", "micrometer"))
        msi.to_multiscale(image, [2]).pyramid.to_zarr(tmp_path / "out.zarr")
        cells = msi.to_multiscale(msi.to_spatial_image(np.ones((32, 32), "u4")), [2], method="mode")
        msi.write_labels(tmp_path / "out.zarr", "cells", cells)
        with (
            pytest.warns(UserWarning, match="'labels/cells' is not shown: it has the unit None along 'y'"),
            msi.view(tmp_path / "out.zarr", open_browser=False) as viewer,
        ):
            assert [layer["type"] for layer in viewer.state["layers"]] == ["image"]

    def test_labels_are_those_of_the_thumbnail_and_of_napari(self, tmp_path):
        """By the method, also along an axis of one channel."""
        for number, (dims, shape) in enumerate([("yx", (32, 32)), ("cyx", (1, 32, 32)), ("cyx", (2, 32, 32))]):
            cells = msi.to_multiscale(msi.to_spatial_image(np.ones(shape, "u4"), dims=dims), [2], method="mode")
            cells.pyramid.to_zarr(tmp_path / f"{number}.zarr")
            back = msi.open_multiscale(tmp_path / f"{number}.zarr")
            with msi.view(tmp_path / f"{number}.zarr", open_browser=False) as viewer:
                (*_, layer) = viewer.state["layers"]
            is_labels = number < 2
            assert (layer["type"] == "segmentation") is is_labels
            assert (msi.napari_layer(back)[2] == "labels") is is_labels
            assert (len(np.unique(back.pyramid.thumbnail())) > 1) is is_labels  # a colour, else white

    def test_channels_that_are_not_active_are_hidden(self, tmp_path):
        make_stained().pyramid.to_zarr(tmp_path / "out.zarr")
        for active, visible in [
            ((False, True), [False, True]),
            ((None, True), [True, True]),
            ((False,) * 2, [True] * 2),
        ]:
            edit_channels(tmp_path / "out.zarr", [{"active": value} for value in active])
            with msi.view(tmp_path / "out.zarr", open_browser=False) as viewer:
                assert [layer["visible"] for layer in viewer.state["layers"]] == visible
            assert msi.napari_layer(msi.open_multiscale(tmp_path / "out.zarr"))[1]["visible"] == visible

    def test_of_many_channels_the_active_ones_come_first_and_the_rest_are_not_lost_in_silence(self, tmp_path):
        image = msi.to_spatial_image(np.ones((40, 16, 16), "u1"), dims="cyx", c_coords=[f"ch{n}" for n in range(40)])
        msi.to_multiscale(image, [2]).pyramid.to_zarr(tmp_path / "out.zarr")
        edit_channels(tmp_path / "out.zarr", [{"active": number in (3, 37)} for number in range(40)])
        with (
            pytest.warns(UserWarning, match="the image has 40 channels, and 16 are shown"),
            msi.view(tmp_path / "out.zarr", open_browser=False) as viewer,
        ):
            layers = viewer.state["layers"]
        assert [layer["name"] for layer in layers] == [f"ch{number}" for number in [*range(15), 37]]
        assert [layer["localPosition"] for layer in layers] == [[number] for number in [*range(15), 37]]
        assert [layer["name"] for layer in layers if layer["visible"]] == ["ch3", "ch37"]

    def test_a_window_that_says_nothing_is_measured_whatever_says_so(self, tmp_path):
        make_stained().pyramid.to_zarr(tmp_path / "out.zarr")
        edit_channels(tmp_path / "out.zarr", [{"window": {"min": 0, "max": 9, "start": 7, "end": 7}}, {}])
        coarsest = zarr.open_array(tmp_path / "out.zarr/scale1/image")[0]
        low, high = np.quantile(coarsest, [0.001, 0.999], method="nearest")
        with msi.view(tmp_path / "out.zarr", open_browser=False) as viewer:
            assert f"range=[{low}, {high}]" in viewer.state["layers"][0]["shader"]

    def test_where_nothing_is_stated_or_measured_all_values_are_shown_as_in_napari(self, tmp_path, monkeypatch):
        monkeypatch.setattr(stored_display, "_MOST_MEASURED", 0)
        tree = make_stained()
        tree.pyramid.to_zarr(tmp_path / "out.zarr")
        windows = [{"min": 0, "max": 9, "start": 7, "end": 7}, {"min": 5, "max": 5, "start": 5, "end": 5}]
        edit_channels(tmp_path / "out.zarr", [{"window": window, "color": "00ff00"} for window in windows])
        with msi.view(tmp_path / "out.zarr", open_browser=False) as viewer:
            shaders = [layer["shader"] for layer in viewer.state["layers"]]
        assert ["range=[0, 9]" in shaders[0], "range=[5, 6]" in shaders[1]] == [True, True]
        edit_channels(tmp_path / "out.zarr", [{"window": {"min": 0, "max": 9, "start": 1, "end": 2}}, {}])
        options = msi.napari_layer(msi.open_multiscale(tmp_path / "out.zarr"))[1]
        assert options["contrast_limits"] == [[1, 2], [5, 6]]

    def test_a_series_of_planes_begins_at_its_middle(self):
        image = msi.to_spatial_image(
            np.ones((7, 16, 32), "u1"), dims="tyx", scale={"t": 2.5, "x": 0.5}, axis_units={"t": "second"}
        )
        with msi.to_multiscale(image, [{"y": 2, "x": 2}]).pyramid.view(open_browser=False) as viewer:
            state = viewer.state
        assert state["dimensions"] == {"x": [0.5, ""], "y": [1.0, ""], "t": [2.5, "s"]}
        assert state["displayDimensions"] == ["x", "y"]
        assert state["position"] == [15.5, 7.5, 3]
        assert state["layout"] == "xy"

    def test_a_group_that_is_not_there_is_named(self, tmp_path):
        make_stained().pyramid.to_zarr(tmp_path / "out.zarr")
        before = threading.active_count()
        with pytest.raises(FileNotFoundError, match="labels/none"):
            msi.view(tmp_path / "out.zarr", group="labels/none", open_browser=False)
        assert threading.active_count() == before

    def test_samples_that_cannot_be_shown_are_refused(self, tmp_path):
        tree = msi.to_multiscale(msi.to_spatial_image(da.ones((32, 32))), [])
        tree.pyramid.to_zarr(tmp_path / "out.zarr")
        for view in (tree.pyramid.view, lambda **options: msi.view(tmp_path / "out.zarr", **options)):
            with pytest.raises(ValueError, match=r"Neuroglancer shows samples of uint8, .*, not float64"):
                view(open_browser=False)

    def test_without_neuroglancer_nothing_is_served(self, tmp_path, monkeypatch):
        make_stained().pyramid.to_zarr(tmp_path / "out.zarr")
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "neuroglancer" else find(name))
        before = threading.active_count()
        with pytest.raises(ImportError, match=r"pip install 'msi-lazy\[view\]'"):
            msi.view(tmp_path / "out.zarr", open_browser=False)
        assert threading.active_count() == before

    def test_a_large_tree_is_refused_and_not_computed(self):
        def fail(block):
            raise AssertionError("computed")

        array = da.map_blocks(
            fail, da.zeros((20000, 20000), chunks=2000, dtype="u1"), dtype="u1", meta=np.empty((0, 0), "u1")
        )
        with pytest.raises(
            ValueError, match=r"the pyramid has .* MiB, .* up to 256 MiB; write it with pyramid.to_zarr"
        ):
            msi.to_multiscale(msi.to_spatial_image(array), [2]).pyramid.view(open_browser=False)

    def test_a_tree_is_shown_as_edited(self):
        tree = make_stained()
        edited = tree.map_over_datasets(lambda level: level + 7 if level.data_vars else level)
        with edited.pyramid.view(open_browser=False) as viewer:
            served = zarr.open_array(f"{viewer.store_url}scale0/image", mode="r")[...]
        np.testing.assert_array_equal(served, tree["scale0"].image + 7)

    def test_the_browser_is_opened_when_asked(self, tmp_path, monkeypatch):
        opened = threading.Event()
        urls = []
        monkeypatch.setattr("webbrowser.open", lambda url: (urls.append(url), opened.set()))
        make_stained().pyramid.to_zarr(tmp_path / "out.zarr")
        with msi.view(tmp_path / "out.zarr") as viewer:
            assert opened.wait(10)
            assert urls == [viewer.url]


class TestCommand:
    def test_it_serves_until_ctrl_c(self, tmp_path):
        make_stained().pyramid.to_zarr(tmp_path / "out.zarr")
        command = [
            sys.executable,
            "-c",
            "from msi_lazy.cli import main; main()",
            "view",
            str(tmp_path / "out.zarr"),
            "--no-browser",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            url = process.stdout.readline().strip()
            port = urlsplit(url).port
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", urlsplit(url).path)
            assert connection.getresponse().status == 200
            connection.close()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)

    def test_what_is_wrong_is_said_in_one_line(self, tmp_path):
        result = CliRunner().invoke(main, ["view", str(tmp_path / "none.zarr"), "--no-browser"])
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: there is no Zarr group at ")
        make_stained().pyramid.to_zarr(tmp_path / "out.zarr")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            result = CliRunner().invoke(main, ["view", str(tmp_path / "out.zarr"), "--no-browser", "--port", port])
        assert result.exit_code == 1
        assert f"port {port} of this machine is in use" in result.stderr
        assert os.linesep not in result.stderr.strip()


def test_a_label_that_has_a_colour_is_a_number():
    colors = [{"label-value": True, "rgba": [1, 2, 3, 4]}, {"label-value": 2, "rgba": [1, 2, 3, 4]}]
    assert label_colors({"image-label": {"colors": colors}}) == {2: "#010203"}


def test_an_image_in_memory_may_have_any_name():
    tree = msi.to_multiscale(msi.to_spatial_image(np.ones((8, 8), "u1"), name="50% #1?"), [])
    with tree.pyramid.view(open_browser=False) as viewer:
        level = "scale0/50%25%20%231%3F/zarr.json"
        assert ask(viewer._server, level)[0] == 200
