"""Separator of the indices in the keys of chunks: some writers of Zarr v2 nested chunks, and did not say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.compat.zarr_stores import key_exists

if TYPE_CHECKING:
    import zarr

__all__ = ["check_separator"]


def check_separator(array: zarr.Array[Any]) -> None:
    """Refuse an array whose first chunk is stored with another separator than is stated: it would be read as empty.

    Raises
    ------
    ValueError
        Names the array, and what to do.
    """
    stated = getattr(array.metadata, "dimension_separator", None)
    if stated is None or array.ndim < 2:
        return
    other = {".": "/", "/": "."}[stated]
    first, moved = (f"{array.path}/{sep.join('0' * array.ndim)}".strip("/") for sep in (stated, other))
    if not key_exists(array.store, first) and key_exists(array.store, moved):
        raise ValueError(
            f"the chunks of the array {array.path!r} are stored with {other!r} between their indices, and its metadata "
            f"say {stated!r}, by which they are missing: write 'dimension_separator': {other!r} into its .zarray, or "
            f"copy the image with msi_lazy.upgrade(store, target)"
        )
