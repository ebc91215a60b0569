"""The directory of a zip file: its members by key, checked before any is read."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msi_lazy.storage.archive_bytes import as_stream
from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msi_lazy.storage.archive_bytes import FileBytes

__all__ = ["MOST_MEMBERS", "ArchiveError", "ArchiveIndex", "Member", "read_index"]

MOST_MEMBERS = 1_000_000
"""Most members of a zip file that is written or read; their directory is held in memory."""
_MOST_DIRECTORY = 2**27
"""Most bytes of the directory of a zip file that is read."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ArchiveError(ValueError):
    """A zip file, or a member of one, that is damaged, or made to harm."""


@dataclass(frozen=True)
class Member:
    """A file in a zip file."""

    name: str
    """Path in the zip file."""
    at: int
    """Offset of its header."""
    stored: int
    """Bytes that it takes in the zip file."""
    size: int
    """Bytes of its content."""
    checksum: int
    """CRC-32 of its content."""
    is_deflated: bool
    """Whether it is compressed."""


@dataclass(frozen=True)
class ArchiveIndex:
    """Members of a zip file, as keys of a store."""

    members: dict[str, Member] = field(default_factory=dict)
    """Members by path."""
    root: str = ""
    """Folder that the only Zarr hierarchy lies in, if it is not at the root; ends with ``/`` then."""
    below: dict[str, dict[str, None]] = field(default_factory=dict)
    """Names directly below each folder, in the order of the members."""

    @classmethod
    def of(cls, members: dict[str, Member]) -> ArchiveIndex:
        """Index members by the folders above them."""
        below: dict[str, dict[str, None]] = {"": {}}
        for path in members:
            child = path
            while child:
                parent, _, name = child.rpartition("/")
                known = parent in below
                below.setdefault(parent, {})[name] = None
                child = "" if known else parent
        return cls(members, _find_root(members), below)

    def find(self, key: str) -> Member | None:
        """Find the member of a key: a path in the zip file, or below the root of its hierarchy."""
        return self.members.get(key) or (self.members.get(self.root + key) if self.root else None)

    def names(self, path: str) -> list[str]:
        """Names directly below a path."""
        found = self.below.get(path) if path or not self.root else None
        return list(found if found is not None else self.below.get((self.root + path).rstrip("/"), ()))

    def all_keys(self) -> Iterator[str]:
        """Keys of the hierarchy."""
        return (path.removeprefix(self.root) for path in self.members if path.startswith(self.root))


def _find_root(paths: Iterable[str]) -> str:
    """Find the one folder that all nodes lie in, if it is a node itself; many tools zip a folder, not what is in it."""
    documents = (path.rpartition("/") for path in paths)
    nodes = sorted({folder for folder, _, name in documents if name in ZARR_DOCUMENTS})
    first = next(iter(nodes), "")
    return f"{first}/" if first and all(f"{node}/".startswith(f"{first}/") for node in nodes) else ""


def read_index(file: FileBytes) -> ArchiveIndex:
    """Read the directory of a zip file, and refuse one that contradicts itself.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ArchiveError
        It is no zip file, a part of one, or has members that no tool that packs an image writes.
    """
    try:
        with as_stream(file, _MOST_DIRECTORY) as stream:
            found = zipfile.ZipFile(stream).infolist()
    except (zipfile.BadZipFile, NotImplementedError, OverflowError, EOFError) as error:
        if isinstance(error.__context__, OSError):  # the disk or the network is at fault
            raise error.__context__ from None
        fault = f"is no zip file, or not a whole one ({error}); copy or pack it again"
        raise ArchiveError(f"{file.name} {fault}") from error
    size, members = file.size(), {}
    for info in found:
        if info.is_dir():
            continue
        path = info.filename.removeprefix("./")
        _check_path(file, path)
        if path in members:
            raise ArchiveError(
                f"{file.name} holds {path!r} twice, and readers differ in which of the two they take; unpack it, and "
                f"pack it again, or give zarr.storage.ZipStore(...), which takes the last"
            )
        deflated = info.compress_type == zipfile.ZIP_DEFLATED
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            raise ArchiveError(f"{file.name} holds {path!r} encrypted, or in an unusual compression; pack it without")
        inside = 0 <= info.header_offset <= size - info.compress_size
        if not inside or (not deflated and info.compress_size != info.file_size):
            raise ArchiveError(f"{file.name} has a directory that does not fit its contents ({path!r}); copy it again")
        members[path] = Member(
            info.filename, info.header_offset, info.compress_size, info.file_size, info.CRC, deflated
        )
    return ArchiveIndex.of(members)


def _check_path(file: FileBytes, path: str) -> None:
    """Refuse a path that leads out of a folder in which the zip file is unpacked."""
    if path.startswith("/") or set(path) & set("\\\0") or ".." in PurePosixPath(path).parts or not path:
        raise ArchiveError(f"{file.name} holds {path!r}, a path that leads out of it, and is not read; pack it again")
