"""Downsampling methods: a table of rows, and the kernels they name.  Arrays, no Dask."""

from msi_lazy.methods.table import Method, Methods, method_names, resolve_method

__all__ = ["Method", "Methods", "method_names", "resolve_method"]
