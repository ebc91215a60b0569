"""Stored images in a browser: an HTTP server on this machine alone, and Neuroglancer."""

from msi_lazy.show.viewer.viewer import Viewer, view, view_tree

__all__ = ["Viewer", "view", "view_tree"]
