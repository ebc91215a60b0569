"""Sources that level 0 is read from."""
