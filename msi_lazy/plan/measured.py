"""What was measured on one block of level 0, and what it says of the whole write."""

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
    """Reading its window; of a Dask array, computing it, levels and all."""
    reduce_seconds: float
    """Making the levels of the first stage from it."""
    encode_seconds: float
    """Encoding and storing these, with the default codec, in a temporary directory."""
    encoded_bytes: int
    """Uncompressed bytes of the block's part of these levels."""
    stored_bytes: int
    """What they take when they are stored."""
    seconds: float
    """Projected wall time of the write."""
    projected_bytes: int
    """Projected bytes in the store, of all levels."""

    @property
    def ratio(self) -> float:
        """Compression ratio of the block; infinite where it is empty, so that nothing is stored."""
        return self.encoded_bytes / self.stored_bytes if self.stored_bytes else float("inf")
