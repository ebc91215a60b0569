"""What users say of a store: where it is, how to reach it, and what in it; checked before anything is opened."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

__all__ = ["check_switches", "is_storable_name", "parse_group", "parse_retries"]

_RESERVED = (".", "__", "zarr.json")
"""How names begin that Zarr, v2 or v3, keeps for itself."""


def parse_group(group: Any, new: bool = False) -> str:
    """Path of a group in a store, without slashes that say nothing; ``new`` if it is to be created.

    Raises
    ------
    TypeError
        No text.
    ValueError
        A path that leads out of the store, or that Zarr keeps for itself.

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
    """Whether a group or array may be called so.

    Examples
    --------
    >>> is_storable_name("cells"), is_storable_name(".zattrs"), is_storable_name("a/b")
    (True, False, False)
    """
    return isinstance(name, str) and bool(name) and not name.startswith(_RESERVED) and not set("/\0") & set(name)


def check_switches(**switches: Any) -> None:
    """Refuse arguments, given by name, that are neither ``True`` nor ``False``.

    Raises
    ------
    TypeError
        Names the argument: ``"no"`` would count as true.
    """
    for argument, value in switches.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{argument} must be True or False, not {value!r}")


def parse_retries(retries: Any, compute: bool) -> int:
    """How often a failing task is tried again.

    Raises
    ------
    TypeError, ValueError
        No integer from 0 on, or retries of a write that is not computed here.

    Examples
    --------
    >>> parse_retries(3, compute=True)
    3
    """
    if isinstance(retries, bool) or not isinstance(retries, Integral):
        raise TypeError(f"retries is how often a failing task is tried again, an integer, not {retries!r}")
    if retries < 0:
        raise ValueError(f"retries is how often a failing task is tried again, 0 or more, not {retries}")
    if retries and not compute:
        raise ValueError("with compute=False nothing is tried here: give retries to what computes the Delayed")
    return int(retries)
