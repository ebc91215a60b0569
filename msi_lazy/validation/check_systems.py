"""Rules for the coordinate systems of a multiscale image, and for the transformations between them."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from msi_lazy.validation.check_axes import StoredAxes, check_axis_list
from msi_lazy.validation.check_geometry import check_vector
from msi_lazy.validation.check_transforms import check_transform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import zarr

    from msi_lazy.validation.check_geometry import Vector
    from msi_lazy.validation.metadata import Field

__all__ = ["check_level_transform", "check_scene", "check_systems", "check_transforms_between"]

_TRANSFORMS = "coordinateTransformations"
_SYSTEMS = "coordinateSystems"
_OF_LABELS = ("identity", "scale", "translation", "sequence")
"""Kinds of transformations that may lead to the system of a label image."""


def check_systems(multiscale: Field) -> StoredAxes | None:
    """Check the coordinate systems of an image, and return the axes of the intrinsic one if they can be read."""
    listed = multiscale.listed(_SYSTEMS, "object")
    if listed is None:
        return None
    checks, where = multiscale.checks, f"{multiscale.where}.{_SYSTEMS}"
    fault = f"{where} is empty; it lists at least the system that the levels are placed in: add it"
    checks.hold("systems-listed", bool(listed), fault)
    intrinsic = _intrinsic_name(multiscale.value)
    found: dict[str, StoredAxes | None] = {}
    for system in listed:
        name = system.member("name", "string")
        is_intrinsic = name is None or name.value == intrinsic or len(listed) == 1
        axes = check_axis_list(system, further=not is_intrinsic)
        if name is not None:
            found[name.value] = axes
    names = [system.value.get("name") for system in listed]
    fault = f"{where} are called {reprlib.repr(names)}; each needs a name of its own: rename them"
    checks.hold("systems-unique", all(names) and len({*map(str, names)}) == len(names), fault)
    sizes = {name: len(axes.names) for name, axes in found.items() if axes is not None}
    axes = found.get(intrinsic or "") or (next(iter(found.values()), None) if len(found) == 1 else None)
    if axes is None:
        return None
    return StoredAxes(axes.names, axes.kinds, intrinsic, sizes)


def _intrinsic_name(multiscale: Mapping[str, Any]) -> str | None:
    """Name of the system that the first dataset leads to that states one."""
    datasets = multiscale.get("datasets")
    for dataset in datasets if isinstance(datasets, list) else []:
        listed = dataset.get(_TRANSFORMS) if isinstance(dataset, dict) else None
        for transform in listed if isinstance(listed, list) else []:
            output = transform.get("output") if isinstance(transform, dict) else None
            if isinstance(output, dict) and isinstance(output.get("name"), str):
                return str(output["name"])
    return None


def check_level_transform(dataset: Field, axes: StoredAxes | None) -> tuple[Vector | None, Vector | None]:
    """Check the one transformation of a dataset, from its path to the intrinsic system.

    Returns
    -------
    scale, translation
        ``None`` where faulty; ones and zeros where none is given.
    """
    checks, where = dataset.checks, f"{dataset.where}.{_TRANSFORMS}"
    listed = dataset.listed(_TRANSFORMS, "object")
    if listed is None:
        return None, None
    kinds = [one.value.get("type") for one in listed]
    fault = (
        f"{where} has the types {reprlib.repr(kinds)}; it must have exactly one transformation, a scale, an identity, "
        f"or a sequence of a scale and a translation"
    )
    if not checks.hold("transformations-form", len(listed) == 1, fault):
        return None, None
    _check_level_ends(dataset, listed[0], axes)
    steps = _steps(listed[0])
    kinds = [step.value.get("type") for step in steps]
    sound = kinds in (["scale"], ["identity"]) if kinds[:1] == ["identity"] or len(steps) == 1 else False
    sound = sound or (listed[0].value.get("type") == "sequence" and kinds == ["scale", "translation"])
    sound = sound and not (listed[0].value.get("type") == "sequence" and len(steps) < 2)
    if not checks.hold("transformations-form", sound, fault):
        return None, None
    ndim = len(axes.names) if axes else None
    ones, zeros = (1.0,) * (ndim or 0), (0.0,) * (ndim or 0)
    if kinds == ["identity"]:
        return ones, zeros
    return check_vector(steps[0], "scale", ndim), check_vector(steps[1], "translation", ndim) if steps[1:] else zeros


def _steps(transform: Field) -> list[Field]:
    """List the transformations of a sequence, or the one that it is."""
    if transform.value.get("type") != "sequence":
        return [transform]
    return transform.listed("transformations", "object") or []


def _check_level_ends(dataset: Field, transform: Field, axes: StoredAxes | None) -> None:
    """Check that a level's transformation leads from its path to the intrinsic system, as those of all levels do."""
    start, end = transform.member("input", "object"), transform.member("output", "object")
    path = start and start.member("path", "string")
    name = end and end.member("name", "string")
    own = dataset.value.get("path")
    if path:
        fault = f"{path.where} is {path.value!r}; it must be the path of the dataset, {own!r}"
        path.checks.hold("transformation-ends", path.value == own, fault)
    if name and axes is not None:
        fault = f"{name.where} is {name.value!r}; all levels must lead to one system, {axes.intrinsic!r}"
        name.checks.hold("transformation-ends", name.value == axes.intrinsic, fault)
        _check_known(name, axes.sizes)


def check_transforms_between(multiscale: Field, axes: StoredAxes | None, group: zarr.Group) -> None:
    """Check the transformations of an image between its systems, and that they connect them all."""
    sizes = axes.sizes if axes else None
    listed = _check_listed(multiscale, sizes, group, required=False)
    if not axes or not axes.sizes or axes.intrinsic is None:
        return
    neighbours: dict[str, list[str]] = {}
    for one in listed:
        start, end = _end_name(one, "input"), _end_name(one, "output")
        if start is not None and end is not None:
            neighbours.setdefault(start, []).append(end)
            neighbours.setdefault(end, []).append(start)
    reached, waiting = {axes.intrinsic}, [axes.intrinsic]
    while waiting:
        found = set(neighbours.get(waiting.pop(), ())) - reached
        reached |= found
        waiting += found
    apart = sorted(set(axes.sizes) - reached)
    fault = (
        f"{multiscale.where}: no transformation connects the systems {reprlib.repr(apart)} with {axes.intrinsic!r}, in "
        f"which the levels are; add it, or remove them"
    )
    multiscale.checks.hold("systems-connected", not apart, fault)


def _end_name(transform: Field, end: str) -> str | None:
    """Name of a system that a transformation begins or ends at; ``None`` for one of another group."""
    found = transform.value.get(end)
    if not isinstance(found, dict) or found.get("path") or not isinstance(found.get("name"), str):
        return None
    return str(found["name"])


def check_scene(group: zarr.Group, fields: Field) -> None:
    """Check a scene: transformations between the systems of images, and its own."""
    scene = fields.member("scene", "object")
    if scene is None:
        return
    sizes = {}
    for system in scene.listed(_SYSTEMS, "object", required=False) or ():
        name, axes = system.member("name", "string"), check_axis_list(system, further=True)
        if name is not None and axes is not None:
            sizes[name.value] = len(axes.names)
    _check_listed(scene, sizes, group, required=True)


def _check_listed(holder: Field, sizes: Mapping[str, int] | None, group: zarr.Group, required: bool) -> Sequence[Field]:
    """Check a list of transformations that have names at both ends."""
    listed = holder.listed(_TRANSFORMS, "object", required)
    if listed is None:
        return ()
    fault = f"{holder.where}.{_TRANSFORMS} is empty; list a transformation, or leave it out"
    holder.checks.hold("transformations-listed", bool(listed), fault)
    for transform in listed:
        inputs, outputs = (_check_end(transform, name, sizes) for name in ("input", "output"))
        check_transform(transform, inputs, outputs, group)
        kind, output = transform.value.get("type"), transform.value.get("output")
        if not required and isinstance(output, dict) and output.get("path"):
            fault = f"{transform.where} leads to another group, and is of type {kind!r}; it must be one of {_OF_LABELS}"
            transform.checks.hold("transformation-kind", kind in _OF_LABELS, fault)
    return listed


def _check_end(transform: Field, end: str, sizes: Mapping[str, int] | None) -> int | None:
    """Check an end of a transformation, and return how many axes it has, if that is known."""
    found = transform.member(end, "object")
    name = found and found.member("name", "string")
    if not found or not name:
        return None
    if found.member("path", "string", required=False) or found.value.get("path"):
        return None
    _check_known(name, sizes)
    return (sizes or {}).get(name.value)


def _check_known(name: Field, sizes: Mapping[str, int] | None) -> None:
    if sizes is not None:
        fault = f"{name.where} is {name.value!r}, and the systems are {reprlib.repr(sorted(sizes))}; name one of these"
        name.checks.hold("system-known", name.value in sizes, fault)
