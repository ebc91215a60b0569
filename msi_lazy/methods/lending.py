"""Arrays that are lent for a while, and used again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Lend", "as_contiguous", "fresh", "prefixed"]

Lend = Callable[[str, tuple[int, ...], np.dtype[Any]], np.ndarray[Any, Any]]
"""Function of a name, a shape and a dtype that lends an array in C order; the next one of this name may be the same."""


def fresh(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Lend an array that nobody has had before, and nobody gets again.

    Examples
    --------
    >>> fresh("window", (2, 3), np.dtype("u2")).shape
    (2, 3)
    """
    return np.empty(shape, dtype)


def prefixed(lend: Lend, prefix: str) -> Lend:
    """Return a function that lends other arrays than ``lend`` does under the same names."""
    if lend is fresh:
        return fresh
    return lambda name, shape, dtype: lend(f"{prefix} {name}", shape, dtype)


def as_contiguous(array: np.ndarray[Any, Any], lend: Lend) -> np.ndarray[Any, Any]:
    """Return an array in C order: ``array`` itself if it is, else a copy of it that is lent."""
    if array.flags.c_contiguous:
        return array
    copy = lend("contiguous", array.shape, array.dtype)
    copy[...] = array
    return copy
