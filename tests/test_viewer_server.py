"""What is served of a store, and to whom."""

import asyncio
import http.client
import json
import socket
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
import zarr
from tornado.ioloop import IOLoop
from zarr.storage import FsspecStore, LocalStore, LoggingStore, ObjectStore, WrapperStore

from msi_lazy.show.viewer import connections
from msi_lazy.show.viewer import server as viewer_server
from msi_lazy.show.viewer.contents import Contents
from msi_lazy.show.viewer.server import ViewerServer
from tests.support.browsing import ask
from tests.support.optional import require

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


def request_of(server, key, host=None):
    """A request as it is sent."""
    path = urlsplit(server.store_url()).path + key
    return f"GET {path} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{server.port}'}\r\n\r\n".encode()


class Stuck(WrapperStore):
    """Never gives anything."""

    reading = threading.Semaphore(0)
    given_up = threading.Semaphore(0)

    async def get(self, *args):
        self.reading.release()
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            self.given_up.release()
            raise


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

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda folder: LoggingStore(LocalStore(folder)),
            lambda folder: WrapperStore(LoggingStore(LocalStore(folder))),
            lambda folder: FsspecStore.from_url(f"file://{folder}"),
            lambda folder: FsspecStore.from_url(f"local://{folder}"),
            lambda folder: FsspecStore.from_url(f"simplecache::file://{folder}"),
            lambda folder: ObjectStore(require("obstore.store").LocalStore(folder)),
        ],
    )
    def test_links_lead_out_of_no_kind_of_directory(self, folder, wrap):
        with ViewerServer(Contents(wrap(folder))) as server:
            assert ask(server, "out")[0] == ask(server, "out", "HEAD")[0] == ask(server, "round")[0] == 404
            assert ask(server, "within")[::2] == ask(server, "a/b")[::2] == (200, BODY)

    def test_an_archive_is_no_directory(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("a/b", BODY)
        with ViewerServer(Contents(FsspecStore.from_url(f"zip://::file://{tmp_path}/a.zip"))) as server:
            assert ask(server, "a/b")[::2] == (200, BODY)
            assert ask(server, "../a.zip")[0] == ask(server, "a")[0] == 404

    def test_nothing_without_the_token(self, server):
        for path in ("/a/b", "/store/a/b", "/store/guess/a/b", "/", "/v/guess/index.html", "/events/guess"):
            assert ask(server, path)[0] == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_nothing_is_taken(self, server, folder, method):
        status, headers, _ = ask(server, "a/b", method, **{"Content-Length": "0"})
        assert (status, headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
        assert (folder / "a/b").read_bytes() == BODY

    def test_only_this_machine_is_answered(self, server):
        assert server._socket.getsockname()[0] == "127.0.0.1"
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

    @pytest.mark.parametrize("before", ["", "Content-Length: 0\r\n"])
    def test_a_body_is_not_taken_for_the_next_request(self, server, before):
        path = urlsplit(server.store_url("a")).path + "b"
        host = f"127.0.0.1:{server.port}"
        hidden = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{before}Content-Length: {len(hidden)}\r\n\r\n"
            connection.sendall(head.encode() + hidden)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.count(b"HTTP/1.1 ") == 1

    def test_closing_ends_every_connection_before_it_waits_for_reads(self, folder):
        reading, go_on = threading.Semaphore(0), threading.Event()

        class Slow(WrapperStore):
            async def get(self, *args):
                reading.release()
                while not go_on.is_set():
                    await asyncio.sleep(0.01)
                return await super().get(*args)

        server = ViewerServer(Contents(Slow(LocalStore(folder))))
        request = request_of(server, "a/b")
        connections = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(4)]
        for connection in connections:
            connection.sendall(request)
            assert reading.acquire(timeout=10)
        closing = threading.Thread(target=server.close)
        closing.start()
        for connection in connections:
            assert connection.recv(1) == b""
            connection.close()
        assert closing.is_alive()
        go_on.set()
        closing.join(10)
        assert not closing.is_alive()

    def test_several_may_close_it_at_once(self, folder):
        server = ViewerServer(Contents(LocalStore(folder)))
        with ThreadPoolExecutor(4) as threads:
            closings = [threads.submit(server.close) for _ in range(4)]
        assert [closing.exception() for closing in closings] == [None] * 4

    def test_what_is_read_forever_is_given_up(self, folder, monkeypatch, caplog):
        monkeypatch.setattr(connections, "_LAST_READS", 0.1)
        with ViewerServer(Contents(Stuck(LocalStore(folder)))) as server:
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            connection.sendall(request_of(server, "a/b"))
            assert Stuck.reading.acquire(timeout=10)
        assert Stuck.given_up.acquire(timeout=10)
        assert connection.recv(1) == b""
        connection.close()
        assert not caplog.records

    def test_a_slow_read_holds_up_no_other(self, folder):
        class Slow(Stuck):
            async def get(self, key, *args):
                return await (super().get(key) if key == "a/b" else self._store.get(key, *args))

        with ViewerServer(Contents(Slow(LocalStore(folder)))) as server:
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(request_of(server, "a/b"))
                assert Stuck.reading.acquire(timeout=10)
                assert ask(server, "within")[::2] == (200, BODY)
            viewer_server_last, connections._LAST_READS = connections._LAST_READS, 0.1
        connections._LAST_READS = viewer_server_last

    @pytest.mark.parametrize("sent", [b"", b"GET / HT", None])
    def test_idle_connections_end(self, monkeypatch, sent):
        """Those that ask for nothing, or only begin to; and those that do not take what they asked for."""
        monkeypatch.setattr(viewer_server, "_ASKING" if sent is not None else "_TAKING", 0.2)
        with ViewerServer(Contents.of({"a": bytes(64 * 2**20)})) as server:
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(request_of(server, "a") if sent is None else sent)
                if sent is None:
                    time.sleep(1)
                taken = 0
                with suppress(ConnectionResetError):
                    while part := connection.recv(2**20):
                        taken += len(part)
            assert taken < 64 * 2**20

    def test_a_page_under_another_name_gets_nothing(self, server):
        """A name of the attacker's may come to mean 127.0.0.1 after its page was loaded (DNS rebinding)."""
        port = server.port
        for host in ("example.org", f"example.org:{port}", f"127.0.0.1.example.org:{port}", "127.0.0.1", "localhost:1"):
            status, _, body = ask(server, "a/b", Host=host)
            assert (status, body) == (421, b"")
        assert ask(server, "a/b", Host=f"localhost:{port}")[::2] == (200, BODY)

    def test_the_oldest_connection_without_the_token_makes_room_for_another(self, folder, monkeypatch):
        monkeypatch.setattr(connections, "_MOST_CONNECTIONS", 3)
        with ViewerServer(Contents(LocalStore(folder))) as server, ExitStack() as stack:

            def connect():
                return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))

            def answer(connection):
                connection.sendall(request_of(server, "a/b"))
                assert connection.recv(12) == b"HTTP/1.1 200"
                connection.recv(4096)

            trusted = connect()
            answer(trusted)
            silent = [connect() for _ in range(4)]
            assert [one.recv(1) for one in silent[:2]] == [b"", b""]
            assert ask(server, "a/b")[0] == 200
            assert silent[2].recv(1) == b""
            answer(trusted)
            others = [connect() for _ in range(2)]
            for connection in others:
                answer(connection)
            assert connect().recv(1) == b""  # all others have the token
            answer(trusted)

    @pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX-a: ", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 99])
    def test_a_stranger_can_neither_hold_all_connections_nor_fill_the_process(self, server, sent):
        with ExitStack() as stack:
            for _ in range(150):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                with suppress(ConnectionError):
                    connection.sendall(sent)
            assert ask(server, "a/b")[::2] == (200, BODY)
            assert sum(not stream.closed() for stream in server._server._streams) <= 64

    def test_long_headers_are_refused(self, server):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            with suppress(ConnectionError):
                for _ in range(100):
                    connection.sendall(b"X-a: " + b"y" * 10_000)
                assert b"HTTP/1.1 200" not in connection.recv(100)
            with suppress(ConnectionError):
                assert connection.recv(100) == b""

    def test_headers_that_trickle_in_have_a_deadline(self, monkeypatch):
        monkeypatch.setattr(viewer_server, "_ASKING", 0.5)
        with ExitStack() as stack:
            server = stack.enter_context(ViewerServer(Contents.of({"a": b"a"})))
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            begun = time.monotonic()
            with suppress(ConnectionError):
                while time.monotonic() < begun + 8:
                    connection.sendall(b"X")
                    time.sleep(0.05)
            assert time.monotonic() < begun + 8

    def test_pages_of_other_origins_learn_nothing_without_the_token(self, server):
        answers = [
            ask(server, path, method, Origin="https://example.org")
            for path in ("/", "/nothing", "/store/guess/a/b", "/events/guess")
            for method in ("GET", "OPTIONS", "HEAD", "POST")
        ]
        answers.append(ask(server, "a/b", Host="example.org", Origin="https://example.org"))
        for status, headers, body in answers:
            assert status in (404, 421)
            assert body == b""
            assert not [name for name in headers if name.lower().startswith("access-control")]
        headers = ask(server, "a/missing", Origin="https://example.org")[1]
        assert headers["Access-Control-Allow-Origin"] == "*"  # a chunk that is not stored is no fault

    def test_what_is_hidden_in_a_store_is_not_served_but_the_documents_of_zarr_are(self, folder, server):
        hidden = [".git/config", ".msi_lazy-stored/scale0", "a/.cache", "a/.zattrs/x", ".zarrays"]
        documents = [".zgroup", ".zattrs", ".zmetadata", "a/.zarray"]
        for key in (*hidden, *documents):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(BODY)
        (folder / "plain").symlink_to(folder / ".git/config")
        for key in (*hidden, "plain", "%2egit/config"):
            assert ask(server, key)[0] == ask(server, key, "HEAD")[0] == 404
        for key in documents:
            assert ask(server, key)[::2] == (200, BODY)

    def test_what_a_store_raises_is_told_and_the_next_request_does_better(self, folder, capfd):
        class Failing(WrapperStore):
            failures = iter([OSError("<b>disk</b>")])

            async def get(self, *args):
                for error in self.failures:
                    raise error
                return await super().get(*args)

        with ViewerServer(Contents(Failing(LocalStore(folder)))) as server:
            status, headers, body = ask(server, "a/b")
            assert (status, body) == (500, b"OSError: <b>disk</b>")
            assert headers["Content-Type"].startswith("text/plain")
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert ask(server, "a/b")[0] == 200
        assert capfd.readouterr() == ("", "")

    def test_nothing_of_the_event_loop_is_left(self, folder):
        assert asyncio.run(serve_within(folder)) == 200
        assert not [loop for loop in IOLoop._ioloop_for_asyncio if loop.is_closed()]
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()

    def test_the_stream_of_events_lives_until_the_server_closes(self, folder, monkeypatch):
        monkeypatch.setattr(viewer_server, "_HEARTBEAT", 0.01)
        server = ViewerServer(Contents(LocalStore(folder)))
        token = urlsplit(server.store_url()).path.split("/")[2]
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", f"/events/{token}")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.read(18) == b": alive\n\n: alive\n\n"
        server.close()
        answer.read()
        connection.close()

    def test_the_page_loads_its_state_however_long(self, server):
        state = {"layers": [{"segmentColors": {str(label): "#ff8000" for label in range(100_000)}}]}
        url = server.page_url(state)
        assert len(url) < 200
        assert json.loads(ask(server, urlsplit(url.partition("#!")[2]).path)[2]) == state


async def serve_within(folder):
    """A server that is begun where an event loop runs, as in a notebook."""
    with ViewerServer(Contents(LocalStore(folder))) as server:
        return (await asyncio.to_thread(ask, server, "a/b"))[0]


def test_what_a_remote_store_would_decode_is_no_key():
    store = FsspecStore.from_url("memory://decoded")
    zarr.create_group(store)
    contents = Contents(store)
    assert asyncio.run(contents.read("zarr.json"))
    for key in ("%2e%2e/secret", "..%2fsecret", "zarr.json?q=1", "zarr.json#x"):
        assert not contents._is_inside(key)
        assert asyncio.run(contents.read(key)) is None
