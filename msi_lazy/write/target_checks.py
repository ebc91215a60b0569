"""What is refused before anything is created or deleted: places that must not be written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import ZipStore

from msi_lazy.errors import StoreExistsError
from msi_lazy.storage.ledger import LEDGER, child_names, is_partial
from msi_lazy.storage.place import Location, locate
from msi_lazy.storage.target import ZARR_DOCUMENTS, Target
from msi_lazy.storage.unfinished import stored_ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.storage.target import Mode, ZarrFormat

__all__ = ["check_parents", "check_target", "holds_zarr"]

_VERSIONS = {2: "0.4", 3: "0.5"}
"""OME-Zarr version that each Zarr version is written for."""


def check_target(
    store: Any,
    group: str,
    mode: Mode,
    sources: Sequence[Location],
    options: Mapping[str, Any] | None,
    resume: bool = False,
) -> None:
    """Refuse a target that must not be written, before anything is created or deleted.

    Parameters
    ----------
    store, group, mode, options
        As for :func:`msi_lazy.to_zarr`.
    sources
        Places that are read from.
    resume
        Whether a write that died may go on.

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
    if isinstance(store, ZipStore) or (isinstance(store, (str, Path)) and str(store).endswith(".zip")):
        raise ValueError("a zip file cannot be written in parallel: write a directory, and zip it without compression")
    target = locate(store, group)
    for source in sources:
        if source.overlaps(target):
            raise ValueError(
                f"the target {target} and the image being read, {source}, overlap: writing would destroy the source; "
                f"write to another path"
            )
    unfinished = stored_ledger(store, group, options) is not None
    if unfinished and (resume or mode == "w"):
        return
    if not _is_taken(store, group, options, target.directory):
        return
    if resume and _is_blank(store, group, options):  # what a kill left before anything was stored
        return
    if mode == "w-":
        if unfinished:
            fault = "holds an unfinished image; resume=True goes on with it, mode='w' starts over"
        elif resume:
            fault = "exists already, and no unfinished image is there to resume; pass mode='w' to overwrite it"
        else:
            fault = "exists already; pass mode='w' to overwrite it"
        raise StoreExistsError(f"{target} {fault}, or choose another path")
    directory = target.directory
    if directory is not None and not holds_zarr(store, options, group):
        raise ValueError(f"{directory} is not a Zarr hierarchy, so it is not overwritten; remove it yourself")


def _is_taken(store: Any, group: str, options: Mapping[str, Any] | None, directory: Path | None) -> bool:
    """Whether there is anything at a place; of a remote one, anything of Zarr's."""
    if directory is None:
        return holds_zarr(store, options, group)
    return directory.exists() and not (directory.is_dir() and not any(directory.iterdir()))


def _is_blank(store: Any, group: str, options: Mapping[str, Any] | None) -> bool:
    """Whether there is no more than an empty group, or the file that one was being made of."""
    directory = locate(store, group).directory
    names = None
    if directory is not None and directory.is_dir():
        names = [path.name for path in directory.iterdir() if not is_partial(path)]
        if not names:
            return True
    try:
        found = zarr.open_group(store, path=group or None, mode="r", storage_options=dict(options) if options else None)
    except FileNotFoundError:
        return False
    names = child_names(Target.of(found)) if names is None else names
    return not dict(found.attrs) and set(names) <= {*ZARR_DOCUMENTS, LEDGER}


def check_parents(store: Any, group: str, zarr_format: ZarrFormat, options: Mapping[str, Any] | None) -> None:
    """Refuse to put an image below what is no group for it.

    Raises
    ------
    ValueError
        A directory of other files, an array, a group of another Zarr version, or an image.
    """
    parts = group.split("/") if group else []
    if parts[:1] == ["OME"]:
        raise ValueError("group 'OME' is where a store lists its images; give another one")
    for depth in range(len(parts)):
        above = "/".join(parts[:depth])
        where = locate(store, above)
        try:
            found = zarr.open(store, path=above or None, mode="r", storage_options=dict(options) if options else None)
        except (FileNotFoundError, KeyError):
            directory = where.directory
            if directory is not None and directory.exists() and any(directory.iterdir()):
                raise ValueError(
                    f"{directory} is not a Zarr hierarchy, so nothing is put into it; choose another place"
                ) from None
            continue
        if isinstance(found, zarr.Array):
            raise ValueError(f"{where} is a Zarr array, so no image can be put into it; choose another place")
        if found.metadata.zarr_format != zarr_format:
            raise ValueError(
                f"{where} is Zarr v{found.metadata.zarr_format}, which OME-Zarr {_VERSIONS[zarr_format]} cannot be put "
                f"into; write version={_VERSIONS[5 - zarr_format]!r}, or choose another place"
            )
        if _is_image(found) or stored_ledger(store, above, options) is not None:
            raise ValueError(
                f"{where} is an image itself, and others do not belong into it; write labels with write_labels, or "
                f"choose another place"
            )


def _is_image(group: zarr.Group) -> bool:
    attributes: dict[str, Any] = group.attrs.asdict()
    ome = attributes.get("ome")
    return "multiscales" in attributes or (isinstance(ome, dict) and "multiscales" in ome)


def holds_zarr(store: Any, options: Mapping[str, Any] | None, group: str = "") -> bool:
    """Whether there is a Zarr group or array at ``group`` in ``store``."""
    try:
        zarr.open(store, path=group or None, mode="r", storage_options=dict(options) if options else None)
    except (FileNotFoundError, KeyError):
        return False
    return True
