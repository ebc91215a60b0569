"""What a write is bound to: it goes on only where source, method, factors, layout and version are the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import xxhash

from msi_lazy.graph.direct import block_geometry
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.graph.level_identity import identify_levels
from msi_lazy.methods.code import identify_method
from msi_lazy.source.sources import lazy_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zarr.core.buffer import Buffer

    from msi_lazy.write.job import Part

__all__ = ["describe_differences", "fingerprint_part"]

_SHOWN = 4
"""Differences that are told, at most."""


def fingerprint_part(
    part: Part, levels: LevelGraph, contents: Mapping[str, Buffer], source_id: str | None
) -> dict[str, Any]:
    """Fingerprint of one image, as plain JSON values.

    Parameters
    ----------
    part, levels
        The image, and its levels as they are stored.
    contents
        Groups, coordinates and empty arrays, as they are stored, by key.
    source_id
        What the user says the source is, in place of what can be found out.
    """
    origin = LevelGraph.of([lazy_array(image) for image in part.origin or part.images])
    nodes, rest = _sort_contents(contents)
    fingerprint = {
        "source": {"source_id": source_id} if source_id is not None else identify_levels(origin),
        "method": [identify_method(recipe.method) for recipe in origin.recipes],
        "nodata": [str(recipe.nodata) for recipe in origin.recipes],
        "boundary": part.plan.boundary,
        "factors": [level.factors for level in part.plan.levels],
        "layout": nodes,
        "coordinates": _hash(rest),
        "attributes": _hash(json.dumps(part.attributes, sort_keys=True, default=str).encode()),
        "nodes": _other_nodes(part),
        "blocks": [
            {"counts": grid.counts, "levels": grid.levels, "lengths": _hash(repr(grid.lengths).encode())}
            for grid in block_geometry(levels)
        ],
    }
    plain: dict[str, Any] = json.loads(json.dumps(fingerprint))
    return plain


def _other_nodes(part: Part) -> dict[str, Any]:
    """What is stored of the tree beside its scales: variables by node and name."""
    scales = {f"/{level.name}" for level in part.plan.levels}
    return {
        node.path: {
            str(name): [*map(str, one.dims), *one.shape, str(one.dtype)] for name, one in node.variables.items()
        }
        for node in part.tree.subtree
        if node.path not in scales
    }


def _sort_contents(contents: Mapping[str, Buffer]) -> tuple[dict[str, Any], bytes]:
    """The metadata of nodes by path, and the bytes of the rest."""
    nodes, rest = {}, b""
    for key in sorted(contents):
        content = contents[key].to_bytes()
        if key.rpartition("/")[2] in ("zarr.json", ".zarray"):
            nodes[key] = json.loads(content)
        else:
            rest += key.encode() + content
    return nodes, rest


def _hash(content: bytes) -> str:
    return str(xxhash.xxh3_64_hexdigest(content))


def describe_differences(stored: Any, given: Any) -> str:
    """What differs between two fingerprints, in words; empty if nothing does.

    Examples
    --------
    >>> describe_differences({"factors": [[2, 2]], "boundary": "trim"}, {"factors": [[2, 4]], "boundary": "trim"})
    'factors.0.1 was 2 and is 4'
    """
    found = [
        f"{'.'.join(filter(None, path))} was {was} and is {now}" for path, was, now in _differences((), stored, given)
    ]
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def _differences(path: tuple[str, ...], stored: Any, given: Any) -> Iterator[tuple[tuple[str, ...], str, str]]:
    if isinstance(stored, dict) and isinstance(given, dict):
        for key in dict.fromkeys((*stored, *given)):
            yield from _differences((*path, key), stored.get(key), given.get(key))
    elif isinstance(stored, list) and isinstance(given, list) and len(stored) == len(given):
        for number, (one, other) in enumerate(zip(stored, given, strict=True)):
            yield from _differences((*path, str(number)), one, other)
    elif stored != given:
        yield path, _shortly(stored), _shortly(given)


def _shortly(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value)
    return text if len(text) < 80 else f"{text[:76]} ..."
