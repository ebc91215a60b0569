"""Looking after stored images: verify, repair, update."""
