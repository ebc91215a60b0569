"""Lazy, Dask-native multiscale image pyramids, written as OME-Zarr in one computation."""

from msi_lazy.accessor import PyramidAccessor, register_accessors
from msi_lazy.api import explain, open_multiscale, to_multiscale
from msi_lazy.edit import skip_non_dimension_nodes
from msi_lazy.errors import (
    MemoryLimitError,
    ResumeError,
    StoreExistsError,
    UnfinishedImageError,
    UnsupportedImageError,
)
from msi_lazy.extend import add_levels
from msi_lazy.image import to_spatial_image
from msi_lazy.interop import from_pyimagej, itk_image_to_multiscale, napari_layer
from msi_lazy.methods import Method, Methods, register_method
from msi_lazy.output import to_zarr, write_labels
from msi_lazy.plan.pyramid import PyramidPlan
from msi_lazy.store.findings import VerifyReport
from msi_lazy.upkeep import update, verify
from msi_lazy.validation import ValidationReport, validate
from msi_lazy.viewer import Viewer, view

__all__ = [
    "MemoryLimitError",
    "Method",
    "Methods",
    "PyramidAccessor",
    "PyramidPlan",
    "ResumeError",
    "StoreExistsError",
    "UnfinishedImageError",
    "UnsupportedImageError",
    "ValidationReport",
    "VerifyReport",
    "Viewer",
    "add_levels",
    "explain",
    "from_pyimagej",
    "itk_image_to_multiscale",
    "napari_layer",
    "open_multiscale",
    "register_method",
    "skip_non_dimension_nodes",
    "to_multiscale",
    "to_spatial_image",
    "to_zarr",
    "update",
    "validate",
    "verify",
    "view",
    "write_labels",
]

register_accessors()
