"""Dask graphs: sources, stages, fusion.  The one room that builds them."""
