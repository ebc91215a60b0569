"""Rules for label images, and for the group that lists them."""

from __future__ import annotations

import posixpath
import reprlib
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.numbers import is_integer
from msi_lazy.methods.table import invents_values
from msi_lazy.ngff.specifications import holds_image
from msi_lazy.validation.check_image import Pyramid, check_image
from msi_lazy.validation.metadata import Field, Metadata, open_below, open_unlisted
from msi_lazy.validation.nodes import UnreadError, open_group_in_store

if TYPE_CHECKING:
    import zarr

    from msi_lazy.validation.check_chunks import Decode

__all__ = ["check_dtypes", "check_image_label", "check_labels", "check_labels_below"]


def check_labels_below(image: zarr.Group, pyramid: Pyramid | None, metadata: Metadata, decode: Decode) -> None:
    """Check the labels of an image, if it has any."""
    labels = open_unlisted(image, "labels", metadata)
    if labels is not None:
        check_labels(*labels, pyramid, decode)


def check_labels(labels: zarr.Group, metadata: Metadata, pyramid: Pyramid | None, decode: Decode) -> None:
    """Check the group of the labels, and every label image that it lists.

    Parameters
    ----------
    labels, metadata
        The group, and its metadata.
    pyramid
        Image of the labels, if it is known.
    decode
        Chunks to read.
    """
    fields = metadata.fields
    paths = fields.listed("labels", "string")
    for path in paths or ():
        where, advice = f"{path.where}: ", "write the label image, or correct the list"
        label = open_below(labels, path.value, metadata, "label-opens", where, advice)
        if label is not None:
            label[1].fields.checks.hold("label-opens", True, "")
            _check_label(*label, pyramid, decode)
    if metadata.specification.all_labels_listed and paths is not None:
        unlisted = sorted(_label_images(labels) - {path.value.strip("/").split("/")[0] for path in paths})
        fault = f"{', '.join(map(repr, unlisted))} not listed in {fields.where}.labels; readers cannot find it: add it"
        fields.checks.hold("label-listed", not unlisted, fault)


def _check_label(label: zarr.Group, metadata: Metadata, image: Pyramid | None, decode: Decode) -> None:
    """Check one label image, alone and against its image."""
    fields = metadata.fields
    checks = fields.checks
    check_image_label(label, metadata)
    fault = "the group is listed as a label image, and has no 'multiscales'; write it as an image, or correct the list"
    if not checks.hold("label-multiscales", "multiscales" in metadata, fault):
        return
    pyramid = check_image(label, metadata, decode)
    if pyramid is None:
        return
    check_dtypes(pyramid)
    check_method(pyramid, fields)
    if image is None or not image.levels or not pyramid.levels:
        return
    fault = f"the label image has {len(pyramid.levels)} levels, and its image {len(image.levels)}; write as many"
    checks.hold("label-levels", len(pyramid.levels) == len(image.levels), fault)
    for number, (labelled, level) in enumerate(zip(pyramid.levels, image.levels, strict=False)):
        shape, expected = _sizes(pyramid, number), _sizes(image, number)
        if labelled.array is None or level.array is None or not shape or not expected:
            continue
        unlike = {name: n for name, n in shape.items() if n not in (1, expected.get(name, n))}
        fault = (
            f"level {number} has the sizes {unlike}, and its image {expected}; along each axis they should be equal, "
            f"or 1: readers that go by the numbers of levels misplace others, such as labels of a coarser level"
        )
        labelled.checks.hold("label-shape", not unlike, fault)


def check_dtypes(pyramid: Pyramid) -> None:
    """Check that a label image holds integers."""
    for level in pyramid.levels:
        if level.array is not None:
            fault = f"the array has dtype {level.array.dtype}; labels are integers, of 8 to 64 bits: cast them"
            level.checks.hold("label-dtype", level.array.dtype.kind in "iu", fault)


def check_method(pyramid: Pyramid, fields: Field) -> None:
    """Check that the method of a label image computes no labels that do not exist."""
    invents = pyramid.method is not None and invents_values(pyramid.method)
    fault = (
        f"the levels were computed by {pyramid.method!r}, which computes labels that do not exist, such as 500 from 0 "
        f"and 1000; write them anew, by a method for labels such as 'mode'"
    )
    fields.checks.hold("label-method", not (invents and len(pyramid.levels) > 1), fault)


def check_image_label(label: zarr.Group, metadata: Metadata) -> None:
    """Check the values and the source in ``image-label``."""
    fields = metadata.fields
    about = fields.member("image-label", "object", required=False)
    absent = fields.value.get("image-label") is None
    missing = ["'image-label'"] if absent else []
    if about is not None:
        wanted = ("version", "colors") if metadata.specification.version_in_label else ("colors",)
        missing = [repr(name) for name in wanted if about.value.get(name) is None]
        about.member("version", "string", required=False)
        colors = about.listed("colors", "object", required=False) or []
        _check_colors(about, colors)
        for entry in about.listed("properties", "object", required=False) or ():
            _check_value(entry)
        _check_source(label, about)
    if absent or about is not None:
        fault = f"the label image has no {' and no '.join(missing)}, which should be there: add it"
        fields.checks.hold("image-label", not missing, fault)


def _check_colors(about: Field, colors: list[Field]) -> None:
    values: list[Any] = []
    for name in ("colors", "properties"):
        fault = f"{about.where}.{name} is empty; list a label, or leave it out"
        about.checks.hold("label-lists", about.value.get(name) != [], fault)
    for color in colors:
        if _check_value(color):
            values.append(color.value["label-value"])
        rgba = color.value.get("rgba")
        if rgba is not None:
            sound = isinstance(rgba, list) and len(rgba) == 4 and all(is_integer(n) and 0 <= n <= 255 for n in rgba)
            fault = f"{color.where}.rgba is {reprlib.repr(rgba)}; it must be four integers from 0 to 255"
            color.checks.hold("label-rgba", sound, fault)
    twice = sorted({value for value in values if values.count(value) > 1})
    fault = f"{about.where}.colors has more than one color for {reprlib.repr(twice)}; keep one of each"
    about.checks.hold("label-value-unique", not twice, fault)


def _check_value(entry: Field) -> bool:
    value = entry.value.get("label-value")
    fault = f"{entry.where}.label-value is {reprlib.repr(value)}; each entry must have an integer there"
    return entry.checks.hold("label-value", is_integer(value), fault)


def _check_source(label: zarr.Group, about: Field) -> None:
    """Check that the path of the source leads to an image, if it stays within the store."""
    source = about.member("source", "object", required=False)
    image = None if source is None else source.member("image", "string", required=False)
    if image is None:
        return
    checks, text = about.checks, reprlib.repr(image.value)
    relative = "://" not in image.value and not image.value.startswith("/")
    fault = f"{image.where} is {text}; it must be a relative path, '../../' for the image above the labels"
    target = posixpath.normpath(posixpath.join(label.path, image.value))
    if not relative:
        checks.hold("label-source", False, fault)
    elif target != ".." and not target.startswith("../"):  # else it is above what was opened
        fault = f"{image.where} is {text}, and no image is there; '../../' is the image above the labels: correct it"
        checks.hold("label-source", _is_image(label, "" if target == "." else target), fault)


def _is_image(neighbour: zarr.Group, path: str) -> bool:
    try:
        return holds_image(open_group_in_store(neighbour, path).attrs.asdict())
    except UnreadError:  # which is no fault of the path
        return True
    except (FileNotFoundError, ValueError):
        return False


def _sizes(pyramid: Pyramid, number: int) -> dict[str, int]:
    """Sizes of a level along time and space, by the names of axes."""
    array = pyramid.levels[number].array
    if array is None or pyramid.axes is None:
        return {}
    axes = zip(pyramid.axes.names, pyramid.axes.kinds, array.shape, strict=True)
    return {name.lower(): int(n) for name, kind, n in axes if kind in ("time", "space")}


def _label_images(labels: zarr.Group) -> set[str]:
    """Names of the images right below; empty where the store cannot list them, or one cannot be read."""
    if not labels.store.supports_listing:
        return set()
    try:
        return {name for name, group in labels.groups() if holds_image(group.attrs.asdict())}
    except Exception:  # whatever malformed metadata may raise; those that are listed have a finding of their own
        return set()
