"""Places, arrays, ledgers: the only room that opens Zarr nodes."""
