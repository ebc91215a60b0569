"""Chunks of local files, encoded and decoded in the thread that asks, with one chunk's buffer: the shortest way.

Rust's pipeline copies a shard four times, and has a pool of as many threads as there are cores in each process, which
the threads of Dask already use.
"""

from __future__ import annotations

import os
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import xxhash
from numcodecs import Blosc, Zstd
from numcodecs.blosc import list_compressors
from zarr.codecs import ShardingCodec

from msi_lazy.methods.lending import fresh
from msi_lazy.storage.blosc_blocks import cut_blocks, decoded_size
from msi_lazy.storage.bounded_codecs import bounds_of, codec_kind, native_dtype
from msi_lazy.storage.chunk_forms import MISSING, ChunkError
from msi_lazy.storage.promised_sizes import Bounds, check_promise, too_large
from msi_lazy.storage.recorded_store import EMPTY
from msi_lazy.storage.regular_files import RegularStore, check_regular, open_regular
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from msi_lazy.methods.lending import Lend

__all__ = ["DirectChunks"]

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

_COMPRESSORS = frozenset(list_compressors())
_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}


@dataclass(frozen=True)
class DirectChunks:
    """Codec of the chunks of an array, in native byte order, in local files."""

    codec: Any
    """Codec of numcodecs."""
    kind: str
    """Its name."""
    inner: Shape | None = None
    """Shape of the inner chunks, if the chunk is a shard: those are written here, and read elsewhere."""
    index_first: bool = False
    """Whether the index of a shard comes first."""
    index_checksum: bool = True
    """Whether it has a checksum."""

    @classmethod
    def of(cls, metadata: Any, itemsize: int) -> DirectChunks | None:
        """Return the codec of an array; ``None`` if it has others than one of Blosc or zstd."""
        if store_format(metadata.zarr_format).has_numcodecs:
            settings = {} if metadata.compressor is None else metadata.compressor.get_config()
            kind = codec_kind(settings)
            known = not metadata.filters and (kind == "zstd" or (kind == "blosc" and settings["cname"] in _COMPRESSORS))
            return cls(metadata.compressor, kind) if known else None
        codecs: Sequence[Any] = metadata.codecs
        options: dict[str, Any] = {}
        if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec):
            shard: Any = codecs[0]
            index = [codec_kind(codec.to_dict()) for codec in shard.index_codecs]
            if index not in (["bytes"], ["bytes", "crc32c"]) or not _is_little(shard.index_codecs[0]):
                return None
            options = {
                "inner": tuple(shard.chunk_shape),
                "index_first": str(getattr(shard.index_location, "value", shard.index_location)) == "start",
                "index_checksum": len(index) == 2,
            }
            codecs = shard.codecs
        if len(codecs) != 2 or codec_kind(codecs[0].to_dict()) != "bytes" or not _is_little(codecs[0]):
            return None
        made = _numcodec(codecs[1].to_dict(), itemsize)
        return None if made is None else cls(made, codec_kind(codecs[1].to_dict()), **options)

    def read(self, batch: Sequence[Any], out: Array, drop_axes: tuple[int, ...], lend: Lend = fresh) -> None:
        """Decode chunks, as zarr describes them, into ``out``, each by way of a lent array."""
        _off_main_thread(partial(self._read, batch, out, drop_axes, _Scratch(lend)))

    def write(self, batch: Sequence[Any], samples: Array, lend: Lend = fresh) -> None:
        """Encode and store whole chunks, as zarr describes them; those of nothing but the fill value are removed."""
        _off_main_thread(partial(self._write, batch, samples, _Scratch(lend)))

    def _read(self, batch: Sequence[Any], out: Array, drop_axes: tuple[int, ...], scratch: _Scratch) -> None:
        for getter, spec, selection, place, *_ in batch:
            dtype = native_dtype(spec.dtype)  # whatever that of ``out`` is
            bounds = bounds_of(spec.shape, spec.dtype)
            try:
                stored = _read_file(f"{getter.store.root}/{getter.path}", bounds)
                if stored is None:
                    out[place] = spec.fill_value
                    continue
                chunk = self._decode(stored, scratch.of(spec.shape, dtype), bounds, selection)
            except (ValueError, RuntimeError) as error:
                raise ChunkError(f"the chunk {getter.path!r} cannot be decoded: {error}") from error
            found = chunk[selection]
            out[place] = found.squeeze(axis=drop_axes) if drop_axes else found

    def can_write(self, batch: Sequence[Any], samples: Array, drop_axes: tuple[int, ...]) -> bool:
        """Tell whether what is to be written is whole chunks."""
        return not drop_axes and all(
            whole and samples.ndim == len(spec.shape) == len(selection) and isinstance(selection, tuple)
            for _, spec, selection, _, whole in batch
        )

    def _write(self, batch: Sequence[Any], samples: Array, scratch: _Scratch) -> None:
        dtype = samples.dtype.newbyteorder("=")  # zarr leaves the order of bytes to codecs
        for setter, spec, _, place, _ in batch:
            path, part = f"{setter.store.root}/{setter.path}", samples[place]
            check_regular(path)  # to write into a named pipe is to wait
            fill = np.array(spec.fill_value, dtype)
            skipped = None if spec.config.write_empty_chunks else fill
            if self.inner is None:
                encoded = self._encode(part, scratch.of(spec.shape, dtype), fill, skipped)
                contents: Iterable[bytes] = () if encoded is None else (encoded,)
            else:
                contents = self._encode_shard(part, spec, scratch.of(self.inner, dtype), skipped)
            entry = _store_file(path, contents)
            if isinstance(setter.store, RegularStore):
                setter.store.record(setter.path, entry)

    def _decode(self, stored: bytes, chunk: Array, bounds: Bounds, selection: Any) -> Array:
        """Decode a chunk into the array, or of Blosc's at least the blocks that hold ``selection``; return it."""
        check_promise(self.kind, lambda at, count: stored[at : at + count], len(stored), bounds)
        if self.kind == "blosc":
            nbytes = decoded_size(stored)  # where it is less, the rest of the chunk would stay as it was
            if nbytes == chunk.nbytes:
                part = cut_blocks(stored, *_byte_range(selection, chunk))
                if part is None:
                    self.codec.decode(stored, chunk)
                else:
                    cut, begin = part
                    self.codec.decode(cut, chunk.reshape(-1).view("u1")[begin : begin + decoded_size(cut)])
                return chunk
        else:
            decoded = self.codec.decode(stored)
            nbytes = len(decoded)
            if nbytes == chunk.nbytes:
                return np.frombuffer(decoded, chunk.dtype).reshape(chunk.shape)
        raise ValueError(f"the stored bytes decode to {nbytes:,} bytes, and a chunk has {chunk.nbytes:,}")

    def _encode(self, part: Array, chunk: Array, fill: Array, skipped: Array | None) -> bytes | None:
        """Encode a chunk, of which ``part`` lies in the array, by way of ``chunk``; ``None`` if all is ``skipped``."""
        if part.shape != chunk.shape:
            chunk.fill(fill)
            chunk[tuple(map(slice, part.shape))] = part
        elif part.flags.c_contiguous and part.dtype == chunk.dtype:
            chunk = part
        else:
            np.copyto(chunk, part)
        if skipped is not None and _holds_only(chunk, skipped):
            return None
        encoded: bytes = self.codec.encode(chunk)
        return encoded

    def _encode_shard(self, part: Array, spec: Any, chunk: Array, skipped: Array | None) -> Iterator[bytes]:
        """Encode the inner chunks of a shard, and its index: nothing at all if none is stored."""
        counts = tuple(n // inner for n, inner in zip(spec.shape, chunk.shape, strict=True))
        index = np.full((*counts, 2), MISSING, "<u8")
        length = index.nbytes + 4 * self.index_checksum
        at = length if self.index_first else 0
        held = []
        fill = np.array(spec.fill_value, chunk.dtype)
        for position in np.ndindex(counts):
            cut = tuple(slice(p * n, (p + 1) * n) for p, n in zip(position, chunk.shape, strict=True))
            inside = part[cut]
            if not inside.size:  # beyond the array's end
                continue
            encoded = self._encode(inside, chunk, fill, skipped)
            if encoded is None:
                continue
            index[position] = at, len(encoded)
            at += len(encoded)
            if self.index_first:
                held.append(encoded)
            else:
                yield encoded
        if at > length * self.index_first:
            content = index.tobytes()
            yield content + struct.pack("<I", google_crc32c.value(content)) if self.index_checksum else content
            yield from held


def _byte_range(selection: Any, chunk: Array) -> tuple[int, int]:
    """Return where the bytes of the first selected sample of a chunk begin, and those of the last end."""
    if not isinstance(selection, tuple) or not all(isinstance(part, slice) for part in selection):
        return 0, chunk.nbytes
    along = [range(n)[part] for part, n in zip(selection, chunk.shape, strict=False)]
    ends = [(min(at[0], at[-1]), max(at[0], at[-1])) if at else (0, 0) for at in along]
    first, last = (sum(end[i] * step for end, step in zip(ends, chunk.strides, strict=False)) for i in (0, 1))
    last += sum((n - 1) * step for n, step in zip(chunk.shape[len(ends) :], chunk.strides[len(ends) :], strict=True))
    return first, last + chunk.itemsize


def _off_main_thread(task: Callable[[], None]) -> None:
    """Run a task in another thread than the main one: there Blosc would start threads of its own, which stay.

    They would also put the blocks of a chunk in an order that changes from run to run.
    """
    if current_thread() is not main_thread():
        task()
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(task).result()


class _Scratch:
    """Lent arrays for the samples of one chunk, by its shape, made when they are needed."""

    def __init__(self, lend: Lend) -> None:
        self._lend = lend
        self._arrays: dict[tuple[Shape, Any], Array] = {}

    def of(self, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Return the array of a shape and dtype, with whatever it holds."""
        if (shape, dtype) not in self._arrays:
            self._arrays[shape, dtype] = self._lend(f"chunk {len(self._arrays)}", shape, dtype)
        return self._arrays[shape, dtype]


def _is_little(codec: Any) -> bool:
    endian = (codec.to_dict().get("configuration") or {}).get("endian", "little")
    return str(getattr(endian, "value", endian)) == "little"


def _numcodec(settings: dict[str, Any], itemsize: int) -> Any:
    """Codec of numcodecs that does what a codec of Zarr v3 does; ``None`` if there is none, or it is another's."""
    options = {name: getattr(value, "value", value) for name, value in (settings.get("configuration") or {}).items()}
    if codec_kind(settings) == "zstd":
        return Zstd(**options)
    if codec_kind(settings) != "blosc" or options.pop("typesize", itemsize) != itemsize:
        return None
    if options.get("cname") not in _COMPRESSORS or options.get("shuffle") not in _SHUFFLES:
        return None  # Snappy, which numcodecs lacks; or numcodecs' own codec in Zarr v3, that shuffles bytes as bytes
    return Blosc(**{**options, "shuffle": _SHUFFLES[options["shuffle"]]})


def _holds_only(chunk: Array, value: Array) -> bool:
    """Tell whether a chunk holds nothing but a value, bit by bit: not-a-number is, and a negative zero is not, 0."""
    bits = f"u{chunk.dtype.itemsize}"
    flat, sought = chunk.reshape(-1).view(bits), value.view(bits)
    return flat.item(0) == flat.item(-1) == sought.item() and bool((flat == sought).all())


def _read_file(path: str, bounds: Bounds) -> bytes | None:
    """Read the stored bytes of a chunk; ``None`` if there are none."""
    try:
        number, size = open_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(number, "rb", buffering=0) as file:
        if size > bounds.most:
            raise too_large(size, bounds)
        return file.read()


def _store_file(path: str, contents: Iterable[bytes]) -> tuple[int, int]:
    """Store the bytes of a chunk in place, and return their size and digest; remove it if there are none."""
    pieces = iter(contents)
    first = next(pieces, None)
    if first is None:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.remove(path)
        return EMPTY
    try:
        file = open(path, "wb", buffering=0)  # noqa: SIM115
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        file = open(path, "wb", buffering=0)  # noqa: SIM115
    size, digest = 0, xxhash.xxh3_64()
    with file:
        for piece in chain((first,), pieces):
            _write_all(file, piece)
            digest.update(piece)
            size += len(piece)
    return size, digest.intdigest()


def _write_all(file: Any, content: bytes) -> None:
    """Write bytes to a file that may take fewer at a time."""
    written = file.write(content)
    while written < len(content):
        written += file.write(memoryview(content)[written:])
