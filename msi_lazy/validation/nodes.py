"""Opening the nodes of a hierarchy as they are stored, without the copies in consolidated metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import zarr
from zarr.errors import ContainsArrayError

from msi_lazy.storage.arrays import reopen_array
from msi_lazy.storage.codecs import refuse_pickles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MalformedGroupError", "open_array_at", "open_group_at", "open_group_in_store", "open_root"]

_FORMATS: tuple[Literal[2, 3], ...] = (3, 2)
_NOWHERE = "msi_lazy/there-is-no-such-node"


class MalformedGroupError(ValueError):
    """There is a group, but its metadata cannot be read."""


def open_root(store: Any, storage_options: Mapping[str, Any] | None) -> zarr.Group:
    """Open the group that is to be validated.

    Raises
    ------
    FileNotFoundError
        There is nothing at ``store``, or no Zarr group.
    TypeError, ValueError, OSError
        ``store`` is no store, or cannot be reached; or it is an array.
    MalformedGroupError
        There is a group, but its metadata cannot be read.
    """
    if store is None:
        raise TypeError("store must be a path, a URL or a zarr store, not None")
    if isinstance(store, zarr.Group):
        store = store.store_path
    options = dict(storage_options) if storage_options else None
    for zarr_format in _FORMATS:
        try:
            return zarr.open_group(
                store, mode="r", zarr_format=zarr_format, storage_options=options, use_consolidated=False
            )
        except FileNotFoundError:
            continue
        except ContainsArrayError:
            raise ValueError(f"{store} is a Zarr array, not the group of an OME-Zarr image; give the group") from None
        except Exception as error:  # whatever malformed metadata may raise
            _reach(store, options)
            fault = f"the metadata of the group cannot be read: {error!r}; repair them, or write the image again"
            raise MalformedGroupError(fault) from None
    raise FileNotFoundError(f"there is no Zarr group at {store}; give the path or URL of an OME-Zarr image")


def open_group_at(parent: zarr.Group, path: str) -> zarr.Group:
    """Open the group at ``path`` below ``parent``.

    Raises
    ------
    FileNotFoundError
        There is none, or an array.
    ValueError
        Its metadata cannot be read, or the path is impossible.
    """
    group: zarr.Group = _open(_open_group, parent, _join(parent.path, path), "group")
    return group


def open_group_in_store(neighbour: zarr.Group, path: str) -> zarr.Group:
    """Open the group at ``path`` from the root of the store that ``neighbour`` is in; as :func:`open_group_at`."""
    group: zarr.Group = _open(_open_group, neighbour, path, "group")
    return group


def open_array_at(parent: zarr.Group, path: str) -> zarr.Array[Any]:
    """Open the array at ``path`` below ``parent``, with the codecs that suit it.

    Raises
    ------
    FileNotFoundError
        There is none, or a group.
    ValueError
        Its metadata cannot be read, or the path is impossible.
    """
    array: zarr.Array[Any] = _open(_open_array, parent, _join(parent.path, path), "array")
    return array


def _join(parent: str, path: str) -> str:
    return "/".join(filter(None, (parent, path)))


def _open(opener: Callable[..., Any], neighbour: zarr.Group, path: str, kind: str) -> Any:
    """Open a node in the format of a neighbour, else in the other one."""
    for zarr_format in sorted(_FORMATS, key=lambda other: other != neighbour.metadata.zarr_format):
        try:
            return opener(neighbour.store, path, zarr_format)
        except FileNotFoundError:
            continue
        except ContainsArrayError:
            raise FileNotFoundError(f"there is an array at {path!r}, not a group") from None
        except Exception as error:  # whatever malformed metadata, or an odd path, may raise
            raise ValueError(f"{path!r} cannot be opened as a Zarr {kind}: {error!r}") from None
    raise FileNotFoundError(f"there is no Zarr {kind} at {path!r}")


def _open_group(store: Any, path: str, zarr_format: Literal[2, 3]) -> zarr.Group:
    return zarr.open_group(store, path=path, mode="r", zarr_format=zarr_format, use_consolidated=False)


def _open_array(store: Any, path: str, zarr_format: Literal[2, 3]) -> zarr.Array[Any]:
    array = zarr.open_array(store, path=path, mode="r", zarr_format=zarr_format)
    refuse_pickles(array)
    return reopen_array(array)


def _reach(store: Any, options: dict[str, Any] | None) -> None:
    """Raise what is wrong with the store itself; where it can be reached, something else is at fault."""
    try:
        zarr.open_array(store, path=_NOWHERE, mode="r", zarr_format=3, storage_options=options)
    except FileNotFoundError:
        return
