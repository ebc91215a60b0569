"""Opening the nodes of a hierarchy as they are stored, without the copies in consolidated metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from zarr.errors import ContainsArrayError

from msi_lazy.storage.arrays import reopen_array
from msi_lazy.storage.codecs import refuse_pickles
from msi_lazy.storage.inside import describe_level
from msi_lazy.storage.place import Place, ZarrFormat
from msi_lazy.storage.store_errors import is_store_error

if TYPE_CHECKING:
    import zarr

__all__ = ["MalformedGroupError", "UnreadError", "open_array_at", "open_group_at", "open_group_in_store", "open_root"]

_FORMATS: tuple[ZarrFormat, ...] = (3, 2)
_NOWHERE = "msi_lazy/there-is-no-such-node"


class MalformedGroupError(ValueError):
    """There is a group, but its metadata cannot be read."""


class UnreadError(OSError):
    """A node could not be read, as the store failed: it may be sound."""


def open_root(place: Place) -> zarr.Group:
    """Open the group to validate.

    Raises
    ------
    FileNotFoundError
        There is nothing at ``place``, or no Zarr group.
    ValueError, OSError
        It is an array, or cannot be reached.
    MalformedGroupError
        There is a group, but its metadata cannot be read.
    """
    for zarr_format in _FORMATS:
        try:
            return place.open_group("r", zarr_format)
        except FileNotFoundError:
            continue
        except ContainsArrayError:
            raise ValueError(_describe_array(place)) from None
        except Exception as error:  # whatever malformed metadata may raise
            _raise_unread(place, error)
            _reach(place)
            fault = f"the metadata of the group cannot be read: {error!r}; repair them, or write the image again"
            raise MalformedGroupError(fault) from None
    if place.open_node() is not None:
        raise ValueError(_describe_array(place))
    raise FileNotFoundError(f"there is no Zarr group at {place.named}; give the path or URL of an OME-Zarr image")


def _describe_array(place: Place) -> str:
    level = describe_level(place)
    return f"{place.named} is a Zarr array, not the group of an OME-Zarr image; give the group{level}"


def open_group_at(parent: zarr.Group, path: str) -> zarr.Group:
    """Open the group at ``path`` below ``parent``.

    Raises
    ------
    FileNotFoundError
        There is none, or an array.
    ValueError
        Its metadata cannot be read, or the path is impossible.
    """
    group: zarr.Group = _open(Place.of(parent).child(path), parent.metadata.zarr_format, "group")
    return group


def open_group_in_store(neighbour: zarr.Group, path: str) -> zarr.Group:
    """Open the group at ``path`` from the root of the store that ``neighbour`` is in; as :func:`open_group_at`."""
    group: zarr.Group = _open(Place(neighbour.store, path), neighbour.metadata.zarr_format, "group")
    return group


def open_array_at(parent: zarr.Group, path: str) -> zarr.Array[Any]:
    """Open the array at ``path`` below ``parent``, with the codecs that suit it; errors as of :func:`open_group_at`."""
    array: zarr.Array[Any] = _open(Place.of(parent).child(path), parent.metadata.zarr_format, "array")
    return array


def _open(place: Place, likely: ZarrFormat, kind: Literal["group", "array"]) -> Any:
    """Open a node in the likely format, else in the other one."""
    for zarr_format in dict.fromkeys((likely, *_FORMATS)):
        try:
            if kind == "group":
                return place.open_group("r", zarr_format)
            array = place.open_array("r", zarr_format)
            refuse_pickles(array)
            return reopen_array(array)
        except FileNotFoundError:
            continue
        except ContainsArrayError:
            raise FileNotFoundError(f"there is an array at {place.path!r}, not a group") from None
        except Exception as error:  # whatever malformed metadata, or an odd path, may raise
            _raise_unread(place, error)
            raise ValueError(f"{place.path!r} cannot be opened as a Zarr {kind}: {error!r}") from None
    raise FileNotFoundError(f"there is no Zarr {kind} at {place.path!r}")


def _raise_unread(place: Place, error: Exception) -> None:
    """Raise an error that names the place, if the store failed."""
    if is_store_error(error):
        raise UnreadError(
            f"{place.named or place} could not be read, as the store failed ({error!r}); it may be sound: try again, "
            f"or look at the disk or the connection"
        ) from error


def _reach(place: Place) -> None:
    """Raise the store's own error, if it cannot be reached."""
    try:
        place.child(_NOWHERE).open_array("r", 3)
    except FileNotFoundError:
        return
