"""Packing a hierarchy of local files into a zip file (RFC-9): stored, and the metadata first.

The zip file of the same files has the same bytes: no times, owners or orders of directories get into it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from msi_lazy.compat.file_sync import sync_directory
from msi_lazy.storage.archive_index import MOST_MEMBERS
from msi_lazy.storage.ledger import LEDGER
from msi_lazy.storage.partial_files import is_partial
from msi_lazy.storage.zarr_formats import ZARR_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedRandom

    from msi_lazy.ngff.specification import Specification

__all__ = ["find_unfinished", "list_members", "odd_files", "pack_directory"]

_NO_TIME = (1980, 1, 1, 0, 0, 0)
"""Time of every member: the first that a zip file can state."""
_MODE = (stat.S_IFREG | 0o644) << 16
_AT_ONCE = 2**20
_NOT_PACKED = re.compile(r"\..*msi_lazy-.*|\.DS_Store|Thumbs\.db|desktop\.ini|\._.*", re.DOTALL)
"""Names of ledgers, manifests and notes, which are for what is changed, and of what desktops leave."""
_END = struct.Struct("<4sHHHHIIH")
"""End record: signature, disks, members on this disk and in all, bytes and offset of the directory, comment."""
_END_64 = struct.Struct("<4sQHHIIQQQQ")
"""The same of Zip64, with the versions that made it, and are needed; and its own length, after the signature."""
_LOCATOR_64 = struct.Struct("<4sIQI")
"""Where that is: the disk, the offset, and the number of disks."""
_VERSION = 45
"""Version of the format that has Zip64."""


def list_members(directory: Path) -> list[str]:
    """List the files of a hierarchy in the order of a zip file: metadata from the root down, then chunks."""
    found = []
    for folder, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if not _NOT_PACKED.fullmatch(name)]
        below = os.path.relpath(folder, directory).replace(os.sep, "/")
        names = (name for name in files if not _NOT_PACKED.fullmatch(name) and not is_partial(directory / name))
        found += [name if below == "." else f"{below}/{name}" for name in names]
    return sorted(found, key=_rank)


def find_unfinished(directory: Path) -> Path | None:
    """Find the ledger or note of a write, or an update, in a hierarchy, that has not finished; ``None`` without."""
    for folder, folders, files in os.walk(directory):
        found = next((name for name in (*folders, *files) if LEDGER in name), None)
        if found is not None:
            return Path(folder, found)
    return None


def odd_files(directory: Path) -> Iterator[Path]:
    """Find what cannot be packed in a hierarchy: links to directories, and to nothing, and what is no regular file."""
    for folder, folders, files in os.walk(directory):
        yield from (Path(folder, name) for name in folders if Path(folder, name).is_symlink())
        yield from (Path(folder, name) for name in files if not Path(folder, name).is_file())


def _rank(path: str) -> tuple[bool, int, list[str]]:
    folder, _, name = path.rpartition("/")
    is_document = name in ZARR_DOCUMENTS
    parts = [part.zfill(20) if part.isdigit() else part for part in path.split("/")]
    return not is_document, folder.count("/") + bool(folder) if is_document else 0, parts


def pack_directory(directory: Path, archive: Path, specification: Specification) -> None:
    """Pack the hierarchy in a directory into a new zip file, which is on disk when this returns.

    Parameters
    ----------
    directory
        Its root.
    archive
        Path of the zip file; what is there is overwritten.
    specification
        OME-Zarr version, which the comment of the zip file states if it is one of Zarr v3.

    Raises
    ------
    ValueError
        There are more files than a zip file is read with.
    """
    members = list_members(directory)
    if len(members) > MOST_MEMBERS:
        raise ValueError(f"{directory} has {len(members):,} files, and a zip file at most {MOST_MEMBERS:,}: use shards")
    with archive.open("w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
            for path in members:
                info = zipfile.ZipInfo(path, _NO_TIME)
                info.external_attr, info.create_system = _MODE, 3
                with (directory / path).open("rb") as source, packed.open(info, "w", force_zip64=True) as member:
                    shutil.copyfileobj(source, member, _AT_ONCE)
            packed.comment = comment = _comment(specification) if specification.fits(3) else b""
        _add_zip64(file, _END.size + len(comment))
        file.flush()
        os.fsync(file.fileno())
    sync_directory(archive.parent)


def _comment(specification: Specification) -> bytes:
    """Comment of a zip file whose metadata come first, as RFC-9 has it."""
    about = {"version": specification.version, "zipFile": {"centralDirectory": {"jsonFirst": True}}}
    return json.dumps(specification.place(about)).encode()


def _add_zip64(file: BufferedRandom, length: int) -> None:
    """Put the end record of Zip64 before the plain one of a length: Python writes it where it has to, only."""
    at = file.seek(-length, os.SEEK_END)
    last = file.read()
    file.seek(at - _LOCATOR_64.size)
    if file.read(4) == b"PK\6\7":
        return
    _, _, _, _, members, size, offset, _ = _END.unpack_from(last)
    file.seek(at)
    own = _END_64.size - 12  # less its signature and this number
    file.write(_END_64.pack(b"PK\6\6", own, _VERSION, _VERSION, 0, 0, members, members, size, offset))
    file.write(_LOCATOR_64.pack(b"PK\6\7", 0, at, 1) + last)
