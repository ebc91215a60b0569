"""Computing graphs, and showing how far they are."""
