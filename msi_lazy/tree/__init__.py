"""Trees: from plan and arrays to an ``xarray.DataTree``, and back; selections and edits."""
