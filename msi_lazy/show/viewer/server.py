"""An HTTP server for the files of a store, and for the viewer that shows them, on this machine alone."""

from __future__ import annotations

import errno
import json
import secrets
import socket
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from msi_lazy.show.viewer.contents import Contents
from msi_lazy.show.viewer.ranges import UnsatisfiableRangeError, parse_range

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["ViewerServer"]

_TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",
    "Access-Control-Max-Age": "3600",
}
_HEARTBEAT = 15
"""Seconds between two signs of life on a stream of events."""
_LAST_READS = 5
"""Seconds that a closing server waits for what it is reading, at most."""


class ViewerServer:
    """Serves one store, and Neuroglancer's own files, from when it is made until it is closed.

    It listens on the loopback interface: no other machine reaches it.  A random token in every path keeps out the web
    pages of other people in the same browser, which could otherwise try the ports of this machine.  It gives single
    files and parts of them, no lists, and takes nothing.

    Parameters
    ----------
    store
        The image.
    client
        Files of Neuroglancer; ``None`` serves the store alone.
    port
        Port to listen on; 0 takes one that is free.

    Raises
    ------
    OSError
        The port is in use, or is not for everyone to use.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> from zarr.storage import MemoryStore
    >>> from msi_lazy.show.viewer.contents import Contents
    >>> import zarr
    >>> store = zarr.create_group(MemoryStore()).store
    >>> with ViewerServer(Contents(store)) as server, urlopen(server.store_url() + "zarr.json") as answer:
    ...     answer.read(1), answer.headers["Access-Control-Allow-Origin"]
    (b'{', '*')
    """

    def __init__(self, store: Contents, client: Contents | None = None, port: int = 0) -> None:
        self._token = secrets.token_urlsafe(16)
        try:
            self._server = _Server(port, {f"/store/{self._token}": store}, self._token)
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            fault = f"port {port} of this machine {reason}; give another, or port=0 for one that is free"
            raise type(error)(error.errno, fault) from error
        if client is not None:
            self._server.rooms[f"/v/{self._token}"] = client
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def store_url(self, path: str = "") -> str:
        """URL of a group in the store, with a slash at its end."""
        below = f"{quote(path)}/" if path else ""
        return f"http://127.0.0.1:{self.port}/store/{self._token}/{below}"

    def page_url(self, state: Mapping[str, Any]) -> str:
        """URL of Neuroglancer's page, which finds its token in it, and loads ``state`` as JSON from the same server.

        In the URL itself the state could be too long for a browser: it holds a colour for each label.
        """
        self._server.rooms[f"/state/{self._token}"] = Contents.of({"state.json": json.dumps(state).encode()})
        place = f"http://127.0.0.1:{self.port}"
        return f"{place}/v/{self._token}/#!{place}/state/{self._token}/state.json"

    def close(self) -> None:
        """Stop listening, end open connections, and wait for the threads; nothing the second time."""
        if self._thread.is_alive():
            self._server.closing.set()
            self._server.shutdown()
            self._thread.join()
            self._server.end_connections()
            self._server.server_close()

    def __enter__(self) -> ViewerServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    """One thread per connection; they end with the server, and never keep Python from ending."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, rooms: dict[str, Contents], token: str) -> None:
        self.rooms = rooms
        self.token = token
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._serving: set[threading.Thread] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # http.server's own asks a name server for this machine's name, which can take long
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)  # before its thread begins, which may be after all are ended
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._serving.add(threading.current_thread())
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._serving.discard(threading.current_thread())

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """End all connections, those too that wait for a request; wait for their threads, 5 seconds at most.

        One that reads a slow store ends when it has read, and nobody hears of it.
        """
        for connection in list(self._open):
            with suppress(OSError):  # it has just ended
                connection.shutdown(socket.SHUT_RDWR)
        end = time.monotonic() + _LAST_READS
        for thread in list(self._serving):
            thread.join(timeout=max(end - time.monotonic(), 0))

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):  # a browser that went on to something else
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the header to be acknowledged
    server_version = "msi_lazy"
    sys_version = ""
    timeout = 60  # seconds that an idle connection keeps its thread
    server: _Server

    def do_GET(self) -> None:
        if urlsplit(self.path).path == f"/events/{self.server.token}":
            self._keep_alive()
        else:
            self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_OPTIONS(self) -> None:
        """Answer a browser that asks whether it may send a ``Range`` header."""
        self._send(HTTPStatus.NO_CONTENT, {})

    def do_POST(self) -> None:
        """Refuse whatever is not for reading."""
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": _CORS["Access-Control-Allow-Methods"]})

    do_PUT = do_PATCH = do_DELETE = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed: a screen of chunks is hundreds of lines."""

    def _answer(self, with_body: bool) -> None:
        try:
            status, headers, body = self._look_up(with_body)
        except UnsatisfiableRangeError as error:
            status, headers = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{error.size}"}
            body = b""
        except Exception as error:  # of the store: a network, a disk; the next request may do better
            self.close_connection = True
            status, headers, body = HTTPStatus.INTERNAL_SERVER_ERROR, {}, f"{type(error).__name__}: {error}".encode()
        self._send(status, headers, body, with_body)

    def _look_up(self, with_body: bool) -> tuple[HTTPStatus, dict[str, str], bytes]:
        """Status, headers and body of the file at the request's path, or of the part that is asked for."""
        nothing: tuple[HTTPStatus, dict[str, str], bytes] = (HTTPStatus.NOT_FOUND, {}, b"")
        path = unquote(urlsplit(self.path).path)  # once: what is encoded twice is no way up
        room, key = next(((r, path[len(r) + 1 :]) for r in self.server.rooms if path.startswith(f"{r}/")), ("", ""))
        if not room:
            return nothing
        if room.startswith("/v/") and not key:
            key = "index.html"
        contents, asked = self.server.rooms[room], self.headers.get("Range")
        size = contents.size(key) if asked or not with_body else None  # a request of its own, in a remote store
        part = parse_range(asked, size) if with_body and size is not None else None  # RFC 9110: of GET alone
        body = contents.read(key, part) if with_body else b""
        if body is None or (not with_body and size is None):
            return nothing
        headers = {"Content-Type": _TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")}
        headers |= {"Accept-Ranges": "bytes", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        if part is None:
            return HTTPStatus.OK, headers | {"Content-Length": str(len(body) if with_body else size)}, body
        headers["Content-Range"] = f"bytes {part[0]}-{part[0] + len(body) - 1}/{size}"  # it may have shrunk since
        return HTTPStatus.PARTIAL_CONTENT, headers, body

    def _send(self, status: HTTPStatus, headers: dict[str, str], body: bytes = b"", with_body: bool = True) -> None:
        lengths = self.headers.get_all("Content-Length", [])
        if any(length != "0" for length in lengths) or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body is not read, and must not be taken for the next request
        self.send_response(status)
        for name, value in (_CORS | headers).items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _keep_alive(self) -> None:
        """Keep open the stream on which Neuroglancer waits for news from Python: there are none.

        Without it the page would say, over and over, that it lost its server.
        """
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        for name, value in (_CORS | {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}).items():
            self.send_header(name, value)
        self.end_headers()
        while not self.server.closing.wait(_HEARTBEAT):
            self.wfile.write(b": alive\n\n")
