"""Rules for ``OME/METADATA.ome.xml``, the OME-XML of a collection of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn
from xml.parsers import expat

from msi_lazy.compat.zarr_stores import read_key
from msi_lazy.storage.place import Place
from msi_lazy.storage.store_errors import is_store_error, retried_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zarr

    from msi_lazy.validation.check_image import Pyramid
    from msi_lazy.validation.checks import Checks

__all__ = ["check_ome_xml"]

_KEY = "OME/METADATA.ome.xml"
_MOST_BYTES = 2**28
_AXES = "tczyx"
_DTYPES = {"float": "float32", "double": "float64", "complex": "complex64", "double-complex": "complex128"}
"""Names of dtypes in OME-XML where they are not NumPy's."""

Described = dict[str, str]
"""Attributes of the pixels of an image."""


def check_ome_xml(group: zarr.Group, checks: Checks, images: Sequence[Pyramid | None] | None) -> None:
    """Check the OME-XML of a collection, if there is one.

    Parameters
    ----------
    group, checks
        Group of the collection, and its checks.
    images
        Its images, in the order of the document; ``None`` for one that could not be read, or for all if their order is
        not known.
    """
    place = Place.of(group)
    try:
        content = retried_read(lambda: read_key(place.store, place.below(_KEY)))
    except Exception as error:
        if not is_store_error(error):
            raise
        checks.unread(f"{_KEY} could not be read, as the store failed ({error!r}); it may be sound: try again")
        return
    if content is None:
        return
    try:
        described = _read_pixels(content)
    except (ValueError, expat.ExpatError) as error:
        checks.hold("ome-xml", False, f"{_KEY}: {error}; write OME-XML there, or remove it")
        return
    checks.hold("ome-xml", True, "")
    if images is None:
        return
    fault = f"{_KEY} describes {len(described)} images, and the collection has {len(images)}; describe each, in order"
    if checks.hold("ome-xml-images", len(described) == len(images), fault):
        for number, (pixels, pyramid) in enumerate(zip(described, images, strict=True)):
            if pyramid is not None:
                _compare(checks, number, pixels, pyramid)


def _read_pixels(content: bytes) -> list[Described]:
    """List the attributes of the pixels of each image.

    No entity is expanded, and nothing else is read: a document with a definition of its type is refused.

    Raises
    ------
    ValueError, ExpatError
        It is no OME-XML, or may be a bomb.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has {len(content):,} bytes, of which {_MOST_BYTES:,} are read")
    found: list[Described] = []
    depth = 0

    def refuse(*_: Any) -> NoReturn:
        raise ValueError("it defines a document type, and entities in one may be a bomb")

    def start(name: str, attributes: Described) -> None:
        nonlocal depth
        local = name.rpartition(" ")[2]
        if depth == 0 and local != "OME":
            raise ValueError(f"its root is {local!r:.40}, not 'OME'")
        depth += 1
        if local == "Pixels" and depth == 3:
            found.append(attributes)

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(content, True)
    return found


def _compare(checks: Checks, number: int, pixels: Described, pyramid: Pyramid) -> None:
    """Compare sizes and dtype of an image with those that its pixels state."""
    array = pyramid.levels[0].array if pyramid.levels else None
    if array is None or pyramid.axes is None:
        return
    names = [
        "c" if position == pyramid.axes.channel else name.lower() for position, name in enumerate(pyramid.axes.names)
    ]
    if not set(names) <= set(_AXES):
        return  # axes that OME-XML has no sizes for
    shape = dict(zip(names, array.shape, strict=True))
    stated = {axis: pixels.get(f"Size{axis.upper()}", "?") for axis in _AXES}
    unlike = {axis: (size, str(shape.get(axis, 1))) for axis, size in stated.items() if size != str(shape.get(axis, 1))}
    dtype = pixels.get("Type", "?")
    if dtype != "bit" and _DTYPES.get(dtype, dtype) != array.dtype.name:
        unlike["dtype"] = (dtype, array.dtype.name)
    listed = ", ".join(f"{axis}: {one}, and {other}" for axis, (one, other) in unlike.items())
    fault = f"{_KEY} describes image {number} otherwise than it is stored ({listed}); correct either"
    pyramid.levels[0].checks.hold("ome-xml-sizes", not unlike, fault)
