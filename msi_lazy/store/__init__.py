"""Stores: creating, writing, opening.  The one room that writes Zarr and computes."""
