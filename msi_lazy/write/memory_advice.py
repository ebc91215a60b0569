"""Settings with which a write would take less memory, found by planning it with each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import dask
from dask.utils import format_bytes

from msi_lazy.plan.flat_chunks import flatter_chunks
from msi_lazy.run.scheduler import active_client
from msi_lazy.write.projected_image import total_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from msi_lazy.write.projected_image import ProjectedImage

__all__ = ["advise"]

_MIB = 2**20
_BLOCKS = tuple(size * _MIB for size in (256, 128, 64, 32, 16, 8, 4, 2, 1))
_FEW_BLOCKS = tuple(size * _MIB for size in (16, 4, 1))
"""Sizes to try together with other chunks: each plan takes milliseconds, and tens of them for many terabytes."""


@dataclass(frozen=True)
class _Settings:
    """Settings to try; what is left out stays as it is."""

    block_bytes: int | None = None
    chunks: tuple[tuple[str, int], ...] = ()
    threads: int | None = None

    def __str__(self) -> str:
        build = [f"chunks={dict(self.chunks)}"] if self.chunks else []
        if self.block_bytes is not None:
            build.append(f"block_bytes='{self.block_bytes // _MIB} MiB'")
        words = [f"to_multiscale(..., {', '.join(build)})"] if build else []
        if self.threads is not None:
            words.append(_name_threads(self.threads))
        return " and ".join(words)


def _name_threads(threads: int) -> str:
    if active_client() is not None:
        return f"workers of {threads} thread{'s' * (threads > 1)} each"
    pooled = dask.config.get("pool", None) or hasattr(dask.config.get("scheduler", None), "submit")
    others = "scheduler='threads', pool=None, " if pooled else ""
    return f"dask.config.set({others}num_workers={threads})"


@dataclass(frozen=True)
class _Trial:
    """Settings, and the bytes that a process would hold with them."""

    settings: _Settings
    total: int

    def __str__(self) -> str:
        return f"{self.settings} ({format_bytes(self.total)})"


def advise(images: Sequence[ProjectedImage], threads: int, limit: int, otherwise: str) -> str:
    """Name settings with which ``images``, written together, fit ``limit`` bytes, and what each would take.

    Each kind of setting is tried alone, from the least change on; if none of them fits, all kinds together.  If that
    does not fit either, the settings that take least are named, and ``otherwise``, what is left to do.
    """
    blocks, chunks = _smaller_blocks(images), _flatter(images)
    fewer = [threads >> step for step in range(1, threads.bit_length())]
    ladders: list[list[_Settings]] = [
        [_Settings(block_bytes=size) for size in blocks],
        [_Settings(chunks=shape) for shape in chunks],
        [_Settings(threads=number) for number in fewer],
    ]
    few = [size for size in _FEW_BLOCKS if size in blocks]
    pairs = product(dict.fromkeys([None, 1]) if fewer else [None], ((), *chunks), (None, *few))
    together = [_Settings(size, shape, number) for number, shape, size in pairs]
    trials: list[_Trial] = []
    for ladder in ladders:
        trials.extend(_try(images, ladder, threads, limit))
    fitting = [trial for trial in trials if trial.total <= limit]
    if not fitting:
        trials.extend(_try(images, together, threads, limit))
        fitting = [trial for trial in trials if trial.total <= limit]
    if fitting:
        return "it fits with " + ", or with ".join(map(str, fitting))
    if not trials:
        return otherwise
    least = min(trials, key=lambda trial: trial.total)
    return f"of all settings tried, {least} takes least: {otherwise}"


def _try(images: Sequence[ProjectedImage], ladder: Iterable[_Settings], threads: int, limit: int) -> list[_Trial]:
    """Project the write with each of some settings, until one of them fits."""
    trials: list[_Trial] = []
    for settings in ladder:
        total = _project(images, settings, threads, limit)
        if total is not None:
            trials.append(_Trial(settings, total))
            if total <= limit:
                break
    return trials


def _project(images: Sequence[ProjectedImage], settings: _Settings, threads: int, limit: int) -> int | None:
    """Project the bytes of a process, at most; ``None`` if an image cannot be planned anew."""
    threads = settings.threads or threads
    if settings.block_bytes is None and not settings.chunks:
        return total_bytes([image.memory(threads, limit) for image in images], threads)
    planned = [image.changed(settings.block_bytes, dict(settings.chunks)) for image in images]
    if not all(planned):
        return None
    return max(total_bytes([image.memory(threads, limit) for image in way], threads) for way in product(*planned))


def _smaller_blocks(images: Sequence[ProjectedImage]) -> list[int]:
    largest = max((image.plan.block_bytes for image in images), default=0)
    return [size for size in _BLOCKS if size < largest]


def _flatter(images: Sequence[ProjectedImage]) -> list[tuple[tuple[str, int], ...]]:
    plans = [image.plan.untransposed or image.plan for image in images]
    plan = max(plans, key=lambda plan: len(plan.dims))
    lengths, spatial = plan.reading.lengths, [axis.is_spatial for axis in plan.axes]
    flatter = [] if lengths is None else flatter_chunks(plan.levels[0].chunks, lengths, spatial)
    return [tuple(zip(plan.dims, chunks, strict=True)) for chunks in flatter]
