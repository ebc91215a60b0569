"""Multiscale images in the form that OME-Zarr 0.4 and 0.5 have in common, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from importlib.metadata import version as package_version
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.methods.table import describe_method
from msi_lazy.ngff.stored_image import StoredImage, StoredLevel
from msi_lazy.ngff.write_attributes import array_path, spec_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.ngff.specification import Block
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["append_levels", "check_members", "compose_multiscale", "read_multiscale"]


def read_multiscale(block: Block, version: str) -> StoredImage:
    """Read the first multiscale image of a block; omissions of other tools are tolerated.

    Raises
    ------
    KeyError, IndexError, TypeError, AttributeError
        Something is missing, or is of another type.
    ValueError
        The image contradicts itself.
    """
    multiscale = block["multiscales"][0]
    dims = _read_dims(multiscale["axes"])
    outer = read_transforms(multiscale.get("coordinateTransformations"), len(dims))
    metadata = multiscale.get("metadata")
    return StoredImage(
        version=version,
        name=_string(multiscale.get("name")),
        dims=dims,
        kinds=tuple(_string(axis.get("type")) for axis in multiscale["axes"]),
        units=tuple(_string(axis.get("unit")) for axis in multiscale["axes"]),
        levels=tuple(_read_level(dataset, outer, len(dims)) for dataset in multiscale["datasets"]),
        method=_string(multiscale.get("type")),
        metadata=metadata if isinstance(metadata, Mapping) else {},
        channels=_channel_names(block.get("omero")),
    )


def _read_dims(axes: Any) -> tuple[str, ...]:
    """Check the names of the axes, which become names of dimensions."""
    dims = tuple(axis["name"] for axis in axes)
    if not all(isinstance(dim, str) and dim and "/" not in dim for dim in dims) or len(set(dims)) < len(dims):
        raise ValueError(f"the axes of the image are called {dims}; they need different names, without '/'")
    return dims


def _string(value: Any) -> str | None:
    """Return a string that is not empty; ``None`` for anything else."""
    return value if isinstance(value, str) and value else None


def _channel_names(omero: Any) -> tuple[str, ...]:
    """Labels of the channels, if they are distinct; display settings never raise errors."""
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list):
        return ()
    labels = [channel.get("label") if isinstance(channel, Mapping) else None for channel in channels]
    names = tuple(label for label in labels if isinstance(label, str) and label)
    return names if len(set(names)) == len(labels) else ()


def _read_level(dataset: Mapping[str, Any], outer: tuple[Any, Any], ndim: int) -> StoredLevel:
    path = dataset["path"]
    if not isinstance(path, str):
        raise ValueError(f"the OME-Zarr attributes of the group are malformed: a dataset has the path {path!r}")
    scale, translation = read_transforms(dataset.get("coordinateTransformations"), ndim)
    with np.errstate(over="ignore", invalid="ignore"):
        # the image-wide transformation applies after the level's own
        scale, translation = scale * outer[0], translation * outer[0] + outer[1]
    if not (np.isfinite([scale, translation]).all() and (scale > 0).all()):
        raise ValueError(f"the coordinate transformations of dataset {path!r} exceed the range of numbers")
    return StoredLevel(path, tuple(scale.tolist()), tuple(translation.tolist()))


def read_transforms(transforms: Any, ndim: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Combine a list of transformations into a scale and a translation."""
    scale, translation = np.ones(ndim), np.zeros(ndim)
    for transform in transforms or ():
        kind = transform["type"]
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or kind not in transform:
            raise ValueError(
                f"coordinate transformation {dict(transform)} cannot be read: only scale and translation can"
            )
        try:
            values = np.asarray(transform[kind], dtype=float)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"coordinate transformation {dict(transform)} cannot be read: its values must be finite numbers"
            ) from None
        if values.shape != (ndim,) or not np.isfinite(values).all():
            raise ValueError(f"coordinate transformation {dict(transform)} does not fit {ndim} axes")
        if kind == "scale" and (values <= 0).any():
            raise ValueError(f"coordinate transformation {dict(transform)}: a scale must be positive")
        with np.errstate(over="ignore", invalid="ignore"):
            if kind == "scale":
                scale, translation = scale * values, translation * values
            else:
                translation = translation + values
    return scale, translation


def compose_multiscale(plan: PyramidPlan) -> dict[str, Any]:
    """Compose the multiscale image of a plan, with its axes in the order of the specification."""
    order = [plan.dims.index(dim) for dim in spec_order(plan.axes)]
    axes = []
    for axis in (plan.axes[i] for i in order):
        known = {"name": axis.name, "type": axis.kind, "unit": axis.stored_unit}
        axes.append({key: value for key, value in known.items() if value})
    datasets = [
        _compose_dataset(
            array_path(level.number, plan.name),
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
    outer_scale, outer_translation = read_transforms(multiscale.get("coordinateTransformations"), len(plan.dims))
    base_scale, base_translation = read_transforms(
        multiscale["datasets"][-1].get("coordinateTransformations"), len(plan.dims)
    )
    counted = np.array([not axis.regular for axis in plan.axes])  # the plan counts in samples of its first level
    for level, path in zip(plan.levels[1:], paths, strict=True):
        scale = np.array(level.scale) / outer_scale  # the image-wide transformation does the rest
        translation = (np.array(level.translation) - outer_translation) / outer_scale
        scale = np.where(counted, base_scale * level.scale, scale)
        translation = np.where(counted, base_translation + base_scale * level.translation, translation)
        multiscale["datasets"].append(_compose_dataset(path, scale.tolist(), translation.tolist()))
    appended = method_metadata(plan, list(range(len(plan.dims))))
    known = multiscale.get("metadata")
    if len(multiscale["datasets"]) == len(plan.levels) or not isinstance(known, dict):
        multiscale["type"], multiscale["metadata"] = plan.method, appended  # no other method was used
    elif isinstance(known.get("kwargs"), dict) and isinstance(known["kwargs"].get("scale_factors"), list):
        known["kwargs"]["scale_factors"] += appended["kwargs"]["scale_factors"]
    return changed
