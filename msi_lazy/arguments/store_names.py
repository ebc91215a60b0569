"""Names and paths of groups in a store, checked before anything is opened."""

from __future__ import annotations

from typing import Any

__all__ = ["is_storable_name", "parse_group"]

_RESERVED = (".", "__", "zarr.json")
"""Beginnings of names that Zarr, v2 or v3, reserves."""


def parse_group(group: Any, new: bool = False) -> str:
    """Check the path of a group in a store, and drop empty names from it; ``new`` if it is to be created.

    Raises
    ------
    TypeError
        Not a string.
    ValueError
        A path that leads out of the store, or that Zarr reserves.

    Examples
    --------
    >>> parse_group("/labels//cells/")
    'labels/cells'
    """
    if not isinstance(group, str):
        raise TypeError(f"group must be the path of a group in the store, such as 'labels/cells', not {group!r}")
    path = "/".join(filter(None, group.split("/")))
    for name in path.split("/") if path else ():
        if name in (".", "..") or "\0" in name or (new and not is_storable_name(name)):
            raise ValueError(f"group {group!r} cannot be a path in a store, because of {name!r}; choose another name")
    return path


def is_storable_name(name: Any) -> bool:
    """Tell whether a group or array may have this name.

    Examples
    --------
    >>> is_storable_name("cells"), is_storable_name(".zattrs"), is_storable_name("a/b")
    (True, False, False)
    """
    return isinstance(name, str) and bool(name) and not name.startswith(_RESERVED) and not set("/\0") & set(name)
