"""Recognition of incomplete images: those with the ledger of a write that has not finished."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from msi_lazy.errors import UnfinishedImageError
from msi_lazy.storage.ledger import LEDGER_ARRAY, LedgerDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msi_lazy.storage.place import Place

__all__ = ["naming_unfinished", "stored_ledger"]


def stored_ledger(place: Place) -> LedgerDocument | None:
    """Read the ledger of an incomplete image; ``None`` if there is none."""
    try:
        found = place.child(LEDGER_ARRAY).open_array()
    except (FileNotFoundError, KeyError):
        return None
    except (ValueError, TypeError):  # half written, where a store does not write keys as a whole
        return LedgerDocument()
    return LedgerDocument.from_attributes(found.attrs.asdict())


@contextmanager
def naming_unfinished(place: Place) -> Iterator[None]:
    """Name an incomplete image in the error, where none can be opened at a place.

    Raises
    ------
    UnfinishedImageError
        A write of the image, or of one that it belongs to, has not finished.
    """
    try:
        yield
    except (FileNotFoundError, ValueError):
        for above in (*place.parents(), place)[::-1]:
            if _is_unfinished(above):
                where = f"{above.group!r} in {above.given}" if above.group else above.given
                raise UnfinishedImageError(
                    f"{where} holds an incomplete image: its write was interrupted, or is still running; resume it "
                    f"with to_zarr(..., resume=True), or start over with mode='w'"
                ) from None
        raise


def _is_unfinished(place: Place) -> bool:
    try:
        return stored_ledger(place) is not None
    except Exception:  # the error at hand tells more than one of a store that cannot be read at all
        return False
