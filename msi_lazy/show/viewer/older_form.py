"""Documents of images that Neuroglancer cannot read, in the form that it reads, for the server to hand out instead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msi_lazy.ngff.multiscale_form import restate
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.specifications import IN_MEMORY, specification_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zarr

__all__ = ["older_documents"]


def older_documents(group: zarr.Group, paths: Sequence[str]) -> dict[str, bytes]:
    """Compose the documents of an image, and of label images at ``paths`` below it, by key; none that need no change.

    Neuroglancer's releases up to 2.41 know no coordinate systems (OME-Zarr 0.6).
    """
    found = {}
    for path in ("", *paths):
        try:
            node: Any = group[path] if path else group
            attributes = node.attrs.asdict()
            if specification_of(attributes).axes == IN_MEMORY.axes:
                continue
            image = restate(parse_image(attributes))
        except (KeyError, ValueError):  # the label image is not shown
            continue
        block = {"version": IN_MEMORY.version, "multiscales": [image]}
        document = {**node.metadata.to_dict(), "attributes": IN_MEMORY.place(block)}
        document.pop("consolidated_metadata", None)
        found["/".join(filter(None, (node.path, "zarr.json")))] = json.dumps(document).encode()
    return found
