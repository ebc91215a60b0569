"""Downsampling methods: a table of rows, and the kernels they name.  Arrays, no Dask."""

from msi_lazy.methods.names import Methods
from msi_lazy.methods.row import Method
from msi_lazy.methods.table import method_names, register_method, resolve_method

__all__ = ["Method", "Methods", "method_names", "register_method", "resolve_method"]
