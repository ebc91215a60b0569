"""The target of a write: whether it may be created, its groups and arrays, its attributes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import dask.array as da
import xarray as xr
import zarr
from zarr.codecs import BloscCodec
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore, MemoryStore, StorePath

from msi_lazy.errors import StoreExistsError
from msi_lazy.graph.pipeline import open_array
from msi_lazy.ngff.write import array_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zarr.abc.store import Store

    from msi_lazy.ngff.write import Version
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["Mode", "Target", "check_target", "create_target", "local_directory"]

Mode = Literal["w-", "w"]
_ZARR_MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


@dataclass(frozen=True)
class Target:
    """Where an image is written: a group of a store."""

    store: Store
    """The store."""
    path: str
    """Path of the image's group in it; empty for the root."""
    zarr_format: Literal[2, 3]
    """Zarr version, which the OME-Zarr version decides."""

    def open_level(self, level: int, name: str) -> zarr.Array[Any]:
        """Open the array of a level, to be written in blocks."""
        return open_array(self.store, "/".join(filter(None, (self.path, array_path(level, name)))))


def local_directory(store: Any) -> Path | None:
    """Directory that a store argument names, resolved through links, or ``None`` if it is not local."""
    if isinstance(store, StorePath):
        root = local_directory(store.store)
        return None if root is None else (root / store.path).resolve()
    if isinstance(store, LocalStore):
        return Path(store.root).resolve()
    if isinstance(store, Path):
        return store.resolve()
    if isinstance(store, str):
        url = urlsplit(store)
        if url.scheme == "file":
            return Path(url.path).resolve()
        if "://" not in store:
            return Path(store).resolve()
    return None


def check_target(store: Any, mode: Mode, sources: Sequence[Path], storage_options: Mapping[str, Any] | None) -> None:
    """Refuse a target that must not be written, before anything is created or deleted.

    Raises
    ------
    ValueError
        The mode is unknown, or the target holds the image being read, or is part of it, or is a
        directory that no Zarr library made.
    StoreExistsError
        The target exists and ``mode`` is ``"w-"``.
    """
    if mode not in ("w-", "w"):
        raise ValueError(f"mode must be 'w-' (refuse an existing target) or 'w' (overwrite it), not {mode!r}")
    directory = local_directory(store)
    if directory is None:
        if mode == "w-" and _holds_zarr(store, storage_options):
            raise StoreExistsError(f"the store {store!r} holds data already; pass mode='w' to overwrite it")
        return
    for source in sources:
        if source == directory or directory in source.parents or source in directory.parents:
            raise ValueError(
                f"the target {directory} and the image being read, {source}, overlap: writing would destroy the "
                f"source; write to another path"
            )
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if mode == "w-":
        raise StoreExistsError(f"{directory} exists already; pass mode='w' to overwrite it, or another path")
    if not directory.is_dir() or not any((directory / marker).exists() for marker in _ZARR_MARKERS):
        raise ValueError(f"{directory} is not a Zarr hierarchy, so it is not overwritten; remove it yourself")


def _holds_zarr(store: Any, storage_options: Mapping[str, Any] | None) -> bool:
    options = dict(storage_options) if storage_options else None
    try:
        zarr.open(store, mode="r", storage_options=options)
    except (FileNotFoundError, KeyError):
        return False
    return True


def create_target(
    tree: xr.DataTree,
    plan: PyramidPlan,
    store: Any,
    mode: Mode,
    version: Version,
    encoding: Mapping[str, Any],
    compressors: Any,
    storage_options: Mapping[str, Any] | None,
) -> Target:
    """Create groups, coordinates and empty arrays; the image's own attributes come last of all, later.

    ``tree`` is as it will be stored, ``plan`` its plan, ``encoding`` per node and variable as in
    xarray's ``DataTree.to_zarr``.
    """
    zarr_format: Literal[2, 3] = 3 if version == "0.5" else 2
    options = dict(storage_options) if storage_options else None
    group = zarr.open_group(store, mode="w", zarr_format=zarr_format, storage_options=options)
    others = {str(key): value for key, value in tree.attrs.items() if key not in ("ome", "multiscales", "omero")}
    group.attrs.update(others)
    for level in plan.levels:
        dataset = tree.children[level.name].to_dataset(inherit=False)
        variable = dataset[plan.name].variable
        blank = da.zeros(variable.shape, dtype=variable.dtype, chunks=variable.shape)
        dataset = dataset.assign({plan.name: xr.Variable(variable.dims, blank, variable.attrs)})
        settings = {"chunks": level.chunks, "compressors": _compressors(compressors, zarr_format)}
        if zarr_format == 2:
            settings["chunk_key_encoding"] = {"name": "v2", "configuration": {"separator": "/"}}
        asked = encoding.get(f"/{level.name}", encoding.get(level.name, {}))
        dataset.drop_encoding().to_zarr(
            group.store,
            group="/".join(filter(None, (group.path, level.name))),
            mode="a",
            zarr_format=zarr_format,
            consolidated=False,
            compute=False,
            encoding={plan.name: {**settings, **asked.get(plan.name, {})}},
        )
    return Target(group.store, group.path, zarr_format)


def _compressors(compressors: Any, zarr_format: Literal[2, 3]) -> Any:
    """What ``"auto"`` stands for: bits of neighbouring samples together, then zstd."""
    if not (isinstance(compressors, str) and compressors == "auto"):
        return compressors
    if zarr_format == 3:
        return (BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),)
    from numcodecs import Blosc

    return (Blosc(cname="zstd", clevel=3, shuffle=Blosc.BITSHUFFLE),)


def write_attributes(target: Target, attributes: Mapping[str, Any]) -> None:
    """Write the image's attributes: with this the store is a complete image.

    The metadata of all nodes are consolidated too, as xarray does: it opens such a store without a
    warning, and a remote one much faster.
    """
    group = zarr.open_group(target.store, path=target.path, mode="r+", zarr_format=target.zarr_format)
    group.attrs.update(dict(attributes))
    with warnings.catch_warnings():  # Zarr v3 has no consolidation in its specification; xarray asks for it
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(target.store, path=target.path or None, zarr_format=target.zarr_format)


def is_in_memory(store: Any) -> bool:
    """Whether other processes cannot see the store."""
    if isinstance(store, (StorePath, zarr.Group)):
        return is_in_memory(store.store)
    return isinstance(store, (MemoryStore, dict))
