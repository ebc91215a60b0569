"""Leases: one write at a time stores at a target, and what another has taken over stores nothing more there."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from msi_lazy.errors import LeaseLostError, TargetInUseError
from msi_lazy.storage.lease_documents import LeaseContents, LeaseFile, LeaseKey, document_at
from msi_lazy.storage.writer_process import WriterProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msi_lazy.storage.place import Place

__all__ = ["Lease"]

_LOGGER = logging.getLogger(__name__)
_BEAT = 5.0
"""Seconds between two beats of an owner."""
_WATCH = 12.0
"""Seconds without a beat after which an owner on another machine counts as gone."""
_ATTEMPTS = 100
"""Most documents of others that are judged one after another."""
_HEARTBEATS: dict[str, _Heartbeat] = {}
"""Heartbeats of this process, by token."""
_CHECKED: dict[str, float] = {}
"""Time at which this process last found the token of a lease in its store."""


@dataclass(frozen=True)
class Lease:
    """Right of one write to store at a target; it pickles, so that tasks can check it anywhere.

    The document lies at ``<folder>/lease``: a token, and the process that owns it while it computes.  Whoever takes
    over replaces the token.
    """

    document: LeaseFile | LeaseKey
    """Document in the store."""
    token: str
    """Identity of the write."""
    what: str
    """Target, for messages: ``"the image at /data/a.zarr"``."""

    @classmethod
    def acquire(cls, place: Place, folder: str, *, held: bool, what: str) -> Self:
        """Take the lease of a target, from a write that has ended, or from none.

        Parameters
        ----------
        place
            Place in the store.
        folder
            Path of the folder in the store, which is created.
        held
            Whether this process owns it from now on, until it leaves :meth:`held` or calls :meth:`release`; not so
            where the user computes the tasks.
        what
            Target, for messages.

        Raises
        ------
        TargetInUseError
            Another write is running.  On this machine that is known at once; elsewhere its owner is watched for a
            sign of life.
        StoreExistsError
            The folder is a symbolic link.
        """
        lease = cls(document_at(place, folder), uuid4().hex, what)
        heartbeat = _Heartbeat(lease) if held else None
        if heartbeat is not None:  # known before the document is, to other threads
            _HEARTBEATS[lease.token] = heartbeat
        try:
            lease._take(heartbeat)
        except BaseException:
            _HEARTBEATS.pop(lease.token, None)
            raise
        if heartbeat is not None:
            lease._start(heartbeat)
        return lease

    def _start(self, heartbeat: _Heartbeat) -> None:
        try:
            heartbeat.start()
        except BaseException:  # there may be no more threads
            self.release()
            raise

    def _take(self, heartbeat: _Heartbeat | None) -> None:
        contents = LeaseContents(self.token, heartbeat.process if heartbeat else None)
        for _ in range(_ATTEMPTS):
            seen = self.document.read()
            if self._is_free(seen) and self.document.take(seen, contents):
                return
        raise TargetInUseError(f"{self.what} is being taken over by several writes at once; let one of them finish")

    def _is_free(self, seen: bytes | None) -> bool:
        """Tell whether a document may be replaced; one that changes while it is watched is judged again.

        Raises
        ------
        TargetInUseError
            Its owner lives.
        """
        found = LeaseContents.parse(seen)
        if found.owner is None:
            return True
        if found.owner.is_this_one:
            alive: bool | None = found.token in _HEARTBEATS
        else:
            alive = found.owner.runs()
        if alive is None:
            _LOGGER.info("%s has a lease of %s: waiting %g s for a sign of life", self.what, found.owner, _WATCH)
            until = time.monotonic() + _WATCH
            while time.monotonic() < until:
                time.sleep(min(0.5, _WATCH / 10))
                now = self.document.read()
                if now != seen:
                    after = LeaseContents.parse(now)
                    if (after.token, after.owner) != (found.token, found.owner):
                        return False
                    alive = True
                    break
        if alive:
            raise TargetInUseError(
                f"{self.what} is being written by another write: {found.owner}; wait until it has finished, or end "
                f"that process first, and then resume with resume=True or start over with mode='w'"
            )
        return True

    def put_back(self) -> None:
        """Store the document again where it went with the metadata of the group above, as Icechunk deletes them."""
        heartbeat = _HEARTBEATS.get(self.token)
        if self.document.read() is None:
            self.document.take(None, LeaseContents(self.token, heartbeat.process if heartbeat else None))

    def check(self, *, again: bool = False) -> None:
        """Check that no other write has taken over, just before something is stored.

        A local file is read each time.  What another store said is believed for 5 s, unless it is asked ``again``.

        Raises
        ------
        LeaseLostError
            Another write has.
        """
        now = time.monotonic()
        trusted = self.document.trusted
        if trusted and not again and now - _CHECKED.get(self.token, -trusted) < trusted:
            return
        if not self.document.holds(self.token):
            raise LeaseLostError(
                f"another write has taken over {self.what}, or deleted it, or this one has finished: nothing more is "
                f"stored by this one"
            )
        if trusted:
            _CHECKED[self.token] = now

    @contextmanager
    def held(self) -> Iterator[None]:
        """Own the lease while this process computes; then it may be taken over at once, whatever happened.

        Raises
        ------
        LeaseLostError
            Another write has taken over before.
        """
        if self.token not in _HEARTBEATS:
            heartbeat = _HEARTBEATS[self.token] = _Heartbeat(self)
            if not heartbeat.beat():
                del _HEARTBEATS[self.token]
                self.check(again=True)
            self._start(heartbeat)
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Take the owner out, if it is this process; the token stays, so that tasks left over may go on."""
        heartbeat = _HEARTBEATS.pop(self.token, None)
        _CHECKED.pop(self.token, None)
        if heartbeat is not None and heartbeat.process.is_this_one:
            heartbeat.stop()

    def remove(self) -> None:
        """Remove the document, if no other write has taken over: the last of a write's steps."""
        self.release()
        self.document.remove(self.token)


class _Heartbeat:
    """Sign of life of an owner: a number that a thread raises; the thread ends with the process, or is stopped."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.process = WriterProcess.current()
        self._number = 0
        self._writing = Lock()
        self._ended = Event()
        self._thread = Thread(target=self._run, name=f"msi_lazy lease {os.getpid()}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def beat(self) -> bool:
        """Write the next number; tell whether the lease is still this owner's."""
        with self._writing:
            if self._ended.is_set():
                return False
            self._number += 1
            return self.lease.document.rewrite(LeaseContents(self.lease.token, self.process, self._number))

    def _run(self) -> None:
        while not self._ended.wait(_BEAT):
            try:
                if not self.beat():
                    return
            except Exception as error:  # of the disk or the network: the next one may get through
                _LOGGER.warning("no sign of life could be stored for %s: %s", self.lease.what, error)

    def stop(self) -> None:
        self._ended.set()
        with self._writing:  # after the last beat, so that it does not bring the owner back
            try:
                self.lease.document.rewrite(LeaseContents(self.lease.token, None, self._number + 1))
            except Exception as error:  # the write has its own end to report; others see that no beat follows
                _LOGGER.warning("the lease of %s could not be released: %s", self.lease.what, error)
        if self._thread.is_alive():
            self._thread.join()
