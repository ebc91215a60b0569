"""OME-Zarr 0.5: the block of a group is its attribute ``ome``, which states the version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.ngff.multiscale_form import check_members, compose_multiscale

if TYPE_CHECKING:
    from msi_lazy.ngff.specification import Block
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["write"]


def write(plan: PyramidPlan, members: Block, version: str) -> dict[str, Any]:
    """Compose the block of an image; the models of the specification check it, and ``members``."""
    from ome_zarr_models.v05.image import ImageAttrs
    from ome_zarr_models.v05.image_label_types import Label

    image = ImageAttrs.model_validate({"version": version, "multiscales": [compose_multiscale(plan)]})
    return {**image.model_dump(mode="json", exclude_none=True), **check_members(members, version, Label)}
