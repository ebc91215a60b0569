"""Telling an unfinished image from one that is none."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import zarr

from msi_lazy.errors import UnfinishedImageError
from msi_lazy.storage.ledger import LEDGER_ARRAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["naming_unfinished", "stored_ledger"]


def stored_ledger(store: Any, group: str, options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Attributes of the ledger of an unfinished image: none if it is broken, ``None`` if there is none."""
    path = "/".join(filter(None, (group, LEDGER_ARRAY)))
    store = store.store_path if isinstance(store, zarr.Group) else store
    try:
        found = zarr.open_array(store, path=path, mode="r", storage_options=dict(options) if options else None)
    except (FileNotFoundError, KeyError):
        return None
    except (ValueError, TypeError):  # half written, where a store does not write keys as a whole
        return {}
    attributes: dict[str, Any] = found.attrs.asdict()
    return attributes if _is_ours(attributes) else {}


def _is_ours(attributes: Mapping[str, Any]) -> bool:
    """Whether a ledger says what ours say: its paths are deleted, so none may lead out of the image."""
    run, nested = attributes.get("run"), attributes.get("nested")
    return (
        isinstance(run, str)
        and re.fullmatch("[0-9a-f]{32}", run) is not None
        and isinstance(nested, list)
        and not any(not isinstance(path, str) or {"", ".", ".."} & set(path.split("/")) for path in nested)
    )


@contextmanager
def naming_unfinished(store: Any, options: Mapping[str, Any] | None, path: str) -> Iterator[None]:
    """Where no image can be opened at ``path``, say so if a write of it, or of what it belongs to, is unfinished.

    Raises
    ------
    UnfinishedImageError
        It is.
    """
    try:
        yield
    except (FileNotFoundError, ValueError):
        parts = path.split("/") if path else []
        for depth in range(len(parts), -1, -1):
            above = "/".join(parts[:depth])
            if _is_unfinished(store, above, options):
                where = f"{above!r} in {store}" if above else str(store)
                raise UnfinishedImageError(
                    f"the image at {where} is unfinished: a write of it died, or is still running; resume it with "
                    f"to_zarr(..., resume=True), or start over with mode='w'"
                ) from None
        raise


def _is_unfinished(store: Any, path: str, options: Mapping[str, Any] | None) -> bool:
    try:
        return stored_ledger(store, path, options) is not None
    except Exception:  # the error at hand tells more than one of a store that cannot be read at all
        return False
