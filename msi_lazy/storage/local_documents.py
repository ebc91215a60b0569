"""Documents and small chunks in local files, stored by the thread that calls.

zarr hands each key to a thread of its own, which takes ten times as long as the file does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore

from msi_lazy.storage.partial_files import partial_name
from msi_lazy.storage.regular_files import RegularStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zarr.abc.buffer import Buffer
    from zarr.abc.store import Store

__all__ = ["store_locally", "takes_files"]


def takes_files(store: Store) -> bool:
    """Tell whether what is stored in ``store`` is a file, and nothing else is done with it."""
    return type(store) in (LocalStore, RegularStore) and not store.read_only


def store_locally(
    store: Any, contents: Mapping[str, Buffer], rank: Callable[[str], Any] = len, *, unseen: bool = False
) -> None:
    """Store buffers by key, lower ranks first; each file is the old one or the new one, as zarr's own are.

    With ``unseen``, nobody reads them yet: those that are new are written in place, in half the time.
    """
    made: set[str] = set()
    for key in sorted(contents, key=rank):
        path = os.path.join(store.root, key)
        folder = os.path.dirname(path)
        if folder not in made:
            _make_directory(folder)
            made.add(folder)
        content = contents[key].as_numpy_array().data
        if not (unseen and _create(path, content)):
            partial = partial_name(os.path.splitext(path)[0])
            _create(partial, content)
            os.replace(partial, path)


def _make_directory(folder: str) -> None:
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)


def _create(path: str, content: Any) -> bool:
    """Create a file, and return whether there was none."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except FileExistsError:
        return False
    try:
        left = memoryview(content).cast("B")
        while left:
            left = left[os.write(file, left) :]
    finally:
        os.close(file)
    return True
