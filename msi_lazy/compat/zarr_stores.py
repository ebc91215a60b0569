"""Parts of zarr that are private or for coroutines only: keys of stores, and what a wrapper store wraps."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, WrapperStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from zarr.abc.buffer import Buffer
    from zarr.abc.store import Store

__all__ = [
    "copy_keys",
    "create_key",
    "delete_directory",
    "delete_key",
    "fetch_bytes",
    "key_exists",
    "key_info",
    "list_keys",
    "list_names",
    "read_key",
    "store_buffers",
    "store_bytes",
    "wrapped_store",
    "zarr_loop",
]

_AT_ONCE = 64
"""Most keys that are fetched at once."""


def key_exists(store: Store, key: str) -> bool:
    """Tell whether a store holds ``key`` now, whatever listings it remembers."""
    if isinstance(store, FsspecStore):
        store.fs.invalidate_cache()  # what other processes stored is not in its listings
    return bool(sync(store.exists(key)))


def list_names(store: Store, path: str) -> list[str]:
    """List the names directly below ``path`` in a store."""
    if isinstance(store, FsspecStore):
        store.fs.invalidate_cache()

    async def names() -> list[str]:
        return [name async for name in store.list_dir(path)]

    return [name.rstrip("/").rpartition("/")[2] for name in sync(names())]


def list_keys(store: Store, path: str) -> list[str]:
    """List all keys below ``path`` in a store."""
    if isinstance(store, FsspecStore):
        store.fs.invalidate_cache()
    prefix = f"{path}/" if path else ""

    async def keys() -> list[str]:
        return [key async for key in store.list_prefix(prefix)]

    return [key for key in sync(keys()) if key.startswith(prefix)]


def copy_keys(source: Store, target: Store, keys: Mapping[str, str], at_once: int = _AT_ONCE) -> None:
    """Copy bytes from one store to another, each key to that which ``keys`` gives for it, several at once.

    Raises
    ------
    FileNotFoundError
        A key is gone; names it.
    """
    prototype, limit = default_buffer_prototype(), asyncio.Semaphore(at_once)

    async def copy(key: str, to: str) -> None:
        async with limit:
            found = await source.get(key, prototype)
            if found is None:
                raise FileNotFoundError(f"{key!r} has gone from {source} while it was copied")
            await target.set(to, found)

    async def copy_all() -> None:
        listed = list(keys.items())
        for start in range(0, len(listed), _AT_ONCE * 16):  # tasks are made a part at a time
            await asyncio.gather(*(copy(*pair) for pair in listed[start : start + _AT_ONCE * 16]))

    sync(copy_all())


def read_key(store: Store, key: str) -> bytes | None:
    """Read the content of ``key``; ``None`` if the store has none."""
    found = sync(store.get(key, default_buffer_prototype()))
    return None if found is None else found.to_bytes()


def create_key(store: Store, key: str, content: bytes) -> None:
    """Store ``content`` under ``key`` where there is none.

    Stores of fsspec look first, so that another may be quicker.
    """
    if isinstance(store, FsspecStore):
        store.fs.invalidate_cache()
    sync(store.set_if_not_exists(key, default_buffer_prototype().buffer.from_bytes(content)))


def store_bytes(store: Store, key: str, content: bytes) -> None:
    """Store ``content`` under ``key``."""
    sync(store.set(key, default_buffer_prototype().buffer.from_bytes(content)))


def store_buffers(store: Store, contents: Mapping[str, Buffer], rank: Callable[[str], Any]) -> None:
    """Store buffers by key: those of one ``rank`` together, lower ranks first."""

    async def store_all() -> None:
        for _, keys in groupby(sorted(contents, key=rank), key=rank):
            await asyncio.gather(*(store.set(key, contents[key]) for key in keys))

    sync(store_all())


def fetch_bytes(store: Store, keys: Sequence[str]) -> list[bytes | None]:
    """Fetch the contents of ``keys``, several at once; ``None`` of those that are not there."""
    if isinstance(store, LocalStore):
        return [_file_content(Path(store.root, key)) for key in keys]
    prototype, limit = default_buffer_prototype(), asyncio.Semaphore(_AT_ONCE)

    async def fetch(key: str) -> bytes | None:
        async with limit:
            found = await store.get(key, prototype)
        return None if found is None else found.to_bytes()

    async def fetch_all() -> list[bytes | None]:
        return list(await asyncio.gather(*map(fetch, keys)))

    return sync(fetch_all())


def _file_content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def delete_key(store: Store, key: str) -> None:
    """Delete ``key``, if it is there."""
    files = _taken_for_pattern(store, key)
    sync(store.delete(key) if files is None else _delete_literally(*files, below=False))


def delete_directory(store: Store, path: str) -> None:
    """Delete every key below ``path``."""
    files = _taken_for_pattern(store, path)
    sync(store.delete_dir(path) if files is None else _delete_literally(*files, below=True))


def _taken_for_pattern(store: Store, key: str) -> tuple[Any, str] | None:
    """Return the file system of ``key``, and its path there, if the store would delete all that the path matches.

    Assumes that stores of fsspec delete by the file system's ``_rm``, which takes most paths for patterns.
    """
    inner = store
    while (wrapped := wrapped_store(inner)) is not None:
        inner = wrapped
    if not isinstance(inner, FsspecStore) or store.read_only:  # of which nothing is deleted
        return None
    path = _path_in_files(inner, key)
    return (inner.fs, path) if set("*?[") & set(path) else None


async def _delete_literally(files: Any, path: str, *, below: bool) -> None:
    """Delete the file at ``path``, or all that is below it, and nothing else that has such a name."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def delete(file: str) -> None:
        async with limit:
            with suppress(FileNotFoundError):
                await files._rm_file(file)

    files.invalidate_cache()
    found = await files._find(path, withdirs=True, detail=True) if below else {path: {}}
    folders = [name for name, details in found.items() if details.get("type") == "directory"]
    await asyncio.gather(*(delete(name) for name in found if name not in folders))
    for folder in sorted(folders, reverse=True):
        with suppress(OSError, NotImplementedError):  # object stores have none
            await files._rmdir(folder)


def key_info(store: FsspecStore, key: str) -> dict[str, Any]:
    """Return the details of ``key`` from its fsspec file system, which zarr needs to be asynchronous."""
    found: dict[str, Any] = sync(store.fs._info(_path_in_files(store, key)))
    return found


def _path_in_files(store: FsspecStore, key: str) -> str:
    """Return the path of ``key`` in the file system of its store."""
    return "/".join(filter(None, (store.path.rstrip("/"), key)))


def wrapped_store(store: Any) -> Any:
    """Return the store inside one of zarr's wrapper stores, which keep it private; ``None`` for any other store."""
    return store._store if isinstance(store, WrapperStore) else None


def zarr_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop on which zarr reads and writes, to which the open connections of stores belong."""

    async def running_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    return sync(running_loop())
