"""Codec pipelines that look at stored bytes before they are decoded: no chunk may kill a process, or exhaust memory.

Codecs allocate what stored bytes promise, or decode to wherever they end; the Rust ones abort the process where that
fails.  Chunks of local files are therefore looked at first, a few bytes of each, and zarr-python's codecs are bounded.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from numbers import Integral
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Self

import zarr
from zarr.registry import register_pipeline
from zarr.storage import LocalStore
from zarrs import ZarrsCodecPipeline

from msi_lazy.compat.zarr_arrays import in_forked_process, run_by
from msi_lazy.storage.bounded_codecs import bounded_codecs, bounds_of
from msi_lazy.storage.chunk_forms import ChunkError, ChunkForm, check_stored
from msi_lazy.storage.direct_chunks import DirectChunks
from msi_lazy.storage.promised_sizes import too_large
from msi_lazy.storage.regular_files import check_regular, holds_plain_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from zarr.abc.store import Store

__all__ = ["CheckedPipeline", "CheckedRust", "CheckedRustPipeline", "checked", "checked_codecs"]

_CONFIGURING = RLock()
"""Held while zarr is configured to open nodes: two threads at once would leave it so."""


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


@dataclass(frozen=True)
class CheckedRust:
    """The Rust codecs for one read, or write: they run once the stored chunks have been looked at."""

    rust: Any
    """Rust's own pipeline."""
    form: ChunkForm
    """Form of the chunks."""
    batch: Sequence[Any]
    """Chunks, as zarr describes them."""

    def retrieve_chunks_and_apply_index(self, chunks: Any, out: Any) -> None:
        """Decode chunks into ``out``."""
        for getter, spec, selection, *_ in self.batch:
            check_stored(getter, spec, selection, self.form)
        self._run(partial(self.rust.retrieve_chunks_and_apply_index, chunks, out))

    def store_chunks_with_indices(self, chunks: Any, samples: Any, write_empty_chunks: bool) -> None:
        """Encode samples to chunks; those that are written in part are decoded first."""
        for getter, spec, selection, *_ in self.batch:
            if _is_whole(selection, spec.shape):
                check_regular(f"{getter.store.root}/{getter.path}")  # to write into a named pipe is to wait, too
            else:
                check_stored(getter, spec, (), self.form)
        self._run(partial(self.rust.store_chunks_with_indices, chunks, samples, write_empty_chunks))

    def _run(self, task: Any) -> None:
        try:
            task()
        except Exception as error:
            error.add_note(f"while Rust's codecs ran on {_named(self.batch)}")
            raise
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of pyo3, which no ``except Exception`` sees
                raise
            raise ChunkError(f"{_named(self.batch)} cannot be decoded: {error}") from error


@dataclass
class CheckedPipeline(ZarrsCodecPipeline):
    """Bounded codecs of zarr-python; Rust's where :class:`CheckedRustPipeline` has them."""

    form: ChunkForm | None = None
    """Form of the chunks; ``None`` where it is not known."""
    direct: DirectChunks | None = None
    """Codec that needs no pipeline; ``None`` where there is none."""
    in_thread: Any = None
    """All codecs for the thread that asks, once it has (:mod:`msi_lazy.storage.thread_codecs`)."""
    in_rust: ClassVar[bool] = False

    @classmethod
    def from_array_metadata_and_store(cls, array_metadata: Any, store: Any) -> Self:
        """Return the pipeline of an array."""
        python: Any = cls.from_codecs(bounded_codecs(array_metadata))
        form = ChunkForm.of(array_metadata)
        if not cls.in_rust:
            return cls(array_metadata, store, None, python, form)
        plain = LocalStore(store.root, read_only=store.read_only)  # zarrs knows no class made from it
        rust = ZarrsCodecPipeline.from_array_metadata_and_store(array_metadata, plain).impl
        direct = DirectChunks.of(array_metadata, bounds_of((1,), array_metadata.dtype).nbytes)
        return cls(array_metadata, store, rust, python, form, direct)

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(self.from_array_metadata_and_store(state["metadata"], state["store"]).__dict__)

    async def read(self, batch_info: Iterable[Any], out: Any, drop_axes: tuple[int, ...] = ()) -> Any:
        """Decode chunks into ``out``; return what zarr's own pipeline says of each (zarr 3.2)."""
        batch = list(batch_info)
        try:
            if self.direct is not None and self.direct.inner is None:
                await asyncio.to_thread(self.direct.read, batch, out.as_ndarray_like(), drop_axes)
            elif self.form is not None and self.runs_in_rust() and _rust_takes(self.form, batch):
                rust = CheckedRust(self.impl, self.form, batch)
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
        if self.direct is not None and self.direct.can_write(batch, value.as_ndarray_like(), drop_axes):
            await asyncio.to_thread(self.direct.write, batch, value.as_ndarray_like())
            return
        whole = all(_is_whole(selection, spec.shape) for _, spec, selection, *_ in batch)
        if self.form is not None and self.runs_in_rust(writes=whole) and _rust_takes(self.form, batch):
            rust = CheckedRust(self.impl, self.form, batch)
            await ZarrsCodecPipeline.write(self._with(rust), batch, value, drop_axes)
        elif self.python_impl is not None:
            await self.python_impl.write(batch, value, drop_axes)

    def runs_in_rust(self, *, writes: bool = False) -> bool:
        """Tell whether Rust decodes chunks, or ``writes`` whole ones."""
        able = self.impl is not None and not in_forked_process()
        return able and self.form is not None and (self.form.known or writes)

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


def _rust_takes(form: ChunkForm, batch: Sequence[Any]) -> bool:
    """Tell whether Rust does what is selected: slices without steps, and integers, of which it fails in shards.

    Of samples that are selected one by one, it leaves those as they were whose chunks are not stored.
    """
    selections = (selection for _, _, *both, _ in batch for selection in both)
    parts = chain.from_iterable(part if isinstance(part, tuple) else (part,) for part in selections)
    return all(
        part.step in (None, 1) if isinstance(part, slice) else form.inner is None and isinstance(part, Integral)
        for part in parts
    )


def _check_files(batch: Sequence[Any], form: ChunkForm | None) -> None:
    """Look at the stored bytes of chunks in local files: zarr-python reads them whole, however many they are."""
    for getter, spec, selection, *_ in batch:
        if form is not None:
            check_stored(getter, spec, selection, form)
            continue
        size, bounds = check_regular(f"{getter.store.root}/{getter.path}"), bounds_of(spec.shape, spec.dtype, True)
        if size is not None and size > bounds.most_in_stream:
            raise ChunkError(f"the chunk {getter.path!r} cannot be decoded: {too_large(size, bounds)}")


def _named(batch: Sequence[Any]) -> str:
    paths = [repr(getter.path) for getter, *_ in batch if hasattr(getter, "path")]
    if len(paths) < 2:
        return f"the chunk {''.join(paths)}"
    return f"one of the {len(paths)} chunks {paths[0]} to {paths[-1]}"


register_pipeline(CheckedPipeline)
