"""Sizes: chunk shapes, and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dask.utils import parse_bytes

from msi_lazy.arguments.numbers import is_integer

if TYPE_CHECKING:
    from msi_lazy.axes import Axis

__all__ = ["parse_bytes_of", "parse_chunks"]

_DEFAULT_CHUNK_EDGE = {1: 65536, 2: 256, 3: 64}
"""Chunk edge by the number of spatial dimensions."""


def parse_chunks(chunks: Any, axes: Sequence[Axis]) -> tuple[int, ...]:
    """Convert ``None``, an integer, a tuple or a dict to the chunk shape on disk, cut to the image.

    An integer applies to the spatial dimensions; the others get 1, as do ``t`` and ``c`` by default.  Where none is
    known to be space, those of unknown names count as such, or else all.  A dict may leave dimensions out.  -1 means
    the whole dimension.

    Raises
    ------
    TypeError, ValueError
        Not integers, an unknown dimension, a length below 1, or a tuple of the wrong length.
    """
    space = [axis.name for axis in axes if axis.is_spatial] or [axis.name for axis in axes if axis.kind is None]
    space = space or [axis.name for axis in axes]
    edge = _DEFAULT_CHUNK_EDGE.get(len(space), 64)
    values: dict[str, Any] = {axis.name: edge if axis.name in space else 1 for axis in axes}
    if isinstance(chunks, Mapping):
        unknown = [dim for dim in chunks if dim not in values]
        if unknown:
            raise ValueError(f"chunks name the dimension {unknown[0]!r}, but the image has {tuple(values)}")
        values.update(chunks)
    elif isinstance(chunks, Sequence) and not isinstance(chunks, (str, bytes, bytearray, memoryview)):
        if len(chunks) != len(axes):
            raise ValueError(f"chunks {tuple(chunks)} have {len(chunks)} entries, but the image has {tuple(values)}")
        values = dict(zip(values, chunks, strict=True))
    elif chunks is not None:
        values.update(dict.fromkeys(space, chunks))
    return tuple(_parse_chunk(values[axis.name], axis) for axis in axes)


def _parse_chunk(value: Any, axis: Axis) -> int:
    if not is_integer(value):
        raise TypeError(
            f"chunks are given as an integer, a tuple or a dict of integers (the chunk shape on disk); "
            f"dimension {axis.name!r} has {value!r}"
        )
    if value < 1 and value != -1:
        raise ValueError(f"the chunk of dimension {axis.name!r} must be at least 1 (or -1 for all of it), not {value}")
    return axis.length if value == -1 else min(int(value), axis.length)


def parse_bytes_of(argument: str, value: Any) -> int:
    """Convert an integer or a string such as ``"64 MiB"`` to bytes; ``argument`` is its name.

    Examples
    --------
    >>> parse_bytes_of("block_bytes", "64 MiB")
    67108864
    """
    message = f"{argument} must be a number of bytes or a string such as '64 MiB', not {value!r}"
    if not isinstance(value, str) and not is_integer(value):
        raise TypeError(message)
    if isinstance(value, str) and not any(map(str.isdigit, value)):
        raise ValueError(message)  # Dask would take it for one
    try:
        parsed = int(parse_bytes(value)) if isinstance(value, str) else int(value)
    except (ValueError, OverflowError):
        raise ValueError(message) from None
    if parsed < 1:
        raise ValueError(message)
    return parsed
