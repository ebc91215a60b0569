"""HTTP server for the files of a store, and for the viewer that shows them, on this machine alone."""

from __future__ import annotations

import asyncio
import errno
import json
import secrets
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from tornado.ioloop import IOLoop
from tornado.web import Application, HTTPError, RequestHandler

from msi_lazy.compat.zarr_stores import zarr_loop
from msi_lazy.show.viewer.connections import LimitedServer
from msi_lazy.show.viewer.contents import Contents
from msi_lazy.show.viewer.ranges import parse_range

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import TracebackType

    from tornado.http1connection import HTTP1Connection

__all__ = ["ViewerServer"]

_TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
_HEADERS = {
    "Server": "msi_lazy",
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
}
_FOR_OTHER_PAGES = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",
    "Access-Control-Max-Age": "3600",
}
"""Headers for pages of other origins, which have been given the token."""
_HEARTBEAT = 15
"""Seconds between two messages on a stream of events."""
_ASKING = 15
"""Seconds in which a connection must have sent its next request."""
_TAKING = 60
"""Seconds in which an answer must have been taken."""
_MOST_HEADER = 64 * 2**10
"""Most bytes of a request: browsers send the cookies of all servers on this machine."""


class ViewerServer:
    """Server of one store, and of Neuroglancer's own files, until it is closed.

    It listens on the loopback interface: no other machine reaches it.  A random token in every path keeps out the web
    pages of other people in the same browser, which could otherwise try the ports of this machine.  It serves
    single files and parts of them, no listings, nothing hidden, and accepts no data.  Its event loop runs in a thread
    of its own.

    Parameters
    ----------
    store
        The image.
    client
        Files of Neuroglancer; ``None`` serves the store alone.
    port
        Port to listen on; 0 takes a free one.

    Raises
    ------
    OSError
        The port is in use, or needs privileges.

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
            self._socket = socket.create_server(("127.0.0.1", port), backlog=64)
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            fault = f"port {port} of this machine {reason}; give another, or port=0 for a free one"
            raise type(error)(error.errno, fault) from error
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self._mounts = {"store": store} | ({} if client is None else {"v": client})
        self._closing = threading.RLock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="msi_lazy-viewer", daemon=True)
        self._thread.start()
        self._server, self._tornado_loop = self._run(self._listen())

    async def _listen(self) -> tuple[LimitedServer, IOLoop]:
        rules: list[Any] = [(f"/([a-z]+)/{self._token}/(.*)", _Files), (f"/events/{self._token}", _Events)]
        application = Application(
            rules,
            default_handler_class=_Nothing,
            log_function=lambda handler: None,  # print nothing: a screen of chunks is hundreds of lines
            hosts=(f"127.0.0.1:{self.port}", f"localhost:{self.port}"),
            mounts=self._mounts,
            zarr_loop=zarr_loop(),
        )
        server = LimitedServer(
            application,
            idle_connection_timeout=_ASKING,
            max_header_size=_MOST_HEADER,
            max_body_size=0,
            max_buffer_size=2 * _MOST_HEADER,  # of what is received
        )
        application.settings["server"] = server
        server.add_socket(self._socket)
        return server, IOLoop.current()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def store_url(self, path: str = "") -> str:
        """Return the URL of a group in the store, with a slash at its end."""
        below = f"{quote(path)}/" if path else ""
        return f"http://127.0.0.1:{self.port}/store/{self._token}/{below}"

    def page_url(self, state: Mapping[str, Any]) -> str:
        """Return the URL of Neuroglancer's page, which loads ``state`` as JSON from the same server.

        Inside the URL the state could be too long for a browser: it holds a colour for each label.
        """
        self._mounts["state"] = Contents.of({"state.json": json.dumps(state).encode()})
        place = f"http://127.0.0.1:{self.port}"
        return f"{place}/v/{self._token}/#!{place}/state/{self._token}/state.json"

    def close(self) -> None:
        """Stop listening, end open connections, and wait for reads; a second call does nothing."""
        with self._closing:
            if self._thread.is_alive():
                self._run(self._server.end())
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._tornado_loop.close()  # and the event loop with it

    def __enter__(self) -> ViewerServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Handler(RequestHandler):
    """Common parts of all requests."""

    def set_default_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        return value.decode(errors="replace")  # bytes that are not UTF-8 are no key of a store

    async def options(self, *path: str) -> None:
        """Allow a browser to send a ``Range`` header."""
        self.set_status(HTTPStatus.NO_CONTENT)

    def write_error(self, status_code: int, **settings: Any) -> None:
        """Answer with nothing, or with the error of a store."""
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", _FOR_OTHER_PAGES["Access-Control-Allow-Methods"])
        error = settings["exc_info"][1] if "exc_info" in settings else None  # none where a closing server cancels
        self.finish("" if error is None or isinstance(error, HTTPError) else f"{type(error).__name__}: {error}")

    def log_exception(self, *error: Any) -> None:
        """Print nothing: the answer says it."""


class _Nothing(_Handler):
    """A request for an unknown path, or without the token."""

    def prepare(self) -> None:
        raise HTTPError(HTTPStatus.NOT_FOUND)


class _WithToken(_Handler):
    """A request with the token, of any page under the names of this server."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        if self._is_for_us():
            for name, value in _FOR_OTHER_PAGES.items():
                self.set_header(name, value)

    def prepare(self) -> None:
        if not self._is_for_us():  # a page under another name of this machine (DNS rebinding)
            raise HTTPError(HTTPStatus.MISDIRECTED_REQUEST)
        self.settings["server"].trust(cast("HTTP1Connection", self.request.connection).stream)

    def _is_for_us(self) -> bool:
        return self.request.host.lower() in self.settings["hosts"]


class _Files(_WithToken):
    """A request for a file, for a part of it, or for its size."""

    async def get(self, mount: str, key: str) -> None:
        key = key or ("index.html" if mount == "v" else "")
        asked, with_body = self.request.headers.get("Range"), self.request.method == "GET"
        size = await self._fetch(mount, Contents.size, key) if asked or not with_body else 0  # as costly as to read
        part = parse_range(asked, size) if with_body else None  # RFC 9110: of GET alone
        if part is not None and part[0] >= part[1]:
            self.set_status(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.set_header("Content-Range", f"bytes */{size}")
            return
        body = await self._fetch(mount, Contents.read, key, part) if with_body else b""
        if part is not None:
            self.set_status(HTTPStatus.PARTIAL_CONTENT)
            self.set_header(
                "Content-Range", f"bytes {part[0]}-{part[0] + len(body) - 1}/{size}"
            )  # the file may have shrunk
        self.set_header("Content-Type", _TYPES.get(PurePosixPath(key).suffix, "application/octet-stream"))
        self.set_header("Content-Length", str(len(body) if with_body else size))
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Cache-Control", "no-cache")
        self.write(body)
        try:
            await asyncio.wait_for(self.flush(), _TAKING)
        except TimeoutError:
            self.detach().close()

    head = get

    async def _fetch(self, mount: str, read: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Call ``read`` on the contents at ``mount``, on zarr's event loop."""
        if mount in self.settings["mounts"]:
            coroutine = read(self.settings["mounts"][mount], *args)
            found = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.settings["zarr_loop"]))
            if found is not None:
                return found
        raise HTTPError(HTTPStatus.NOT_FOUND)


class _Events(_WithToken):
    """Stream of events from Python, which stays empty.

    Without it Neuroglancer's page would report, over and over, that it lost its server.
    """

    async def get(self) -> None:
        server: LimitedServer = self.settings["server"]
        server.listeners.add(cast("asyncio.Task[Any]", asyncio.current_task()))
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        while not server.closing.is_set():
            await self.flush()
            with suppress(TimeoutError):
                await asyncio.wait_for(server.closing.wait(), _HEARTBEAT)
            self.write(": alive\n\n")
