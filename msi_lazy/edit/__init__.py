"""Edits of every level of a pyramid at once."""

from msi_lazy.edit.levels import skip_non_dimension_nodes
from msi_lazy.edit.operations import assign_coords, reindex_data_arrays, transpose

__all__ = ["assign_coords", "reindex_data_arrays", "skip_non_dimension_nodes", "transpose"]
