"""From a plan to OME-Zarr attributes, built and checked by the classes of ``ome-zarr-models``."""

from __future__ import annotations

from importlib.metadata import version as package_version
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from msi_lazy.errors import UnsupportedImageError
from msi_lazy.methods.table import describe_method
from msi_lazy.ngff.units import ngff_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.axes import Axis
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = [
    "VERSIONS",
    "Version",
    "array_path",
    "check_holdable",
    "collection_attributes",
    "image_attributes",
    "labels_attributes",
    "method_metadata",
    "spec_order",
]

Version = Literal["0.4", "0.5"]
VERSIONS: tuple[Version, ...] = ("0.4", "0.5")

_KIND_ORDER = {"time": 0, "channel": 1, None: 1, "space": 2}
_SPACE_ORDER = {"z": 0, "y": 1, "x": 2}


def spec_order(axes: Sequence[Axis]) -> tuple[str, ...]:
    """Dimensions in the order of the specification: time, channel, space (z, y, x)."""
    ordered = sorted(axes, key=lambda axis: (_KIND_ORDER[axis.kind], _SPACE_ORDER.get(axis.name, 0)))
    return tuple(axis.name for axis in ordered)


def array_path(level: int, name: str) -> str:
    """Path of a level's array below the image group; its own group makes room for coordinates."""
    return f"scale{level}/{name}"


def check_holdable(axes: Sequence[Axis], name: str) -> None:
    """Refuse an image that OME-Zarr has no place for.

    Raises
    ------
    UnsupportedImageError
        Names the rule and what breaks it.
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
    plan: PyramidPlan, version: Version, omero: Mapping[str, Any] | None = None, label: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Attributes of the image's group.

    Parameters
    ----------
    plan
        Plan of the pyramid; its axes must pass :func:`check_holdable`.
    version
        OME-Zarr version.
    omero
        How the channels are shown, see :func:`msi_lazy.ngff.omero.describe_channels`.
    label
        What makes it a label image, see :func:`msi_lazy.ngff.label_attributes.describe_labels`.

    Returns
    -------
    dict
        ``{"ome": {...}}`` for 0.5, ``{"multiscales": [...]}`` for 0.4; plain JSON values.  Axes are
        in the order of the specification.
    """
    order = [plan.dims.index(dim) for dim in spec_order(plan.axes)]
    axes = []
    for axis in (plan.axes[i] for i in order):
        unit = ngff_unit(axis.unit, axis.kind) if axis.regular else None
        axes.append({"name": axis.name, "type": axis.kind} | ({"unit": unit} if unit else {}))
    datasets = [
        {
            "path": array_path(level.number, plan.name),
            "coordinateTransformations": [
                {"type": "scale", "scale": [level.scale[i] for i in order]},
                {"type": "translation", "translation": [level.translation[i] for i in order]},
            ],
        }
        for level in plan.levels
    ]
    multiscale: dict[str, Any] = {
        "name": plan.name,
        "axes": axes,
        "datasets": datasets,
    }
    if plan.method:
        multiscale["type"] = plan.method
        multiscale["metadata"] = method_metadata(plan, order)
    if plan.provenance is not None:
        multiscale["metadata"] = dict(plan.provenance)
    blocks = {"omero": omero, "image-label": label}
    return _checked(multiscale, version, {key: block for key, block in blocks.items() if block is not None})


def method_metadata(plan: PyramidPlan, order: list[int]) -> dict[str, Any]:
    """How the levels were made, in the shape that the specification suggests."""
    dims = [plan.dims[i] for i in order]
    factors = [dict(zip(dims, (level.factors[i] for i in order), strict=True)) for level in plan.levels[1:]]
    method, description = describe_method(plan.method)
    kwargs: dict[str, Any] = {"scale_factors": factors, "boundary": plan.boundary}
    if plan.nodata is not None:
        value = plan.nodata.item() if hasattr(plan.nodata, "item") else plan.nodata
        kwargs["nodata"] = value if not isinstance(value, float) or isfinite(value) else str(value)  # JSON has no NaN
    return {
        "description": f"levels made by msi_lazy: {description}",
        "method": method,
        "version": package_version("msi-lazy"),
        "args": [],
        "kwargs": kwargs,
    }


def _checked(multiscale: dict[str, Any], version: Version, blocks: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as the models of the specification give them back."""
    if version == "0.5":
        from ome_zarr_models.v05.image import ImageAttrs
        from ome_zarr_models.v05.image_label_types import Label

        attributes = ImageAttrs.model_validate({"version": "0.5", "multiscales": [multiscale]})
        checked = {**attributes.model_dump(mode="json", exclude_none=True), **_checked_blocks(blocks, Label)}
        return {"ome": checked}
    from ome_zarr_models.v04.image import ImageAttrs as ImageAttrs04
    from ome_zarr_models.v04.image_label_types import Label as Label04

    attributes04 = ImageAttrs04.model_validate({"multiscales": [{**multiscale, "version": "0.4"}]})
    return {**attributes04.model_dump(mode="json", exclude_none=True), **_checked_blocks(blocks, Label04)}


def _checked_blocks(blocks: Mapping[str, Any], label: Any) -> dict[str, Any]:
    """``blocks`` as they are, once the models have taken them."""
    from ome_zarr_models.common.omero import Omero

    models = {"omero": Omero, "image-label": label}
    for key, block in blocks.items():
        models[key].model_validate(block)
    return dict(blocks)


def labels_attributes(attributes: Mapping[str, Any], names: Sequence[str], zarr_format: int) -> dict[str, Any]:
    """Attributes of a ``labels`` group that lists ``names`` too.

    Examples
    --------
    >>> labels_attributes({"labels": ["cells"]}, ["nuclei"], zarr_format=2)
    {'labels': ['cells', 'nuclei']}
    """
    holder = attributes.get("ome", {}) if zarr_format == 3 else attributes
    known = holder.get("labels", [])
    listed = [*known, *(name for name in names if name not in known)]
    return {"ome": {**holder, "version": "0.5", "labels": listed}} if zarr_format == 3 else {"labels": listed}


def collection_attributes(
    root: Mapping[str, Any], series: Mapping[str, Any], path: str, zarr_format: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes of the root of a collection, and of its ``OME`` group, which lists the image at ``path`` too.

    Examples
    --------
    >>> collection_attributes({}, {"series": ["a"]}, "b", zarr_format=2)
    ({'bioformats2raw.layout': 3}, {'series': ['a', 'b']})
    """
    layout = {"bioformats2raw.layout": 3}
    known = (series.get("ome", {}) if zarr_format == 3 else series).get("series", [])
    listed = {"series": known if path in known else [*known, path]}
    if zarr_format == 2:
        return layout, listed
    versioned = {"version": "0.5"}
    return {"ome": {**root.get("ome", {}), **versioned, **layout}}, {
        "ome": {**series.get("ome", {}), **versioned, **listed}
    }
