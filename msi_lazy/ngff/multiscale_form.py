"""Writing multiscale images in the form that OME-Zarr 0.4 and 0.5 have in common."""

from __future__ import annotations

from copy import deepcopy
from importlib.metadata import version as package_version
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.methods.table import describe_method
from msi_lazy.ngff.level_paths import DEFAULT_PATHS, level_path
from msi_lazy.ngff.read_multiscale import outer_transforms
from msi_lazy.ngff.read_transforms import read_transforms
from msi_lazy.ngff.write_attributes import spec_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.ngff.specification import Block
    from msi_lazy.ngff.stored_image import StoredImage
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["append_levels", "check_members", "compose_multiscale", "restate"]


def compose_multiscale(plan: PyramidPlan) -> dict[str, Any]:
    """Compose the multiscale image of a plan, with its axes in the order of the specification."""
    order = [plan.dims.index(dim) for dim in spec_order(plan.axes)]
    axes = []
    for axis in (plan.axes[i] for i in order):
        known = {"name": axis.name, "type": axis.kind, "unit": axis.stored_unit}
        axes.append({key: value for key, value in known.items() if value})
    datasets = [
        _compose_dataset(
            level_path(DEFAULT_PATHS, level.number, plan.name),
            [level.scale[i] for i in order],
            [level.translation[i] for i in order],
        )
        for level in plan.levels
    ]
    multiscale: dict[str, Any] = {"name": plan.name, "axes": axes, "datasets": datasets}
    if plan.method:
        multiscale["type"] = plan.method
        multiscale["metadata"] = method_metadata(plan, order)
    if plan.provenance is not None:
        multiscale["metadata"] = dict(plan.provenance)
    return multiscale


def _compose_dataset(path: str, scale: Sequence[float], translation: Sequence[float]) -> dict[str, Any]:
    return {
        "path": path,
        "coordinateTransformations": [
            {"type": "scale", "scale": list(scale)},
            {"type": "translation", "translation": list(translation)},
        ],
    }


def restate(image: StoredImage) -> dict[str, Any]:
    """Compose the axes and levels of a stored image, whatever form it was read from."""
    columns = zip(image.dims, image.kinds, image.units, strict=True)
    stated = ({"name": dim, "type": kind, "unit": unit} for dim, kind, unit in columns)
    return {
        "axes": [{name: value for name, value in axis.items() if value} for axis in stated],
        "datasets": [_compose_dataset(level.path, level.scale, level.translation) for level in image.levels],
    }


def method_metadata(plan: PyramidPlan, order: list[int]) -> dict[str, Any]:
    """Describe the method of the levels, in the form that the specification suggests."""
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


def check_members(members: Block, version: str, label: Any) -> dict[str, Any]:
    """Check members of a block besides the image by their models; ``label`` is that of ``image-label``."""
    from ome_zarr_models.common.omero import Omero

    checked = dict(members)
    if "omero" in checked:
        Omero.model_validate(checked["omero"])
    if "image-label" in checked:
        checked["image-label"] = {"version": version, **checked["image-label"]}
        label.model_validate(checked["image-label"])
    return checked


def append_levels(block: Block, plan: PyramidPlan, paths: Sequence[str]) -> dict[str, Any]:
    """Append the levels of ``plan``, except the first, in arrays at ``paths``, to the block of an image."""
    changed: dict[str, Any] = deepcopy(dict(block))
    multiscale = changed["multiscales"][0]
    named = tuple((axis.name, axis.kind) for axis in plan.axes)
    outer = outer_transforms(multiscale, named)
    base = read_transforms(multiscale["datasets"][-1].get("coordinateTransformations"), named)
    counted = np.array([not axis.regular for axis in plan.axes])  # the plan counts in samples of its first level
    for level, path in zip(plan.levels[1:], paths, strict=True):
        scale = np.array(level.scale) / outer.scale  # the image-wide transformation does the rest
        translation = (np.array(level.translation) - outer.translation) / outer.scale
        scale = np.where(counted, base.scale * level.scale, scale)
        translation = np.where(counted, base.translation + base.scale * level.translation, translation)
        multiscale["datasets"].append(_compose_dataset(path, scale.tolist(), translation.tolist()))
    appended = method_metadata(plan, list(range(len(plan.dims))))
    known = multiscale.get("metadata")
    if len(multiscale["datasets"]) == len(plan.levels) or not isinstance(known, dict):
        multiscale["type"], multiscale["metadata"] = plan.method, appended  # no other method was used
    elif isinstance(known.get("kwargs"), dict) and isinstance(known["kwargs"].get("scale_factors"), list):
        known["kwargs"]["scale_factors"] += appended["kwargs"]["scale_factors"]
    return changed
