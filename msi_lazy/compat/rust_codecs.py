"""The codecs of ``zarrs`` themselves, below the pipeline that hands them to zarr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore
from zarrs._internal import ChunkItem, CodecPipelineImpl

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["chunk_item", "one_thread_codecs", "pipeline_of"]


def one_thread_codecs(metadata: Any, root: Any) -> CodecPipelineImpl:
    """Return the codecs of an array in local files, which run in the thread that calls them, a chunk after another.

    Assumes that with these limits they hand nothing to the pool of threads that they share with all other arrays.
    """
    return CodecPipelineImpl(
        json.dumps(metadata.to_dict()),
        LocalStore(root),
        validate_checksums=True,
        chunk_concurrent_minimum=1,
        chunk_concurrent_maximum=1,
        num_threads=1,
    )


def chunk_item(
    key: str, part: Sequence[slice], chunk: tuple[int, ...], place: Sequence[slice], shape: tuple[int, ...]
) -> ChunkItem:
    """Describe ``part`` of a chunk of shape ``chunk``, and its ``place`` in samples of ``shape``, in C order."""
    return ChunkItem(key, part, chunk, place, shape)


def pipeline_of(array: Any) -> Any:
    """Return the codec pipeline of an array; assumes that it is kept in ``codec_pipeline``."""
    return array.async_array.codec_pipeline
