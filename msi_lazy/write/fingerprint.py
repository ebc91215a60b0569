"""Fingerprints of writes: one is resumed only with the same source, method, factors and layout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import xxhash

from msi_lazy.graph.direct import block_geometry
from msi_lazy.graph.level_identity import identify_levels
from msi_lazy.methods.code import identify_method

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from zarr.abc.buffer import Buffer

    from msi_lazy.graph.level_graph import LevelGraph
    from msi_lazy.graph.write_graph import LevelArrays
    from msi_lazy.write.job import ImageJob

__all__ = ["describe_differences", "fingerprint_plate", "fingerprint_write"]

FINGERPRINT_VERSION = 1
"""Raised when a release stores other samples, or another layout, from the same arguments.

Any release with the same number resumes an interrupted write.
"""
_SHOWN = 4
"""Most differences that a message names."""


def fingerprint_write(jobs: Iterable[ImageJob], levels: Iterable[LevelArrays], source_id: str | None) -> Any:
    """Fingerprint of a write, as plain JSON values.

    Parameters
    ----------
    jobs, levels
        The images, composed, and their levels as they are stored.
    source_id
        Name that the user gives the source, used in place of its own fingerprint.
    """
    pairs = zip(jobs, levels, strict=True)
    images = {job.path: _fingerprint_image(job, stored.levels, source_id) for job, stored in pairs}
    return json.loads(json.dumps({"fingerprint_version": FINGERPRINT_VERSION, "images": images}))


def fingerprint_plate(
    jobs: Sequence[ImageJob], levels: Sequence[LevelArrays], source_id: str | None, attributes: Any
) -> Any:
    """Fingerprint of a write of fields, as plain JSON values: what many of them share is told once.

    ``attributes`` are those of the plate and its wells; the others as for :func:`fingerprint_write`.
    """
    forms: dict[int, str] = {}
    images = {}
    for job, stored in zip(jobs, levels, strict=True):
        if id(job.contents) not in forms:
            forms[id(job.contents)] = json.dumps(_fingerprint_form(job, stored.levels))
        images[job.path] = {"source": _fingerprint_source(job, source_id), "form": forms[id(job.contents)]}
    shared = {form: number for number, form in enumerate(dict.fromkeys(forms.values()))}
    for image in images.values():
        image["form"] = shared[image["form"]]
    plate = _hash(json.dumps(attributes, sort_keys=True).encode())
    found = {"fingerprint_version": FINGERPRINT_VERSION, "plate": plate, "images": images}
    return json.loads(json.dumps({**found, "forms": [json.loads(form) for form in shared]}))


def _fingerprint_image(job: ImageJob, levels: LevelGraph, source_id: str | None) -> dict[str, Any]:
    return {"source": _fingerprint_source(job, source_id), **_fingerprint_form(job, levels)}


def _fingerprint_source(job: ImageJob, source_id: str | None) -> Any:
    return {"source_id": source_id} if source_id is not None else identify_levels(job.origin or job.levels)


def _fingerprint_form(job: ImageJob, levels: LevelGraph) -> dict[str, Any]:
    """Fingerprint of all but the samples."""
    origin = job.origin or job.levels
    nodes, rest = _sort_contents(job.contents)
    return {
        "method": [identify_method(recipe.method) for recipe in origin.recipes],
        "nodata": [str(recipe.nodata) for recipe in origin.recipes],
        "boundary": job.plan.boundary,
        "factors": [level.factors for level in job.plan.levels],
        "layout": nodes,
        "coordinates": _hash(rest),
        "attributes": _hash(json.dumps(job.attributes, sort_keys=True, default=str).encode()),
        "nodes": _other_nodes(job),
        "blocks": [
            {"counts": grid.counts, "levels": grid.levels, "lengths": _hash(repr(grid.lengths).encode())}
            for grid in block_geometry(levels)
        ],
    }


def _other_nodes(job: ImageJob) -> dict[str, Any]:
    """Variables of nodes besides the scales, by node and name."""
    scales = {f"/{level.name}" for level in job.plan.levels}
    return {
        node.path: {
            str(name): [*map(str, one.dims), *one.shape, str(one.dtype)] for name, one in node.variables.items()
        }
        for node in job.tree.subtree
        if node.path not in scales
    }


def _sort_contents(contents: Mapping[str, Buffer]) -> tuple[dict[str, Any], bytes]:
    """Separate the metadata of nodes, by path, from the bytes of the rest."""
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
    """Describe the differences between two fingerprints; empty if there are none.

    Examples
    --------
    >>> describe_differences({"factors": [[2, 2]], "boundary": "trim"}, {"factors": [[2, 4]], "boundary": "trim"})
    'factors.0.1 was 2 and is 4'
    """
    if isinstance(stored, dict) and "msi_lazy" in stored:  # 0.1.0 kept the package's version instead
        stored = {"fingerprint_version": 1, **{key: value for key, value in stored.items() if key != "msi_lazy"}}
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
