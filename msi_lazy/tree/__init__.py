"""Plan and arrays to an ``xarray.DataTree``, and back; selections and edits of trees."""
