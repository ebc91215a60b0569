"""Measurement of one block of level 0, and its projection to the whole write."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MeasuredBlock"]


@dataclass(frozen=True)
class MeasuredBlock:
    """One block of level 0, read, reduced and encoded; seconds are wall time, with all threads at work."""

    threads: int
    """Worker threads that the write would use."""
    block_bytes: int
    """Uncompressed bytes of level 0 in the block."""
    read_seconds: float
    """Time to read its window; for a Dask array, to compute it and its levels."""
    reduce_seconds: float
    """Time to compute the levels of the first stage from it."""
    encode_seconds: float
    """Time to encode and store these, with the default codec, in a temporary directory."""
    encoded_bytes: int
    """Uncompressed bytes of these levels in the block."""
    stored_bytes: int
    """Bytes of these levels in the store."""
    seconds: float
    """Projected wall time of the write."""
    projected_bytes: int
    """Projected bytes in the store, of all levels."""

    @property
    def ratio(self) -> float:
        """Compression ratio of the block; infinite where it is empty, so that nothing is stored."""
        return self.encoded_bytes / self.stored_bytes if self.stored_bytes else float("inf")
