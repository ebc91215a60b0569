"""Parts of files of fsspec, without a thread that waits for each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["begin_fetch"]


def begin_fetch(files: Any, path: str, start: int, stop: int) -> Awaitable[bytes] | None:
    """Begin to read a part of a file on the event loop of its file system; ``None`` where that has none.

    Assumes that asynchronous file systems of fsspec run ``_cat_file``, the coroutine behind ``cat_file``, on ``loop``.
    """
    loop = getattr(files, "loop", None) if getattr(files, "async_impl", False) else None
    if loop is None:
        return None
    coroutine = files._cat_file(path, start=start, end=stop)
    return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))
