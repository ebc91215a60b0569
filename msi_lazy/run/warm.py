"""Workers of a cluster that load what their first block needs while the client still prepares the write."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from msi_lazy.graph.block_tasks import reduce_window
from msi_lazy.methods.kernel import LibraryKernel
from msi_lazy.plan.windows import Interval
from msi_lazy.run.scheduler import active_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.graph.block_tasks import StageRecipe

__all__ = ["warm_workers"]


def warm_workers(recipes: Sequence[StageRecipe]) -> None:
    """Let all workers of the active cluster, if there is one, import this library and load its kernels.

    A new worker takes a second or two for that.  Left to themselves, the others begin only once the first one has
    passed on what all blocks use.  Nothing is waited for, and what fails here does so again, and is told of, in a task.
    """
    client = active_client()
    if client is None or client.asynchronous:
        return
    kernels = {(recipe.method.kernel, recipe.dtype): recipe for recipe in recipes if recipe.stage.factors}
    ours = tuple(recipe for (kernel, _), recipe in kernels.items() if isinstance(kernel, LibraryKernel))
    client.loop.add_callback(client.run, partial(_load_kernels, ours), wait=False, on_error="ignore")


async def _load_kernels(recipes: Sequence[StageRecipe]) -> None:
    """Load the kernels of ``recipes`` in a thread, as a worker whose loop is busy answers nobody.

    To unpickle this function imports the library, on the loop of the worker.  Tasks are unpickled there, too: two
    threads that import modules of one package at once may see some of them half made.
    """
    await asyncio.to_thread(_reduce_tiny, recipes)


def _reduce_tiny(recipes: Sequence[StageRecipe]) -> None:
    """Reduce a tiny array as each of ``recipes`` reduces blocks, which loads its kernel."""
    for recipe in recipes:
        factors = recipe.stage.factors[0]
        window = tuple(Interval(0, factor) for factor in factors)
        output = (Interval(0, 1),) * len(factors)
        samples = np.zeros(factors, recipe.dtype)
        reduce_window(samples, window, output, factors, factors, recipe.method, recipe.nodata)
