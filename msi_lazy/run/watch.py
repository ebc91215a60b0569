"""Progress of a write: blocks report to a tally that is shown, directly on threads, by events on a cluster."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
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


@dataclass(frozen=True)
class Watch:
    """Reports of a write: to the log, and to a progress display if anybody watches."""

    summary: str
    """Description of the write and its target."""
    listeners: tuple[Listener, ...] = ()
    """Called with each block that is stored, for the tally."""
    tally: Tally | None = None
    """Tally that is shown; ``None`` if nobody watches."""
    topic: str = ""
    """Topic of the cluster's events that report blocks; empty on threads."""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Log the write that happens within, and show its tally, if there is one."""
        with ExitStack() as stack:
            stack.enter_context(logged(self.summary))
            if self.tally is not None:
                stack.enter_context(shown(self.tally.progress))
                stack.enter_context(_subscribed(self.topic, self.tally))
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
    topic = f"msi_lazy-{uuid4().hex}"
    return Watch(summary, (partial(_log_block, topic=topic),), tally, topic)


def _log_block(number: int, *, topic: str) -> None:
    """Report a block from a worker of a cluster to the subscribers of ``topic``."""
    from distributed import get_worker

    get_worker().log_event(topic, number)


@dataclass
class _Listener:
    """Handler of a cluster's events, for as long as it has a tally: the client keeps its handlers forever."""

    tally: Tally | None

    def __call__(self, event: tuple[float, Any]) -> None:
        """Count the block that an event (time and message) reports."""
        tally = self.tally
        if tally is not None:
            tally.add(event[1])


@contextmanager
def _subscribed(topic: str, tally: Tally) -> Iterator[None]:
    """Count what the cluster's workers report under ``topic``, within; reports may arrive after the write has ended."""
    client = active_client()
    if not topic or client is None:
        yield
        return

    listener = _Listener(tally)
    client.subscribe_topic(topic, listener)
    try:
        yield
        tally.add_all()
    finally:
        client.unsubscribe_topic(topic)
        listener.tally = None
