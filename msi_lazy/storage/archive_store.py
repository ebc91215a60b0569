"""Zip files as stores: members are read in parts, by several threads at once, from this machine or behind a URL."""

from __future__ import annotations

import asyncio
import struct
import zlib
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.buffer import default_buffer_prototype

from msi_lazy.storage.archive_bytes import FileBytes, LocalFile, RemoteFile
from msi_lazy.storage.archive_index import ArchiveError, ArchiveIndex, read_index
from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from zarr.abc.buffer import Buffer, BufferPrototype
    from zarr.abc.store import ByteRequest

    from msi_lazy.storage.archive_index import Member

__all__ = ["ARCHIVE_SUFFIXES", "ArchiveStore", "is_archive"]

ARCHIVE_SUFFIXES = (".ozx", ".zip")
"""Ends of the names of zip files."""
_INSIDE = ("zip", "tar", "libarchive")
"""Protocols of fsspec whose URLs name something inside a file."""
_HEADER = struct.Struct("<4s22xHH")
"""Signature, and lengths of name and extra field, in the header of a member."""
_SLACK = 128
"""Bytes that are read beyond a member, as the length of its extra field is not known."""
_MOST_INFLATED = 2**29
"""Most bytes that a compressed member is inflated to."""
_AT_ONCE = 2**16
"""Bytes below which a checksum takes no longer than to hand it to a thread."""
_MOST_DOCUMENT = 2**26
"""Most bytes of a document of metadata."""


def is_archive(name: str) -> bool:
    """Tell whether a path or URL is that of a zip file: by its suffix, or by its first bytes if it is a local file.

    Examples
    --------
    >>> is_archive("https://host/a.ozx?token=5"), is_archive("/data/a.ome.zarr.ZIP"), is_archive("a.zarr")
    (True, True, False)
    """
    if "://" in name:
        if name.partition(":")[0] in _INSIDE:
            return False
        of_web = name.startswith(("http://", "https://"))  # others have no queries
        return (urlsplit(name).path if of_web else name).lower().endswith(ARCHIVE_SUFFIXES)
    path = Path(name)
    try:
        if path.is_dir():
            return False
        if path.is_file():
            with path.open("rb") as file:
                if file.read(4) in (b"PK\3\4", b"PK\5\6"):
                    return True
    except OSError:  # it is opened where there is someone to tell
        pass
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


class ArchiveStore(Store):
    """Store of what is in a zip file, to be read; a zip file that is not there yet is an empty one."""

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, file: FileBytes) -> None:
        super().__init__(read_only=True)
        self.file = file
        self._index: ArchiveIndex | None = None
        self._contents: dict[str, int] = {}
        self._lock = Lock()

    @classmethod
    def at(cls, place: Path | str, options: Mapping[str, Any] | None = None) -> Self:
        """Return the store of a zip file at a path, or at a URL; nothing is opened."""
        return cls(LocalFile(place.absolute()) if isinstance(place, Path) else RemoteFile(place, options or {}))

    def __reduce__(self) -> Any:
        """Pickle the path or URL."""
        return type(self), (self.file,)

    def __str__(self) -> str:
        return self.file.name

    def __repr__(self) -> str:
        return f"ArchiveStore({self.file.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArchiveStore) and self.file.name == other.file.name

    def __hash__(self) -> int:
        return hash(self.file.name)

    @property
    def path(self) -> Path | None:
        """Path of the zip file, if it is on this machine."""
        return self.file.path if isinstance(self.file, LocalFile) else None

    @property
    def index(self) -> ArchiveIndex:
        """Directory of the zip file, read once; raises as :func:`msi_lazy.storage.archive_index.read_index`."""
        with self._lock:
            if self._index is None:
                try:
                    self._index = read_index(self.file)
                except FileNotFoundError:
                    if self.path is not None:  # it may be there soon
                        return ArchiveIndex.of({})
                    self._index = ArchiveIndex.of({})
            return self._index

    @property
    def has_parts(self) -> bool:
        """Whether parts of members can be read: none is compressed."""
        return not any(member.is_deflated for member in self.index.members.values())

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a store of the same file."""
        if not read_only:
            raise ValueError(f"{self} is a zip file, which is only read")
        return type(self)(self.file)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read the content of ``key``, or a part of it; ``None`` if there is none."""
        content = await self._read(key, byte_range)
        return None if content is None else (prototype or default_buffer_prototype()).buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of several contents."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Tell whether there is a ``key``."""
        return await asyncio.to_thread(lambda: self.index.find(key)) is not None

    async def getsize(self, key: str) -> int:
        """Count the bytes of the content of ``key``."""
        found = await asyncio.to_thread(lambda: self.index.find(key))
        if found is None:
            raise FileNotFoundError(key)
        return found.size

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to store anything."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse to delete anything."""
        self._check_writable()

    async def list(self) -> AsyncIterator[str]:
        """List all keys."""
        for key in (await asyncio.to_thread(lambda: self.index)).all_keys():
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List the keys that begin with ``prefix``."""
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the names directly below ``prefix``."""
        for name in (await asyncio.to_thread(lambda: self.index)).names(prefix.rstrip("/")):
            yield name

    async def _read(self, key: str, part: ByteRequest | None) -> bytes | None:
        index = await asyncio.to_thread(lambda: self.index) if self._index is None else self._index
        member = index.find(key)
        if member is None:
            return None
        if member.size > _MOST_DOCUMENT and key.rpartition("/")[2] in ZARR_DOCUMENTS:
            raise ArchiveError(f"{key!r} in {self} has {member.size:,} bytes: metadata have at most {_MOST_DOCUMENT:,}")
        if part is None:
            return await self._whole(member)
        start, stop = _bounds(part, member.size)
        if member.is_deflated:
            return (await self._whole(member))[start:stop]
        begin = self._contents.get(member.name)
        if begin is None:
            begin = self._begin(member, await self.file.fetch(member.at, member.at + _HEADER.size))
        return await self._exactly(member, begin + start, begin + stop)

    async def _whole(self, member: Member) -> bytes:
        """Read the content of a member, inflated, and compare its checksum."""
        begin = self._contents.get(member.name)
        if begin is None:
            guessed = member.at + _HEADER.size + len(member.name.encode()) + _SLACK
            end = min(guessed + member.stored, self.file.size())
            found = await self.file.fetch(member.at, end)
            begin = self._begin(member, found)
            content = found[begin - member.at :][: member.stored]
            if len(content) < member.stored:
                content += await self._exactly(member, begin + len(content), begin + member.stored)
        else:
            content = await self._exactly(member, begin, begin + member.stored)
        if member.size < _AT_ONCE:
            return self._checked(member, content)
        return await asyncio.to_thread(self._checked, member, content)

    def _checked(self, member: Member, content: bytes) -> bytes:
        content = _inflate(member, content, str(self)) if member.is_deflated else content
        if zlib.crc32(content) != member.checksum:
            raise ArchiveError(f"{member.name!r} in {self} is damaged: its checksum is another")
        return content

    def _begin(self, member: Member, header: bytes) -> int:
        """Offset of the content of a member, from its header."""
        if len(header) < _HEADER.size or not header.startswith(b"PK\3\4"):
            raise ArchiveError(f"{member.name!r} in {self} is damaged: there is no header of a member")
        _, name, extra = _HEADER.unpack_from(header)
        begin: int = member.at + _HEADER.size + name + extra
        self._contents[member.name] = begin
        return begin

    async def _exactly(self, member: Member, start: int, stop: int) -> bytes:
        found = await self.file.fetch(start, stop)
        if len(found) != stop - start:
            raise ArchiveError(f"{member.name!r} in {self} is damaged: it ends early")
        return found


def _bounds(part: ByteRequest, size: int) -> tuple[int, int]:
    """Find the first byte of a part, and the first beyond it."""
    if isinstance(part, RangeByteRequest):
        return min(part.start, size), min(part.end, size)
    if isinstance(part, OffsetByteRequest):
        return min(part.offset, size), size
    if isinstance(part, SuffixByteRequest):
        return max(0, size - part.suffix), size
    raise TypeError(f"unknown part of a file: {part!r}")


def _inflate(member: Member, content: bytes, where: str) -> bytes:
    """Inflate a member to the size that it has by the directory, and no further."""
    if member.size > _MOST_INFLATED:
        raise ArchiveError(
            f"{member.name!r} in {where} would be inflated to {member.size:,} bytes, and at most {_MOST_INFLATED:,} "
            f"are; pack it without compression"
        )
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.size + 1)
    if len(inflated) != member.size:
        raise ArchiveError(f"{member.name!r} in {where} is damaged: it does not inflate to {member.size:,} bytes")
    return inflated
