"""Coordinate systems of OME-Zarr 0.6: its multiscale images, and the same in the flat form of older versions.

The flat form lists ``axes`` and, per dataset, a scale and a translation.  What it has no place for is kept in further
members, so that an image of 0.6 passes through any other version unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msi_lazy.ngff.read_transforms import named_transforms
from msi_lazy.ngff.separable_transforms import separate

__all__ = [
    "INTRINSIC",
    "NAMED_TRANSFORMS",
    "SYSTEMS",
    "arrange",
    "describe_systems",
    "flatten",
    "note_systems",
    "rename_intrinsic",
    "stored_transforms",
]

SYSTEMS = "coordinateSystems"
"""Member of an image that lists its coordinate systems; in the flat form the axes of the intrinsic one are names."""
NAMED_TRANSFORMS = "namedTransformations"
"""Member of an image, in the flat form, that keeps its transformations to named coordinate systems."""
INTRINSIC = "physical"
"""Name of the intrinsic system, the one that the levels are placed in, unless it was read with another."""
_TRANSFORMS = "coordinateTransformations"
_ENDS = ("input", "output")
_NAME = "transformationName"
"""Member of a dataset, in the flat form, that keeps the name of its transformation."""
_UNUSED = "unusedTransformations"
"""Member of a dataset that keeps its transformations as they were, where they are more than a scale and translation."""


def flatten(multiscale: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a multiscale image to the flat form, which it may have already; nothing is lost.

    Raises
    ------
    KeyError, TypeError, AttributeError
        Something is missing, or is of another type.
    """
    if "axes" in multiscale or SYSTEMS not in multiscale:
        return {**multiscale}
    systems = list(multiscale[SYSTEMS])
    number = _intrinsic_number(multiscale, systems)
    flat = {name: value for name, value in multiscale.items() if name not in (SYSTEMS, _TRANSFORMS)}
    flat["axes"] = systems[number]["axes"]
    flat["datasets"] = [_flatten_dataset(dataset, len(flat["axes"])) for dataset in multiscale["datasets"]]
    named = named_transforms(multiscale.get(_TRANSFORMS))
    unnamed = [one for one in multiscale.get(_TRANSFORMS) or () if one not in named]
    if named:
        flat[NAMED_TRANSFORMS] = [*(flat.get(NAMED_TRANSFORMS) or ()), *named]
    if unnamed:
        flat[_TRANSFORMS] = unnamed
    systems[number] = {**systems[number], "axes": [_axis_name(axis) for axis in flat["axes"]]}
    if len(systems) > 1 or {**systems[0], "axes": ()} != {"name": INTRINSIC, "axes": ()} or named:
        flat[SYSTEMS] = systems
    return flat


def arrange(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a multiscale image from the flat form; transformations that no longer fit its axes stay as they are kept.

    Examples
    --------
    >>> scale = {"type": "scale", "scale": [2, 2]}
    >>> datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    >>> arranged = arrange({"axes": [{"name": "y"}, {"name": "x"}], "datasets": datasets})
    >>> arranged["coordinateSystems"]
    [{'name': 'physical', 'axes': [{'name': 'y'}, {'name': 'x'}]}]
    >>> arranged["datasets"][0]["coordinateTransformations"]
    [{'type': 'scale', 'scale': [2, 2], 'input': {'path': '0'}, 'output': {'name': 'physical'}}]
    """
    members = ("axes", "datasets", SYSTEMS, NAMED_TRANSFORMS, _TRANSFORMS)
    others = {name: value for name, value in flat.items() if name not in members}
    systems, number = _arrange_systems(flat)
    intrinsic = systems[number]["name"]
    named, kept = _place_transforms(flat, systems, number)
    further = {_TRANSFORMS: [*(flat.get(_TRANSFORMS) or ()), *named], NAMED_TRANSFORMS: kept}
    return {
        **({"name": others.pop("name")} if "name" in others else {}),
        SYSTEMS: systems,
        "datasets": [_arrange_dataset(dataset, intrinsic) for dataset in flat["datasets"]],
        **{name: listed for name, listed in further.items() if listed},
        **others,
    }


def rename_intrinsic(multiscale: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Give the intrinsic system of an image another name, there and in transformations that begin or end in it.

    Raises
    ------
    ValueError
        Another system has the name.
    """
    flat = flatten(multiscale)
    systems, number = _arrange_systems(flat)
    if any(system["name"] == name for place, system in enumerate(systems) if place != number):
        raise ValueError(f"coordinate_system={name!r} is the name of another system of the image; give another one")
    ends = {"name": systems[number]["name"]}
    systems[number] |= {"name": name, "axes": [_axis_name(axis) for axis in flat["axes"]]}
    links = [
        {**one, **{end: {"name": name} for end in _ENDS if one.get(end) == ends}}
        for one in _objects(flat.get(NAMED_TRANSFORMS))
    ]
    return arrange({**flat, SYSTEMS: systems, **({NAMED_TRANSFORMS: links} if links else {})})


def note_systems(multiscale: Mapping[str, Any]) -> list[str]:
    """Remarks on coordinate systems, and on transformations of levels, that are not as 0.6 has them, and are read."""
    if "axes" in multiscale or SYSTEMS not in multiscale:
        return []
    listed = [system.get("name") for system in _objects(multiscale[SYSTEMS])]
    outputs, notes = [], []
    for dataset in _objects(multiscale.get("datasets")):
        transforms = _objects(dataset.get(_TRANSFORMS))
        outputs += [_as_object(one.get("output")).get("name") for one in transforms]
        ends = [one.get(end) for one in transforms for end in _ENDS]
        if any(isinstance(end, str) for end in ends):
            notes.append("the inputs and outputs of its transformations are strings, and are read as paths and names")
        elif not all(isinstance(end, Mapping) for end in ends):
            notes.append("transformations of its levels state no input or output, and are read as those of the levels")
        if len(transforms) > 1:
            notes.append("levels list several transformations, which are applied one after another")
    named = list(dict.fromkeys(name for name in outputs if name is not None))
    if named and (len(named) > 1 or named[0] not in listed):
        used = listed[_intrinsic_number(multiscale, _objects(multiscale[SYSTEMS]))]
        notes.append(f"its levels lead to the coordinate systems {named}, of {listed}: all are placed in {used!r}")
    return list(dict.fromkeys(notes))


def describe_systems(flat: Mapping[str, Any]) -> list[str]:
    """Lines on the coordinate systems of an image in the flat form, or of a scene, and transformations between them.

    Examples
    --------
    >>> systems = [{"name": "physical", "axes": ["y", "x"]}, {"name": "atlas", "axes": [{"name": "v"}, {"name": "u"}]}]
    >>> ends = {"input": {"name": "physical"}, "output": {"name": "atlas"}}
    >>> image = {"axes": [], "coordinateSystems": systems, "namedTransformations": [{"type": "rotation", **ends}]}
    >>> describe_systems(image)[0]
    'coordinate systems: physical (y, x; of the levels), atlas (v, u)'
    >>> describe_systems(image)[1]
    'transformations: rotation from physical to atlas'
    """
    systems = [
        f"{system.get('name')} ({', '.join(map(str, _axis_names(system)))}"
        f"{'; of the levels' if _lists_names(system) else ''})"
        for system in _objects(flat.get(SYSTEMS))
    ]
    transforms = [
        f"{one.get('type')} from {_where(one.get('input'))} to {_where(one.get('output'))}"
        for one in (*_objects(flat.get(NAMED_TRANSFORMS)), *named_transforms(flat.get(_TRANSFORMS)))
    ]
    lines = {"coordinate systems": systems, "transformations": transforms}
    return [f"{name}: {', '.join(listed)}" for name, listed in lines.items() if listed]


def stored_transforms(value: Any) -> list[Mapping[str, Any]]:
    """List the transformations, anywhere in attributes, whose numbers are in an array at a path.

    Examples
    --------
    >>> stored_transforms({"any": [{"type": "affine", "path": "a"}, {"type": "scale", "scale": [1]}]})
    [{'type': 'affine', 'path': 'a'}]
    """
    if isinstance(value, list):
        return [found for one in value for found in stored_transforms(one)]
    if not isinstance(value, Mapping):
        return []
    here = [value] if isinstance(value.get("type"), str) and isinstance(value.get("path"), str) else []
    return here + [found for one in value.values() for found in stored_transforms(one)]


def _where(end: Any) -> str:
    """Name of the system at an end of a transformation, and the path of its group."""
    found = _as_object(end)
    return " of ".join(str(found[name]) for name in ("name", "path") if found.get(name))


def _intrinsic_number(multiscale: Mapping[str, Any], systems: Sequence[Mapping[str, Any]]) -> int:
    """Place of the intrinsic system in the list: the first one where the datasets name none that is there."""
    name = _intrinsic_name(multiscale)
    return next((number for number, system in enumerate(systems) if system.get("name") == name), 0)


def _intrinsic_name(multiscale: Mapping[str, Any]) -> str | None:
    """Name of the system that the levels lead to; ``None`` if they state none."""
    for dataset in _objects(multiscale.get("datasets")):
        for transform in _objects(dataset.get(_TRANSFORMS)):
            name = _as_object(transform.get("output")).get("name")
            if isinstance(name, str):
                return name
    return None


def _flatten_dataset(dataset: Mapping[str, Any], ndim: int) -> dict[str, Any]:
    """Keep the transformations of a dataset, which lead from its path to the intrinsic system, without these ends.

    An identity alone states that the spacing is 1; in the flat form it would state nothing.
    """
    listed: list[Mapping[str, Any]] = []
    names = []
    for transform in dataset.get(_TRANSFORMS) or ():
        names.append(transform.get("name"))
        inner = {name: value for name, value in transform.items() if name not in ("input", "output", "name")}
        listed += inner["transformations"] if inner.get("type") == "sequence" else [inner]
    if [one.get("type") for one in listed] == ["identity"]:
        listed = [{"type": "scale", "scale": [1.0] * ndim}]
    flat = {**dataset, _TRANSFORMS: listed}
    if not all(_amounts_to_spacing(one, ndim) for one in listed):
        flat.setdefault(_UNUSED, list(dataset[_TRANSFORMS]))
    return {**flat, _NAME: names[0]} if len(names) == 1 and isinstance(names[0], str) else flat


def _amounts_to_spacing(transform: Mapping[str, Any], ndim: int) -> bool:
    """Tell whether a transformation is applied when a level is read."""
    kind = transform.get("type")
    if kind == "sequence":
        return all(_amounts_to_spacing(one, ndim) for one in transform.get("transformations") or ())
    return (kind in ("scale", "translation") and kind in transform) or separate(transform, ndim) is not None


def _arrange_dataset(dataset: Mapping[str, Any], intrinsic: str) -> dict[str, Any]:
    """Write the scale and the translation of a dataset as the one transformation that 0.6 allows."""
    listed = [one for one in dataset[_TRANSFORMS] if one["type"] != "translation" or any(one["translation"])]
    one = dict(listed[0]) if len(listed) == 1 else {"type": "sequence", "transformations": listed}
    one |= {"input": {"path": dataset["path"]}, "output": {"name": intrinsic}}
    if isinstance(dataset.get(_NAME), str):
        one["name"] = dataset[_NAME]
    others = {name: value for name, value in dataset.items() if name not in ("path", _TRANSFORMS, _NAME)}
    return {"path": dataset["path"], _TRANSFORMS: [one], **others}


def _arrange_systems(flat: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """List the coordinate systems, with the axes of the intrinsic one, and its place."""
    kept = [dict(system) for system in _objects(flat.get(SYSTEMS)) if isinstance(system.get("name"), str)]
    number = next((number for number, system in enumerate(kept) if _lists_names(system)), None)
    if number is None:
        taken = {system["name"] for system in kept}
        free = next(name for name in (INTRINSIC, *(f"{INTRINSIC}-{n}" for n in range(len(kept)))) if name not in taken)
        kept.insert(0, {"name": free})
        number = 0
    kept[number] = {**kept[number], "axes": list(flat["axes"])}
    return kept, number


def _lists_names(system: Mapping[str, Any]) -> bool:
    """Tell whether a kept system is the intrinsic one, whose axes are those of the image, and only named."""
    axes = system.get("axes")
    return isinstance(axes, list) and all(isinstance(axis, str) for axis in axes)


def _place_transforms(
    flat: Mapping[str, Any], systems: Sequence[Mapping[str, Any]], number: int
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Split the kept transformations in those that hold for the image, and those that do not."""
    kept = _objects(flat.get(NAMED_TRANSFORMS))
    before = next((system["axes"] for system in _objects(flat.get(SYSTEMS)) if _lists_names(system)), None)
    after = [_axis_name(axis) for axis in systems[number]["axes"]]
    same = before is not None and len(before) == len(after)
    same = same and all(one == other or one not in after for one, other in zip(before or (), after, strict=False))
    names = {system["name"] for system in systems}
    placed: list[Mapping[str, Any]] = []
    others: list[Mapping[str, Any]] = []
    for one in kept:
        fits = same and all(_leads_to(one.get(end), names) for end in _ENDS)
        (placed if fits else others).append({**one, **{end: _as_object(one[end]) for end in _ENDS}} if fits else one)
    return placed, others


def _leads_to(end: Any, names: set[Any]) -> bool:
    """Tell whether an end of a transformation is a system that is listed, or one in a group of labels."""
    found = _as_object(end)
    name = found.get("name")
    return isinstance(name, str) and (name in names or bool(found.get("path")))


def _as_object(end: Any) -> Mapping[str, Any]:
    """Return an end of a transformation as an object, also where a tool wrote the name of the system alone."""
    return end if isinstance(end, Mapping) else {"name": end}


def _axis_names(system: Mapping[str, Any]) -> list[Any]:
    axes = system.get("axes")
    return [_axis_name(axis) for axis in axes] if isinstance(axes, list) else []


def _axis_name(axis: Any) -> Any:
    return axis.get("name") if isinstance(axis, Mapping) else axis


def _objects(listed: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list, which may have been edited to anything else."""
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
