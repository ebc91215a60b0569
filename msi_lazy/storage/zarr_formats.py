"""Table of Zarr versions: description, keys and packing of arrays in each."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import zarr
from numcodecs import Blosc, Zstd
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.storage import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from msi_lazy.ngff.specification import ZarrFormat

__all__ = ["RUST_CODECS", "ZARR_DOCUMENTS", "StoreFormat", "check_optimized", "store_format"]

ZARR_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
"""Names of the documents of metadata."""

RUST_CODECS = frozenset(
    {"Blosc", "Zstd", "GZip"}  # Zarr v2
    | {"BytesCodec", "BloscCodec", "ZstdCodec", "GzipCodec", "Crc32cCodec", "ShardingCodec"}
)
"""Names of the codec classes that ``zarrs`` runs."""


@dataclass(frozen=True)
class KindCodecs:
    """Codecs that one name stands for."""

    of_images: tuple[Any, ...]
    """For images: a bit shuffle, which is faster than a byte shuffle, and after which noise packs as well, then zstd
    of level 3, which is read faster than that of level 1; or lz4, to be fast."""
    of_labels: tuple[Any, ...]
    """For labels: zstd alone, as labels are runs of one value, which a shuffle would tear apart; lz4 is a sixth
    faster, and takes four times the bytes."""


@dataclass(frozen=True)
class StoreFormat:
    """Row of the table: one version of Zarr."""

    array_document: str
    """Name of the document that describes an array."""
    attributes_document: str
    """Name of the document with the attributes of a group."""
    consolidated_document: str
    """Name of the document with the metadata of all nodes below a group, where there are such."""
    has_shards: bool
    """Whether chunks can be packed into shards."""
    fill_value_is_mask: bool
    """Whether xarray stores the attribute ``_FillValue`` as the fill value of an array, like zarr's own 0."""
    key_encoding: Mapping[str, Any]
    """Settings of ``zarr.create_array`` for ``/`` as separator in the keys of chunks; empty if it is the default."""
    named_codecs: Mapping[str, KindCodecs]
    """Codecs that go by a name, as measured by ``python -m benchmarks.codecs``."""
    has_numcodecs: bool
    """Whether codecs are those of numcodecs, with filters apart from a compressor, and not zarr's own."""
    codecs_of: Callable[[Any], tuple[Any, ...]]
    """All codecs in the metadata of an array."""
    codec_settings: Callable[[Any], dict[str, Any]]
    """Name and settings of a codec, as they are stored."""
    is_plain: Callable[[Any], bool]
    """Whether the metadata of an array have nothing, besides codecs, that ``zarrs`` does not read."""
    separator_of: Callable[[Any], str]
    """Separator of the indices in keys of chunks, by the metadata of an array."""
    like: Callable[[zarr.Array[Any], tuple[str, ...]], dict[str, Any]]
    """Settings of ``zarr.create_array`` for a further level, from an array of the image and its axes."""


def check_optimized() -> None:
    """Refuse Python's ``-O`` where zarr cannot read its own groups with it, as zarr 3.1 cannot.

    Assumes that it drops what an ``assert`` does besides.

    Raises
    ------
    RuntimeError
        Python runs with ``-O``, and zarr is too old for that.
    """
    if sys.flags.optimize and not _reads_groups():
        raise RuntimeError(
            f"zarr {zarr.__version__} cannot read Zarr v3 where Python is optimised (-O, -OO, PYTHONOPTIMIZE): run "
            f"Python without that, or install a newer zarr (pip install --upgrade zarr)"
        )


@cache
def _reads_groups() -> bool:
    root = zarr.create_group(MemoryStore(), zarr_format=3)
    root.create_group("a")
    try:
        root["a"]
    except TypeError:
        return False
    return True


def store_format(zarr_format: ZarrFormat) -> StoreFormat:
    """Row of a Zarr version."""
    return _FORMATS[zarr_format]


_KEYS_2 = MappingProxyType({"name": "v2", "separator": "/"})
_FORMATS: dict[int, StoreFormat] = {
    2: StoreFormat(
        array_document=".zarray",
        attributes_document=".zattrs",
        consolidated_document=".zmetadata",
        has_shards=False,
        fill_value_is_mask=True,
        key_encoding=_KEYS_2,
        named_codecs=MappingProxyType(
            {
                "auto": KindCodecs((Blosc(cname="zstd", clevel=3, shuffle=Blosc.BITSHUFFLE),), (Zstd(level=3),)),
                "fast": KindCodecs((Blosc(cname="lz4", clevel=5, shuffle=Blosc.BITSHUFFLE),), (Zstd(level=1),)),
            }
        ),
        has_numcodecs=True,
        codecs_of=lambda metadata: (
            *(metadata.filters or ()),
            *(() if metadata.compressor is None else (metadata.compressor,)),
        ),
        codec_settings=lambda codec: dict(codec.get_config()),
        is_plain=lambda metadata: not metadata.filters and metadata.order == "C" and metadata.fill_value is not None,
        separator_of=lambda metadata: str(metadata.dimension_separator),
        like=lambda array, dims: {"chunk_key_encoding": dict(_KEYS_2), "order": array.order},
    ),
    3: StoreFormat(
        array_document="zarr.json",
        attributes_document="zarr.json",
        consolidated_document="zarr.json",
        has_shards=True,
        fill_value_is_mask=False,
        key_encoding=MappingProxyType({}),
        named_codecs=MappingProxyType(
            {
                "auto": KindCodecs((BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),), (ZstdCodec(level=3),)),
                "fast": KindCodecs((BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),), (ZstdCodec(level=1),)),
            }
        ),
        has_numcodecs=False,
        codecs_of=lambda metadata: tuple(metadata.codecs),
        codec_settings=lambda codec: dict(codec.to_dict()),
        is_plain=lambda metadata: (
            not any(str(codec.to_dict()["name"]).startswith("numcodecs.") for codec in metadata.codecs)
        ),
        separator_of=lambda metadata: str(metadata.chunk_key_encoding.separator),
        like=lambda array, dims: {"dimension_names": dims},
    ),
}
