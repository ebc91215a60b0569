"""Codecs of zarr-python that decode no more than a chunk can have."""

from __future__ import annotations

import asyncio
import bz2
import lzma
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numcodecs.compat import ensure_contiguous_ndarray
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec

from msi_lazy.compat.zarr_pipelines import codec_of_format_2
from msi_lazy.storage.promised_sizes import Bounds, check_promise, too_large
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["bounded_codecs", "bounds_of", "check_segment", "codec_kind", "native_dtype"]

_LZMA_MEMORY = 2**28
"""Most bytes that LZMA may take for its dictionary; its highest preset takes 64 MiB."""
_MOST_PACKED = {"zlib": 1032, "lzma": 7200}
"""Bytes that each stored byte may decode to."""
_STRINGS = 2**26
"""Bytes that strings may have, however few."""


def codec_kind(settings: Any) -> str:
    """Name of a codec by its settings as they are stored, in either Zarr format, without the prefix of numcodecs."""
    name = settings.get("name", settings.get("id"))
    return str(name).removeprefix("numcodecs.")


def native_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of NumPy's that a dtype of Zarr's, or NumPy's, is."""
    found: np.dtype[Any] = dtype if isinstance(dtype, np.dtype) else dtype.to_native_dtype()
    return found


@lru_cache(64)
def bounds_of(shape: tuple[int, ...], dtype: Any, filtered: bool = False) -> Bounds:
    """Bounds of a chunk of a shape, and of a dtype of Zarr's or NumPy's."""
    found = native_dtype(dtype)
    nbytes = prod(shape) * found.itemsize
    if found.kind in "OT":
        return Bounds(nbytes, factor=64, slack=_STRINGS)
    return Bounds(nbytes, factor=8) if filtered else Bounds(nbytes)


def bounded_codecs(metadata: Any) -> list[Any]:
    """Codecs of an array, from its metadata, that decode no more than its chunks can have."""
    if not store_format(metadata.zarr_format).has_numcodecs:
        return [_bounded(codec) for codec in metadata.codecs]
    bounds = bounds_of(metadata.chunks, metadata.dtype, filtered=bool(metadata.filters))
    filters = [_bounded_numcodec(codec, bounds) for codec in metadata.filters or ()]
    return [codec_of_format_2(filters or None, _bounded_numcodec(metadata.compressor, bounds))]


def _bounded(codec: Any) -> Any:
    if isinstance(codec, ShardingCodec):
        return ShardingCodec(
            chunk_shape=codec.chunk_shape,
            codecs=[_bounded(inner) for inner in codec.codecs],
            index_codecs=codec.index_codecs,
            index_location=codec.index_location,
        )
    return _BoundedCodec(codec) if isinstance(codec, BytesBytesCodec) else codec


@dataclass(frozen=True)
class _BoundedCodec(BytesBytesCodec):
    """A codec of Zarr v3 that refuses to decode more than the chunk can have."""

    codec: Any
    """Codec itself."""
    is_fixed_size = False

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        settings = self.codec.to_dict()
        kind, bounds = codec_kind(settings), bounds_of(chunk_spec.shape, chunk_spec.dtype)
        stored = chunk_bytes.as_numpy_array()
        if kind in _STREAMS:
            read = partial(_decode_stream, kind, memoryview(stored), settings.get("configuration") or {}, bounds)
            return chunk_spec.prototype.buffer.from_bytes(await asyncio.to_thread(read))
        _check(kind, stored, bounds)
        (decoded,) = await self.codec.decode([(chunk_bytes, chunk_spec)])
        return decoded

    async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        (encoded,) = await self.codec.encode([(chunk_bytes, chunk_spec)])
        return encoded

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Return the number of bytes after encoding, as the codec itself does."""
        return int(self.codec.compute_encoded_size(input_byte_length, chunk_spec))

    def evolve_from_array_spec(self, array_spec: Any) -> Self:
        """Return the codec as it suits an array."""
        return replace(self, codec=self.codec.evolve_from_array_spec(array_spec))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings of the codec itself."""
        return dict(self.codec.to_dict())


@dataclass(frozen=True)
class _BoundedNumcodec:
    """A codec of Zarr v2 that refuses to decode more than the chunk can have."""

    codec: Any
    """Codec itself."""
    bounds: Bounds
    """Bounds of a chunk."""

    @property
    def codec_id(self) -> str:
        """Name of the codec."""
        return str(self.codec.codec_id)

    def decode(self, stored: Any, out: Any = None) -> Any:
        """Decode stored bytes."""
        kind = self.codec_id
        flat = ensure_contiguous_ndarray(stored).reshape(-1).view("u1")
        if kind in _STREAMS:
            return _decode_stream(kind, memoryview(flat), self.codec.get_config(), self.bounds)
        _check(kind, flat, self.bounds)
        return self.codec.decode(stored, out)

    def encode(self, samples: Any) -> Any:
        """Encode samples."""
        return self.codec.encode(samples)

    def get_config(self) -> dict[str, Any]:
        """Return the settings of the codec itself."""
        return dict(self.codec.get_config())


def _bounded_numcodec(codec: Any, bounds: Bounds) -> Any:
    return codec if codec is None else _BoundedNumcodec(codec, bounds)


def _check(kind: str, stored: np.ndarray[Any, Any], bounds: Bounds) -> None:
    check_promise(kind, lambda at, count: stored[at : at + count].tobytes(), len(stored), bounds)


def check_segment(kind: str, stored: bytes, bounds: Bounds) -> None:
    """Refuse stored bytes that another library is to decode, where they would decode to more than their ``bounds``.

    Bytes of zlib and LZMA promise nothing: where they are so many that they could, they are decoded here first.
    """
    if kind in _STREAMS and len(stored) * _MOST_PACKED[kind] > bounds.most_in_stream:
        _decode_stream(kind, memoryview(stored), {}, bounds)
    else:
        check_promise(kind, lambda at, count: stored[at : at + count], len(stored), bounds)


def _decode_stream(kind: str, stored: memoryview, settings: dict[str, Any], bounds: Bounds) -> bytes:
    """Decode a stream of unknown length, and stop where it gets too long."""
    parts: list[bytes] = []
    length, rest = 0, stored
    while len(rest):
        if parts and kind == "zlib":
            raise ValueError(f"{len(rest)} bytes follow the end of the stream")
        stream = _STREAMS[kind](settings)
        try:
            part = stream.decompress(rest, bounds.most - length + 1)
        except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
            if parts and not bytes(rest).strip(b"\0"):  # padded, as gzip files may be
                break
            raise ValueError(f"the stored bytes are damaged, and {kind} cannot decode them: {error}") from error
        parts.append(part)
        length += len(part)
        if length > bounds.most:
            raise too_large(None, bounds)
        if not stream.eof:
            raise ValueError(f"the stored bytes are cut: {kind} found no end of its stream")
        rest = memoryview(stream.unused_data)
    if not parts:
        raise ValueError(f"there are no stored bytes for {kind} to decode")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _lzma(settings: dict[str, Any]) -> lzma.LZMADecompressor:
    form, filters = settings.get("format", lzma.FORMAT_XZ), settings.get("filters")
    if form != lzma.FORMAT_RAW:
        return lzma.LZMADecompressor(form, memlimit=_LZMA_MEMORY)
    if any(one.get("dict_size", 0) > _LZMA_MEMORY for one in filters or ()):
        raise ValueError(f"the codec lzma has a dictionary of more than {_LZMA_MEMORY:,} bytes, and is refused")
    return lzma.LZMADecompressor(form, filters=filters)


_STREAMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "gzip": lambda settings: zlib.decompressobj(31),
    "zlib": lambda settings: zlib.decompressobj(15),
    "bz2": lambda settings: bz2.BZ2Decompressor(),
    "lzma": _lzma,
}
"""Decoders of the codecs whose bytes promise nothing, by their settings."""
