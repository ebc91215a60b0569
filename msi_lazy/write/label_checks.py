"""Checks of label images against the image that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zarr

from msi_lazy.ngff.label_attributes import check_label_method, check_labels
from msi_lazy.source.origins import innermost_array
from msi_lazy.source.sources import find_source
from msi_lazy.tree.read_plan import level_images

if TYPE_CHECKING:
    import xarray as xr

    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.write.job import ImageJob

__all__ = ["check_label_job"]


def check_label_job(job: ImageJob, image: PyramidPlan, name: str) -> None:
    """Refuse labels that do not lie on the image, or whose levels hold invented ones.

    Raises as :func:`msi_lazy.ngff.label_attributes.check_labels` and ``check_label_method``.
    """
    check_labels(job.plan, image, name)
    built = bool((job.plan.untransposed or job.plan).stages)
    check_label_method(job.plan, name, certain=built or all(map(_is_stored, level_images(job.tree))))


def _is_stored(image: xr.DataArray) -> bool:
    """Tell whether an image is an array in a Zarr store, and nothing was done to it."""
    return isinstance(innermost_array(find_source(image)), zarr.Array)
