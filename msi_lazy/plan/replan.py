"""Plans of the same pyramid with other chunks or blocks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from msi_lazy.plan.pyramid import PyramidPlan, plan_pyramid

if TYPE_CHECKING:
    from msi_lazy.methods import Method

__all__ = ["replan"]


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
