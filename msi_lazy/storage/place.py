"""Where stores are: one name for a place, however it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import zarr
from fsspec import get_filesystem_class
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath

__all__ = ["Location", "locate"]


@dataclass(frozen=True)
class Location:
    """Where something is stored."""

    scheme: str
    """``file``, or what tells one remote or in-memory store from another."""
    path: str
    """Path in it; for files absolute, links resolved."""

    def overlaps(self, other: Location) -> bool:
        """Whether one of the two holds the other."""
        if self.scheme != other.scheme:
            return False
        one, another = PurePosixPath("/", self.path), PurePosixPath("/", other.path)
        return one == another or one in another.parents or another in one.parents

    @property
    def directory(self) -> Path | None:
        """The path, if it is a local one."""
        return Path(self.path) if self.scheme == "file" else None

    def __str__(self) -> str:
        return self.path if self.scheme == "file" else f"{self.scheme}://{self.path.lstrip('/')}"


def locate(store: Any, path: str = "") -> Location:
    """Where ``path`` in ``store`` is: a path, a URL, or any of zarr's stores, groups and arrays."""
    if isinstance(store, (StorePath, zarr.Group, zarr.Array)):
        return locate(store.store, "/".join(filter(None, (store.path, path))))
    if isinstance(store, dict):
        store = MemoryStore(store)
    if isinstance(store, Path):
        return Location("file", str((store / path).resolve()))
    if isinstance(store, LocalStore):
        return Location("file", str(Path(store.root, path).resolve()))
    if isinstance(store, FsspecStore):
        return _from_url(_innermost_files(store.fs).protocol, f"{store.path}/{path}".rstrip("/"))
    if isinstance(store, str):
        if "://" not in store:
            return locate(Path(store), path)
        url = urlsplit(store.rpartition("::")[2])  # caches and the like are chained before it
        where = unquote(url.path) if url.scheme in ("file", "local") else url.netloc + url.path
        return _from_url(url.scheme, f"{where}/{path}".rstrip("/"))
    wrapped = getattr(store, "_store", None)  # zarr's wrapper stores have no public way in
    return locate(wrapped, path) if wrapped is not None else Location(str(store), path)


def _innermost_files(files: Any) -> Any:
    """The file system behind caches and wrappers."""
    inner = getattr(files, "sync_fs", None) or getattr(files, "fs", None)
    return files if inner is None else _innermost_files(inner)


def _canonical(protocol: str | tuple[str, ...]) -> str:
    """One name for a protocol that has several: ``s3`` for ``s3a``, ``file`` for ``local``."""
    names = (protocol,) if isinstance(protocol, str) else tuple(protocol)
    try:
        known = get_filesystem_class(names[0]).protocol
    except (ImportError, ValueError):  # its library is not installed
        known = names
    names = (known,) if isinstance(known, str) else tuple(known)
    return "file" if "file" in names else names[0]


def _from_url(protocol: str | tuple[str, ...], path: str) -> Location:
    scheme = _canonical(protocol)
    return locate(Path(path)) if scheme == "file" else Location(scheme, path.strip("/"))
