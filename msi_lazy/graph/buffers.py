"""Arrays that the tasks of a write compute in: each thread allocates them once, and uses them block after block."""

from __future__ import annotations

from contextlib import contextmanager
from math import prod
from threading import local
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from msi_lazy.compat.heap_reserve import HeapReserve
from msi_lazy.methods.lending import fresh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msi_lazy.methods.lending import Lend

__all__ = ["BlockBuffers", "ThreadBuffers"]

Array = np.ndarray[Any, Any]


class ThreadBuffers:
    """Buffers of one thread."""

    def __init__(self, reserve: int) -> None:
        self.in_use = False
        self._arrays: dict[str, Array] = {}
        self._reserve = HeapReserve(reserve)

    def lend(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Lend the array of this name; its samples are what they were."""
        nbytes = prod(shape) * dtype.itemsize
        held = self._arrays.get(name)
        if held is None or held.nbytes < nbytes:
            self._arrays.pop(name, None)  # before there are two
            held = self._arrays[name] = np.empty(nbytes, np.uint8)
        return held[:nbytes].view(dtype).reshape(shape)

    def clear(self) -> None:
        """Give all memory back."""
        self._arrays.clear()
        self._reserve.close()


class BlockBuffers:
    """Buffers of a write in one process: pickled to another one, they begin empty there.

    Those of a thread are freed when it ends, when they are released, or with this object.

    Parameters
    ----------
    reserve
        Bytes of each thread's heap to reserve for the codecs.
    """

    def __init__(self, reserve: int = 0) -> None:
        self._reserve = reserve
        self._mine = local()
        self._all: WeakSet[ThreadBuffers] = WeakSet()

    def __reduce__(self) -> Any:
        """Pickle no buffer."""
        return BlockBuffers, (self._reserve,)

    @contextmanager
    def lent(self) -> Iterator[Lend]:
        """Lend this thread's buffers for one block, which returns nothing that lies in them."""
        mine: ThreadBuffers | None = getattr(self._mine, "buffers", None)
        if mine is None:
            mine = self._mine.buffers = ThreadBuffers(self._reserve)
            self._all.add(mine)
        if mine.in_use:  # by a task that computes this one
            yield fresh
            return
        mine.in_use = True
        try:
            yield mine.lend
        except BaseException:
            mine.clear()
            raise
        finally:
            mine.in_use = False

    def release(self) -> None:
        """Free the buffers of all threads of this process, none of which computes a block any more."""
        for buffers in list(self._all):
            buffers.clear()
