"""Maintenance of stored images: verify, repair, update."""
