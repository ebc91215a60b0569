"""Attributes of groups: of an image, of a list of labels, of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.axes import axis_kind, rename_advice, usual_names
from msi_lazy.errors import UnsupportedImageError
from msi_lazy.ngff.axis_names import can_hold
from msi_lazy.ngff.coordinate_systems import flatten
from msi_lazy.ngff.level_paths import DEFAULT_PATHS, LevelPaths, level_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.axes import Axis
    from msi_lazy.ngff.specification import Block, Specification
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = [
    "check_holdable",
    "collection_attributes",
    "image_attributes",
    "labels_attributes",
    "left_out",
    "spec_order",
]

_KIND_ORDER = {"time": 0, "channel": 1, None: 1, "space": 2}


def spec_order(axes: Sequence[Axis]) -> tuple[str, ...]:
    """Dimensions in the order of the specification: time, channel, space (z, y, x, by what their names mean)."""
    ordered = sorted(axes, key=lambda axis: (_KIND_ORDER[axis.kind], "zyx".find(axis.meaning or "z")))
    return tuple(axis.name for axis in ordered)


def check_holdable(axes: Sequence[Axis], name: str) -> None:
    """Refuse an image that OME-Zarr cannot hold.

    Raises
    ------
    UnsupportedImageError
        Names the broken rule.
    """
    dims = tuple(axis.name for axis in axes)
    kinds = [axis.kind for axis in axes]
    spatial = kinds.count("space")
    times = [axis.name for axis in axes if axis.kind == "time"]
    others = [axis.name for axis in axes if axis.kind in ("channel", None)]
    renamed = _rename(axes)
    if spatial < 2 and renamed:
        fault = f"{spatial} of them are known to be space, and 2 or 3 are needed; "
        fault += f"rename those that are: {renamed}"
    elif len(others) > 1:
        listed = " and ".join(map(repr, others))
        fault = f"{listed} are neither time nor space, and one such dimension is allowed; "
        fault += _merge(others, axes, ("c", "channel"))
        if renamed:
            fault += f", or rename what is one of these: {renamed}"
    elif len(times) > 1:
        fault = f"{' and '.join(map(repr, times))} are time, and one such dimension is allowed; "
        fault += _merge(times, axes, ("t", "time"))
    elif not 2 <= len(axes) <= 5:
        fault = f"it has {len(axes)} dimensions, and 2 to 5 are allowed; {_add_or_select(axes)}"
    elif spatial not in (2, 3):
        fault = f"it has {spatial} spatial dimensions, and 2 or 3 are needed; {_add_or_select(axes)}"
    elif name.startswith((".", "__", "zarr.json")):
        fault = f"its name {name!r} cannot be a path in a store; rename it: image.rename('image')"
    else:
        return
    raise UnsupportedImageError(f"OME-Zarr cannot hold the image with dims {dims}: {fault}")


def _rename(axes: Sequence[Axis]) -> str:
    """Advise to rename dimensions of unknown names; empty if that does not make an image that can be held."""
    names = usual_names(axes)
    return rename_advice(axes) if names and can_hold([axis_kind(names.get(a.name, a.name)) for a in axes]) else ""


def _merge(dims: Sequence[str], axes: Sequence[Axis], names: tuple[str, ...]) -> str:
    """Advise to select along one of several dimensions, or to stack them as one of ``names``."""
    lengths = {axis.name: axis.length for axis in axes if axis.name in dims}
    shortest = min(lengths, key=lengths.__getitem__)
    free = [name for name in names if name not in dims]
    stack = f", or stack them: image.stack({free[0]}={tuple(dims)}, create_index=False)" if free else ""
    return f"keep one sample of one of them, image.isel({{{shortest!r}: 0}}, drop=True){stack}"


def _add_or_select(axes: Sequence[Axis]) -> str:
    """Advise to add a dimension of space, or to take one away."""
    taken = {axis.meaning for axis in axes}
    free = [name for name in "yxz" if name not in taken]
    if len(axes) <= 3 and free:
        return f"add one: image.expand_dims({free[0]!r})"
    last = next((axis.name for axis in axes if not axis.is_spatial), axes[0].name)
    return f"keep one sample along another: image.isel({{{last!r}: 0}}, drop=True)"


def left_out(axes: Sequence[Axis], types: Mapping[str, str]) -> str:
    """Say what OME-Zarr's attributes cannot state of an image's axes, and what to do; empty if nothing.

    ``types`` are those of other tools, by axis, which are written as they were read.
    """
    parts = []
    lost = [axis for axis in axes if axis.regular and axis.unit and not axis.stored_unit]
    if lost:
        units = ", ".join(f"{axis.unit!r} of {axis.name!r}" for axis in lost)
        example = "second" if lost[-1].kind == "time" else "micrometer"
        parts.append(
            f"the unit {units} is none that is known, and only kept in the attributes of the coordinate; "
            f"replace it, as in image[{lost[-1].name!r}].attrs['units'] = {example!r}"
        )
    untyped = [axis.name for axis in axes if axis.kind is None and axis.name not in types]
    if untyped:
        parts.append(
            f"the dimension {untyped[0]!r} is written as an axis without a type, as its name is none that is known; "
            f"if it is of channels or times, rename it, as in {rename_advice(axes)}"
        )
    return "; ".join(parts)


def image_attributes(
    plan: PyramidPlan,
    specification: Specification,
    omero: Block | None = None,
    label: Block | None = None,
    paths: LevelPaths = DEFAULT_PATHS,
) -> dict[str, Any]:
    """Compose the attributes of the image's group: JSON values, axes in the order of the specification.

    Parameters
    ----------
    plan
        Plan of the pyramid; its axes must pass :func:`check_holdable`.
    specification
        OME-Zarr version.
    omero
        Display settings of the channels, see :func:`msi_lazy.ngff.omero.describe_channels`.
    label
        Block of a label image, see :func:`msi_lazy.ngff.label_attributes.describe_labels`.
    paths
        Style of the paths of the levels.
    """
    blocks = {"omero": omero, "image-label": label}
    members = {name: block for name, block in blocks.items() if block is not None}
    block = specification.write(plan, members, specification.version)
    if paths != DEFAULT_PATHS:
        image = flatten(block["multiscales"][0])
        pairs = zip(plan.levels, image["datasets"], strict=True)
        image["datasets"] = [{**one, "path": level_path(paths, level.number, plan.name)} for level, one in pairs]
        block = {**block, "multiscales": [specification.arrange(image)]}
    return specification.place(block)


def labels_attributes(
    attributes: Mapping[str, Any], names: Sequence[str], specification: Specification
) -> dict[str, Any]:
    """Add ``names`` to the attributes of a ``labels`` group.

    Examples
    --------
    >>> from msi_lazy.ngff.specifications import find_specification
    >>> labels_attributes({"labels": ["cells"]}, ["nuclei"], find_specification("0.4"))
    {'labels': ['cells', 'nuclei']}
    """
    known = specification.block_of(attributes).get("labels", [])
    return specification.extend(attributes, {"labels": [*known, *(name for name in names if name not in known)]})


def collection_attributes(
    root: Mapping[str, Any], series: Mapping[str, Any], path: str, specification: Specification
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Add the image at ``path`` to the attributes of a collection: those of its root, and of its ``OME`` group.

    Examples
    --------
    >>> from msi_lazy.ngff.specifications import find_specification
    >>> collection_attributes({}, {"series": ["a"]}, "b", find_specification("0.4"))
    ({'bioformats2raw.layout': 3}, {'series': ['a', 'b']})
    """
    known = specification.block_of(series).get("series", [])
    listed = {"series": known if path in known else [*known, path]}
    return specification.extend(root, {"bioformats2raw.layout": 3}), specification.extend(series, listed)
