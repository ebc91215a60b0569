"""Codecs that stored arrays may have: none that could run code of whoever wrote the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Iterator

    import zarr

__all__ = ["refuse_pickles"]


def refuse_pickles(array: zarr.Array[Any]) -> None:
    """Refuse an array whose chunks would be unpickled: a pickle can run any code.

    Raises
    ------
    ValueError
        Names the array.
    """
    facts = store_format(array.metadata.zarr_format)
    codecs = [facts.codec_settings(codec) for codec in facts.codecs_of(array.metadata)]
    if any("pickle" in name for name in _names(codecs)):
        raise ValueError(
            f"the array {array.path!r} is stored as pickles, which can run any code when they are read, so it is "
            f"refused; write it again with another codec"
        )


def _names(codecs: Any) -> Iterator[str]:
    """Names of codecs, also of those inside others, as in shards."""
    if isinstance(codecs, dict):
        yield from (str(codecs[key]) for key in ("id", "name") if key in codecs)
        codecs = list(codecs.values())
    if isinstance(codecs, (list, tuple)):
        for codec in codecs:
            yield from _names(codec)
