"""Write units: the shards of an array, or its chunks if it has none, each written as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.storage import LocalStore, MemoryStore, StorePath

from msi_lazy.compat.zarr_arrays import run_in_python
from msi_lazy.compat.zarr_stores import delete_key, key_exists, store_buffers
from msi_lazy.methods.lending import fresh
from msi_lazy.plan.grid import Grid, Index
from msi_lazy.plan.windows import Interval, slices
from msi_lazy.storage.arrays import local_store
from msi_lazy.storage.links import refuse_links_out, remove_link
from msi_lazy.storage.partial_files import is_partial
from msi_lazy.storage.thread_codecs import thread_codecs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from zarr.abc.buffer import Buffer

    from msi_lazy.methods.lending import Lend
    from msi_lazy.plan.windows import Window

__all__ = [
    "chunk_key",
    "is_stored",
    "replace_window",
    "unit_directories",
    "unit_grid",
    "write_window",
]

Array = np.ndarray[Any, Any]


def write_window(array: zarr.Array[Any], window: Window, samples: Array, lend: Lend = fresh) -> None:
    """Write whole write units of an image that is not complete yet, in place, also over damaged ones.

    zarr reads a unit that the array's end cuts before it writes it: where that fails, it is removed first.
    """
    samples = samples.astype(array.dtype, copy=False)
    codecs = thread_codecs(array, writes=True)
    if codecs is not None:
        codecs.write(window, samples, lend)
        return
    try:
        array[slices(window)] = samples
    except Exception:  # whatever a codec may raise
        cut = unit_grid(array).cut(window)
        if not cut:
            raise
        for unit in cut:
            delete_key(array.store, f"{array.path}/{chunk_key(array, unit)}")
        array[slices(window)] = samples


def replace_window(array: zarr.Array[Any], window: Window, samples: Array) -> Mapping[Index, bytes | None]:
    """Replace whole write units of an image that others may be reading: each is the old one, or the new one.

    They are encoded first, and nothing of the old ones is read or removed before.  Of local files each is written under
    another name, and then takes the place of the old one, or of a link to some other file.

    Returns
    -------
    Mapping
        What is stored of each unit; ``None`` if it is empty, that is, nothing but the fill value, and not stored.

    Raises
    ------
    ValueError
        A link on the way to one of them leads out of the store; nothing has been written.
    """
    encoded = _encode(array, window, samples)
    store: Any = local_store(array.store) or array.store  # fsspec would write files in place
    keys = {unit: f"{array.path}/{chunk_key(array, unit)}" for unit in encoded}
    refuse_links_out(store, unit_directories(array, window))
    contents = {keys[unit]: content for unit, content in encoded.items() if content is not None}
    if isinstance(store, LocalStore):
        _remove_remains(store, keys.values())
    store_buffers(store, contents, lambda _: 0)  # all at once
    for unit, content in encoded.items():
        if content is None and not remove_link(store, keys[unit]):
            delete_key(store, keys[unit])
    return {unit: None if content is None else content.to_bytes() for unit, content in encoded.items()}


def _remove_remains(store: LocalStore, keys: Iterable[str]) -> None:
    """Remove what zarr was writing of these keys, and of no others, when it was killed."""
    names: dict[Path, set[str]] = {}
    for path in (store.root / key for key in keys):
        names.setdefault(path.parent, set()).add(path.name)
    for folder in filter(Path.is_dir, names):
        for path in folder.iterdir():  # of a key with a dot, zarr names the file as of its neighbours
            if is_partial(path) and path.name.partition(".")[0] in names[folder]:
                path.unlink(missing_ok=True)


def _encode(array: zarr.Array[Any], window: Window, samples: Array) -> dict[Index, Buffer | None]:
    """Encode write units in memory, by an array of the same metadata and settings."""
    contents: dict[str, Buffer] = {}
    place = StorePath(MemoryStore(contents))
    plain: Any = run_in_python(zarr.Array(zarr.AsyncArray(array.metadata, place, array.config)))
    plain[slices(window)] = samples.astype(array.dtype, copy=False)
    return {unit: contents.get(chunk_key(array, unit)) for unit in unit_grid(array).touching(window)}


def unit_directories(array: zarr.Array[Any], window: Window) -> set[str]:
    """Paths in the store of the directories that write units in ``window`` lie in."""
    units = unit_grid(array)
    # units along the last dimension lie in one directory, or all units do
    rows = Grid((*units.extents[:-1], 1), (*units.part[:-1], 1))
    keys = (chunk_key(array, unit) for unit in rows.touching((*window[:-1], Interval(0, 1))))
    return {f"{array.path}/{key}".rpartition("/")[0] for key in keys}


def unit_grid(array: zarr.Array[Any]) -> Grid:
    """Grid of the write units of an array."""
    return Grid(array.shape, tuple(max(n, 1) for n in array.shards or array.chunks))


def chunk_key(array: zarr.Array[Any], unit: Index) -> str:
    """Key of a write unit, below the array's path."""
    return str(array.metadata.encode_chunk_key(unit))


def is_stored(array: zarr.Array[Any], unit: Index) -> bool:
    """Tell whether a write unit is stored; one that is not is the fill value."""
    return key_exists(array.store, f"{array.path}/{chunk_key(array, unit)}")
