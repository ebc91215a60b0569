"""Images of other libraries."""

from msi_lazy.interop.itk_image import itk_image_to_multiscale
from msi_lazy.interop.napari import napari_layer
from msi_lazy.interop.pyimagej import from_pyimagej

__all__ = ["from_pyimagej", "itk_image_to_multiscale", "napari_layer"]
