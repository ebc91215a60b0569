"""Where stores are, and which of them a graph reads from: what a write must not destroy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np
import xarray as xr
import zarr
from dask.blockwise import Blockwise
from dask.task_spec import DataNode, GraphNode, Task
from zarr.storage import FsspecStore, LocalStore, StorePath

from msi_lazy.graph.source import MemmapFile, WindowSource
from msi_lazy.graph.views import CroppedArray

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Location", "locate", "origins"]


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
    if isinstance(store, Path):
        return Location("file", str((store / path).resolve()))
    if isinstance(store, LocalStore):
        return Location("file", str(Path(store.root, path).resolve()))
    if isinstance(store, FsspecStore):
        names = [store.fs.protocol] if isinstance(store.fs.protocol, str) else list(store.fs.protocol)
        scheme = "file" if "file" in names else names[0]
        return _from_url(scheme, f"{store.path}/{path}".rstrip("/"))
    if isinstance(store, str):
        url = urlsplit(store)
        if "://" not in store:
            return locate(Path(store), path)
        where = unquote(url.path) if url.scheme in ("file", "local") else url.netloc + url.path
        return _from_url(url.scheme, f"{where}/{path}".rstrip("/"))
    wrapped = getattr(store, "_store", None)  # zarr's wrapper stores have no public way in
    return locate(wrapped, path) if wrapped is not None else Location(str(store), path)


def _from_url(scheme: str, path: str) -> Location:
    return locate(Path(path)) if scheme in ("file", "local") else Location(scheme, path.strip("/"))


def origins(arrays: Sequence[da.Array]) -> list[Location]:
    """Places that the graphs of ``arrays`` read from, as far as they show it."""
    found: dict[Location, None] = {}
    seen: set[int] = set()
    for array in arrays:
        for layer in array.dask.layers.values():
            if id(layer) not in seen:
                seen.add(id(layer))
                for value in _held_values(layer):
                    location = None if id(value) in seen else _origin(value)
                    seen.add(id(value))
                    if location is not None:
                        found[location] = None
    return list(found)


def _held_values(layer: Any) -> Iterator[Any]:
    """Everything that a layer's tasks hold."""
    if isinstance(layer, Blockwise):
        yield from _held_by(layer.task)
        for argument, dims in layer.indices:
            if dims is None:
                yield from _held_by(argument)
    elif not hasattr(layer, "work"):  # the layers of later stages hold none
        for value in layer.values():
            yield from _held_by(value)


def _held_by(value: Any, depth: int = 0) -> Iterator[Any]:
    if isinstance(value, DataNode):
        value = value.value
    if isinstance(value, Task):
        value = (*value.args, *value.kwargs.values())
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)) and depth < 5:
        for item in value:
            yield from _held_by(item, depth + 1)
    elif not isinstance(value, (str, int, float, slice, GraphNode)):
        yield value


def _origin(value: Any) -> Location | None:
    """Where an array-like reads from, if it says so."""
    if isinstance(value, (CroppedArray, WindowSource)):
        return _origin(value.array)
    if isinstance(value, MemmapFile):
        return locate(Path(value.filename))
    if isinstance(value, xr.Variable):
        source = value.encoding.get("source")
        if isinstance(source, str):
            return locate(source)
        value = value._data  # the lazy backend array; ``data`` would load it
    value = _innermost(value)
    if isinstance(value, zarr.Array):
        return locate(value)
    while isinstance(value, np.ndarray):
        if isinstance(value, np.memmap) and value.filename is not None:
            return locate(Path(str(value.filename)))
        value = value.base
    filename = getattr(getattr(value, "file", None), "filename", None)  # h5py
    return locate(Path(filename)) if isinstance(filename, str) else None


def _innermost(value: Any) -> Any:
    """Unwrap xarray's indexing adapters, which have no public way in."""
    while type(value).__module__.startswith("xarray.") and hasattr(value, "array"):
        value = value.array
    return getattr(value, "_array", value) if type(value).__module__.startswith("xarray.") else value
