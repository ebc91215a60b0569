"""Plan of an upgrade: new documents of a hierarchy, composed in memory, and what becomes of all that is stored."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.storage import MemoryStore

from msi_lazy.compat.zarr_stores import fetch_bytes, list_keys, read_key, store_bytes
from msi_lazy.errors import UnfinishedImageError
from msi_lazy.ngff.upgrade_attributes import upgrade_attributes
from msi_lazy.storage.codecs import refuse_pickles
from msi_lazy.storage.ledger import LEDGER, UPGRADE_NOTE
from msi_lazy.storage.links import links_below
from msi_lazy.storage.manifest import MANIFEST
from msi_lazy.storage.nodes_below import quietly
from msi_lazy.storage.partial_files import PARTIAL_NAME
from msi_lazy.storage.place import Place
from msi_lazy.storage.same_bytes import new_form
from msi_lazy.storage.separators import check_separator
from msi_lazy.storage.target import Target, consolidate
from msi_lazy.storage.update_notes import UPDATE_NOTES
from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS, store_format

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msi_lazy.ngff.specification import Specification

__all__ = ["CHUNK_KEY", "UpgradePlan", "plan_upgrade"]

_GROUP, _ARRAY, _ATTRIBUTES, _CONSOLIDATED = ".zgroup", ".zarray", ".zattrs", ".zmetadata"
_DOCUMENT = "zarr.json"
_DIMS = "_ARRAY_DIMENSIONS"
"""Attribute in which xarray keeps names of dimensions, for which Zarr v2 has no place."""
CHUNK_KEY = re.compile(r"\d+([./]\d+)*")
"""Key of a chunk of Zarr v2 below its array."""


@dataclass
class UpgradePlan:
    """What an upgrade does; composed node by node."""

    source: Place
    """Group that is upgraded."""
    to: Specification
    """Version that it is upgraded to."""
    in_place: bool
    """Whether documents are replaced where they are."""
    composed: MemoryStore = field(default_factory=MemoryStore)
    """New documents, by key below the group."""
    copies: dict[str, str] = field(default_factory=dict)
    """Keys that are copied as bytes to a target, by the key below the group; where chunks are, too."""
    encoded: dict[str, str] = field(default_factory=dict)
    """Paths of arrays whose chunks are decoded and encoded again, each with the reason."""
    fresh: set[str] = field(default_factory=set)
    """Keys, in a target, of the chunks that are encoded again."""
    old: list[str] = field(default_factory=list)
    """Keys that have no use once the new documents are there, in place."""
    versions: set[str] = field(default_factory=set)
    """Versions that were found."""
    chunks: int = 0
    """Number of chunks, or shards, that keep their bytes."""
    largest: int = 1
    """Bytes of the largest chunk, or shard, decoded."""

    @property
    def documents(self) -> dict[str, bytes]:
        """New documents, by key below the group."""
        keys = list_keys(self.composed, "")
        found = zip(keys, fetch_bytes(self.composed, keys), strict=True)
        return {key: content for key, content in found if content is not None and _name(key) == _DOCUMENT}


@dataclass(frozen=True)
class _Node:
    """A group or an array as it is stored."""

    names: frozenset[str]
    """Names of its documents."""
    documents: Mapping[str, Any]
    """Its documents that are JSON objects, by name."""

    @property
    def is_old(self) -> bool:
        """Whether it has documents of Zarr v2; those count where there are new ones, too."""
        return bool({_GROUP, _ARRAY} & self.names)

    @property
    def is_array(self) -> bool:
        if self.is_old:
            return _ARRAY in self.names
        return bool(self.documents[_DOCUMENT].get("node_type") == "array")

    @property
    def shape(self) -> tuple[int, ...]:
        found = self.documents[_ARRAY if self.is_old else _DOCUMENT].get("shape")
        return tuple(found) if isinstance(found, list) else ()

    @property
    def attributes(self) -> dict[str, Any]:
        if self.is_old:
            return dict(self.documents.get(_ATTRIBUTES, {}))
        return dict(self.documents[_DOCUMENT].get("attributes") or {})

    @property
    def is_consolidated(self) -> bool:
        return _CONSOLIDATED in self.names or bool(self.documents.get(_DOCUMENT, {}).get("consolidated_metadata"))


def plan_upgrade(source: Place, to: Specification, *, in_place: bool) -> UpgradePlan:
    """Plan an upgrade; nothing is changed, and no sample is read.

    Raises
    ------
    ValueError
        A link, a document, an image or an array that cannot be carried over; names it.
    UnfinishedImageError
        A write there has not finished.
    """
    link = next(iter(links_below(source.store, source.path)), None)
    if link is not None:
        raise ValueError(f"{source.named} holds the link {link!r}, and what it leads to would be left out: resolve it")
    keys = [key.removeprefix(f"{source.path}/") if source.path else key for key in list_keys(source.store, source.path)]
    plan = UpgradePlan(source, to, in_place)
    nodes = _read_nodes(source, keys)
    dims = _compose_groups(plan, nodes)
    for path, node in nodes.items():
        if node.is_array:
            _compose_array(plan, path, node, dims.get(path))
    _sort_keys(plan, keys, nodes)
    if not plan.versions:
        raise ValueError(f"{source.named} holds nothing of OME-Zarr: give an image, a collection or a plate")
    _consolidate(plan, nodes)
    return plan


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _parent(key: str) -> str:
    return key.rpartition("/")[0]


def _read_nodes(source: Place, keys: list[str]) -> dict[str, _Node]:
    """Read the documents of all nodes, by path; parents come first."""
    documents = [key for key in keys if _name(key) in ZARR_DOCUMENTS]
    found: dict[str, dict[str, Any]] = {}
    for key, content in zip(documents, fetch_bytes(source.store, list(map(source.below, documents))), strict=True):
        node = found.setdefault(_parent(key), {})
        if _name(key) == _CONSOLIDATED:
            node[_CONSOLIDATED] = {}
            continue
        try:
            node[_name(key)] = json.loads(content or b"")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the document {key!r} in {source.named} is no JSON ({error}): repair it first") from None
        if not isinstance(node[_name(key)], dict):
            raise ValueError(f"the document {key!r} in {source.named} is no JSON object: repair it first")
    nodes = {path: _Node(frozenset(found[path]), found[path]) for path in sorted(found)}
    return {path: node for path, node in nodes.items() if node.names & {_GROUP, _ARRAY, _DOCUMENT}}


def _compose_groups(plan: UpgradePlan, nodes: Mapping[str, _Node]) -> dict[str, tuple[str, ...]]:
    """Compose the documents of all groups, and return the axes of each level by its path."""
    dims: dict[str, tuple[str, ...]] = {}
    for path, node in nodes.items():
        if node.is_array:
            continue

        def shape_of(level: str, path: str = path) -> tuple[int, ...]:
            found = nodes.get(f"{path}/{level}".strip("/"))
            if found is None or not found.is_array:
                raise ValueError(f"it lists a level {level!r}, and there is no array at that path")
            return found.shape

        try:
            new = upgrade_attributes(node.attributes, plan.to, shape_of)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            where = repr(path) if path else "the group"
            raise ValueError(f"{where} in {plan.source.named} cannot be upgraded: {error}") from error
        plan.versions |= {new.version} - {""}
        dims |= {f"{path}/{level}".strip("/"): axes for level, axes in new.dims.items()}
        document = {"zarr_format": plan.to.zarr_format, "node_type": "group"}
        if not node.is_old:
            document = {name: one for name, one in node.documents[_DOCUMENT].items() if name != "consolidated_metadata"}
        _store(plan, path, {**document, "attributes": new.attributes})
        for above in _above(path):
            if above not in nodes:  # Zarr v2 can do without them
                _store(plan, above, {"zarr_format": plan.to.zarr_format, "node_type": "group", "attributes": {}})
    return dims


def _above(path: str) -> list[str]:
    """Paths of the groups above a node, without that of the hierarchy itself."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _store(plan: UpgradePlan, path: str, document: Mapping[str, Any]) -> None:
    store_bytes(plan.composed, f"{path}/{_DOCUMENT}".strip("/"), json.dumps(document, indent=2).encode())


def _compose_array(plan: UpgradePlan, path: str, node: _Node, dims: tuple[str, ...] | None) -> None:
    """Compose the document of an array: of one of Zarr v3, it stays."""
    if not node.is_old:
        content = read_key(plan.source.store, plan.source.below(f"{path}/{_DOCUMENT}".strip("/")))
        store_bytes(plan.composed, f"{path}/{_DOCUMENT}".strip("/"), content or b"")
        grid = node.documents[_DOCUMENT].get("chunk_grid", {}).get("configuration", {}).get("chunk_shape", [1])
        plan.largest = max(plan.largest, prod(grid) * 8)
        return
    array = plan.source.child(path).open_array("r", 2)
    refuse_pickles(array)
    form, attributes = new_form(array), array.attrs.asdict()
    if plan.in_place or form.reason:
        check_separator(array)
    stated = attributes.pop(_DIMS, None)
    names = dims if dims is not None else stated
    fits = isinstance(names, (list, tuple)) and len(names) == array.ndim
    if not fits and stated is not None:
        attributes[_DIMS] = stated
    settings = {**form.settings, "dimension_names": names if fits else None, "attributes": attributes}
    if plan.in_place and not form.reason:  # chunks stay where they are
        separator = store_format(2).separator_of(array.metadata)
        settings["chunk_key_encoding"] = {"name": "v2", "separator": separator}
    with quietly():
        Place(plan.composed).create_array(path, **settings)
    if form.reason:
        plan.encoded[path] = form.reason
    plan.largest = max(plan.largest, prod(array.chunks) * np.dtype(array.dtype).itemsize)


def _sort_keys(plan: UpgradePlan, keys: list[str], nodes: Mapping[str, _Node]) -> None:
    """Say of each key whether it is copied, and to where, or has no use afterwards."""
    arrays = {path: node for path, node in nodes.items() if node.is_array}
    for key in keys:
        parts = key.split("/")
        _check_ledger(plan, parts)
        if _name(key) == UPGRADE_NOTE or PARTIAL_NAME.fullmatch(_name(key)):
            continue
        if _name(key) in ZARR_DOCUMENTS:
            if _name(key) != _DOCUMENT:
                plan.old.append(key)
            continue
        path = next(("/".join(parts[:count]) for count in range(len(parts)) if "/".join(parts[:count]) in arrays), None)
        inside = key if not path else key.removeprefix(f"{path}/")
        is_chunk = path is not None and (not arrays[path].is_old or _is_chunk(inside, arrays[path].shape))
        to = key
        if is_chunk and path is not None and arrays[path].is_old and not plan.in_place:
            to = f"{path}/{_new_chunk(inside, arrays[path].shape)}".strip("/")
        if path in plan.encoded and (is_chunk or inside == MANIFEST):
            plan.old.append(key)
            plan.fresh.add(to)
            continue
        plan.copies[key] = to
        plan.chunks += is_chunk and inside != MANIFEST


def _is_chunk(key: str, shape: tuple[int, ...]) -> bool:
    """Tell whether a key below an array of Zarr v2 is that of a chunk, and not of a file of a user.

    Examples
    --------
    >>> _is_chunk("0.1", (8, 8)), _is_chunk("0/1", (8, 8)), _is_chunk("7", (8, 8)), _is_chunk("0", ())
    (True, True, False, True)
    """
    return CHUNK_KEY.fullmatch(key) is not None and len(re.split("[./]", key)) == max(len(shape), 1)


def _new_chunk(key: str, shape: tuple[int, ...]) -> str:
    """Key of a chunk in Zarr v3's own form.

    Examples
    --------
    >>> _new_chunk("0.1", (8, 8)), _new_chunk("0/1", (8, 8)), _new_chunk("0", ())
    ('c/0/1', 'c/0/1', 'c')
    """
    return f"c/{key.replace('.', '/')}" if shape else "c"


def _check_ledger(plan: UpgradePlan, parts: list[str]) -> None:
    for part in parts:
        if part.startswith(LEDGER) and part not in (UPGRADE_NOTE, UPDATE_NOTES):
            raise UnfinishedImageError(
                f"{plan.source.named} holds an incomplete image ({'/'.join(parts[: parts.index(part)]) or '/'}): its "
                f"write was interrupted, or is still running; resume it first, then upgrade"
            )


def _consolidate(plan: UpgradePlan, nodes: Mapping[str, _Node]) -> None:
    """Consolidate the new documents of those groups whose old ones were."""
    for path in sorted((path for path, node in nodes.items() if node.is_consolidated), key=len, reverse=True):
        consolidate(Target(plan.composed, path, zarr_format=plan.to.zarr_format))
