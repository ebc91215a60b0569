"""What users say of a store: where it is, how to reach it, and what in it; checked before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from fsspec import FSMap, get_filesystem_class
from zarr.abc.store import Store
from zarr.storage import StorePath

__all__ = ["check_store", "check_switches", "is_storable_name", "parse_group", "parse_retries"]

_STORES = (str, Path, Store, StorePath, zarr.Group, FSMap, dict)
"""What zarr opens groups in."""
_RESERVED = (".", "__", "zarr.json")
"""How names begin that Zarr, v2 or v3, keeps for itself."""


def check_store(store: Any, storage_options: Any = None) -> None:
    """Refuse what is no store, and options that it has no use for.

    Raises
    ------
    TypeError
        No path, URL or zarr store; options that are no dict by name, or are not for a URL.
    ValueError
        A path that no file can have, or a URL of an unknown protocol.
    ImportError
        The library for the URL's protocol is not installed.

    Examples
    --------
    >>> check_store(5)
    Traceback (most recent call last):
        ...
    TypeError: store must be a path, a URL or a zarr store, not 5
    """
    if not isinstance(store, _STORES):
        raise TypeError(f"store must be a path, a URL or a zarr store, not {store!r}")
    if isinstance(store, (str, Path)) and "\0" in str(store):
        raise ValueError(f"store {store!r} is no path: it has a null character")
    url = store if isinstance(store, str) and ("://" in store or "::" in store) else None
    if url is not None:
        _check_protocols(url)
    if storage_options is None:
        return
    if not isinstance(storage_options, Mapping) or not all(isinstance(name, str) for name in storage_options):
        raise TypeError(f"storage_options must be a dict by name, such as {{'anon': True}}, not {storage_options!r}")
    if storage_options and url is None:
        raise TypeError(
            f"storage_options are for the file system behind a URL such as 's3://bucket/a.zarr', and store is {store!r}"
        )


def _check_protocols(url: str) -> None:
    """Refuse a URL, or a chain of them, that no file system is known for."""
    for part in url.split("::"):
        protocol = part.partition("://")[0]
        try:
            get_filesystem_class(protocol)
        except ValueError:
            raise ValueError(f"store {url!r} is a URL of an unknown protocol, {protocol!r}") from None
        except ImportError as error:
            raise ImportError(f"store {url!r} needs a library that is not installed: {error}") from error


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
