"""Plans of the same pyramid with other chunks or blocks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from msi_lazy.plan.pyramid import PyramidPlan, plan_pyramid

if TYPE_CHECKING:
    from msi_lazy.methods import Method

__all__ = ["flatter_chunks", "replan"]


def replan(
    plan: PyramidPlan,
    method: Method,
    *,
    block_bytes: int,
    chunks: tuple[int, ...] | None = None,
    factors: tuple[tuple[int, ...], ...] | None = None,
) -> PyramidPlan:
    """Plan the pyramid of ``plan`` once more, as :func:`msi_lazy.to_multiscale` would; no pixel is read.

    Parameters
    ----------
    plan
        Plan with stages.
    method
        Its method.
    block_bytes
        Largest block of level 0.
    chunks, factors
        Chunks on disk, and factors of each level; by default those of ``plan``.
    """
    reading = plan.reading
    planned = partial(
        plan_pyramid,
        name=plan.name,
        axes=plan.axes,
        dtype=plan.dtype,
        factors=tuple(level.factors for level in plan.levels[1:]) if factors is None else factors,
        method=method,
        chunks=plan.levels[0].chunks if chunks is None else chunks,
        boundary=plan.boundary,  # type: ignore[arg-type]
        block_bytes=block_bytes,
        source_chunks=reading.lengths,
        source_is_known=reading.is_known,
    )
    new = planned(by_window=reading.is_sliceable)
    if reading.is_sliceable and not new.reading.fits:
        new = planned(by_window=False)
    read = replace(new.reading, decoded_samples=reading.decoded_samples, is_sliceable=reading.is_sliceable)
    return replace(new, nodata=plan.nodata, reading=read)


def flatter_chunks(plan: PyramidPlan) -> list[tuple[int, ...]]:
    """List chunks of about the same size, flatter step by step along the dimensions where the source's are flat.

    Examples
    --------
    Chunks of 64³ of an image in planes: 32 x 64 x 64, 16 x 128 x 128, and so on to 1 x 512 x 512.
    """
    lengths, chunks = plan.reading.lengths, plan.levels[0].chunks
    if lengths is None:
        return []
    flat = [dim for dim, chunk in enumerate(chunks) if max(lengths[dim]) < chunk]
    found, thin = [], list(chunks)
    while any(thin[dim] > max(lengths[dim]) for dim in flat):
        for dim in flat:
            thin[dim] = max(thin[dim] // 2, max(lengths[dim]), 1)
        found.append(_widened(plan, flat, thin))
    return list(dict.fromkeys(found))


def _widened(plan: PyramidPlan, flat: list[int], thin: list[int]) -> tuple[int, ...]:
    """Double the other spatial dimensions of ``thin`` chunks while they are no larger than those of ``plan``."""
    shape, wide = plan.levels[0].shape, thin
    others = [dim for dim, axis in enumerate(plan.axes) if axis.is_spatial and dim not in flat]
    while True:
        wider = [min(2 * n, shape[dim]) if dim in others else n for dim, n in enumerate(wide)]
        if wider == wide or prod(wider) > prod(plan.levels[0].chunks):
            return tuple(wide)
        wide = wider
