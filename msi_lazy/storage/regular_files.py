"""Reading local files, and nothing else that a path may lead to: a named pipe, a device or a socket may never end."""

from __future__ import annotations

import os
import stat
from typing import Any

from zarr.storage import LocalStore

from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS

__all__ = ["RegularStore", "check_regular", "holds_plain_files", "open_regular"]

_MOST_DOCUMENT = 2**26
"""Most bytes of a document of metadata: parsed, it takes twenty times as many."""
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
"""Flag that opens a named pipe without waiting for its writer."""
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_regular(path: str | os.PathLike[str]) -> int | None:
    """Refuse what is there and is no regular file; return its size, or ``None`` if nothing is there.

    Raises
    ------
    OSError
        Names the path, and what is there.
    """
    try:
        return _size(path, os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def open_regular(path: str) -> tuple[int, int]:
    """Open a regular file: its descriptor, which is the caller's to close, and its size; :func:`check_regular`.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        Nothing is there.
    """
    try:
        file = os.open(path, os.O_RDONLY | _AT_ONCE)
    except OSError:
        check_regular(path)  # a socket cannot be opened
        raise
    try:
        return file, _size(path, os.fstat(file))
    except OSError:
        os.close(file)
        raise


def _size(path: str | os.PathLike[str], status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        what = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        raise OSError(
            f"{os.fspath(path)} is {what}, no regular file, so it is not read; remove it, or restore the file"
        )
    return status.st_size


class RegularStore(LocalStore):
    """zarr's store of local files, that reads regular files alone, and no documents of metadata without an end.

    What encodes chunks itself has it remember their sizes and digests, so that files need not be read for these.
    """

    def __init__(self, root: Any, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._records: dict[str, tuple[int, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Pickle nothing of what was stored."""
        return {**self.__dict__, "_records": {}}

    def record(self, key: str, entry: tuple[int, int]) -> None:
        """Remember the size and digest of what was just stored under ``key``."""
        self._records[key] = entry

    def take(self, key: str) -> tuple[int, int] | None:
        """Size and digest of what was stored under ``key``, once; ``None`` if another has stored it."""
        return self._records.pop(key, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalStore) and self.root == other.root

    __hash__ = None  # type: ignore[assignment]  # as that of LocalStore

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        """Store ``value`` where there is nothing yet, without a partial file where there is.

        zarr does so with the documents of all groups above a new one, whose locks are not held.
        """
        if not os.path.lexists(os.path.join(self.root, key)):
            await super().set_if_not_exists(key, value)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Read the bytes under ``key``; ``None`` if nothing is there."""
        path = os.path.join(self.root, key)
        size = check_regular(path)
        if size is None:
            return None
        if size > _MOST_DOCUMENT and key.rpartition("/")[2] in ZARR_DOCUMENTS:
            raise OSError(f"{path} has {size:,} bytes, and metadata of more than {_MOST_DOCUMENT:,} are not read")
        return await super().get(key, prototype, byte_range)


def holds_plain_files(store: Any) -> bool:
    """Tell whether the bytes under a key are those of the file; a class made from zarr's may read them in its own way.

    Examples
    --------
    >>> holds_plain_files(LocalStore(".")), holds_plain_files(type("Decrypting", (LocalStore,), {})("."))
    (True, False)
    """
    return type(store) in (LocalStore, RegularStore)
