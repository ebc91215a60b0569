"""The process that writes: what identifies it to others, and whether it still runs."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import psutil

__all__ = ["WriterProcess"]

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")
"""Linux's name of the processes that one sees: those of a container have numbers of their own."""
_CLOCK = 2.0
"""Seconds by which two processes may differ about the start of a third."""
_LONGEST = 255
"""Longest name of a host, or of anything else that is a string, that is believed."""


@dataclass(frozen=True)
class WriterProcess:
    """A process, as it is known on other machines."""

    host: str
    """Name of its host, for messages."""
    machine: str
    """Identity of what numbers its processes: a boot of a host, and a container there; empty if unknown."""
    pid: int
    """Number there."""
    started: float
    """Start of the process, in seconds since 1970."""
    since: str
    """Start of its write, for messages."""

    @classmethod
    def current(cls) -> Self:
        """Describe this process, as one that begins to write now."""
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        started = psutil.Process().create_time()
        return cls(_printable(socket.gethostname()), _machine(), os.getpid(), started, since)

    @classmethod
    def parse(cls, owner: Any) -> Self | None:
        """Parse what :meth:`to_json` gave; ``None`` for anything else that a store may hold."""
        if not isinstance(owner, dict):
            return None
        texts: list[Any] = [owner.get(name) for name in ("host", "machine", "since")]
        pid, started = owner.get("pid"), owner.get("started")
        if any(not isinstance(text, str) or len(text) > _LONGEST or not text.isprintable() for text in texts):
            return None
        if type(pid) is not int or not 0 < pid < 2**31:
            return None
        if not isinstance(started, (int, float)) or not 0 <= started < 2**53:
            return None
        host, machine, since = texts
        return cls(host, machine, pid, float(started), since)

    def to_json(self) -> dict[str, Any]:
        """Describe it as JSON values."""
        return asdict(self)

    @property
    def is_this_one(self) -> bool:
        """Whether it is the running process; a forked child is another."""
        return self._is_here and self.pid == os.getpid()

    @property
    def _is_here(self) -> bool:
        return bool(self.machine) and (self.host, self.machine) == (_printable(socket.gethostname()), _machine())

    def runs(self) -> bool | None:
        """Tell whether it still runs; ``None`` if that is not known from here.

        A process of the same number that seems to have started at another time is either another one, or the clock
        was set.
        """
        if not self._is_here:
            return None
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return True if abs(process.create_time() - self.started) < _CLOCK else None
        except psutil.NoSuchProcess:
            return False
        except psutil.Error:  # it is there, and another user's
            return None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def _machine() -> str:
    """Identity of the space of process numbers: the same number of another boot or container is another process."""
    parts = []
    with suppress(OSError):
        parts = [_BOOT.read_text().strip(), str(_PROCESSES.stat().st_ino)]
    return "/".join(parts) or f"{socket.gethostname()}, booted {psutil.boot_time():.0f}"


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)[:_LONGEST]
