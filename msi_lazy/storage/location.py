"""Locations of stores, whatever they are wrapped in; unknown where that cannot be told."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.core import split_protocol
from fsspec.implementations.cached import CachingFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.implementations.reference import ReferenceFileSystem
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore, ObjectStore, WrapperStore, ZipStore

from msi_lazy.compat.tiff_stores import tiff_page
from msi_lazy.compat.zarr_stores import wrapped_store
from msi_lazy.storage.archive_bytes import RemoteFile
from msi_lazy.storage.archive_store import ArchiveStore

__all__ = ["Location", "local_location", "locate_store", "referenced_locations"]

_BUCKETS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "adl": "az"}
"""Service by protocol, of object stores whose paths begin with a bucket."""
_OBSTORE_BUCKETS = {"S3Store": ("s3", "bucket"), "GCSStore": ("gs", "bucket"), "AzureStore": ("az", "container_name")}
"""Service, and key of the bucket in the configuration, by class of obstore."""


@dataclass(frozen=True)
class Location:
    """Location of something stored, as far as it is known."""

    scheme: str
    """``file``, ``memory`` or a service; empty if unknown."""
    path: str
    """Path there; for files absolute, links resolved."""
    holder: Any = None
    """Identity of the scheme: an endpoint, or the object that holds contents in memory or unknown ones."""
    certain: bool = True
    """Whether another location is another place.  A server, or a wrapper, may show contents of other places too."""
    member: str | None = None
    """Path inside the file at ``path``, such as a zip file; ``None`` if it is not inside one."""

    def overlaps(self, other: Location) -> bool | None:
        """Tell whether one of the two holds the other; ``None`` if that is not known.

        Examples
        --------
        >>> here = Location("file", "/data/image.zarr")
        >>> here.overlaps(Location("file", "/data/image.zarr/scale0")), here.overlaps(Location("file", "/data/other"))
        (True, False)
        >>> here.overlaps(Location("", "scale0", holder=object(), certain=False)) is None
        True
        """
        same = (self.scheme, self.holder) == (other.scheme, other.holder)
        if same and (_nested(self.path, other.path) or (self.scheme == "file" and _same_files(self.path, other.path))):
            return True
        return False if self.certain and other.certain else None

    @property
    def directory(self) -> Path | None:
        """Path, if it is certainly that of a local directory."""
        return Path(self.path) if self.scheme == "file" and self.certain and self.member is None else None

    @property
    def in_memory(self) -> bool:
        """True if other processes cannot see it."""
        return self.scheme == "memory"

    @property
    def name(self) -> str | None:
        """Name that no other place has, the same in every process; ``None`` if there is none."""
        if not self.scheme or isinstance(self.holder, _Identity):
            return None
        text = self.path if self.scheme == "file" else f"{self.scheme}://{self.path.lstrip('/')}"
        return "::".join(filter(None, (text, self.member, self.holder)))

    def __str__(self) -> str:
        if self.scheme in ("file", "http"):  # a URL is whole
            return self.path
        return f"{self.scheme}://{self.path.lstrip('/')}" if self.scheme else self.path


def _nested(one: str, other: str) -> bool:
    first, second = PurePosixPath("/", one), PurePosixPath("/", other)
    return first == second or first in second.parents or second in first.parents


def _same_files(one: str, other: str) -> bool:
    """Tell whether one path holds the other under another name: directories can be mounted twice."""
    first, second = _file_numbers(one), _file_numbers(other)
    return first[0] in second or second[0] in first


def _file_numbers(path: str) -> list[tuple[int, int] | str]:
    """Device and inode of a path, and of all above it; the path itself where it has none."""
    found: list[tuple[int, int] | str] = []
    for above in (Path(path), *Path(path).parents):
        try:
            status = os.stat(above)
            found.append((status.st_dev, status.st_ino) if status.st_ino else str(above))
        except OSError:
            found.append(str(above))
    return found


def local_location(path: Path, member: str | None = None) -> Location:
    """Location of a file or directory of this machine, or of a member of such a file."""
    return Location("file", str(path.resolve()), member=member)


def locate_store(store: Any, path: str = "") -> Location:
    """Location of ``path`` in a store of zarr's, or of one like it."""
    if isinstance(store, LocalStore):
        return local_location(Path(store.root, path))
    if isinstance(store, MemoryStore):
        if not hasattr(store, "name"):
            return Location("memory", path, holder=str(store))
        managed: Any = store  # of zarr 3.4: a path in a dict that others have a path in, too
        return Location("memory", "/".join(filter(None, (managed.path, path))), holder=f"managed, {managed.name}")
    if isinstance(store, ZipStore) and store.path is not None:  # zarr 3.4 has them of open files, too
        return local_location(Path(store.path), path)
    if isinstance(store, ArchiveStore):
        file = store.file
        if isinstance(file, RemoteFile):
            return replace(_locate_files(file.files, file.path), member=path)
        return local_location(Path(file.name), path)
    if isinstance(store, FsspecStore):
        return _locate_files(store.fs, "/".join(filter(None, (store.path.rstrip("/"), path))))
    if isinstance(store, ObjectStore):
        return _locate_objects(store.store, path)
    page = tiff_page(store)
    if page is not None:
        return local_location(Path(page[0]), "/".join(filter(None, (f"page {page[1]}", path))))
    if isinstance(store, WrapperStore):
        inner = locate_store(wrapped_store(store), path)
        plain = type(store) in (WrapperStore, LoggingStore)  # other classes may change keys
        return inner if plain else replace(inner, certain=False)
    if type(store).__module__.startswith("icechunk"):  # no session sees the changes of another
        return Location("icechunk", path, holder=_Identity(store))
    return Location("", path, holder=_Identity(store), certain=False)


def _locate_files(files: Any, path: str) -> Location:
    """Location of a path in a file system of fsspec."""
    if hasattr(files, "sync_fs"):  # a synchronous one, wrapped for zarr
        return _locate_files(files.sync_fs, path)
    if isinstance(files, DirFileSystem):
        return _locate_files(files.fs, f"{str(files.path or '').rstrip('/')}/{path.lstrip('/')}".rstrip("/"))
    if isinstance(files, CachingFileSystem):
        return _locate_files(files.fs, path)
    if isinstance(files, LocalFileSystem):
        return local_location(Path(path))
    if isinstance(files, MemoryFileSystem):
        return Location("memory", path.strip("/"), holder="fsspec")
    archive = getattr(getattr(files, "fo", None), "name", None)
    if isinstance(archive, str) and Path(archive).is_file():  # a zip or tar file
        return local_location(Path(archive), path)
    protocols = (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)
    service = next((_BUCKETS[name] for name in protocols if name in _BUCKETS), None)
    if service is not None:
        endpoint = getattr(files, "endpoint_url", None) or (getattr(files, "client_kwargs", None) or {}).get(
            "endpoint_url"
        )
        return _in_bucket(service, path.strip("/"), endpoint, getattr(files, "account_name", None))
    if "http" in protocols:  # whose paths are whole URLs
        return Location("http", path, certain=False)
    return Location("", path, holder=_Identity(files), certain=False)


def referenced_locations(store: Any) -> set[Location]:
    """Locations of the files that a file system of references reads from; none of any other store."""
    files = getattr(store if wrapped_store(store) is None else wrapped_store(store), "fs", None)
    files = getattr(files, "sync_fs", files)
    if not isinstance(files, ReferenceFileSystem):
        return set()
    entries = (entry for entry in files.references.values() if isinstance(entry, (list, tuple)))
    urls = {str(entry[0] or files.target) for entry in entries}
    paths = {url: split_protocol(url) for url in urls}
    return {_locate_files(files.fss.get(protocol, files.fss[None]), path) for protocol, path in paths.values()}


def _locate_objects(objects: Any, path: str) -> Location:
    """Location of a path in a store of obstore."""
    kind = type(objects).__name__
    prefix = getattr(objects, "prefix", None)
    if kind == "LocalStore":
        return local_location(Path(prefix or "/", path))
    service, bucket = _OBSTORE_BUCKETS.get(kind, ("", ""))
    config = getattr(objects, "config", None) or {}
    if service and bucket in config:
        whole = "/".join(filter(None, (config[bucket], str(prefix or "").strip("/"), path)))
        return _in_bucket(service, whole, config.get("endpoint"), config.get("account_name"))
    if kind == "HTTPStore":
        return Location("http", "/".join(filter(None, (objects.url.rstrip("/"), path))), certain=False)
    scheme = "memory" if kind == "MemoryStore" else ""
    return Location(scheme, path, holder=_Identity(objects), certain=bool(scheme))


def _in_bucket(service: str, path: str, endpoint: Any, account: Any) -> Location:
    """Location in a bucket; those of Azure are its accounts', where several have the same name."""
    if endpoint or (service == "az" and not account):
        return Location(service, path, holder=str(endpoint or "").rstrip("/") or None, certain=False)
    return Location(service, path, holder=str(account) if service == "az" else None)


class _Identity:
    """Hashable stand-in for any object, equal to that of the same or an equal object."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Identity):
            return NotImplemented
        return self.value is other.value or bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(type(self.value).__name__)

    def __repr__(self) -> str:
        return f"<{type(self.value).__name__}>"
