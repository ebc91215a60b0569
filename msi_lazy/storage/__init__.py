"""Places, arrays, ledgers.  Alone in opening Zarr."""
