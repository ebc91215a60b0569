"""Stores that nobody can see through, and wrappers whose class says nothing of their keys."""

from zarr.abc.store import Store
from zarr.storage import WrapperStore


class RenamedStore(WrapperStore):
    """A wrapper of a user's own, which leaves keys as they are."""


class OpaqueStore(Store):
    """A store of a user's own, over another one."""

    supports_writes = supports_deletes = supports_listing = True

    def __init__(self, inner, *, read_only=False):
        super().__init__(read_only=read_only)
        self.behind = inner

    def with_read_only(self, read_only=False):
        return type(self)(self.behind.with_read_only(read_only), read_only=read_only)

    def __eq__(self, other):
        return isinstance(other, OpaqueStore) and self.behind == other.behind

    __hash__ = None

    async def get(self, key, prototype=None, byte_range=None):
        return await self.behind.get(key, prototype, byte_range)

    async def get_partial_values(self, prototype, key_ranges):
        return await self.behind.get_partial_values(prototype, key_ranges)

    async def exists(self, key):
        return await self.behind.exists(key)

    async def set(self, key, value):
        await self.behind.set(key, value)

    async def delete(self, key):
        await self.behind.delete(key)

    def list(self):
        return self.behind.list()

    def list_prefix(self, prefix):
        return self.behind.list_prefix(prefix)

    def list_dir(self, prefix):
        return self.behind.list_dir(prefix)
