"""Connections of the viewer's server: how many there are, and how they end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from tornado.httpserver import HTTPServer

if TYPE_CHECKING:
    from tornado.iostream import IOStream

__all__ = ["LimitedServer"]

_LAST_READS = 5
"""Most seconds that a closing server waits for its reads."""
_MOST_CONNECTIONS = 64
"""Most open connections; for another one, the oldest that has not shown the token is closed."""


class LimitedServer(HTTPServer):
    """Tornado's server, with a limit to its connections, and a way to end them."""

    def initialize(self, *args: Any, **settings: Any) -> None:
        """Set it up, as Tornado does in place of ``__init__``."""
        super().initialize(*args, **settings)
        self.closing = asyncio.Event()
        self.listeners: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._streams: dict[IOStream, bool] = {}

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Take a connection: another user of this machine, who has no token, may hold all others, and say nothing."""
        self._streams = {one: trusted for one, trusted in self._streams.items() if not one.closed()}
        self._streams[stream] = False
        if len(self._streams) > _MOST_CONNECTIONS:
            oldest = next(one for one, trusted in self._streams.items() if not trusted)
            del self._streams[oldest]
            oldest.close()
        if not stream.closed():
            super().handle_stream(stream, address)

    def trust(self, stream: IOStream) -> None:
        """Keep a connection that has shown the token."""
        if stream in self._streams:
            self._streams[stream] = True

    async def end(self) -> None:
        """End all connections, also those that wait for a request; wait for reads, 5 seconds at most."""
        self.stop()
        self.closing.set()
        await _finish(set(self.listeners), 1)
        for stream in list(self._streams):
            stream.close()
        await _finish({task for task in asyncio.all_tasks() if task is not asyncio.current_task()}, _LAST_READS)


async def _finish(tasks: set[asyncio.Task[Any]], seconds: float) -> None:
    """Wait for tasks, and cancel those that take longer."""
    if tasks:
        _, slow = await asyncio.wait(tasks, timeout=seconds)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
