"""Marks of blocks that are stored, by which an interrupted write is resumed.

The blocks of an image are numbered consecutively, grid after grid.  A grid is a stage where the tasks come straight
from the plan, and a level where they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.methods.lending import fresh

if TYPE_CHECKING:
    from dask.typing import Key

    from msi_lazy.methods.lending import Lend
    from msi_lazy.plan.slabs import BlockFlags
    from msi_lazy.storage.stored_units import StoredUnits

__all__ = [
    "BlockGrid",
    "BlockListeners",
    "BlockMarks",
    "Guard",
    "Listener",
    "check_writer",
    "mark_block",
    "number_blocks",
    "store_marked",
]

Index = tuple[int, ...]
Guard = Callable[[], object]
"""Called before a block is stored, and raises if it must not be; must pickle, as tasks hold it."""
Listener = Callable[[int, "Sequence[StoredUnits]"], object]
"""Called with the number of a block, and the chunks or shards stored, once all are; must pickle, as tasks hold it."""


@dataclass(frozen=True)
class BlockGrid:
    """Blocks that are numbered in C order, from ``first`` on."""

    first: int
    """Number of the first block."""
    counts: tuple[int, ...]
    """Blocks along each dimension."""

    def number(self, index: Index) -> int:
        """Return the number of the block at ``index``.

        Examples
        --------
        >>> BlockGrid(10, (2, 3)).number((1, 2))
        15
        """
        return self.first + int(np.ravel_multi_index(index, self.counts))

    def part_of(self, flags: BlockFlags) -> BlockFlags:
        """View the flags of these blocks among ``flags`` of all blocks, by number.

        Examples
        --------
        >>> BlockGrid(1, (2, 3)).part_of(np.array([True, False, False, True, False, False, False, True]))
        array([[False, False,  True],
               [False, False, False]])
        """
        return flags[self.first : self.first + prod(self.counts)].reshape(self.counts)


@dataclass(frozen=True)
class BlockListeners:
    """Who is asked before a block is stored, and told after it."""

    guards: tuple[Guard, ...] = ()
    """Asked whether the block may be stored."""
    listeners: tuple[Listener, ...] = ()
    """Told in this order: the ledger comes first."""


@dataclass(frozen=True)
class BlockMarks:
    """Blocks of one image, how they are marked once they are stored, and those that were stored before."""

    listeners: Key
    """Task that holds the :class:`BlockListeners`."""
    grids: tuple[BlockGrid, ...]
    """Blocks, as :func:`msi_lazy.graph.direct.block_geometry` lists them."""
    done: BlockFlags
    """Which blocks, by number, need not be stored again."""
    lossless: bool = True
    """Whether what is read back from the store is what was written."""
    slab: BlockFlags | None = None
    """Which blocks, by number, are stored now, if not all that are not done."""

    @property
    def any_left(self) -> bool:
        """True if any of the blocks is to be stored now."""
        parts = (grid.part_of(self.done if self.slab is None else ~self.slab | self.done) for grid in self.grids)
        return not all(part.all() for part in parts)


def check_writer(listeners: BlockListeners) -> None:
    """Raise if a block must not be stored, as the write is no longer its target's."""
    for guard in listeners.guards:
        guard()


def mark_block(
    listeners: BlockListeners, index: Index, stored: Sequence[StoredUnits | None], *, grid: BlockGrid
) -> None:
    """Mark a block, last of all, once it is ``stored``: what of each level, ``None`` of those that are kept."""
    try:
        units = [level for level in stored if level is not None]
        for listener in listeners.listeners:
            listener(grid.number(index), units)
    except Exception as error:
        error.add_note(f"while marking block {index} as stored")
        raise


def store_marked(
    block: Any,
    target: Any,
    listeners: BlockListeners,
    index: Index,
    *,
    store: Callable[..., StoredUnits | None],
    grid: BlockGrid,
    lends: bool,
    lend: Lend = fresh,
    **options: Any,
) -> None:
    """Store a block of one level, if the write is still its target's, and mark it.

    ``lends`` says whether nothing of the block is kept, so that it may be lent.
    """
    check_writer(listeners)
    mark_block(listeners, index, [store(block, target, index, lend=lend, **options)], grid=grid)


def number_blocks(counts: Sequence[Index], first: int = 0) -> tuple[BlockGrid, ...]:
    """Build grids of ``counts`` blocks along each dimension, numbered one after another from ``first``.

    Examples
    --------
    >>> number_blocks([(2, 3), (1, 1)])
    (BlockGrid(first=0, counts=(2, 3)), BlockGrid(first=6, counts=(1, 1)))
    """
    begins = accumulate(map(prod, counts), initial=first)
    return tuple(BlockGrid(begin, tuple(count)) for begin, count in zip(begins, counts, strict=False))
