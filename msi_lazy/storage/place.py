"""Places: a store and a path in it, parsed once from whatever users give."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import unquote

import zarr
from fsspec import FSMap, get_filesystem_class
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath, ZipStore

from msi_lazy.arguments.store_names import parse_group
from msi_lazy.compat.zarr_arrays import run_in_python
from msi_lazy.compat.zarr_stores import delete_directory
from msi_lazy.ngff.specification import ZarrFormat
from msi_lazy.storage.archive_store import ARCHIVE_SUFFIXES, ArchiveStore, is_archive
from msi_lazy.storage.checked_pipeline import checked
from msi_lazy.storage.links import remove_link
from msi_lazy.storage.location import Location, locate_store
from msi_lazy.storage.regular_files import RegularStore
from msi_lazy.storage.store_errors import retried_read
from msi_lazy.storage.zarr_formats import check_optimized

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Mode", "Place", "ZarrFormat"]

Mode = Literal["w-", "w"]
_LOCAL = ("file://", "local://")
_READING = ("r", "r+")
"""Modes of zarr in which opening a node changes nothing."""


@dataclass(frozen=True)
class Place:
    """A store, and the path of a node in it.

    Examples
    --------
    >>> place = Place.parse("/data/plate.zarr", "A/1")
    >>> str(place), place.path
    ('/data/plate.zarr/A/1', 'A/1')
    >>> place.location.overlaps(Place.parse("file:///data/plate.zarr").location)
    True
    """

    store: Store
    """Store, as zarr opens it; of local files with an absolute path, so that workers find it too."""
    path: str = ""
    """Path of the node in the store; empty for its root."""
    given: str = field(default="", compare=False)
    """Name of the store as the user gave it, for messages."""
    base: str = field(default="", compare=False)
    """Path in the store of what the user gave, such as a group; nothing above it is touched."""

    @classmethod
    def parse(
        cls, store: Any, group: Any = "", storage_options: Mapping[str, Any] | None = None, *, new: bool = False
    ) -> Self:
        """Parse a place as users give it: nothing is opened, and nothing created.

        Parameters
        ----------
        store
            Path, URL, or one of zarr's stores, groups, store paths; an fsspec mapper; a dict.
        group
            Path of the node in it.
        storage_options
            Options of the file system behind a URL.
        new
            Whether the node is to be created, so that its path must be one that Zarr allows.

        Raises
        ------
        TypeError
            Not a store; options that are not a dict by name, or that do not belong to a URL.
        ValueError
            A path that no file can have, a URL of an unknown protocol, or an impossible path in the store.
        ImportError
            The library for the URL's protocol is not installed.
        RuntimeError
            Python runs with ``-O``, and zarr is too old for that.

        Examples
        --------
        >>> Place.parse(5)
        Traceback (most recent call last):
            ...
        TypeError: store must be a path, a URL or a zarr store, not 5
        """
        check_optimized()
        _check_options(store, storage_options)
        path = parse_group(group, new=new)
        if isinstance(store, (zarr.Group, StorePath)):
            inside = "/".join(filter(None, (store.path, path)))
            return cls(_absolute(store.store), inside, str(getattr(store, "store_path", store)), store.path)
        if isinstance(store, Store):
            store = _absolute(store)
            return cls(store, path, str(store))
        if isinstance(store, dict):
            return cls(MemoryStore(store), path, "a dict" if store else "{}")
        if isinstance(store, FSMap):
            return cls(FsspecStore.from_mapper(store), path, str(store.root))
        if not isinstance(store, (str, os.PathLike)):
            raise TypeError(f"store must be a path, a URL or a zarr store, not {store!r}")
        name = os.fspath(store)
        if "\0" in name:
            raise ValueError(f"store {store!r} cannot be a path: it has a null character")
        if not _is_url(store) or name.startswith(_LOCAL):
            file = _path_of_url(name) if _is_url(store) else Path(name).absolute()
            return cls(ArchiveStore.at(file) if is_archive(str(file)) else RegularStore(file), path, str(name))
        _check_protocols(name)
        if is_archive(name):
            return cls(ArchiveStore.at(name, storage_options), path, name)
        return cls(FsspecStore.from_url(name, storage_options=dict(storage_options or {})), path, name)

    @classmethod
    def of(cls, node: zarr.Group | zarr.Array[Any]) -> Self:
        """Place of a node that is open."""
        return cls(node.store, node.path, str(node.store_path), node.path)

    @cached_property
    def location(self) -> Location:
        """Location, as far as it is known."""
        return locate_store(self.store, self.path)

    @property
    def directory(self) -> Path | None:
        """Directory, if it is one of this machine."""
        return self.location.directory

    @property
    def in_archive(self) -> bool:
        """True if it is in a zip file, which is written as a whole only."""
        return isinstance(self.store, (ArchiveStore, ZipStore))

    @property
    def archive(self) -> Path | None:
        """Path of the zip file that it is in, if that is on this machine, and known by its path."""
        return self.store.path if isinstance(self.store, ArchiveStore) else None

    @property
    def is_named_archive(self) -> bool:
        """True if its name is one of zip files, whatever is there."""
        return not self.group and self.given.rstrip("/\\").lower().endswith(ARCHIVE_SUFFIXES)

    @property
    def is_ozx(self) -> bool:
        """True if it is in a zip file that is called a single-file OME-Zarr, as RFC-9 has it."""
        return self.archive is not None and self.archive.suffix.lower() == ".ozx"

    @property
    def in_folder(self) -> bool:
        """True if its hierarchy lies in a folder of a zip file, and not at its root; reads the zip file."""
        return isinstance(self.store, ArchiveStore) and self.store.index.root != ""

    @property
    def in_memory(self) -> bool:
        """True if other processes cannot see it."""
        return self.location.in_memory

    def __str__(self) -> str:
        return str(self.location) if self.location.scheme else self.named

    @property
    def named(self) -> str:
        """Name of the place in the words of the user: store and group."""
        return f"{self.group!r} in {self.given}" if self.group else self.given

    def below(self, path: str) -> str:
        """Path in the store of ``path`` below this place."""
        return "/".join(filter(None, (self.path, path)))

    def child(self, path: str) -> Place:
        """Place of ``path`` below this one."""
        return Place(self.store, self.below(path), self.given, self.base)

    @property
    def group(self) -> str:
        """Path of the node below that which the user gave."""
        return self.path.removeprefix(self.base).strip("/")

    def parents(self) -> Iterator[Place]:
        """Places of the groups above it, from that which the user gave down."""
        parts = self.group.split("/") if self.group else []
        for depth in range(len(parts)):
            yield Place(self.store, "/".join(filter(None, (self.base, *parts[:depth]))), self.given, self.base)

    def open_group(
        self, mode: Any = "r", zarr_format: ZarrFormat | None = None, *, consolidated: bool = False
    ) -> zarr.Group:
        """Open the group, with its own metadata or, if ``consolidated``, their consolidated copy.

        Raises
        ------
        FileNotFoundError
            There is none.
        """
        self._check_there(mode)
        options: dict[str, Any] = {} if consolidated else {"use_consolidated": False}
        options |= {"path": self.path or None, "mode": mode, "zarr_format": zarr_format}
        return retried_read(lambda: zarr.open_group(self.store, **options), again=mode in _READING)

    def open_array(self, mode: Any = "r", zarr_format: ZarrFormat | None = None) -> zarr.Array[Any]:
        """Open the array with zarr's own codecs; see :func:`msi_lazy.storage.arrays.open_array`.

        Raises
        ------
        FileNotFoundError
            There is none.
        """
        self._check_there(mode)
        options: dict[str, Any] = {"path": self.path, "mode": mode, "zarr_format": zarr_format}
        return checked(retried_read(lambda: zarr.open_array(self.store, **options), again=mode in _READING))

    def open_node(self, zarr_format: ZarrFormat | None = None) -> zarr.Group | zarr.Array[Any] | None:
        """Open the group or array for reading; ``None`` if there is neither."""
        try:
            self._check_there("r")
            options: dict[str, Any] = {"path": self.path or None, "mode": "r", "zarr_format": zarr_format}
            node = retried_read(lambda: zarr.open(self.store, **options))
        except (FileNotFoundError, KeyError):
            return None
        return checked(node) if isinstance(node, zarr.Array) else node

    def create_array(self, path: str, **settings: Any) -> zarr.Array[Any]:
        """Create an array at ``path`` below this place, with settings as ``zarr.create_array`` takes them."""
        return run_in_python(zarr.create_array(self.store, name=self.below(path), **settings))

    def delete(self, path: str) -> None:
        """Delete every key at ``path`` and below it, and the directories that are empty then; of a link the link."""
        if remove_link(self.store, self.below(path)):
            return
        delete_directory(self.store, self.below(path))
        if self.directory is None:
            return
        folder = self.directory / path
        for empty in (*sorted(folder.rglob("*"), reverse=True), folder):
            if empty.is_dir() and not empty.is_symlink():
                with suppress(OSError):  # not empty after all
                    empty.rmdir()

    def _check_there(self, mode: str) -> None:
        """Refuse a missing directory, as opening it for writing would create it, and to change a zip file."""
        if mode != "r" and self.in_archive:
            raise ValueError(
                f"{self.given or self.store} is a zip file, in which nothing can be changed: unpack it (python -m "
                f"zipfile -e FILE FOLDER), change the folder, and pack that again with msi_lazy.pack(FOLDER, FILE)"
            )
        if mode == "r+" and isinstance(self.store, LocalStore) and not self.store.root.exists():
            raise FileNotFoundError(f"there is no directory {self.store.root}")


def _absolute(store: Store) -> Store:
    """Make a store of local files independent of the working directory, and have it read regular files alone."""
    if type(store) is LocalStore:
        return RegularStore(store.root.absolute(), read_only=store.read_only)
    return store


def _is_url(store: Any) -> bool:
    return isinstance(store, str) and ("://" in store or "::" in store)


def _path_of_url(url: str) -> Path:
    """Path that a URL of local files names (RFC 8089): percent-encoded, after ``file://`` or ``file://localhost``.

    Nothing in it is a query or a fragment.

    Examples
    --------
    >>> _path_of_url("file:///data/my%20image%231.zarr"), _path_of_url("file://localhost/data/a#1.zarr")
    (PosixPath('/data/my image#1.zarr'), PosixPath('/data/a#1.zarr'))
    """
    path = unquote(url.partition("://")[2])
    return Path(path.removeprefix("localhost") if path.startswith("localhost/") else path).absolute()


def _check_options(store: Any, options: Any) -> None:
    if options is None:
        return
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise TypeError(f"storage_options must be a dict by name, such as {{'anon': True}}, not {options!r}")
    if options and not _is_url(store):
        raise TypeError(
            f"storage_options are for the file system behind a URL such as 's3://bucket/a.zarr', and store is {store!r}"
        )


def _check_protocols(url: str) -> None:
    """Refuse a URL, or a chain of them, for which no file system is known."""
    for part in url.split("::"):
        protocol = part.partition("://")[0]
        try:
            get_filesystem_class(protocol)
        except ValueError:
            raise ValueError(f"store {url!r} is a URL of an unknown protocol, {protocol!r}") from None
        except ImportError as error:
            raise ImportError(f"store {url!r} needs a library that is not installed: {error}") from error
