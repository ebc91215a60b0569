"""Progress of a write: blocks report to a tally that is shown, directly on threads, by events on a cluster."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from msi_lazy.run.progress_display import is_watched, level_progress, shown
from msi_lazy.run.scheduler import active_client, crosses_processes
from msi_lazy.run.tally import Tally
from msi_lazy.run.write_log import describe_write, logged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.graph.marks import Listener
    from msi_lazy.graph.write_graph import LevelArrays
    from msi_lazy.run.options import RunOptions

__all__ = ["Watch", "watch_write"]

_TOPIC = "msi_lazy"
"""Topic of a cluster's events, for all writes: schedulers and clients keep every topic for good, and its handler."""
_WATCHED: dict[str, Tally] = {}
"""Tallies that are shown now, by write."""
_SUBSCRIBED: Counter[str] = Counter()
"""Number of writes that are shown now, by client."""
_WATCHING = Lock()
"""Held while these two change."""


@dataclass(frozen=True)
class Watch:
    """Reports of a write: to the log, and to a progress display if anybody watches."""

    summary: str
    """Description of the write and its target."""
    listeners: tuple[Listener, ...] = ()
    """Called with each block that is stored, for the tally."""
    tally: Tally | None = None
    """Tally that is shown; ``None`` if nobody watches."""
    run: str = ""
    """Name under which the cluster's workers report blocks; empty on threads."""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Log the write that happens within, and show its tally, if there is one."""
        with ExitStack() as stack:
            stack.enter_context(logged(self.summary))
            if self.tally is not None:
                stack.enter_context(shown(self.tally.progress))
                stack.enter_context(_subscribed(self.run, self.tally))
            yield


def watch_write(images: Sequence[LevelArrays], options: RunOptions, done: frozenset[int] = frozenset()) -> Watch:
    """Listen to the blocks of a write, if its progress is asked for and somebody can see it.

    Processes of Dask's own scheduler cannot report blocks; a bar of tasks is shown for them.
    """
    client, summary = active_client(), describe_write(images, done)
    if not (options.progress and options.compute and is_watched()) or (client is None and crosses_processes()):
        return Watch(summary)
    tally = Tally(images, done, level_progress())
    if client is None:
        return Watch(summary, (tally.add,), tally)
    run = uuid4().hex
    return Watch(summary, (partial(_log_block, run=run),), tally, run)


def _log_block(number: int, _stored: object, *, run: str) -> None:
    """Report a block from a worker of a cluster to the clients that watch."""
    from distributed import get_worker

    get_worker().log_event(_TOPIC, (run, number))


@contextmanager
def _subscribed(run: str, tally: Tally) -> Iterator[None]:
    """Count what the cluster's workers report of a write, within; reports may arrive after the write has ended."""
    client = active_client()
    if not run or client is None:
        yield
        return
    with _WATCHING:
        if not _SUBSCRIBED[client.id]:
            client.subscribe_topic(_TOPIC, _count_block)
        _SUBSCRIBED[client.id] += 1
        _WATCHED[run] = tally
    try:
        yield
        tally.add_all()
    finally:
        with _WATCHING:
            del _WATCHED[run]
            _SUBSCRIBED[client.id] -= 1
            if not _SUBSCRIBED[client.id]:
                del _SUBSCRIBED[client.id]
                client.unsubscribe_topic(_TOPIC)


def _count_block(event: tuple[float, Any]) -> None:
    """Count the block that an event (time and message) reports, if its write is still watched."""
    run, number = event[1]
    tally = _WATCHED.get(run)
    if tally is not None:
        tally.add(number)
