"""Marking blocks once they are on disk: one sync of the file system for all that were stored in some moments."""

from __future__ import annotations

from dataclasses import replace
from threading import Event, Lock, Thread, main_thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from msi_lazy.storage.mark_files import marks_are_asked_for, store_mark
from msi_lazy.storage.target import sync_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.storage.stored_ledger import StoredLedger
    from msi_lazy.storage.stored_units import StoredUnits

__all__ = ["Marker"]

_SHORTEST_WAIT, _LONGEST_WAIT = 0.2, 5.0
"""Seconds between two syncs, at least, and at most: a kill takes what has not been marked."""
_LOOK = 0.05
"""Seconds between two looks whether marks are asked for: the end of the write waits for those of all processes."""
_WAIT_PER_SYNC = 20
"""Times as long as a sync took, until the next one, so that they take a twentieth of the time where they can."""


class Marker:
    """Listener that marks the blocks of a write in its ledger; each process of the write has one.

    Of local files a mark waits for the next sync, if the write is to be durable, on a thread that ends when nothing
    waits any more.  Other stores have stored for good what they were given.
    """

    def __init__(self, ledger: StoredLedger) -> None:
        self.ledger = ledger
        self._waiting: dict[int, Sequence[StoredUnits]] = {}
        self._lock, self._syncing, self._stop = Lock(), Lock(), Event()
        self._thread: Thread | None = None
        self._error: Exception | None = None

    def __reduce__(self) -> Any:
        """Pickle the ledger; what waits here is marked here."""
        return Marker, (self.ledger,)

    def __call__(self, number: int, stored: Sequence[StoredUnits]) -> None:
        """Mark block ``number``, soon."""
        levels = [replace(level, path=self.ledger.path_below(level.path)) for level in stored]
        if not self.ledger.durable or self.ledger.target.directory is None:
            store_mark(self.ledger.marks, number, levels)
            return
        with self._lock:
            if self._error is not None:
                raise self._error
            self._waiting[number] = levels
            if self._thread is None:
                self._stop.clear()
                self._thread = Thread(target=self._mark_now_and_then, name="msi_lazy-marks", daemon=False)
                self._thread.start()

    def flush(self) -> None:
        """Mark everything that waits here, and end the thread."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join()
        self._mark_waiting()
        if self._error is not None:
            raise self._error

    def _mark_now_and_then(self) -> None:
        wait = _SHORTEST_WAIT
        while True:
            self._pause(wait)
            began = monotonic()
            try:
                self._mark_waiting()
            except Exception as error:
                error.add_note("while marking blocks that are stored")
                self._error = error
            wait = min(max(_SHORTEST_WAIT, _WAIT_PER_SYNC * (monotonic() - began)), _LONGEST_WAIT)
            with self._lock:
                if self._stop.is_set() or self._error is not None or not self._waiting:
                    self._thread = None
                    return

    def _pause(self, seconds: float) -> None:
        """Wait, unless marks are asked for, or the process ends, which waits for this thread."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0 and not self._stop.wait(min(_LOOK, left)):
            if marks_are_asked_for(self.ledger.marks) or not main_thread().is_alive():  # this worker is retired
                return

    def _mark_waiting(self) -> None:
        with self._syncing:
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            if waiting:
                sync_target(self.ledger.target)
            for number, stored in waiting.items():
                store_mark(self.ledger.marks, number, stored)
