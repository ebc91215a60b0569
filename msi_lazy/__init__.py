"""Lazy, Dask-native multiscale image pyramids, written as OME-Zarr in one computation."""

import logging
from typing import Any

from msi_lazy.accessor import PyramidAccessor, register_accessors
from msi_lazy.api.add_levels import add_levels
from msi_lazy.api.build import open_multiscale, to_multiscale
from msi_lazy.api.maintain import update, verify
from msi_lazy.api.pack import pack
from msi_lazy.api.plates import Plate, Well, open_plate
from msi_lazy.api.upgrade import upgrade
from msi_lazy.api.write import to_zarr, write_labels
from msi_lazy.api.write_plate import write_plate
from msi_lazy.errors import (
    DiskSpaceError,
    LeaseLostError,
    MemoryLimitError,
    ResumeError,
    StoreExistsError,
    TargetInUseError,
    UnfinishedImageError,
    UnsupportedImageError,
)
from msi_lazy.inputs.itk_image import itk_image_to_multiscale
from msi_lazy.inputs.pyimagej import from_pyimagej
from msi_lazy.inputs.spatial_image import to_spatial_image
from msi_lazy.maintain.findings import VerifyReport
from msi_lazy.maintain.run_upgrade import UpgradeReport
from msi_lazy.methods import Method, Methods, register_method
from msi_lazy.plan.pyramid import PyramidPlan
from msi_lazy.show.explanation import explain
from msi_lazy.show.napari import napari_layer
from msi_lazy.show.viewer import Viewer, view
from msi_lazy.tree.map_levels import skip_non_dimension_nodes
from msi_lazy.validation import ValidationReport, validate

__all__ = [
    "DiskSpaceError",
    "LeaseLostError",
    "MemoryLimitError",
    "Method",
    "Methods",
    "Plate",
    "PyramidAccessor",
    "PyramidPlan",
    "ResumeError",
    "StoreExistsError",
    "TargetInUseError",
    "UnfinishedImageError",
    "UnsupportedImageError",
    "UpgradeReport",
    "ValidationReport",
    "VerifyReport",
    "Viewer",
    "Well",
    "__version__",
    "add_levels",
    "explain",
    "from_pyimagej",
    "itk_image_to_multiscale",
    "napari_layer",
    "open_multiscale",
    "open_plate",
    "pack",
    "register_method",
    "skip_non_dimension_nodes",
    "to_multiscale",
    "to_spatial_image",
    "to_zarr",
    "update",
    "upgrade",
    "validate",
    "verify",
    "view",
    "write_labels",
    "write_plate",
]

register_accessors()
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Look up ``__version__`` only on demand: the metadata of the installed package are a file to read."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("msi-lazy")


def __dir__() -> list[str]:
    return sorted(__all__)
