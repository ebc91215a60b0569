"""Upgrade of a stored hierarchy to another version of OME-Zarr: chunks first, documents last, from the leaves up."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.compat.zarr_stores import delete_key, fetch_bytes, key_exists, list_keys, read_key, store_bytes
from msi_lazy.errors import StoreExistsError
from msi_lazy.maintain.upgrade_plan import CHUNK_KEY
from msi_lazy.plan.grid import Grid
from msi_lazy.storage.copied_bytes import copy_bytes
from msi_lazy.storage.ledger import UPGRADE_NOTE
from msi_lazy.storage.place import Place
from msi_lazy.storage.target import Target, sync_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    import zarr

    from msi_lazy.maintain.upgrade_plan import UpgradePlan
    from msi_lazy.plan.grid import Index

__all__ = ["UpgradeReport", "run_upgrade"]


@dataclass(frozen=True)
class UpgradeReport:
    """What an upgrade did."""

    store: str
    """Store that is in the new version now."""
    versions: tuple[str, ...]
    """Versions that were found."""
    to: str
    """Version that all of it is in now."""
    documents: int
    """Number of documents of metadata that were written."""
    copied: int
    """Number of chunks, or shards, that were copied as bytes; 0 in place."""
    encoded: Mapping[str, str]
    """Paths of arrays whose chunks were decoded and encoded again, each with the reason."""

    def __str__(self) -> str:
        if not self.documents:
            return f"{self.store}: OME-Zarr {self.to} already, nothing was written"
        found = " and ".join(self.versions) or "nothing of OME-Zarr"
        chunks = f"{self.copied} chunks were copied as bytes" if self.copied else "no chunk was copied"
        lines = [f"{self.store}: OME-Zarr {self.to}, from {found}: {self.documents} documents were written, {chunks}"]
        lines += [f"{path or '/'}: decoded and encoded again, as {reason}" for path, reason in self.encoded.items()]
        return "\n".join(lines)


def run_upgrade(plan: UpgradePlan, target: Place, *, durable: bool) -> UpgradeReport:
    """Run a plan: what is there already of an earlier run is done again, or left as it is.

    In place, old documents stay until all new ones are there.
    """
    documents = plan.documents
    if plan.in_place:
        _keep_old(plan, target, documents)
    else:
        _begin_copy(plan, target)
        copy_bytes(plan.source, target, plan.copies, plan.largest)
    for path in plan.encoded:
        _encode_again(plan, path, target)
    _sync(target, durable)
    for key in sorted(documents, key=lambda key: -key.count("/")):  # that of the root appears last
        store_bytes(target.store, target.below(key), documents[key])
    _sync(target, durable)
    if plan.in_place:
        for key in sorted(plan.old, key=_removal):
            delete_key(target.store, target.below(key))
    delete_key(target.store, target.below(UPGRADE_NOTE))
    copied = 0 if plan.in_place else plan.chunks
    return UpgradeReport(
        target.named, tuple(sorted(plan.versions)), plan.to.version, len(documents), copied, dict(plan.encoded)
    )


def _removal(key: str) -> tuple[bool, int]:
    """Chunks before documents, and those of the root last, by which a run that was killed is known."""
    is_document = key.rpartition("/")[2].startswith(".z")
    return is_document, -key.count("/") if is_document else 0


def _sync(target: Place, durable: bool) -> None:
    if durable:
        sync_target(Target(target.store, target.path, target.given, target.base))


def _begin_copy(plan: UpgradePlan, target: Place) -> None:
    """Refuse what the copy of another source left, and delete what an earlier copy left and this one does not store."""
    source, note = _identity(plan.source), read_key(target.store, target.below(UPGRADE_NOTE))
    begun = json.loads(note).get("source", source) if note else source
    if begun != source:
        raise StoreExistsError(
            f"{target} holds an incomplete copy of {begun}, not of {source}: remove it first, or choose another target"
        )
    there = list_keys(target.store, target.path)
    _store_note(plan, target, {})
    stored = {*plan.copies.values(), *plan.fresh, *plan.documents, UPGRADE_NOTE}
    for key in there:
        if key.removeprefix(f"{target.path}/" if target.path else "") not in stored:
            delete_key(target.store, key)


def _identity(source: Place) -> str | None:
    """Name of a source that no other has; ``None`` where there is none."""
    return source.location.name


def _store_note(plan: UpgradePlan, target: Place, replaced: Mapping[str, Any]) -> None:
    note = {"from": plan.source.named, "source": _identity(plan.source), "to": plan.to.version, "documents": replaced}
    try:
        store_bytes(target.store, target.below(UPGRADE_NOTE), json.dumps(note).encode())
    except OSError as error:
        fault = f"{target} cannot be written ({error.strerror or error}); choose a writable place"
        raise type(error)(error.errno, fault) from error


def _keep_old(plan: UpgradePlan, target: Place, documents: dict[str, bytes]) -> None:
    """Keep the documents that are replaced, until the end; those that stay as they are, are not written again."""
    keys = list(documents)
    there = dict(zip(keys, fetch_bytes(target.store, list(map(target.below, keys))), strict=True))
    for key, content in there.items():
        if content == documents[key]:
            del documents[key]
    if read_key(target.store, target.below(UPGRADE_NOTE)) is None and (documents or plan.old):
        old = {key: content.decode() for key, content in there.items() if content is not None and key in documents}
        _store_note(plan, target, old)


def _encode_again(plan: UpgradePlan, path: str, target: Place) -> None:
    """Decode the stored chunks of an array, and store them as the new document says; missing ones stay missing."""
    source: zarr.Array[Any] = plan.source.child(path).open_array("r", 2)
    new = Place(plan.composed, path).open_array("r+")
    chunks = Grid(source.shape, source.chunks)
    prefix = f"{path}/" if path else ""
    stored = [key.removeprefix(prefix) for key in plan.old if key.startswith(prefix)]

    def encode(old: str, index: Index) -> None:
        window = tuple(slice(side.start, side.stop) for side in chunks.window(index))
        new[window] = np.asarray(source[window]).astype(new.dtype, copy=False)
        key = f"{prefix}{new.metadata.encode_chunk_key(index)}"
        content = read_key(plan.composed, key)
        if not key_exists(plan.source.store, plan.source.below(prefix + old)):
            raise ValueError(
                f"{plan.source.named} has been changed while it was upgraded: {prefix + old!r} is gone; another "
                f"upgrade of it may be running: let that finish, and repeat this one"
            )
        if content is not None:
            store_bytes(target.store, target.below(key), content)
            delete_key(plan.composed, key)

    keys = [key for key in stored if CHUNK_KEY.fullmatch(key)]
    indices = [tuple(map(int, key.replace(".", "/").split("/"))) if source.ndim else () for key in keys]
    pairs = [  # an array that was cut smaller may have chunks beyond its end
        pair for pair in zip(keys, indices, strict=True) if all(map(int.__lt__, pair[1], chunks.counts))
    ]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        list(pool.map(lambda pair: encode(*pair), pairs))
