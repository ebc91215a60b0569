"""Places that a graph reads from, which a write must not destroy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import MemoryStore

from msi_lazy.compat.dask_graphs import held_values, layers_of
from msi_lazy.compat.xarray_backends import backend_array, opened_by_backend, unwrap_adapters
from msi_lazy.compat.zarr_stores import wrapped_store
from msi_lazy.source.memory_map import MappedFile, MemmapFile
from msi_lazy.source.opened_files import opened_file
from msi_lazy.source.selection import SlicedArray
from msi_lazy.source.sources import ChunkReader, WindowSource
from msi_lazy.source.stored_chunks import WholeChunks
from msi_lazy.source.tensors import TensorReader
from msi_lazy.storage.location import Location, local_location
from msi_lazy.storage.place import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array as da

__all__ = ["Source", "innermost_array", "origin_of", "origins"]


@dataclass(frozen=True)
class Source:
    """Something stored that samples are read from."""

    location: Location
    """Location, as far as it is known."""
    place: Place | None = None
    """Its store, if it is one of zarr's."""
    named: MappedFile | TensorReader | None = None
    """What other processes open again by its name, if it is such a thing."""

    def check_elsewhere(self) -> None:
        """Refuse a source that other processes would not see, or see another one in its place.

        Raises
        ------
        ValueError
            It is in the memory of this process, or its file was removed or replaced.
        """
        if self.named is not None:
            self.named.check()
        if self.place is not None and self.location.in_memory and not _is_sent(self.place.store):
            raise ValueError(
                f"the source {self} is in the memory of this process, which worker processes cannot see; compute in "
                f"threads (dask.config.set(scheduler='threads')), or store it in a file first"
            )

    def __str__(self) -> str:
        return str(self.place if self.place is not None else self.location)


def origins(arrays: Sequence[da.Array]) -> list[Source]:
    """List the sources that the graphs of ``arrays`` read from, as far as they show it."""
    found: dict[Location, Source] = {}
    seen: set[int] = set()
    for array in arrays:
        for layer in layers_of(array).values():
            if id(layer) not in seen:
                seen.add(id(layer))
                for value in held_values(layer):
                    source = None if id(value) in seen else origin_of(value)
                    seen.add(id(value))
                    if source is not None:
                        found.setdefault(source.location, source)
    return list(found.values())


def origin_of(value: Any) -> Source | None:
    """Find the source of an array-like, if it shows one."""
    if isinstance(value, (ChunkReader, SlicedArray, WholeChunks, WindowSource)):
        return origin_of(value.array)
    if isinstance(value, (MappedFile, MemmapFile)):
        file = value.file if isinstance(value, MemmapFile) else value
        return replace(_file(file.filename), named=file)
    if isinstance(value, TensorReader):
        folders = {str(Path(name).parent) for name in value.documents or ()}
        found = _file(folders.pop()) if folders else Source(Location("", "an array of TensorStore", certain=False))
        return replace(found, named=value)
    if isinstance(value, xr.Variable):
        stated = value.encoding.get("source")
        if isinstance(stated, str):
            return _stated_source(stated)
    value = innermost_array(value)
    if isinstance(value, zarr.Array):
        place = Place.of(value)
        return Source(place.location, place)
    while isinstance(value, np.ndarray):
        if isinstance(value, np.memmap) and value.filename is not None:
            return _file(str(value.filename))
        value = value.base
    opened = opened_file(value) or opened_by_backend(value)[0]
    return _stated_source(opened) if isinstance(opened, str) else None


def _is_sent(store: Any) -> bool:
    """Tell whether a store in memory is sent to other processes with its contents, and not by its name."""
    while wrapped_store(store) is not None:
        store = wrapped_store(store)
    return type(store) is MemoryStore


def _file(name: str) -> Source:
    return Source(local_location(Path(name)))


def _stated_source(name: str) -> Source:
    """Parse the path or URL that xarray says a variable was read from."""
    try:
        place = Place.parse(name)
    except (ValueError, ImportError):
        return Source(Location("", name, certain=False))
    return Source(place.location, place)


def innermost_array(value: Any) -> Any:
    """Unwrap our own readers, and xarray's adapters."""
    while isinstance(value, (ChunkReader, SlicedArray, WholeChunks, WindowSource)):
        value = value.array
    if isinstance(value, xr.Variable):
        value = backend_array(value)
    *_, innermost = unwrap_adapters(value)
    return innermost
