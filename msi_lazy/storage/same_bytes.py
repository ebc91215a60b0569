"""Arrays of Zarr v2, described in Zarr v3: chunks keep their bytes where a codec of Zarr v3 decodes the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, TransposeCodec, ZstdCodec

from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import zarr

__all__ = ["NewForm", "new_form"]

_SHUFFLES = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}
_PLAIN = "biufc"
"""Kinds of dtype whose samples are the same bytes in both versions."""


@dataclass(frozen=True)
class NewForm:
    """Description of an array in Zarr v3."""

    settings: Mapping[str, Any]
    """Settings of ``zarr.create_array``, besides names of dimensions, attributes and keys."""
    reason: str = ""
    """Why its chunks have to be encoded again; empty if their bytes stay."""


def new_form(array: zarr.Array[Any]) -> NewForm:
    """Describe an array of Zarr v2 in Zarr v3.

    Codecs that Zarr v3 has no common name for, such as zlib, lz4 and the filters of numcodecs, are replaced.
    """
    metadata: Any = array.metadata
    compressors = _same_codecs(metadata.compressor, array.dtype)
    names = [str(codec.get_config()["id"]) for codec in metadata.filters or ()]
    reason = f"Zarr v3 has no {' and '.join(map(repr, names))}" if names else ""
    if array.dtype.kind not in _PLAIN:
        reason = f"Zarr v3 stores samples of {array.dtype} in another way"
    elif compressors is None and not reason:
        reason = f"Zarr v3 has no {metadata.compressor.get_config()['id']!r}"
    settings: dict[str, Any] = {
        "shape": array.shape,
        "chunks": array.chunks,
        "dtype": str if array.dtype.kind in "UOT" else _stored_dtype(array.dtype),
        "filters": [],
        "zarr_format": 3,
        "config": {"write_empty_chunks": True},  # those that are stored
    }
    if array.dtype.kind in _PLAIN:
        fill = 0 if metadata.fill_value is None else metadata.fill_value
        endian: Literal["big", "little"] = "big" if array.dtype.byteorder == ">" else "little"
        settings |= {"fill_value": fill, "serializer": BytesCodec(endian=endian)}
    elif metadata.fill_value is not None:  # what is read where a chunk is missing
        fill = metadata.fill_value
        settings["fill_value"] = str(fill) if settings["dtype"] is str else _in_order(fill, settings["dtype"])
    if reason:
        named = store_format(3).named_codecs["auto"]
        settings["compressors"] = named.of_images if array.dtype.kind in _PLAIN else named.of_labels
    else:
        settings["compressors"] = compressors
    if metadata.order == "F" and array.ndim > 1 and not reason:
        settings["filters"] = [TransposeCodec(order=tuple(reversed(range(array.ndim))))]
    return NewForm(settings, reason)


def _stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Dtype in Zarr v3, which has fields of one byte order."""
    return dtype if dtype.fields is None else dtype.newbyteorder("<")


def _in_order(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return a sample with fields in the byte order of ``dtype``; another as it is."""
    return value if dtype.fields is None else np.asarray(value).astype(dtype)[()]


def _same_codecs(codec: Any, dtype: np.dtype[Any]) -> Sequence[Any] | None:
    """Codecs of Zarr v3 that decode the same bytes as one of numcodecs; ``None`` if there are none."""
    if codec is None:
        return ()
    config = codec.get_config()
    found = _CODECS.get(config["id"])
    return None if found is None else (found(config, dtype),)


def _blosc(config: Mapping[str, Any], dtype: np.dtype[Any]) -> BloscCodec:
    automatic = 2 if dtype.itemsize == 1 else 1  # what numcodecs takes for -1
    shuffle: Any = _SHUFFLES.get(config["shuffle"], _SHUFFLES[automatic])
    cname, clevel, blocksize = config["cname"], config["clevel"], config["blocksize"]
    return BloscCodec(typesize=dtype.itemsize, cname=cname, clevel=clevel, shuffle=shuffle, blocksize=blocksize)


_CODECS: Mapping[str, Callable[[Mapping[str, Any], np.dtype[Any]], Any]] = {
    "blosc": _blosc,
    "zstd": lambda config, _: ZstdCodec(level=config["level"], checksum=bool(config.get("checksum"))),
    "gzip": lambda config, _: GzipCodec(level=config["level"]),
}
"""Codec of Zarr v3 from the settings of numcodecs' one, by its name there."""
