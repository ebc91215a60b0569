"""Locations of stores, whatever they are wrapped in; unknown where that cannot be told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.implementations.cached import CachingFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore, ObjectStore, WrapperStore, ZipStore

from msi_lazy.compat.zarr_stores import wrapped_store

__all__ = ["Location", "local_location", "locate_store"]

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
    packed: bool = False
    """Whether it is inside the file at ``path``, such as a zip file."""

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
        if same and _nested(self.path, other.path):
            return True
        return False if self.certain and other.certain else None

    @property
    def directory(self) -> Path | None:
        """Path, if it is certainly that of a local directory."""
        return Path(self.path) if self.scheme == "file" and self.certain and not self.packed else None

    @property
    def in_memory(self) -> bool:
        """True if other processes cannot see it."""
        return self.scheme == "memory"

    def __str__(self) -> str:
        if self.scheme == "file":
            return self.path
        return f"{self.scheme}://{self.path.lstrip('/')}" if self.scheme else self.path


def _nested(one: str, other: str) -> bool:
    first, second = PurePosixPath("/", one), PurePosixPath("/", other)
    return first == second or first in second.parents or second in first.parents


def local_location(path: Path) -> Location:
    """Location of a file or directory of this machine."""
    return Location("file", str(path.resolve()))


def locate_store(store: Any, path: str = "") -> Location:
    """Location of ``path`` in a store of zarr's, or of one like it."""
    if isinstance(store, LocalStore):
        return local_location(Path(store.root, path))
    if isinstance(store, MemoryStore):
        return Location("memory", path, holder=str(store))
    if isinstance(store, ZipStore) and store.path is not None:  # zarr 3.4 has them of open files, too
        return replace(local_location(Path(store.path)), packed=True)
    if isinstance(store, FsspecStore):
        return _locate_files(store.fs, "/".join(filter(None, (store.path.rstrip("/"), path))))
    if isinstance(store, ObjectStore):
        return _locate_objects(store.store, path)
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
        return replace(local_location(Path(archive)), packed=True)
    protocols = (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)
    service = next((_BUCKETS[name] for name in protocols if name in _BUCKETS), None)
    if service is not None:
        endpoint = getattr(files, "endpoint_url", None) or (getattr(files, "client_kwargs", None) or {}).get(
            "endpoint_url"
        )
        return Location(service, path.strip("/"), holder=_endpoint(endpoint), certain=not endpoint)
    return Location("", path, holder=_Identity(files), certain=False)


def _locate_objects(objects: Any, path: str) -> Location:
    """Location of a path in a store of obstore."""
    kind = type(objects).__name__
    prefix = getattr(objects, "prefix", None)
    if kind == "LocalStore":
        return local_location(Path(prefix or "/", path))
    service, bucket = _OBSTORE_BUCKETS.get(kind, ("", ""))
    config = getattr(objects, "config", None) or {}
    if service and bucket in config:
        endpoint = config.get("endpoint")
        whole = "/".join(filter(None, (config[bucket], str(prefix or "").strip("/"), path)))
        return Location(service, whole, holder=_endpoint(endpoint), certain=not endpoint)
    scheme = "memory" if kind == "MemoryStore" else ""
    return Location(scheme, path, holder=_Identity(objects), certain=bool(scheme))


def _endpoint(url: Any) -> str | None:
    return str(url).rstrip("/") if url else None


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
