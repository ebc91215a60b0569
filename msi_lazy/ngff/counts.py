"""Most elements of lists in metadata: a document may list any number of them, and most are nodes to open."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MOST_ELEMENTS", "check_count", "most_elements"]

MOST_ELEMENTS: Mapping[str, int] = MappingProxyType(
    {"datasets": 100, "labels": 2000, "colors": 10**6, "properties": 10**6}
)
"""Most elements of a list, by its name: an image that is halved 100 times has no samples left, and labels have a color
for each of their objects."""
_MOST_OTHERS = 20_000


def most_elements(name: str) -> int:
    """Return how many elements a list may have.

    Examples
    --------
    >>> most_elements("datasets"), most_elements("wells")
    (100, 20000)
    """
    return MOST_ELEMENTS.get(name, _MOST_OTHERS)


def check_count(name: str, listed: Any) -> None:
    """Refuse a list of too many elements.

    Raises
    ------
    ValueError
        Names the list, their number, and how many there may be.
    """
    if isinstance(listed, list) and len(listed) > most_elements(name):
        raise ValueError(f"the attributes list {len(listed):,} {name}, and at most {most_elements(name):,} are read")
