"""Operations on a store that are killed: what is there before, the operation, and the documented way forward."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import zarr

import msi_lazy as msi
from msi_lazy.cli import main as command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import xarray as xr

SHAPE = (32, 96, 96)
OLD, NEW = (np.random.default_rng(seed).integers(1, 60000, SHAPE, dtype="u2") for seed in (1, 2))
CELLS, NUCLEI = ((array // 9000).astype("u4") for array in (OLD, NEW))
EDITED = {"z": slice(0, 20), "y": slice(10, 70), "x": slice(0, 96)}
ABSENT = "absent"
"""Look of an image that does not open as one, whatever of it is there."""


@dataclass(frozen=True)
class Operation:
    """An operation that is killed, each function of the folder that ``a.zarr`` is in."""

    before: Callable[[Path], None]
    """Stores what is there before."""
    run: Callable[[Path], None]
    """The operation."""
    again: tuple[Callable[[Path], None], ...]
    """Ways forward, each of which ends as the operation would have."""
    repeatable: bool = True
    """Whether the way forward ends so where the operation has ended, too."""
    told: Callable[[Path], bool] = lambda folder: False
    """Whether a state between old and new, which is promised to be told of, is told of."""


def tree(array: np.ndarray, method: str = "mean", factors: tuple[int, ...] = (2, 2)) -> xr.DataTree:
    """Pyramid in blocks so small that there are some."""
    image = msi.to_spatial_image(array, dims="zyx")
    return msi.to_multiscale(image, list(factors), method=method, chunks=16, block_bytes=2 * 32**3)


def _write(array: np.ndarray, factors: tuple[int, ...] = (2, 2), **options: Any) -> Callable[[Path], None]:
    return lambda folder: tree(array, factors=factors).pyramid.to_zarr(folder / "a.zarr", **options)


def _write_two(**options: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        labels = {"cells": tree(CELLS, "mode"), "nuclei": tree(NUCLEI, "mode")}
        tree(NEW).pyramid.to_zarr(folder / "a.zarr", labels=labels, **options)

    return write


def _write_plate(array: np.ndarray, **options: Any) -> Callable[[Path], None]:
    fields = {("A", 1, 0): array, ("A", 1, 1): array[::-1], ("B", 2, 0): array[:, ::-1]}
    return lambda folder: msi.write_plate(folder / "a.zarr", {key: tree(a) for key, a in fields.items()}, **options)


def _label(array: np.ndarray, **options: Any) -> Callable[[Path], None]:
    return lambda folder: msi.write_labels(folder / "a.zarr", "cells", tree(array, "mode"), **options)


def _write_labelled(folder: Path) -> None:
    _write(OLD)(folder)
    _label(CELLS)(folder)


def _convert(*options: str) -> Callable[[Path], None]:
    def convert(folder: Path) -> None:
        arguments = ["convert", str(folder / "source.npy"), str(folder / "a.zarr"), "--dims", "zyx", "--factors", "2 2"]
        command([*arguments, "--chunks", "16", "--block-bytes", "64KiB", *options], standalone_mode=False)

    return convert


def _before_converting(folder: Path) -> None:
    for array in (OLD, NEW):
        np.save(folder / "source.npy", array)
        if array is OLD:
            _convert()(folder)


def _edit(folder: Path) -> None:
    _write(OLD)(folder)
    place = tuple(EDITED.values())
    zarr.open_array(folder / "a.zarr" / "scale0" / "image", mode="r+")[place] = NEW[place]


def _damage(folder: Path) -> None:
    """Cut chunks of two levels short, and let others have the samples of another image."""
    _write(OLD)(folder)
    for level in (1, 2):
        array = zarr.open_array(folder / "a.zarr" / f"scale{level}" / "image", mode="r+")
        array[: array.shape[0] // 2, :, : array.shape[2] // 2] = 7
        chunks = sorted((folder / "a.zarr" / f"scale{level}").glob("image/c/*/*/*"))
        for chunk in chunks[-2:]:
            chunk.write_bytes(chunk.read_bytes()[:20])


def _update(folder: Path) -> None:
    msi.update(folder / "a.zarr", EDITED)


def _repair(folder: Path) -> None:
    msi.verify(folder / "a.zarr", repair=True)


def _says_that_an_update_is_unfinished(folder: Path) -> bool:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        msi.open_multiscale(folder / "a.zarr")
    return bool(caught) or not msi.validate(folder / "a.zarr").ok


def _is_found_faulty(folder: Path) -> bool:
    return not msi.verify(folder / "a.zarr").ok


def _is_incomplete(folder: Path) -> bool:
    try:
        msi.open_multiscale(folder / "a.zarr")
    except msi.UnfinishedImageError:
        return True
    return False


def _add_levels(**options: Any) -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        msi.add_levels(folder / "a.zarr", [2, 2], **options)

    return add


def _nothing(folder: Path) -> None:
    """Leave the folder empty."""


OPERATIONS: Mapping[str, Operation] = {
    "to_zarr": Operation(_nothing, _write(NEW), (_write(NEW, resume=True), _write(NEW, mode="w"))),
    'to_zarr(mode="w")': Operation(
        _write(OLD), _write(NEW, mode="w"), (_write(NEW, mode="w", resume=True), _write(NEW, mode="w"))
    ),
    'to_zarr(mode="w", replace="in place")': Operation(
        _write(OLD),
        _write(NEW, mode="w", replace="in place"),
        (_write(NEW, mode="w", replace="in place", resume=True), _write(NEW, mode="w", replace="in place")),
        told=_is_incomplete,
    ),
    "convert --overwrite": Operation(
        _before_converting,
        _convert("--overwrite"),
        (_convert("--overwrite", "--resume"), _convert("--overwrite")),
    ),
    "write_labels": Operation(_write(OLD), _label(CELLS), (_label(CELLS, mode="w"),)),
    'write_labels(mode="w")': Operation(
        _write_labelled,
        _label(NUCLEI, mode="w"),
        (_label(NUCLEI, mode="w"),),
    ),
    "add_levels": Operation(_write(NEW, (2,)), _add_levels(), (_add_levels(mode="w"),), repeatable=False),
    "update": Operation(_edit, _update, (_update,), told=_says_that_an_update_is_unfinished),
    "verify --repair": Operation(_damage, _repair, (_repair,), told=_is_found_faulty),
    "to_zarr(group=)": Operation(
        _write(OLD, group="first"),
        _write(NEW, group="second"),
        (_write(NEW, group="second", resume=True), _write(NEW, group="second", mode="w")),
    ),
    "write_plate": Operation(
        _nothing, _write_plate(NEW), (_write_plate(NEW, resume=True), _write_plate(NEW, mode="w"))
    ),
    'write_plate(mode="w")': Operation(
        _write_plate(OLD),
        _write_plate(NEW, mode="w"),
        (_write_plate(NEW, mode="w", resume=True), _write_plate(NEW, mode="w")),
    ),
    "to_zarr(group=) in a plate": Operation(
        _write_plate(OLD),
        _write(NEW, group="B/3/0"),
        (_write(NEW, group="B/3/0", resume=True), _write(NEW, group="B/3/0", mode="w")),
    ),
    "to_zarr(labels=)": Operation(
        _nothing,
        _write_two(),
        (_write_two(resume=True), _write_two(mode="w")),
    ),
}


def look(folder: Path) -> dict[str, Any]:
    """Look as a reader does: at the samples of each image that is listed, and of the labels of one that opens."""
    root = folder / "a.zarr"
    groups = ["", *_listed(root / "OME", "series"), *_fields(root)]
    images = {group: _levels(root, group) for group in groups}
    for group in groups:
        for name in _listed(root / group / "labels", "labels") if images[group] != ABSENT else ():
            images[f"{group}/labels/{name}"] = _levels(root, f"{group}/labels/{name}".lstrip("/"))
    return images


def _fields(root: Path) -> list[str]:
    """Paths of the fields of a plate; none of an image, and of one that does not open."""
    try:
        return ["/".join(map(str, key)) for key in msi.open_plate(root)]
    except (FileNotFoundError, ValueError):
        return []


def _listed(path: Path, name: str) -> list[str]:
    try:
        attributes: Any = zarr.open_group(path, mode="r").attrs.asdict()
    except (FileNotFoundError, ValueError):
        return []
    return sorted(attributes.get("ome", {}).get(name, []))


def _levels(root: Path, group: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            opened = msi.open_multiscale(root, group=group)
        except (FileNotFoundError, ValueError):
            return ABSENT
    found = {}
    for name, node in opened.children.items():
        (image,) = node.to_dataset(inherit=False).data_vars.values()
        try:
            found[name] = (image.shape, sha256(image.values.tobytes()).hexdigest())
        except Exception as error:  # of a chunk that cannot be read, whatever the codec raises
            found[name] = (image.shape, type(error).__name__)
    return found


def warm_up() -> None:
    """Import and compile what operations need, without a thread, so that the process can be forked."""
    with dask.config.set(scheduler="synchronous"):
        image, labels = (zarr.storage.MemoryStore() for _ in range(2))
        tree(OLD).pyramid.to_zarr(image)
        tree(CELLS, "mode").pyramid.to_zarr(labels)
        msi.write_labels(image, "cells", tree(CELLS, "mode"))
        msi.verify(image)
        msi.validate(image)
        msi.update(image, EDITED)
