"""Whether the chunks that are stored can be decoded.  One that is not there is the fill value, and no fault."""

from __future__ import annotations

import itertools
import reprlib
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import zarr

from msi_lazy.storage.arrays import runs_in_rust

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msi_lazy.validation.checks import Checks

__all__ = ["DECODE", "Decode", "check_chunks"]

Decode = Literal["sample", "all", "none"]
DECODE: tuple[Decode, ...] = ("sample", "all", "none")

_BLOCK_BYTES = 64 * 2**20
"""How much is read at once: enough for the codecs to share out over threads."""

Index = tuple[int, ...]
"""Which chunk, counted along each axis."""
Span = tuple[slice, ...]
"""What is read: a range of samples along each axis."""


def check_chunks(checks: Checks, array: zarr.Array[Any], decode: Decode) -> None:
    """Read chunks of an array: the first, the middle and the last, or all of them, a block at a time."""
    if decode == "none" or 0 in array.shape:
        return
    # a shard is the unit that is stored; it is read whole, if it is not too large
    whole = array.shards is not None and prod(array.shards) * array.dtype.itemsize <= _BLOCK_BYTES
    chunks = tuple(max(n, 1) for n in (array.shards if whole and array.shards else array.chunks))
    unit = "shards" if whole else "chunks"
    if decode == "sample":
        faults = list(_faults(array, chunks, _sample(array.shape, chunks)))
        read = f"of the {unit} that were read"
    else:
        faults = list(_all_faults(array, chunks))
        read = f"of {prod(map(_count, array.shape, chunks))} {unit}"
    fault = (
        f"{len(faults)} {read} cannot be decoded: {'; '.join(faults[:3])}{'; ...' if len(faults) > 3 else ''}; write "
        f"them again, or remove them, and they are the fill value"
    )
    checks.hold("chunk-decodes", not faults, fault)


def _sample(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterable[Index]:
    """Indices of the first, the middle and the last chunk."""
    counts = tuple(map(_count, shape, chunks))
    first, middle = (0,) * len(counts), tuple(count // 2 for count in counts)
    return dict.fromkeys([first, middle, tuple(count - 1 for count in counts)])


def _faults(array: zarr.Array[Any], chunks: tuple[int, ...], indices: Iterable[Index]) -> Iterator[str]:
    """Read single chunks."""
    plain = _plain(array)
    for index in indices:
        span = _span(index, chunks, array.shape)
        fault = _fault(array, span)
        if fault is None and _is_cut(span, chunks):
            fault = _fault(plain, span)
        if fault is not None:
            yield fault


def _all_faults(array: zarr.Array[Any], chunks: tuple[int, ...]) -> Iterator[str]:
    """Read blocks of chunks, one by one those of a block that fails, and those that the array's end cuts."""
    block = _block(array.shape, chunks, array.dtype.itemsize)
    failed: dict[Index, None] = {}
    for index in _indices(array.shape, block):
        span = _span(index, block, array.shape)
        if _fault(array, span) is not None:
            extent = tuple(side.stop - side.start for side in span)
            first = tuple(side.start // n for side, n in zip(span, chunks, strict=True))
            for inner in _indices(extent, chunks):
                failed[tuple(i + j for i, j in zip(first, inner, strict=True))] = None
    cut = (
        i for i in _indices(array.shape, chunks) if i not in failed and _is_cut(_span(i, chunks, array.shape), chunks)
    )
    yield from _faults(array, chunks, itertools.chain(failed, cut))


def _plain(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """The array with zarr's own codecs: those in Rust skip checksums where they decode a part of a chunk."""
    if not runs_in_rust(array):
        return array
    return zarr.open_array(array.store, path=array.path, mode="r", zarr_format=array.metadata.zarr_format)


def _is_cut(span: Span, chunks: tuple[int, ...]) -> bool:
    """Whether the end of the array cuts a chunk, so that a part of it is read."""
    return any(side.stop - side.start < n for side, n in zip(span, chunks, strict=True))


def _fault(array: zarr.Array[Any], span: Span) -> str | None:
    """Read a part of an array, and return what is wrong with it."""
    try:
        array[span]
    except Exception as error:  # whatever a codec may raise
        place = ", ".join(f"{side.start}:{side.stop}" for side in span)
        return f"[{place}] ({type(error).__name__}: {reprlib.repr(str(error))})"
    return None


def _block(shape: tuple[int, ...], chunks: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Shape of a block of whole chunks, grown along the last axes first.

    Examples
    --------
    >>> _block((1000, 1024, 1024), (64, 256, 256), itemsize=2)
    (64, 512, 1024)
    """
    block = list(chunks)
    for axis in reversed(range(len(shape))):
        room = max(_BLOCK_BYTES // (prod(block) * max(itemsize, 1)), 1)
        block[axis] *= min(room, _count(shape[axis], chunks[axis]))
    return tuple(block)


def _count(n: int, chunk: int) -> int:
    return -(-n // chunk)


def _indices(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[Index]:
    return itertools.product(*(range(_count(n, chunk)) for n, chunk in zip(shape, chunks, strict=True)))


def _span(index: Index, chunks: tuple[int, ...], shape: tuple[int, ...]) -> Span:
    return tuple(slice(i * chunk, min(i * chunk + chunk, n)) for i, chunk, n in zip(index, chunks, shape, strict=True))
