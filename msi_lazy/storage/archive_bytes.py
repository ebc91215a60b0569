"""Bytes of a file that is read in parts: a local one, or one behind a URL."""

from __future__ import annotations

import asyncio
import io
import os
import weakref
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from fsspec.core import url_to_fs

from msi_lazy.compat.fsspec_files import begin_fetch
from msi_lazy.storage.regular_files import open_regular
from msi_lazy.storage.store_errors import retried_read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FileBytes", "LocalFile", "RemoteFile", "as_stream"]

_BUFFER = 2**18
"""Bytes that are read ahead where small parts are read one after another."""
_MOST_WHOLE = 2**28
"""Most bytes of a file that is held in memory, as its server sends no parts."""
_SEEKING = Lock()
"""Held where the system cannot read at an offset but from there on."""


class FileBytes(Protocol):
    """A file that is read in parts; it pickles, and is opened when it is first read."""

    name: str
    """Path or URL."""

    def size(self) -> int:
        """Count its bytes.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """

    def stamp(self) -> str:
        """Describe the state of the file, which changes with its content."""

    def read(self, start: int, stop: int) -> bytes:
        """Read the bytes from ``start`` to ``stop``."""

    async def fetch(self, start: int, stop: int) -> bytes:
        """Read the same, and leave the event loop free meanwhile."""
        return await asyncio.to_thread(self.read, start, stop)


class LocalFile(FileBytes):
    """A regular file of this machine, which stays open: one that takes its place is not seen, a change is noticed."""

    def __init__(self, path: Path, stamp: str = "") -> None:
        self.path, self.name = path, str(path)
        self._stamp, self._file, self._lock = stamp, -1, Lock()

    def __reduce__(self) -> Any:
        """Pickle the path, and the state of the file if it was read here, so that no other is read there."""
        return LocalFile, (self.path, self._stamp)

    def size(self) -> int:
        """Count its bytes."""
        return os.fstat(self._opened()).st_size

    def stamp(self) -> str:
        """Describe the state of the file, which changes with its content."""
        self._opened()
        return self._stamp

    def read(self, start: int, stop: int) -> bytes:
        """Read the bytes from ``start`` to ``stop``, fewer at the end of the file."""
        file, parts = self._opened(), []
        while start < stop and (part := _read_at(file, start, stop - start)):
            parts.append(part)
            start += len(part)
        if _stamp_of(file) != self._stamp:
            raise ValueError(f"{self.name} has been changed since it was opened; open it again")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _opened(self) -> int:
        with self._lock:
            if self._file < 0:
                file, _ = open_regular(self.name)
                stamp = _stamp_of(file)
                if self._stamp not in ("", stamp):
                    os.close(file)
                    raise ValueError(f"{self.name} is another file than when it was opened; open it again")
                weakref.finalize(self, os.close, file)
                self._file, self._stamp = file, stamp
            return self._file


def _stamp_of(file: int) -> str:
    found = os.fstat(file)
    return f"{found.st_size} {found.st_mtime_ns}"


def _read_at(file: int, start: int, count: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file, count, start)
    with _SEEKING:
        os.lseek(file, start, os.SEEK_SET)
        return os.read(file, count)


class RemoteFile(FileBytes):
    """A file behind a URL that fsspec knows."""

    def __init__(self, url: str, options: Mapping[str, Any], stamp: str = "") -> None:
        self.name, self.options, self._stamp = url, dict(options), stamp
        self.files, self.path = url_to_fs(url, **self.options)
        self._details: dict[str, Any] = {}
        self._whole: bytes | None = None
        self._sends_parts = False

    def __reduce__(self) -> Any:
        """Pickle the URL, and the state of the file if it was read here, so that no other is read there."""
        return RemoteFile, (self.name, self.options, self._stamp)

    def size(self) -> int:
        """Count its bytes."""
        if not self._details:
            details = retried_read(self._info)
            if not isinstance(details.get("size"), int):
                raise OSError(f"the server does not tell the size of {self.name}, so no parts can be read; copy it")
            words = (
                details.get(word) for word in ("LastModified", "mtime", "created", "Last-Modified", "ETag", "etag")
            )
            stamp = f"{details['size']} {next((str(word) for word in words if word), '')}"
            if self._stamp not in ("", stamp):
                raise ValueError(f"{self.name} is another file than when it was opened; open it again")
            self._details, self._stamp = details, stamp
        return int(self._details["size"])

    def _info(self) -> dict[str, Any]:
        """Ask for its details; fsspec takes each failure of a server for a missing file."""
        self.files.invalidate_cache()
        try:
            found: dict[str, Any] = self.files.info(self.path)
        except FileNotFoundError as error:
            if getattr(error.__cause__, "status", 404) != 404:
                raise error.__cause__ from None  # type: ignore[misc]
            raise FileNotFoundError(self.name) from None
        return found

    def stamp(self) -> str:
        """Describe the state of the file, which changes with its content; as far as the server does."""
        self.size()
        return self._stamp

    def read(self, start: int, stop: int) -> bytes:
        """Read the bytes from ``start`` to ``stop``, fewer at the end of the file."""
        size = self.size()
        stop = min(stop, size)
        if self._whole is not None or stop <= start:
            return (self._whole or b"")[start:stop]
        self._check_parts()
        return self._part(self.files.cat_file(self.path, start=start, end=stop), start, stop)

    async def fetch(self, start: int, stop: int) -> bytes:
        """Read the same, and hold no thread meanwhile where the file system needs none."""
        known = self._details and self._whole is None and 0 <= start < stop <= self.size()
        pending = begin_fetch(self.files, self.path, start, stop) if known else None
        if pending is None:
            return await asyncio.to_thread(self.read, start, stop)
        return self._part(await pending, start, stop)

    def _part(self, found: bytes, start: int, stop: int) -> bytes:
        """Check what was sent for a part: it, or the whole file."""
        size = self.size()
        if len(found) == stop - start:
            return found
        if len(found) != size:
            raise OSError(f"{self.name} has been cut short, or is another file than when it was opened; open it again")
        self._whole = found  # of a server that sends no parts: once is enough
        return found[start:stop]

    def _check_parts(self) -> None:
        """Refuse a server of HTTP that would send a large file whole for each part."""
        if self._sends_parts or "http" not in self.files.protocol or self.size() <= _MOST_WHOLE:
            return
        try:
            with self.files.open(self.path, cache_type="none") as opened:
                opened.seek(1)
                opened.read(1)
        except ValueError as error:
            raise OSError(
                f"the server of {self.name} sends no parts of a file, and this one is large; copy it to this machine"
            ) from error
        self._sends_parts = True


def as_stream(file: FileBytes, most: int) -> io.BufferedReader:
    """Return a stream over the bytes of a file, of which no more than ``most`` are read at once."""
    return io.BufferedReader(_Stream(file, most), _BUFFER)


class _Stream(io.RawIOBase):
    def __init__(self, file: FileBytes, most: int) -> None:
        self._bytes, self._size, self._most, self._at = file, file.size(), most, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + (0, self._at, self._size)[whence]
        if at < 0:
            raise OSError("before the beginning of the file")
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        if len(buffer) > self._most:
            raise OverflowError(f"{self._bytes.name} has a directory of more than {self._most:,} bytes")
        found = self._bytes.read(self._at, self._at + len(buffer))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)
