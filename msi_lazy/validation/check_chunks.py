"""Rule that stored chunks can be decoded.  A missing chunk is the fill value, and no fault."""

from __future__ import annotations

import reprlib
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from msi_lazy.plan.block_names import window_text
from msi_lazy.plan.grid import Grid
from msi_lazy.storage.checked_read import find_unreadable, try_read
from msi_lazy.storage.store_errors import is_store_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import zarr

    from msi_lazy.plan.windows import Window
    from msi_lazy.validation.checks import Checks

__all__ = ["DECODE", "Decode", "check_chunks"]

Decode = Literal["sample", "all", "none"]
DECODE: tuple[Decode, ...] = ("sample", "all", "none")

_BLOCK_BYTES = 64 * 2**20
"""Most bytes to read at once: enough for the codecs to spread over threads."""


def check_chunks(checks: Checks, array: zarr.Array[Any], decode: Decode) -> None:
    """Read chunks of an array: the first, the middle and the last, or all of them, a block at a time."""
    if decode == "none" or 0 in array.shape:
        return
    # a shard is the stored unit; it is read whole, unless it is too large
    shard = array.shards if prod(array.shards or ()) * array.dtype.itemsize <= _BLOCK_BYTES else None
    chunks = Grid(array.shape, tuple(max(n, 1) for n in shard or array.chunks))
    unit = "shards" if shard else "chunks"
    if decode == "sample":
        windows: Iterable[Window] = _sample(chunks)
        read = f"of the {unit} that were read"
    else:
        blocks = _blocks(chunks, array.dtype.itemsize)
        windows = map(blocks.window, blocks.indices())
        read = f"of {chunks.count} {unit}"
    found = [fault for window in windows for fault in _faults(array, window, chunks)]
    unread, faults = ([text for failed, text in found if failed is wanted] for wanted in (True, False))
    if unread:
        checks.unread(
            f"{len(unread)} {read} could not be read, as the store failed: {'; '.join(unread[:3])}"
            f"{'; ...' if len(unread) > 3 else ''}; they may be sound: try again"
        )
    fault = (
        f"{len(faults)} {read} cannot be decoded: {'; '.join(faults[:3])}{'; ...' if len(faults) > 3 else ''}; write "
        f"them again, or delete them so that the fill value is read"
    )
    if faults or not unread:
        checks.hold("chunk-decodes", not faults, fault)


def _sample(chunks: Grid) -> Iterable[Window]:
    """Windows of the first, the middle and the last chunk."""
    middle, last = tuple(n // 2 for n in chunks.counts), tuple(n - 1 for n in chunks.counts)
    return dict.fromkeys(map(chunks.window, [(0,) * len(last), middle, last]))


def _faults(array: zarr.Array[Any], window: Window, chunks: Grid) -> Iterator[tuple[bool, str]]:
    """Read some chunks at once, and one by one where that fails; tell of each fault whether it is the store's."""
    if not isinstance(try_read(array, window, chunks), Exception):
        return
    for index, error in find_unreadable(array, window, chunks):
        text = f"{window_text(chunks.window(index))} ({type(error).__name__}: {reprlib.repr(str(error))})"
        yield is_store_error(error), text


def _blocks(chunks: Grid, itemsize: int) -> Grid:
    """Blocks of whole chunks, grown along the last axes first.

    Examples
    --------
    >>> _blocks(Grid((1000, 1024, 1024), (64, 256, 256)), itemsize=2).part
    (64, 512, 1024)
    """
    block = list(chunks.part)
    for axis in reversed(range(len(block))):
        room = max(_BLOCK_BYTES // (prod(block) * max(itemsize, 1)), 1)
        block[axis] *= min(room, chunks.counts[axis])
    return Grid(chunks.extents, tuple(block))
