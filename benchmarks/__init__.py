"""Benchmarks: run as ``python -m benchmarks.NAME``; each runs once, tiny, as a test."""
