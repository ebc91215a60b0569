"""Open arrays of zarr with settings and a codec pipeline of their own, whatever zarr is configured to."""

from __future__ import annotations

import os
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import zarr
from zarr import AsyncArray
from zarr.storage import StorePath
from zarrs.pipeline import ZarrsCodecPipeline, get_codec_pipeline_fallback

if TYPE_CHECKING:
    from zarr.abc.codec import CodecPipeline
    from zarr.abc.store import Store

__all__ = ["array_at", "in_forked_process", "run_by", "run_in_python"]

_FORKED = [False]
"""Whether this process was forked from one that had this module: threads, such as those of Rust's pool, were not."""


def _note_fork() -> None:
    _FORKED[0] = True


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_note_fork)


def in_forked_process() -> bool:
    """Tell whether this process is a fork, in which Rust's pool of threads would be waited for without end."""
    return _FORKED[0]


def run_in_python(array: zarr.Array[Any], *, write_empty_chunks: bool = False) -> zarr.Array[Any]:
    """Return an array that reads and writes with zarr's own codecs, and whose samples are in C order.

    Assumes that an array keeps its pipeline in ``codec_pipeline``, and that pickles keep it.
    """
    settings = _settings(array, write_empty_chunks)
    own = not isinstance(array.async_array.codec_pipeline, ZarrsCodecPipeline)
    if own and settings == array.config.to_dict():
        return array
    array = array.with_config(settings)
    if isinstance(array.async_array.codec_pipeline, ZarrsCodecPipeline):  # as zarr is configured to
        _set_pipeline(array.async_array, _own_pipeline(array.metadata))
    return array


def run_by(array: zarr.Array[Any], store: Store, pipeline: CodecPipeline) -> zarr.Array[Any]:
    """Return the array in ``store``, where ``array`` is too, with codecs of its own, and samples in C order.

    Assumes the same as :func:`run_in_python`.
    """
    inner: AsyncArray[Any] = AsyncArray(array.metadata, StorePath(store, array.path), _settings(array, False))
    _set_pipeline(inner, pipeline)
    return zarr.Array(inner)


def array_at(array: zarr.Array[Any], path: str) -> zarr.Array[Any]:
    """Return the array at another path in the store, which must have the same metadata; nothing is read.

    Assumes that an array keeps its place in ``store_path`` alone, and a pipeline of ours what it is for in
    ``in_thread``.
    """
    inner = copy(array.async_array)
    object.__setattr__(inner, "store_path", StorePath(array.store, path))  # which is frozen
    pipeline: Any = inner.codec_pipeline
    if hasattr(pipeline, "in_thread"):
        _set_pipeline(inner, replace(pipeline, in_thread=None))
    return zarr.Array(inner)


def _settings(array: zarr.Array[Any], write_empty_chunks: bool) -> Any:
    """Return the settings of an array, with zarr's defaults for those that change what is read and stored."""
    known: dict[str, Any] = {**array.config.to_dict()}
    ours = {"order": "C", "write_empty_chunks": write_empty_chunks, "read_missing_chunks": True}
    return {name: ours.get(name, value) for name, value in known.items()}


def _own_pipeline(metadata: Any) -> CodecPipeline:
    """Pipeline of zarr's own codecs, as ``zarrs`` falls back on where its strictness is not asked for."""
    pipeline = get_codec_pipeline_fallback(metadata, strict=False)
    assert pipeline is not None  # as it is where strict
    return pipeline


def _set_pipeline(array: AsyncArray[Any], pipeline: CodecPipeline) -> None:
    object.__setattr__(array, "codec_pipeline", pipeline)  # which is frozen
