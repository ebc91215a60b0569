"""Names and types of stored axes that do not go together: which of them counts, and what the dimension is called."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from msi_lazy.axes import axis_kind, axis_meaning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msi_lazy.ngff.stored_image import StoredImage

__all__ = ["can_hold", "settle_kinds", "tree_dims"]

Kinds = tuple[str | None, ...]


def can_hold(kinds: Sequence[str | None]) -> bool:
    """Tell whether OME-Zarr can hold an image whose axes have these types."""
    spatial, times = kinds.count("space"), kinds.count("time")
    return spatial in (2, 3) and times <= 1 and len(kinds) - spatial - times <= 1


def settle_kinds(dims: Sequence[str], kinds: Kinds) -> tuple[Kinds, list[str]]:
    """Types of axes, and remarks: a name that is known says more than a type that contradicts it.

    Types count nevertheless where an image with those of the names could not be held.

    Examples
    --------
    >>> settle_kinds(("C", "y", "x"), ("space",) * 3)[0], settle_kinds(("c", "x"), ("space",) * 2)[0]
    (('channel', 'space', 'space'), ('space', 'space'))
    """
    by_name = [axis_kind(dim) or kind for dim, kind in zip(dims, kinds, strict=True)]
    if not can_hold(by_name):
        return kinds, []
    wrong = [kind is not None and kind != own for kind, own in zip(kinds, by_name, strict=True)]
    notes = [
        f"its axis {dim!r} has the type {kind!r}, and is read as one of {own}, as its name says"
        for dim, kind, own, one in zip(dims, kinds, by_name, wrong, strict=True)
        if one
    ]
    return tuple(own if one else kind for kind, own, one in zip(kinds, by_name, wrong, strict=True)), notes


def tree_dims(stored: StoredImage) -> tuple[tuple[str, ...], list[str]]:
    """Names of the dimensions in a tree: those stored, except where one would hide the axis's type; and remarks."""
    dims = list(stored.dims)
    for kind, usual in (("time", "t"), ("channel", "c"), ("space", "zyx")):
        hidden = [i for i, stated in enumerate(stored.kinds) if stated == kind and axis_kind(dims[i]) != kind]
        dims = _named(dims, hidden, usual)
    notes = [
        f"its axis {old!r} of type {kind!r} is called {new!r}"
        for old, new, kind in zip(stored.dims, dims, stored.kinds, strict=True)
        if old != new
    ]
    return tuple(dims), notes


def _named(dims: list[str], hidden: Sequence[int], usual: str) -> list[str]:
    """Give dimensions usual names that are free: in their usual order if possible, and rather y and x than z."""
    taken = {axis_meaning(dim) for dim in dims}
    free = [name for name in usual if name not in taken]
    count = min(len(hidden), len(free))
    choices = []
    for names in permutations(free, count):
        chosen = dict(zip(hidden[len(hidden) - count :], names, strict=True))
        named = [chosen.get(position, dim) for position, dim in enumerate(dims)]
        order = [usual.index(meaning) for dim in named if (meaning := axis_meaning(dim)) and meaning in usual]
        choices.append((order == sorted(order), sum(map(usual.index, names)), named))
    return max(choices)[-1]
