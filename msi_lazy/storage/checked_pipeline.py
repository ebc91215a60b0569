"""Codec pipelines that look at stored bytes before they are decoded: no chunk may kill a process, or exhaust memory.

Codecs allocate what stored bytes promise, or decode to wherever they end; the Rust ones abort the process where that
fails.  Chunks of local files are therefore looked at first, a few bytes of each, and zarr-python's codecs are bounded.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import zarr
from zarr.registry import register_pipeline
from zarr.storage import LocalStore
from zarrs import ZarrsCodecPipeline

from msi_lazy.compat.zarr_arrays import in_forked_process, run_by
from msi_lazy.storage.bounded_codecs import bounded_codecs, bounds_of, codec_kind
from msi_lazy.storage.promised_sizes import check_promise, too_large
from msi_lazy.storage.regular_files import check_regular, holds_plain_files, open_regular
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from zarr.abc.store import Store

__all__ = ["CheckedPipeline", "CheckedRustPipeline", "checked", "checked_codecs"]

_CONFIGURING = RLock()
"""Held while zarr is configured to open nodes: two threads at once would leave it so."""
_CHECKSUM = ("crc32c",)
_MISSING = 2**64 - 1
"""Offset of an inner chunk that is not stored."""


def checked(array: zarr.Array[Any], store: Store | None = None, *, in_rust: bool = False) -> zarr.Array[Any]:
    """Return an array with checked codecs, which it keeps through pickling; in ``store``, where it is too."""
    kind, store = CheckedRustPipeline if in_rust else CheckedPipeline, array.store if store is None else store
    return run_by(array, store, kind.from_array_metadata_and_store(array.metadata, store))


@contextmanager
def checked_codecs() -> Iterator[None]:
    """Have the arrays that others open here decoded by checked codecs."""
    name = f"{CheckedPipeline.__module__}.{CheckedPipeline.__qualname__}"
    with _CONFIGURING, zarr.config.set({"codec_pipeline.path": name}):
        yield


class ChunkError(ValueError):
    """A chunk cannot be decoded; names it."""


@dataclass(frozen=True)
class _Form:
    """What the stored bytes of a chunk are, as far as their size can be told without decoding them."""

    kind: str = ""
    """Outermost codec; empty for none."""
    known: bool = True
    """Whether it is the only one, and its bytes tell their decoded size."""
    tail: int = 0
    """Bytes of checksums after it."""
    inner: tuple[int, ...] | None = None
    """Shape of the inner chunks, if the chunk is a shard."""
    index_tail: int = 0
    """Bytes of the checksum of a shard's index."""
    index_first: bool = False
    """Whether the index of a shard comes first."""

    @classmethod
    def of(cls, metadata: Any) -> _Form | None:
        """Return the form of an array's chunks; ``None`` if samples are filtered, or shards lie within shards."""
        row = store_format(metadata.zarr_format)
        if row.has_numcodecs and metadata.filters:
            return None
        return cls._of_codecs([row.codec_settings(codec) for codec in row.codecs_of(metadata)])

    @classmethod
    def _of_codecs(cls, codecs: Sequence[Any]) -> _Form | None:
        kinds = [codec_kind(codec) for codec in codecs if codec_kind(codec) not in ("bytes", "transpose")]
        tail = 0
        while kinds and kinds[-1] in _CHECKSUM:
            kinds, tail = kinds[:-1], tail + 4
        if kinds == ["sharding_indexed"] and not tail:
            settings = next(codec for codec in codecs if codec_kind(codec) == kinds[0])["configuration"]
            inner, index = (cls._of_codecs(settings[key]) for key in ("codecs", "index_codecs"))
            orders = [(codec.get("configuration") or {}).get("endian") for codec in settings["index_codecs"]]
            if inner is None or inner.inner or index is None or index.kind or "big" in orders:
                return None
            first = str(settings.get("index_location", "end")) == "start"
            return cls(inner.kind, inner.known, inner.tail, tuple(settings["chunk_shape"]), index.tail, first)
        if "sharding_indexed" in kinds:
            return None
        kinds = [kind for kind in kinds if kind not in _CHECKSUM]
        return cls(kinds[-1] if kinds else "", kinds in ([], ["zstd"], ["blosc"]), tail)


@dataclass(frozen=True)
class _CheckedRust:
    """The Rust codecs for one read, or write: they run once the stored chunks have been looked at."""

    rust: Any
    """Rust's own pipeline."""
    form: _Form
    """Form of the chunks."""
    batch: Sequence[Any]
    """Chunks, as zarr describes them."""

    def retrieve_chunks_and_apply_index(self, chunks: Any, out: Any) -> None:
        """Decode chunks into ``out``."""
        for getter, spec, selection, *_ in self.batch:
            _check_stored(getter, spec, selection, self.form)
        self._run(partial(self.rust.retrieve_chunks_and_apply_index, chunks, out))

    def store_chunks_with_indices(self, chunks: Any, samples: Any, write_empty_chunks: bool) -> None:
        """Encode samples to chunks; those that are written in part are decoded first."""
        for getter, spec, selection, *_ in self.batch:
            if _is_whole(selection, spec.shape):
                check_regular(f"{getter.store.root}/{getter.path}")  # to write into a named pipe is to wait, too
            else:
                _check_stored(getter, spec, (), self.form)
        self._run(partial(self.rust.store_chunks_with_indices, chunks, samples, write_empty_chunks))

    def _run(self, task: Any) -> None:
        try:
            task()
        except Exception:
            raise
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of pyo3, which no ``except Exception`` sees
                raise
            raise ChunkError(f"{_named(self.batch)} cannot be decoded: {error}") from error


@dataclass
class CheckedPipeline(ZarrsCodecPipeline):
    """Bounded codecs of zarr-python; Rust's where :class:`CheckedRustPipeline` has them."""

    form: _Form | None = None
    """Form of the chunks; ``None`` where it is not known."""
    in_rust: ClassVar[bool] = False

    @classmethod
    def from_array_metadata_and_store(cls, array_metadata: Any, store: Any) -> Self:
        """Return the pipeline of an array."""
        python: Any = cls.from_codecs(bounded_codecs(array_metadata))
        form = _Form.of(array_metadata)
        if not cls.in_rust:
            return cls(array_metadata, store, None, python, form)
        plain = LocalStore(store.root, read_only=store.read_only)  # zarrs knows no class made from it
        rust = ZarrsCodecPipeline.from_array_metadata_and_store(array_metadata, plain).impl
        return cls(array_metadata, store, rust, python, form)

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(self.from_array_metadata_and_store(state["metadata"], state["store"]).__dict__)

    async def read(self, batch_info: Iterable[Any], out: Any, drop_axes: tuple[int, ...] = ()) -> Any:
        """Decode chunks into ``out``; return what zarr's own pipeline says of each (zarr 3.2)."""
        batch = list(batch_info)
        try:
            if self._runs_in_rust() and self.form is not None and self.form.known:
                rust = _CheckedRust(self.impl, self.form, batch)
                await ZarrsCodecPipeline.read(self._with(rust), batch, out, drop_axes)
            elif self.python_impl is not None:  # which it always is
                if holds_plain_files(self.store):
                    await asyncio.to_thread(_check_files, batch, self.form)
                return await self.python_impl.read(batch, out, drop_axes)
        except ChunkError:
            raise
        except ValueError as error:
            raise ValueError(f"{_named(batch)} cannot be decoded: {error}") from error
        return None

    async def write(self, batch_info: Iterable[Any], value: Any, drop_axes: tuple[int, ...] = ()) -> None:
        """Encode samples, and store the chunks; those that are written in part are decoded first."""
        batch = list(batch_info)
        whole = all(_is_whole(selection, spec.shape) for _, spec, selection, *_ in batch)
        if self._runs_in_rust() and self.form is not None and (self.form.known or whole):
            rust = _CheckedRust(self.impl, self.form, batch)
            await ZarrsCodecPipeline.write(self._with(rust), batch, value, drop_axes)
        elif self.python_impl is not None:
            await self.python_impl.write(batch, value, drop_axes)

    def _runs_in_rust(self) -> bool:
        return self.impl is not None and not in_forked_process()

    def _with(self, rust: Any) -> Self:
        """Return the pipeline with other codecs of Rust, or without."""
        return type(self)(self.metadata, self.store, rust, self.python_impl)


@dataclass
class CheckedRustPipeline(CheckedPipeline):
    """Rust's codecs for arrays in local files, once the stored chunks have been looked at."""

    in_rust: ClassVar[bool] = True


def _is_whole(selection: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether a selection is a whole chunk: of one that the array's end cuts, zarr says so in any case."""
    return isinstance(selection, tuple) and all(
        isinstance(part, slice) and part.indices(n) == (0, n, 1) for part, n in zip(selection, shape, strict=True)
    )


def _check_files(batch: Sequence[Any], form: _Form | None) -> None:
    """Look at the stored bytes of chunks in local files: zarr-python reads them whole, however many they are."""
    for getter, spec, selection, *_ in batch:
        if form is not None:
            _check_stored(getter, spec, selection, form)
            continue
        size, bounds = check_regular(f"{getter.store.root}/{getter.path}"), bounds_of(spec.shape, spec.dtype, True)
        if size is not None and size > bounds.most_in_stream:
            raise ChunkError(f"the chunk {getter.path!r} cannot be decoded: {too_large(size, bounds)}")


def _check_stored(getter: Any, spec: Any, selection: Any, form: _Form) -> None:
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


def _check_shard(read: Any, size: int, spec: Any, selection: Any, form: _Form) -> None:
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
    for start, count in index[index[:, 0] != _MISSING].tolist():
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


def _named(batch: Sequence[Any]) -> str:
    paths = [repr(getter.path) for getter, *_ in batch if hasattr(getter, "path")]
    if len(paths) < 2:
        return f"the chunk {''.join(paths)}"
    return f"one of the {len(paths)} chunks {paths[0]} to {paths[-1]}"


register_pipeline(CheckedPipeline)
