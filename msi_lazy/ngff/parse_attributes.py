"""From OME-Zarr attributes, 0.4 or 0.5, to what a tree needs.  Lenient with other tools' omissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["StoredImage", "StoredLevel", "parse_image", "parse_transforms"]


_COLLECTION = "; it is a collection of several: give the path of one, as in group='0'"


@dataclass(frozen=True)
class StoredLevel:
    """One dataset of a multiscale image."""

    path: str
    """Path of the array below the image group."""
    scale: tuple[float, ...]
    """Spacing along each axis."""
    translation: tuple[float, ...]
    """Position of the first sample's centre along each axis."""


@dataclass(frozen=True)
class StoredImage:
    """A multiscale image as its attributes describe it."""

    version: str
    """OME-Zarr version."""
    name: str | None
    """Name, if it has one."""
    dims: tuple[str, ...]
    """Axis names, in order."""
    kinds: tuple[str | None, ...]
    """Type of each axis."""
    units: tuple[str | None, ...]
    """Unit of each axis."""
    levels: tuple[StoredLevel, ...]
    """Datasets, largest first."""
    method: str | None
    """Downsampling method, where the attributes name it."""
    metadata: Mapping[str, Any]
    """What else they say of the method."""
    channels: tuple[str, ...]
    """Names of the channels; empty where they are not given, or not told apart."""


def parse_image(attributes: Mapping[str, Any]) -> StoredImage:
    """Read the first multiscale image from a group's attributes.

    Raises
    ------
    ValueError
        There is none, or what is there contradicts itself.

    Examples
    --------
    >>> parse_image({})
    Traceback (most recent call last):
        ...
    ValueError: the group holds no OME-Zarr image: neither 'ome' (0.5) nor 'multiscales' (0.4) in its attributes
    """
    ome = attributes.get("ome")
    holder = ome if isinstance(ome, Mapping) else attributes
    multiscales = holder.get("multiscales")
    if multiscales is None:
        raise ValueError(
            "the group holds no OME-Zarr image: neither 'ome' (0.5) nor 'multiscales' (0.4) in its attributes"
            + (_COLLECTION if "bioformats2raw.layout" in holder or "series" in holder else "")
        )
    try:
        multiscale = multiscales[0]
        version = str(holder.get("version") or multiscale.get("version") or "0.4")
        dims = _parse_dims(multiscale["axes"])
        kinds = tuple(_text(axis.get("type")) for axis in multiscale["axes"])
        units = tuple(_text(axis.get("unit")) for axis in multiscale["axes"])
        outer = parse_transforms(multiscale.get("coordinateTransformations"), len(dims))
        levels = tuple(_parse_level(dataset, outer, len(dims)) for dataset in multiscale["datasets"])
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"the OME-Zarr attributes of the group are malformed: {error!r}") from None
    if version not in ("0.4", "0.5"):
        raise ValueError(f"the image is OME-Zarr {version}; versions 0.4 and 0.5 can be read")
    if not levels:
        raise ValueError("the OME-Zarr attributes of the group list no datasets")
    metadata = multiscale.get("metadata")
    return StoredImage(
        version=version,
        name=_text(multiscale.get("name")),
        dims=dims,
        kinds=kinds,
        units=units,
        levels=levels,
        method=_text(multiscale.get("type")),
        metadata=metadata if isinstance(metadata, Mapping) else {},
        channels=_channel_names(holder.get("omero")),
    )


def _parse_dims(axes: Any) -> tuple[str, ...]:
    """Names of the axes; they become names of dimensions."""
    dims = tuple(axis["name"] for axis in axes)
    if not all(isinstance(dim, str) and dim and "/" not in dim for dim in dims) or len(set(dims)) < len(dims):
        raise ValueError(f"the axes of the image are called {dims}; they need different names, without '/'")
    return dims


def _text(value: Any) -> str | None:
    """A text that is not empty; anything else says nothing."""
    return value if isinstance(value, str) and value else None


def _channel_names(omero: Any) -> tuple[str, ...]:
    """Labels of the channels, if each has one of its own; viewers' settings are never worth an error."""
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list):
        return ()
    labels = [channel.get("label") if isinstance(channel, Mapping) else None for channel in channels]
    names = tuple(label for label in labels if isinstance(label, str) and label)
    return names if len(set(names)) == len(labels) else ()


def _parse_level(dataset: Mapping[str, Any], outer: tuple[Any, Any], ndim: int) -> StoredLevel:
    path = dataset["path"]
    if not isinstance(path, str):
        raise ValueError(f"the OME-Zarr attributes of the group are malformed: a dataset has the path {path!r}")
    scale, translation = parse_transforms(dataset.get("coordinateTransformations"), ndim)
    with np.errstate(over="ignore", invalid="ignore"):
        # the image-wide transformation applies after the level's own
        scale, translation = scale * outer[0], translation * outer[0] + outer[1]
    if not (np.isfinite([scale, translation]).all() and (scale > 0).all()):
        raise ValueError(f"the coordinate transformations of dataset {path!r} lead beyond what numbers can hold")
    return StoredLevel(path, tuple(scale.tolist()), tuple(translation.tolist()))


def parse_transforms(transforms: Any, ndim: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Scale and translation that a list of transformations amounts to."""
    scale, translation = np.ones(ndim), np.zeros(ndim)
    for transform in transforms or ():
        kind = transform["type"]
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or kind not in transform:
            raise ValueError(f"coordinate transformation {dict(transform)} cannot be read: scale and translation can")
        try:
            values = np.asarray(transform[kind], dtype=float)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"coordinate transformation {dict(transform)} cannot be read: numbers can") from None
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
