"""Parsing the attributes of a group, of any version in the table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msi_lazy.ngff.specifications import describe_absence, known_versions, specification_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msi_lazy.ngff.stored_image import StoredImage

__all__ = ["parse_image"]


def parse_image(attributes: Mapping[str, Any]) -> StoredImage:
    """Read the first multiscale image from a group's attributes.

    Raises
    ------
    ValueError
        There is none, or one of an unknown version, or one that contradicts itself.

    Examples
    --------
    >>> parse_image({})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: the group holds no OME-Zarr image: neither 'ome' (0.5...) nor 'multiscales' (0.1 to 0.4) ...
    """
    specification = specification_of(attributes)
    block = specification.block_of(attributes)
    if block.get("multiscales") is None:
        raise ValueError(describe_absence())
    stated = specification.stated_version(attributes)
    try:
        image = specification.read(block, specification.version)
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        taken = "" if stated else f"; they state no version, and were read as {specification.version}"
        raise ValueError(f"the OME-Zarr attributes of the group are malformed: {error!r}{taken}") from None
    if not image.levels:
        raise ValueError("the OME-Zarr attributes of the group list no datasets")
    if stated is not None and stated not in known_versions() and not specification.is_called(stated):
        image = replace(image, notes=(f"its version {stated!r} is read as {specification.version}", *image.notes))
    return image
