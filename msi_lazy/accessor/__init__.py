"""The ``.pyramid`` accessor of ``xarray.DataTree``."""

from msi_lazy.accessor.accessor import PyramidAccessor, register_accessors

__all__ = ["PyramidAccessor", "register_accessors"]
