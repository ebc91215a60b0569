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
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlsplit

import dask.array as da
import numpy as np
import pytest
import tensorstore
import zarr
from click.testing import CliRunner
from zarr.storage import FsspecStore, LocalStore, MemoryStore, ZipStore

import msi_lazy as msi
from msi_lazy.cli import main
from msi_lazy.viewer.contents import Contents
from msi_lazy.viewer.looks import label_colors
from msi_lazy.viewer.server import ViewerServer

BODY = bytes(range(100))


@pytest.fixture
def folder(tmp_path):
    """A store with the file ``a/b`` in it, and something beside it that is nobody's business."""
    (tmp_path / "store/a").mkdir(parents=True)
    (tmp_path / "store/a/b").write_bytes(BODY)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "store/out").symlink_to(tmp_path / "secret")
    (tmp_path / "store/round").symlink_to(tmp_path / "store/round")
    (tmp_path / "store/within").symlink_to(tmp_path / "store/a/b")
    return tmp_path / "store"


@pytest.fixture
def server(folder):
    with ViewerServer(Contents(LocalStore(folder))) as server:
        yield server


def ask(server, key, method="GET", **headers):
    """Status, headers and body; ``key`` is sent as it is, below the store's URL unless it begins with a slash."""
    path = key if key.startswith("/") else urlsplit(server.store_url()).path + key
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": "127.0.0.1", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


class TestServer:
    def test_a_file_is_served_to_any_page(self, server):
        status, headers, body = ask(server, "a/b", Origin="https://example.org")
        assert (status, body) == (200, BODY)
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Accept-Ranges"] == "bytes"
        assert "Content-Range" in headers["Access-Control-Expose-Headers"]

    def test_its_size_without_its_content(self, server):
        status, headers, body = ask(server, "a/b", "HEAD")
        assert (status, headers["Content-Length"], body) == (200, "100", b"")
        assert ask(server, "a/c", "HEAD")[0] == 404

    def test_a_browser_may_ask_for_parts(self, server):
        status, headers, body = ask(server, "a/b", "OPTIONS", Origin="https://example.org")
        assert (status, body) == (204, b"")
        assert headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
        assert headers["Access-Control-Allow-Headers"] == "*"

    @pytest.mark.parametrize(
        ("asked", "part"),
        [
            ("0-9", (0, 10)),
            ("90-", (90, 100)),
            ("-10", (90, 100)),
            ("95-500", (95, 100)),
            ("-500", (0, 100)),
            ("7-7", (7, 8)),
        ],
    )
    def test_a_part(self, server, asked, part):
        status, headers, body = ask(server, "a/b", Range=f"bytes={asked}")
        assert (status, body) == (206, BODY[slice(*part)])
        assert headers["Content-Range"] == f"bytes {part[0]}-{part[1] - 1}/100"
        assert headers["Content-Length"] == str(len(body))

    @pytest.mark.parametrize("asked", ["100-", "500-600", "-0"])
    def test_a_part_beyond_the_end(self, server, asked):
        status, headers, body = ask(server, "a/b", Range=f"bytes={asked}")
        assert (status, headers["Content-Range"], body) == (416, "bytes */100", b"")

    @pytest.mark.parametrize(
        "asked",
        ["bytes=9-0", "bytes=a-b", "lines=0-5", "bytes=", "bytes=0-1,5-6", "bytes=-", "bytes=" + "9" * 5000 + "-"],
    )
    def test_what_is_no_single_range_gets_all(self, server, asked):
        """RFC 9110 lets a server ignore the header."""
        assert ask(server, "a/b", Range=asked)[::2] == (200, BODY)

    @pytest.mark.parametrize(
        "key",
        [
            "../secret", "a/../../secret", "%2e%2e/secret", "%252e%252e/secret", "..%2fsecret", "a//b", "a/./b", "out",
            "round", "..\\secret", "a/b%00", "%00", "", "a", "a/", "//etc/passwd", "%2fetc%2fpasswd", "b" * 5000, "%ff",
        ],
    )  # fmt: skip
    def test_nothing_else_is_served(self, server, key):
        status, _, body = ask(server, key)
        assert (status, body) == (404, b"")
        assert ask(server, key, "HEAD")[0] == 404

    def test_links_within_the_store_are_followed(self, server):
        assert ask(server, "within")[::2] == (200, BODY)

    def test_nothing_without_the_token(self, server):
        for path in ("/a/b", "/store/a/b", "/store/guess/a/b", "/", "/v/guess/index.html", "/events/guess"):
            assert ask(server, path)[0] == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_nothing_is_taken(self, server, folder, method):
        assert ask(server, "a/b", method, **{"Content-Length": "0"})[0] == 501
        assert (folder / "a/b").read_bytes() == BODY

    def test_only_this_machine_is_answered(self, server):
        assert server._server.server_address[0] == "127.0.0.1"
        assert urlsplit(server.store_url()).hostname == "127.0.0.1"

    def test_many_at_once(self, server):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: ask(server, "a/b"), range(200)))
        assert all((status, body) == (200, BODY) for status, _, body in answers)

    def test_closing_ends_the_threads_and_frees_the_port(self, folder):
        before = set(threading.enumerate())
        server = ViewerServer(Contents(LocalStore(folder)))
        waiting = socket.create_connection(("127.0.0.1", server.port))
        assert ask(server, "a/b")[0] == 200
        server.close()
        server.close()
        assert not [thread for thread in set(threading.enumerate()) - before if "zarr" not in thread.name]
        assert waiting.recv(1) == b""
        waiting.close()
        with ViewerServer(Contents(LocalStore(folder)), port=server.port) as again:
            assert ask(again, "a/b")[0] == 200
            with pytest.raises(OSError, match=f"port {again.port} of this machine is in use; give another, or port=0"):
                ViewerServer(Contents(LocalStore(folder)), port=again.port)


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


def read_state(viewer):
    """State in the page's URL, as the browser reads it."""
    return json.loads(unquote(viewer.url.partition("#!")[2]))


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
            read = tensorstore.open(level, open=True).result().read().result()
        np.testing.assert_array_equal(read, tree["scale1"].image)

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


def test_what_a_remote_store_would_decode_is_no_key():
    store = FsspecStore.from_url("memory://decoded")
    make_stained().pyramid.to_zarr(store)
    contents = Contents(store)
    assert contents.read("zarr.json")
    for key in ("%2e%2e/secret", "..%2fsecret", "zarr.json?q=1", "zarr.json#x"):
        assert not contents._is_inside(key)
        assert contents.read(key) is None


def test_an_image_in_memory_may_have_any_name():
    tree = msi.to_multiscale(msi.to_spatial_image(np.ones((8, 8), "u1"), name="50% #1?"), [])
    with tree.pyramid.view(open_browser=False) as viewer:
        level = "scale0/50%25%20%231%3F/zarr.json"
        assert ask(viewer._server, level)[0] == 200
