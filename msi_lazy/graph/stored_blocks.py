"""Blocks computed from what the same write has stored: of the finer level, or of a computed source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.graph.block_tasks import join_pieces, reduce_block, reduce_window
from msi_lazy.methods.lending import fresh, prefixed
from msi_lazy.plan.block_names import naming_block
from msi_lazy.plan.memory import finer_window
from msi_lazy.storage.checked_read import read_window
from msi_lazy.storage.spill_folder import check_shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    import zarr

    from msi_lazy.graph.block_tasks import StageRecipe
    from msi_lazy.methods.lending import Lend
    from msi_lazy.plan.spill import SpillLayout
    from msi_lazy.plan.stages import StagePlan
    from msi_lazy.plan.windows import Window

__all__ = ["read_back_block", "read_spilled", "restore_carry"]

Array = np.ndarray[Any, Any]
Index = tuple[int, ...]


def read_back_block(
    stored: zarr.Array[Any],
    _done: Sequence[None],
    index: Index,
    *,
    recipe: StageRecipe,
    before: StagePlan,
    lend: Lend = fresh,
) -> tuple[Array, ...]:
    """Read what the blocks of stage ``before`` stored, and compute the stage's levels of block ``index`` from it.

    The result has the same bits as from carries: a level is always computed from the finer level's stored values.
    ``stored`` is the array of the last level that ``before`` writes; ``_done`` waits for the tasks that wrote it.
    """
    with naming_block(recipe.stage, index):
        array = _read_stored(stored, before, recipe.stage.first, recipe.stage.needed(index)[0], recipe, lend)
    return reduce_block(array, index, recipe=recipe, lend=lend)


def read_spilled(
    stored: zarr.Array[Any],
    _done: Sequence[None],
    index: Index,
    *,
    recipe: StageRecipe,
    layout: SpillLayout,
    lend: Lend = fresh,
) -> tuple[Array, ...]:
    """Read the window of block ``index`` of what was stored of the source, and compute the stage's levels."""
    window = recipe.stage.needed(index)[0]
    with naming_block(recipe.stage, index):
        check_shared(stored)
        pieces, back = list(layout.parts(window)), layout.back
        terms = ((part, read_window(stored, layout.turned(at), prefixed(lend, "stored"))) for part, at in pieces)
        samples = join_pieces(((part, read.transpose(back)) for part, read in terms), window, recipe.dtype, lend)
        if not samples.flags.c_contiguous:
            turned = lend("window", samples.shape, samples.dtype)
            turned[...] = samples
            samples = turned
    return reduce_block(samples, index, recipe=recipe, lend=lend)


def restore_carry(stored: zarr.Array[Any], index: Index, *, recipe: StageRecipe, stage: StagePlan) -> Array:
    """Restore the carry of a block from ``stored``, the array of the last level that the stage writes.

    ``stage`` is in the blocks that its tasks compute, which may be runs of those of ``recipe``.
    """
    assert stage.carry is not None
    with naming_block(stage, index):
        return _read_stored(stored, stage, stage.carry, stage.owned(stage.carry, index), recipe)


def _read_stored(
    stored: zarr.Array[Any],
    stage: StagePlan,
    level: int,
    window: Window,
    recipe: StageRecipe,
    lend: Lend = fresh,
) -> Array:
    """Compute ``window`` of a stage's carry, ``level``, from the stored samples of the last level that it writes."""
    finer = finer_window(stage, level, window)
    lend = prefixed(lend, "stored")
    array = read_window(stored, finer, lend)
    if stage.written[-1] == level:
        return array
    step = level - stage.first - 1
    terms = (stage.factors[step], stage.extents[step], recipe.method, recipe.nodata)
    return reduce_window(array, finer, window, *terms, lend)
