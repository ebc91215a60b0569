"""Attributes of groups: of an image, of a list of labels, of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.errors import UnsupportedImageError
from msi_lazy.ngff.units import ngff_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.axes import Axis
    from msi_lazy.ngff.specification import Block, Specification
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = [
    "array_path",
    "check_holdable",
    "collection_attributes",
    "image_attributes",
    "labels_attributes",
    "spec_order",
]

_KIND_ORDER = {"time": 0, "channel": 1, None: 1, "space": 2}
_SPACE_ORDER = {"z": 0, "y": 1, "x": 2}


def spec_order(axes: Sequence[Axis]) -> tuple[str, ...]:
    """Dimensions in the order of the specification: time, channel, space (z, y, x)."""
    ordered = sorted(axes, key=lambda axis: (_KIND_ORDER[axis.kind], _SPACE_ORDER.get(axis.name, 0)))
    return tuple(axis.name for axis in ordered)


def array_path(level: int, name: str) -> str:
    """Path of a level's array below the image group; its own group also holds coordinates."""
    return f"scale{level}/{name}"


def check_holdable(axes: Sequence[Axis], name: str) -> None:
    """Refuse an image that OME-Zarr cannot hold.

    Raises
    ------
    UnsupportedImageError
        Names the broken rule.
    """
    dims = tuple(axis.name for axis in axes)
    kinds = [axis.kind for axis in axes]
    untyped = [axis.name for axis in axes if axis.kind is None]
    if untyped:
        fault = f"dimension {untyped[0]!r} is neither space (z, y, x) nor time (t) nor channel (c); rename it"
    elif not 2 <= len(axes) <= 5:
        fault = f"it has {len(axes)} dimensions, and 2 to 5 are allowed"
    elif kinds.count("space") not in (2, 3):
        fault = f"it has {kinds.count('space')} spatial dimensions, and 2 or 3 are needed"
    elif kinds.count("time") > 1 or kinds.count("channel") > 1:
        fault = "it has more than one time or channel dimension"
    elif name.startswith((".", "__", "zarr.json")):
        fault = f"its name {name!r} cannot be a path in a store; rename the image"
    else:
        try:
            for axis in axes:
                ngff_unit(axis.unit if axis.regular else None, axis.kind)
        except ValueError as error:
            raise UnsupportedImageError(f"OME-Zarr cannot hold the image with dims {dims}: {error}") from None
        return
    raise UnsupportedImageError(f"OME-Zarr cannot hold the image with dims {dims}: {fault}")


def image_attributes(
    plan: PyramidPlan, specification: Specification, omero: Block | None = None, label: Block | None = None
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
    """
    blocks = {"omero": omero, "image-label": label}
    members = {name: block for name, block in blocks.items() if block is not None}
    return specification.place(specification.write(plan, members, specification.version))


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
