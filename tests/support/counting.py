"""Stores and arrays that count what is read of them, and written."""

from __future__ import annotations

from collections import Counter

from zarr.storage import WrapperStore


class CountingStore(WrapperStore):
    """A store that counts how often each chunk is read and written."""

    def __init__(self, store):
        super().__init__(store)
        self.reads = Counter()
        self.writes = Counter()
        self.bytes_read = 0

    def with_read_only(self, read_only=False):
        other = super().with_read_only(read_only)
        other.reads, other.writes = self.reads, self.writes
        return other

    async def get(self, key, *args, **kwargs):
        self.reads[key] += _is_chunk(key)
        found = await super().get(key, *args, **kwargs)
        self.bytes_read += len(found) if found is not None and _is_chunk(key) else 0
        return found

    async def get_ranges(self, key, byte_ranges, **options):  # of zarr 3.4: neighbouring ranges are one request
        async for group in super().get_ranges(key, byte_ranges, **options):
            self.reads[key] += _is_chunk(key)
            self.bytes_read += sum(len(found) for _, found in group if found is not None)
            yield group

    async def set(self, key, value):
        self.writes[key] += _is_chunk(key)
        await super().set(key, value)

    def chunk_reads(self):
        return +self.reads

    def chunk_writes(self, path=""):
        return Counter({key: n for key, n in (+self.writes).items() if key.startswith(path)})


def _is_chunk(key):
    """Tell chunks from metadata, and from ledgers and manifests."""
    return not key.rsplit("/", 1)[-1].startswith((".z", "zarr.json")) and ".msi_lazy-" not in key


class CountingArray:
    """Something sliceable that is no array, and counts what is asked of it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.samples = 0

    def __getitem__(self, key):
        part = self.array[key]
        self.samples += part.size
        return part

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole array was asked for")
