"""OME-Zarr attributes, written and read."""
