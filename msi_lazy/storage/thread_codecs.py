"""Reads and writes of local files by the thread that asks for them, a chunk after another.

zarr hands each read and write to a thread that all share, that to a further one, and Rust spreads its chunks over a
pool of as many threads as there are cores.  A task that is one of as many gains nothing by that: here it decodes and
encodes itself, straight into and out of its own arrays, and its scheduler alone decides how many do so at once.
What the codecs allocate is then in that thread's part of the heap (:mod:`msi_lazy.compat.heap_reserve`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msi_lazy.compat.rust_codecs import chunk_item, one_thread_codecs, pipeline_of
from msi_lazy.methods.lending import fresh
from msi_lazy.plan.grid import Grid
from msi_lazy.plan.windows import Interval, intersect, relative_slices, slices
from msi_lazy.storage.checked_pipeline import CheckedRust, CheckedRustPipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.methods.lending import Lend
    from msi_lazy.plan.grid import Index
    from msi_lazy.plan.windows import Window
    from msi_lazy.storage.chunk_forms import ChunkForm
    from msi_lazy.storage.direct_chunks import DirectChunks

__all__ = ["ThreadCodecs", "read_samples", "thread_codecs"]

Array = np.ndarray[Any, Any]

_FEWEST_OF_CHUNK = 8
"""One in so many samples of a chunk that Blosc can decode in part: if more are wanted, it is decoded as a whole."""


class _Key(NamedTuple):
    """Place of a chunk, as zarr's byte getters state it."""

    store: Any
    path: str


class _Config(NamedTuple):
    """Settings of an array."""

    write_empty_chunks: bool = False


class _Spec(NamedTuple):
    """Form of a chunk, as zarr's specifications of arrays state it."""

    shape: tuple[int, ...]
    dtype: Any
    fill_value: Any
    config: _Config = _Config()


@dataclass(frozen=True)
class ThreadCodecs:
    """Codecs of one array in local files, run by the thread that calls them."""

    metadata: Any
    """Metadata of the array."""
    store: Any
    """Store of local files that it is in."""
    path: str
    """Its path in the store."""
    form: ChunkForm
    """Form of its chunks."""
    direct: DirectChunks | None
    """Codec that needs no Rust, if it has one."""
    grid: Grid
    """Its write units: shards, or chunks."""

    @cached_property
    def _rust(self) -> Any:
        return one_thread_codecs(self.metadata, self.store.root)

    def read(self, window: Window, out: Array, lend: Lend = fresh) -> None:
        """Decode the samples of ``window`` into ``out``, in native byte order.

        Chunks that lie in it only in part are decoded as a whole into a lent array where codecs would do so anyway, and
        all chunks where ``out`` is not in C order.
        """
        if self.direct is not None and self.direct.inner is None:
            self.direct.read(self._batch(window), out, (), lend)
            return
        pieces, parts = [], []
        for unit, chunk, common in self._touched(window):
            is_part = any(c.length < n for c, n in zip(common, self.grid.part, strict=True))
            if not out.flags.c_contiguous or (is_part and self._is_decoded_whole(common)):
                parts.append((unit, chunk, common))
            else:
                pieces.append((unit, relative_slices(common, chunk), relative_slices(common, window)))
        self._retrieve(pieces, out)
        if parts:
            whole = lend("chunk", self.grid.part, out.dtype)
            here = tuple(slice(0, n) for n in self.grid.part)
            for unit, chunk, common in parts:
                self._retrieve([(unit, here, here)], whole)
                out[relative_slices(common, window)] = whole[relative_slices(common, chunk)]

    def write(self, window: Window, samples: Array, lend: Lend = fresh) -> None:
        """Encode the samples of whole write units and store them; nothing is read, and nothing kept of ``samples``.

        What the last units have beyond the end of the array is the fill value.
        """
        if self.direct is not None:
            self.direct.write(self._batch(window), samples, lend)
            return
        pieces = []
        whole = None
        contiguous = samples.flags.c_contiguous
        here = tuple(slice(0, n) for n in self.grid.part)
        for unit, chunk, common in self._touched(window):
            place = relative_slices(common, window)
            is_cut = any(c.length < n for c, n in zip(common, self.grid.part, strict=True))
            if contiguous and not is_cut:
                pieces.append((unit, here, place))
                continue
            whole = lend("chunk", self.grid.part, samples.dtype) if whole is None else whole
            if is_cut:
                whole[...] = self.metadata.fill_value
            whole[relative_slices(common, chunk)] = samples[place]
            self._store([(unit, here, here)], whole)
        self._store(pieces, samples)

    def _touched(self, window: Window) -> Iterator[tuple[Index, Window, Window]]:
        """Yield the units that ``window`` touches, each with its own window, as if uncut, and what both have."""
        for unit in self.grid.touching(window):
            chunk = tuple(Interval(i * n, i * n + n) for i, n in zip(unit, self.grid.part, strict=True))
            common = intersect(chunk, window)
            assert common is not None
            yield unit, chunk, common

    def _is_decoded_whole(self, common: Window) -> bool:
        if self.form.inner is not None:  # the inner chunks of a shard are read by themselves
            return False
        wanted = prod(interval.length for interval in common)
        return self.form.kind != "blosc" or wanted * _FEWEST_OF_CHUNK >= prod(self.grid.part)

    def _retrieve(self, pieces: Sequence[Any], out: Array) -> None:
        if pieces:
            self._checked(pieces).retrieve_chunks_and_apply_index(self._items(pieces, out.shape), out)

    def _store(self, pieces: Sequence[Any], samples: Array) -> None:
        if pieces:
            self._checked(pieces).store_chunks_with_indices(self._items(pieces, samples.shape), samples, False)

    def _batch(self, window: Window) -> list[Any]:
        """List the units that ``window`` touches, as zarr describes them to its pipelines."""
        return [
            (_Key(self.store, self._key(unit)), self._spec, relative_slices(common, chunk), place, True)
            for unit, chunk, common in self._touched(window)
            for place in (relative_slices(common, window),)
        ]

    @cached_property
    def _spec(self) -> _Spec:
        return _Spec(self.grid.part, self.metadata.dtype, self.metadata.fill_value)

    def _checked(self, pieces: Sequence[Any]) -> CheckedRust:
        batch = [(_Key(self.store, self._key(unit)), self._spec, part) for unit, part, _ in pieces]
        return CheckedRust(self._rust, self.form, batch)

    def _items(self, pieces: Sequence[Any], shape: tuple[int, ...]) -> list[Any]:
        return [chunk_item(self._key(unit), part, self.grid.part, place, shape) for unit, part, place in pieces]

    def _key(self, unit: Index) -> str:
        return f"{self.path}/{self.metadata.encode_chunk_key(unit)}".lstrip("/")


def thread_codecs(array: Any, *, writes: bool = False) -> ThreadCodecs | None:
    """Return the codecs of an array for this thread, to read, or to write whole units; ``None`` if it has none."""
    pipeline = pipeline_of(array)
    if not isinstance(pipeline, CheckedRustPipeline) or pipeline.form is None:
        return None
    direct = pipeline.direct is not None and (writes or pipeline.direct.inner is None)
    if not (direct or pipeline.runs_in_rust(writes=writes)) or (writes and array.read_only) or array.ndim == 0:
        return None
    if pipeline.in_thread is None:
        grid = Grid(array.shape, tuple(max(n, 1) for n in array.shards or array.chunks))
        pipeline.in_thread = ThreadCodecs(array.metadata, array.store, array.path, pipeline.form, pipeline.direct, grid)
    found: ThreadCodecs = pipeline.in_thread
    return found


def read_samples(array: Any, window: Window, lend: Lend = fresh) -> Any:
    """Read ``window`` of an array of zarr, by codecs of this thread, into a lent array, if it has such."""
    codecs = thread_codecs(array)
    if codecs is None:
        return array[slices(window)]
    out = lend("window", tuple(interval.length for interval in window), array.dtype)
    codecs.read(window, out, lend)
    return out
