"""OME-Zarr 0.1 to 0.3, which are only read: axes by their order, or by their names; no transformations.

In 0.1 and 0.2 every image has the five axes t, c, z, y and x; 0.3 lists the names of those that there are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msi_lazy.axes import axis_kind
from msi_lazy.ngff.read_multiscale import read_multiscale

if TYPE_CHECKING:
    from msi_lazy.ngff.specification import Block
    from msi_lazy.ngff.stored_image import StoredImage

__all__ = ["AXIS_ORDER", "read"]

AXIS_ORDER = "tczyx"
"""Names of the axes where none are listed."""


def read(block: Block, version: str) -> StoredImage:
    """Read the first multiscale image of a block; errors as of :func:`read_multiscale`.

    Where no axes are listed, they are those of five dimensions: arrays of fewer have the last of them.
    """
    first = block["multiscales"][0]
    by_order = first.get("axes") is None
    listed: Any = AXIS_ORDER if by_order else first["axes"]
    axes = [{"name": one, "type": axis_kind(one)} if isinstance(one, str) else one for one in listed]
    image = read_multiscale({**block, "multiscales": [{**first, "axes": axes}, *block["multiscales"][1:]]}, version)
    lacks = "lists no axes, which are taken by order" if by_order else "has names of axes alone"
    note = f"it is OME-Zarr {version}, which {lacks}, and states no spacing: msi_lazy.upgrade(store, target) adds them"
    return replace(image, by_order=by_order, notes=(note, *image.notes))
