"""Lazy, Dask-native multiscale image pyramids, written as OME-Zarr in one computation."""

from msi_lazy.accessor import PyramidAccessor, register_accessors
from msi_lazy.api import explain, open_multiscale, to_multiscale, to_zarr
from msi_lazy.errors import MemoryLimitError, StoreExistsError, UnsupportedImageError
from msi_lazy.image import to_spatial_image
from msi_lazy.methods import Method, Methods
from msi_lazy.plan.pyramid import PyramidPlan

__all__ = [
    "MemoryLimitError",
    "Method",
    "Methods",
    "PyramidAccessor",
    "PyramidPlan",
    "StoreExistsError",
    "UnsupportedImageError",
    "explain",
    "open_multiscale",
    "to_multiscale",
    "to_spatial_image",
    "to_zarr",
]

register_accessors()
