"""Rules for the kinds of groups, and for collections of images: a series, a plate, a well."""

from __future__ import annotations

import itertools
import reprlib
from typing import TYPE_CHECKING, Any

from msi_lazy.storage.inside import describe_inside
from msi_lazy.validation.check_image import check_image
from msi_lazy.validation.check_labels import check_dtypes, check_image_label, check_labels, check_labels_below
from msi_lazy.validation.check_ome_xml import check_ome_xml
from msi_lazy.validation.check_plates import check_field_count, check_plate, check_well
from msi_lazy.validation.check_systems import check_scene
from msi_lazy.validation.metadata import Metadata, open_below, open_unlisted, read_metadata
from msi_lazy.validation.nodes import UnreadError, open_group_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import zarr

    from msi_lazy.storage.place import Place
    from msi_lazy.validation.check_chunks import Decode
    from msi_lazy.validation.check_image import Pyramid
    from msi_lazy.validation.check_plates import Acquisitions
    from msi_lazy.validation.checks import Checks

__all__ = ["check_hierarchy"]

_LAYOUT = "bioformats2raw.layout"


def check_hierarchy(group: zarr.Group, checks: Checks, decode: Decode, place: Place) -> None:
    """Check a group, and what is below it: an image with its labels, labels, or a collection of images.

    ``place`` is that of the group, as the user gave it.
    """
    metadata = read_metadata(group, checks)
    if metadata is None:
        return
    known: dict[str, Callable[[zarr.Group, Metadata, Decode], Any]] = {
        "multiscales": _check_image,
        "plate": _check_plate,  # which may have a layout of bioformats2raw, too
        "well": _check_well,
        _LAYOUT: _check_collection,
        "labels": _check_labels,
        "scene": _check_scene,
        "image-label": _check_label,
        "series": _check_series,
    }
    found = next((check for name, check in known.items() if name in metadata), None)
    if found is None:
        listed = ", ".join(map(repr, known))
        advice = describe_inside(place) or "; give the path of an image, or write its metadata"
        checks.hold("ome-metadata", False, f"{metadata.fields.where} has none of {listed}{advice}")
    else:
        checks.hold("ome-metadata", True, "")
        found(group, metadata, decode)


def _check_image(group: zarr.Group, metadata: Metadata, decode: Decode) -> Pyramid | None:
    """Check an image and its labels, and return the image; it may be a label image itself."""
    pyramid = check_image(group, metadata, decode)
    if "image-label" in metadata:
        check_image_label(group, metadata)
        if pyramid is not None:
            check_dtypes(pyramid)
    check_labels_below(group, pyramid, metadata, decode)
    return pyramid


def _check_collection(group: zarr.Group, metadata: Metadata, decode: Decode) -> None:
    checks = metadata.fields.checks
    layout = metadata.fields.value[_LAYOUT]
    fault = f"{metadata.fields.where}[{_LAYOUT!r}] is {reprlib.repr(layout)}; it must be the number 3"
    checks.hold("collection-layout", layout == 3 and not isinstance(layout, bool), fault)
    series = _read_series(group, metadata)
    if series is None:
        series = list(_numbered(group))
        checks.hold("collection-images", bool(series), "there is no image '0'; a collection has images '0', '1', ...")
    check_ome_xml(group, checks, [_check_listed_image(group, path, metadata, decode) for path in series])


def _check_plate(group: zarr.Group, metadata: Metadata, decode: Decode) -> None:
    """Check a plate, and its wells."""
    plate = metadata.fields.member("plate", "object")
    if plate is None:
        return
    check_ome_xml(group, metadata.fields.checks, None)
    about = check_plate(plate, metadata.specification)
    wells = plate.value.get("wells")
    listed = plate.listed("wells", "object") if isinstance(wells, list) else ()
    for well in listed or ():
        path = well.value.get("path")
        below = _open_listed(group, path, metadata) if isinstance(path, str) else None
        if below:
            _check_well(*below, decode, about)


def _check_well(group: zarr.Group, metadata: Metadata, decode: Decode, plate: Acquisitions | None = None) -> None:
    """Check the images of a well, its fields of view; ``plate`` is what its plate says of them."""
    well = metadata.fields.member("well", "object")
    if well is None:
        return
    paths = check_well(well, plate)
    check_field_count(well, len(paths), plate)
    for path in paths:
        _check_listed_image(group, path.value, metadata, decode)


def _check_label(group: zarr.Group, metadata: Metadata, decode: Decode) -> None:
    """Check a group that is nothing but the block of a label image."""
    check_image_label(group, metadata)
    fault = "the group is that of a label image, and has no 'multiscales'; write it as an image"
    metadata.fields.checks.hold("label-multiscales", False, fault)


def _check_scene(group: zarr.Group, metadata: Metadata, decode: Decode) -> None:
    check_scene(group, metadata.fields)


def _check_series(group: zarr.Group, metadata: Metadata, decode: Decode) -> None:
    """Check the list of a collection's images, without the images, which are beside its group."""
    metadata.fields.listed("series", "string")


def _check_labels(labels: zarr.Group, metadata: Metadata, decode: Decode) -> None:
    """Check labels without their image."""
    check_labels(labels, metadata, None, decode)


def _check_listed_image(group: zarr.Group, path: str, metadata: Metadata, decode: Decode) -> Pyramid | None:
    below = _open_listed(group, path, metadata)
    if below is None:
        return None
    image, found = below
    fault = "it is listed as an image, and has no 'multiscales'; write it as an image, or correct the list"
    if found.fields.checks.hold("collection-images", "multiscales" in found, fault):
        return _check_image(image, found, decode)
    return None


def _open_listed(group: zarr.Group, path: str, metadata: Metadata) -> tuple[zarr.Group, Metadata] | None:
    """Open a group that a collection lists, if it exists and its version is known."""
    where = f"{path!r} is listed: "
    return open_below(group, path, metadata, "collection-images", where, "write it, or correct the list")


def _read_series(group: zarr.Group, metadata: Metadata) -> list[str] | None:
    """Paths of the images, if the group ``OME`` lists them."""
    about = open_unlisted(group, "OME", metadata)
    series = about[1].fields.member("series", "list", required=False) if about else None
    paths = series.elements("string") if series else None
    return None if paths is None else [path.value for path in paths]


def _numbered(group: zarr.Group) -> Iterator[str]:
    """Paths of the images that are numbered from 0 on."""
    for number in itertools.count():
        try:
            open_group_at(group, str(number))
        except FileNotFoundError:
            return
        except (UnreadError, ValueError):
            pass  # it exists, and has a finding when it is checked
        yield str(number)
