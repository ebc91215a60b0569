"""Fingerprints of array contents, which must be the same when a write is resumed.

Arrays in memory are identified by their content; stored ones by their place, metadata and time of last change; and a
Dask graph by its name, which Dask derives from its content.  Anything else gets a unique identity, so that it never
counts as the same.
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import xarray as xr
import xxhash
import zarr
from dask.base import tokenize
from zarr.storage import FsspecStore, ObjectStore

from msi_lazy.compat.xarray_backends import backend_array, is_adapter, opened_by_backend, unwrap_adapters
from msi_lazy.compat.zarr_stores import key_info
from msi_lazy.source.held_sources import held_sources
from msi_lazy.source.memory_map import MappedFile, MemmapFile
from msi_lazy.source.opened_files import files_beside, opened_file
from msi_lazy.source.origins import innermost_array, origin_of
from msi_lazy.source.selection import SlicedArray
from msi_lazy.source.sources import ChunkReader, WindowSource
from msi_lazy.source.stored_chunks import WholeChunks
from msi_lazy.source.tensors import TensorReader
from msi_lazy.storage.archive_store import ArchiveStore
from msi_lazy.storage.place import Place
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from msi_lazy.source.selection import Selection

__all__ = ["content_hash", "identify_selection", "identify_stored", "identify_value"]

Identity = dict[str, Any]
_MOST_FILES = 10_000
"""Files of a folder that are looked at."""
_SLAB_BYTES = 2**24
"""Bytes of an array that are hashed at once, as what is not contiguous is copied."""


def identify_stored(values: Iterable[Any]) -> list[Identity]:
    """Identify those values in a graph that are stored: the time of their last change is not in the graph's name."""
    seen: dict[int, Any] = {}
    return [found for value in values for found in [_identify_stored(value, seen)] if found is not None]


def _identify_stored(value: Any, seen: dict[int, Any]) -> Identity | None:
    origin = origin_of(value)
    if origin is None:
        return _identify_held(value, seen)
    inner = innermost_array(value)
    if isinstance(inner, (zarr.Array, MappedFile, MemmapFile)):
        return identify_value(inner)
    path = origin.location.directory
    return {"place": str(origin)} if path is None or not path.exists() else _identify_file(str(path))


def identify_value(value: Any) -> Identity:
    """Identify anything that samples can be read from."""
    if isinstance(value, (ChunkReader, WholeChunks, WindowSource)):
        return identify_value(value.array)
    if isinstance(value, SlicedArray):
        return {**identify_value(value.array), **identify_selection(value.selection, value.casts)}
    if isinstance(value, MemmapFile):
        return _identify_mapped(value.file) if value.file.is_there() else _identify_content(value.array)
    if isinstance(value, MappedFile):
        return _identify_mapped(value)
    if isinstance(value, np.ndarray):
        mapped = MemmapFile.of(value)
        return _identify_content(value) if mapped is None else identify_value(mapped)
    if isinstance(value, zarr.Array):
        metadata = json.dumps(value.metadata.to_dict(), default=str, sort_keys=True).encode()
        place = Place.of(value)
        where = {"place": _describe_place(place), "metadata": xxhash.xxh3_64_hexdigest(metadata)}
        return {**where, "modified": _last_modified(value, place)}
    if isinstance(value, xr.Variable):
        source = value.encoding.get("source")
        return _identify_adapter(backend_array(value), source if isinstance(source, str) else None)
    if is_adapter(value):
        return _identify_adapter(value, None)
    if isinstance(value, TensorReader):
        return _identify_tensor(value)
    filename = opened_file(value)
    if filename is not None:
        name, files = getattr(value, "name", None), [_identify_path(file) for file in files_beside(value)]
        found = {**_identify_file(filename), "dataset": str(name or ""), "shape": list(value.shape)}
        return {**found, "files": files} if files else found
    try:
        held = _identify_held(value)  # of which nothing but the name is in its token
        return {"object": tokenize(value, ensure_deterministic=True), **(held or {})}
    except Exception:  # Dask has an error of its own for it, and pickling what is unknown may raise anything
        return _unknown(value)


def _unknown(value: Any) -> Identity:
    """Identity that nothing else has."""
    return {"unknown": f"{type(value).__name__} {uuid4().hex}"}


def _identify_held(value: Any, seen: dict[int, Any] | None = None) -> Identity | None:
    """Identify the files, folders and stored arrays that an object keeps, wherever; ``None`` if there are none.

    Objects in ``seen`` are left out, as in :func:`msi_lazy.source.held_sources.held_sources`.
    """
    held = held_sources(value, seen)
    if held is None:
        return _unknown(value)
    found = [_identify_named(source) if isinstance(source, str) else identify_value(source) for source in held]
    return {"files": sorted(found, key=str)} if found else None  # as sets have no order


def _identify_named(name: str) -> Identity:
    """Identify a file, or a folder by all files in it."""
    if os.path.isfile(name):
        return _identify_file(name)
    digest = xxhash.xxh3_64()
    names = (os.path.join(folder, file) for folder, _, files in os.walk(name) for file in files)
    inside = list(islice(names, _MOST_FILES + 1))
    if len(inside) > _MOST_FILES:
        return _unknown(name)
    for file in sorted(inside):
        found = os.stat(file, follow_symlinks=os.path.exists(file))
        digest.update(f"{file}\0{found.st_mtime_ns}\0{found.st_size}\0".encode(errors="surrogateescape"))
    return {"place": name, "folder": digest.hexdigest()}


def _identify_content(array: np.ndarray[Any, Any]) -> Identity:
    return {"content": content_hash(array), "dtype": str(array.dtype), "shape": list(array.shape)}


def _identify_mapped(file: MappedFile) -> Identity:
    if not file.is_there():
        return _unknown(file)
    return {**_identify_file(file.filename), "layout": [file.shape, str(file.dtype), file.begin, file.strides]}


def identify_selection(selection: Selection, casts: Sequence[np.dtype[Any]]) -> Identity:
    """Identify what is kept of an array, and what it is converted to."""
    kept = [
        [k.start, k.stop, *([k.step] if k.step != 1 else [])] if isinstance(k, range) else [k] for k in selection.kept
    ]
    ranged = [dim for dim, part in enumerate(selection.kept) if isinstance(part, range)]
    turned = {} if list(selection.order) == ranged else {"order": list(selection.order)}
    return {"crop": kept, **turned, **({"casts": list(map(str, casts))} if casts else {})}


def content_hash(array: np.ndarray[Any, Any]) -> str:
    """Hash of an array's samples in C order, whatever their order in memory (XXH3, 128 bits).

    Examples
    --------
    >>> array = np.arange(6).reshape(2, 3)
    >>> content_hash(array) == content_hash(np.asfortranarray(array)), content_hash(array) == content_hash(array + 1)
    (True, False)
    """
    digest = xxhash.xxh3_128()
    rows = np.atleast_1d(array)
    step = max(_SLAB_BYTES * len(rows) // max(rows.nbytes, 1), 1)
    for start in range(0, len(rows), step):
        digest.update(np.ascontiguousarray(rows[start : start + step]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _identify_file(filename: str) -> Identity:
    found = os.stat(filename)
    return {"place": os.path.realpath(filename), "modified": str(found.st_mtime_ns), "bytes": found.st_size}


def _identify_tensor(value: TensorReader) -> Identity:
    documents = value.documents
    if documents is None:
        return _unknown(value)
    files = list(map(_identify_file, documents))
    return {"tensorstore": tokenize(value.tensor.spec().to_json()), "files": files}


def _identify_path(filename: str) -> Identity:
    return _identify_file(filename) if os.path.isfile(filename) else {"place": filename, "modified": None}


def _identify_adapter(value: Any, source: str | None) -> Identity:
    """Identify what xarray opened lazily, by the array behind its adapters and the way they index it."""
    layers = list(unwrap_adapters(value))
    keys = [getattr(layer, "key", None) for layer in layers if is_adapter(layer) and hasattr(layer, "array")]
    indexed = [tokenize(getattr(key, "tuple", None)) for key in keys]
    name = next((str(layer.variable_name) for layer in layers if hasattr(layer, "variable_name")), "")
    inner = innermost_array(layers[-1])
    opened, group = opened_by_backend(inner)
    source = opened if isinstance(opened, str) else source
    if isinstance(inner, (zarr.Array, np.ndarray)):
        found = identify_value(inner)
    elif source is not None and os.path.isfile(source):
        found = _identify_file(source)
    else:
        found = _unknown(inner)
    found |= {"group": group} if group.strip("/") else {}
    decoded = [tokenize(layer.func) for layer in layers if hasattr(layer, "func")]
    found |= {"decoded": decoded} if decoded else {}
    return {**found, "variable": name, "indexed": indexed, "shape": list(value.shape)}


def _describe_place(place: Place) -> str:
    """Describe the place of an array; an unknown place equals no other."""
    return place.location.name or f"unknown, {uuid4().hex}"


def _last_modified(array: zarr.Array[Any], place: Place) -> str | None:
    """Find the time or tag of the last change to the array's metadata, as its store states it, if it does."""
    document = store_format(array.metadata.zarr_format).array_document
    store, key = array.store, place.below(document)
    try:
        if place.in_memory:
            return f"in memory, {uuid4().hex}"  # its content is unknown
        location = place.location
        if location.scheme == "file":
            path = Path(location.path, document) if location.member is None else Path(location.path)
            return str(path.stat().st_mtime_ns)
        if isinstance(store, ArchiveStore):
            return store.file.stamp()
        if isinstance(store, FsspecStore):
            found = key_info(store, key)
            # times first: a tag is a hash of the metadata, the same where only samples differ
            known = (found.get(word) for word in ("LastModified", "mtime", "created", "ETag", "etag"))
            return next((str(value) for value in known if value), None)
        if isinstance(store, ObjectStore):
            head: Any = import_module("obstore").head(store.store, key)
            return str(head.get("last_modified") or head.get("e_tag"))
    except (OSError, NotImplementedError):
        return None
    return None
