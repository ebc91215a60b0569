"""Forms of stored chunks, and what their bytes promise, looked at before they are decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.storage.bounded_codecs import bounds_of, codec_kind
from msi_lazy.storage.promised_sizes import check_promise, too_large
from msi_lazy.storage.regular_files import open_regular
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MISSING", "ChunkError", "ChunkForm", "check_stored"]

_CHECKSUM = ("crc32c",)
MISSING = 2**64 - 1
"""Offset, and length, of an inner chunk that is not stored."""


class ChunkError(ValueError):
    """A chunk cannot be decoded; names it."""


@dataclass(frozen=True)
class ChunkForm:
    """What the stored bytes of a chunk are, as far as their size can be told without decoding them."""

    kind: str = ""
    """Outermost codec; empty for none."""
    known: bool = True
    """Whether it is the only one, its bytes tell their decoded size, and Rust decodes parts of it."""
    tail: int = 0
    """Bytes of checksums after it."""
    inner: tuple[int, ...] | None = None
    """Shape of the inner chunks, if the chunk is a shard."""
    index_tail: int = 0
    """Bytes of the checksum of a shard's index."""
    index_first: bool = False
    """Whether the index of a shard comes first."""

    @classmethod
    def of(cls, metadata: Any) -> ChunkForm | None:
        """Return the form of an array's chunks; ``None`` if samples are filtered, or shards lie within shards."""
        row = store_format(metadata.zarr_format)
        if row.has_numcodecs and metadata.filters:
            return None
        itemsize = bounds_of((1,), metadata.dtype).nbytes
        return cls._of_codecs([row.codec_settings(codec) for codec in row.codecs_of(metadata)], itemsize)

    @classmethod
    def _of_codecs(cls, codecs: Sequence[Any], itemsize: int) -> ChunkForm | None:
        kinds = [codec_kind(codec) for codec in codecs if codec_kind(codec) not in ("bytes", "transpose")]
        tail = 0
        while kinds and kinds[-1] in _CHECKSUM:
            kinds, tail = kinds[:-1], tail + 4
        if kinds == ["sharding_indexed"] and not tail:
            settings = next(codec for codec in codecs if codec_kind(codec) == kinds[0])["configuration"]
            inner, index = (
                cls._of_codecs(settings[key], size) for key, size in (("codecs", itemsize), ("index_codecs", 8))
            )
            orders = [(codec.get("configuration") or {}).get("endian") for codec in settings["index_codecs"]]
            if inner is None or inner.inner or index is None or index.kind or "big" in orders:
                return None
            first = str(settings.get("index_location", "end")) == "start"
            return cls(inner.kind, inner.known, inner.tail, tuple(settings["chunk_shape"]), index.tail, first)
        if "sharding_indexed" in kinds:
            return None
        kinds = [kind for kind in kinds if kind not in _CHECKSUM]
        known = kinds in ([], ["zstd"], ["blosc"]) and not any(_has_odd_items(codec, itemsize) for codec in codecs)
        return cls(kinds[-1] if kinds else "", known, tail)


def _has_odd_items(codec: Any, itemsize: int) -> bool:
    """Tell whether Blosc shuffles items that samples may not fill: the last bytes are beyond Rust's partial decoder."""
    size: int | None = (codec.get("configuration") or {}).get("typesize") if codec_kind(codec) == "blosc" else None
    return size is not None and size > 0 and itemsize % size != 0


def check_stored(getter: Any, spec: Any, selection: Any, form: ChunkForm) -> None:
    """Look at the stored bytes of a chunk in a local file, before they are decoded."""
    try:
        file, size = open_regular(f"{getter.store.root}/{getter.path}")
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        read, bounds = partial(_read, file), bounds_of(spec.shape, spec.dtype)
        if form.inner is None:
            check_promise(form.kind, read, max(size - form.tail, 0), bounds)
        else:
            _check_shard(read, size, spec, selection, form)
    except ValueError as error:
        raise ChunkError(f"the chunk {getter.path!r} cannot be decoded: {error}") from None
    finally:
        os.close(file)


def _read(file: int, at: int, count: int) -> bytes:
    return os.pread(file, count, at)


def _check_shard(read: Any, size: int, spec: Any, selection: Any, form: ChunkForm) -> None:
    """Look at a shard: at its size, its index, and those of its inner chunks that are to be decoded."""
    inner = form.inner or ()
    counts = tuple(n // part for n, part in zip(spec.shape, inner, strict=True))
    whole, one = bounds_of(spec.shape, spec.dtype), bounds_of(inner, spec.dtype)
    length = 16 * prod(counts)
    if size > 4 * whole.most + length:  # a shard may have room for what was replaced in it
        raise too_large(size, whole)
    if size < length + form.index_tail:
        raise ValueError(f"the shard has {size:,} bytes, fewer than its index of {length:,}")
    stored = np.frombuffer(read(0 if form.index_first else size - length - form.index_tail, length), "<u8")
    index = stored.reshape(*counts, 2)[_touched(selection, inner)].reshape(-1, 2)
    for start, count in index[index[:, 0] != MISSING].tolist():
        if start + count > size:
            raise ValueError(f"its index states {count:,} bytes from {start:,} on, and the shard has {size:,}")
        check_promise(form.kind, partial(_read_inside, read, start, count), max(count - form.tail, 0), one)


def _read_inside(read: Any, start: int, length: int, at: int, count: int) -> bytes:
    found: bytes = read(start + at, min(count, length - at)) if at < length else b""
    return found


def _touched(selection: Any, inner: tuple[int, ...]) -> tuple[slice, ...]:
    """Inner chunks that a selection touches, along each dimension; all of them if it is none of slices."""
    parts = selection if isinstance(selection, tuple) else ()
    if len(parts) != len(inner) or not all(isinstance(part, slice) and part.step in (None, 1) for part in parts):
        return ()
    return tuple(
        slice((part.start or 0) // n, None if part.stop is None else -(-part.stop // n))
        for part, n in zip(parts, inner, strict=True)
    )
