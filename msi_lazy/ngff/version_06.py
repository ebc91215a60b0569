"""OME-Zarr 0.6: as 0.5, but axes are in coordinate systems, and the version is stated once, under ``ome``."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from msi_lazy.ngff import version_05
from msi_lazy.ngff.coordinate_systems import arrange, flatten
from msi_lazy.ngff.multiscale_form import append_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.axes import Axis
    from msi_lazy.ngff.specification import Block
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["append", "write"]


def write(plan: PyramidPlan, members: Block, version: str) -> dict[str, Any]:
    """Compose the block of an image; it is checked by the models of 0.5, as those of 0.6 need Python 3.12."""
    block = version_05.write(plan, members, "0.5")
    described = {axis.name: _describe(axis) for axis in plan.axes}
    for image in block["multiscales"]:
        image["axes"] = [{**axis, **described[axis["name"]]} for axis in image["axes"]]
    block |= {"version": version, "multiscales": [arrange(image) for image in block["multiscales"]]}
    if "image-label" in block:
        block["image-label"] = {name: value for name, value in block["image-label"].items() if name != "version"}
    return block


def _describe(axis: Axis) -> dict[str, Any]:
    """Members of an axis that older versions do not have; its orientation in the body is that of RFC-4."""
    stated = {
        "discrete": axis.kind == "channel" or None,
        "longName": axis.long_name,
        "orientation": axis.orientation and {"type": "anatomical", "value": axis.orientation},
    }
    return {name: value for name, value in stated.items() if value is not None}


def append(block: Block, plan: PyramidPlan, paths: Sequence[str]) -> dict[str, Any]:
    """Append the levels of ``plan``, except the first, in arrays at ``paths``, to the block of an image."""
    flat = {**deepcopy(dict(block)), "multiscales": [flatten(image) for image in block["multiscales"]]}
    appended = append_levels(flat, plan, paths)
    return {**appended, "multiscales": [arrange(image) for image in appended["multiscales"]]}
