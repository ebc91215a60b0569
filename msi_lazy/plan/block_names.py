"""Notes on errors that say where in the image they occurred; the error's type is kept."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msi_lazy.plan.stages import StagePlan
    from msi_lazy.plan.windows import Window

__all__ = ["describe_block", "naming_block", "naming_samples", "window_text"]


def window_text(window: Window) -> str:
    """Format a window as one would slice it.

    Examples
    --------
    >>> from msi_lazy.plan.windows import Interval
    >>> window_text((Interval(0, 64), Interval(64, 100)))
    '[0:64, 64:100]'
    """
    return f"[{', '.join(f'{start}:{stop}' for start, stop in window)}]"


def describe_block(stage: StagePlan, index: tuple[int, ...]) -> str:
    """Describe a block: its index, its levels and its samples."""
    first, last = stage.written[0], stage.written[-1]
    levels = f"scale{first}" if first == last else f"scale{first} to scale{last}"
    where = window_text(stage.owned(first, index))
    return f"block {tuple(index)} of {levels}, which is {where} of scale{first}"


@contextmanager
def naming_block(stage: StagePlan, index: tuple[int, ...]) -> Iterator[None]:
    """Note on errors which block was being computed."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while computing {describe_block(stage, index)}")
        raise


@contextmanager
def naming_samples(doing: str, key: tuple[slice, ...]) -> Iterator[None]:
    """Note on errors which samples were being read or stored."""
    try:
        yield
    except Exception as error:
        parts = (f"{part.start}:{part.stop}" if isinstance(part, slice) else str(part) for part in key)
        error.add_note(f"while {doing}, samples [{', '.join(parts)}]")
        raise
