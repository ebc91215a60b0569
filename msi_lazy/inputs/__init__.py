"""Inputs: arrays, files, images of other libraries."""
