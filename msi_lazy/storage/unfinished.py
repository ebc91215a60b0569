"""Recognition of incomplete images: those with the ledger of a write that has not finished."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from msi_lazy.compat.zarr_stores import key_exists
from msi_lazy.errors import UnfinishedImageError
from msi_lazy.storage.ledger import BLOCKS, LEDGER, UPGRADE_NOTE, LedgerDocument
from msi_lazy.storage.replacement import find_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msi_lazy.storage.place import Place

__all__ = ["ledger_beside", "ledger_within", "naming_unfinished", "read_ledger", "stored_ledger"]


def stored_ledger(place: Place) -> LedgerDocument | None:
    """Read the ledger of a write that has not finished, of an image or of one that replaces it; ``None`` without."""
    return ledger_beside(place) or ledger_within(place)


def ledger_within(place: Place) -> LedgerDocument | None:
    """Read the ledger of an incomplete image; ``None`` if there is none, as in a zip file, which is packed whole."""
    return None if place.in_archive else read_ledger(place.child(LEDGER))


def ledger_beside(place: Place) -> LedgerDocument | None:
    """Read the ledger of a write that was to replace what is at a place; ``None`` if there is none."""
    beside = find_beside(place)
    return None if beside is None else read_ledger(beside[0])


def read_ledger(home: Place) -> LedgerDocument | None:
    """Read the ledger in a folder; ``None`` if there is none."""
    try:
        found = home.child(BLOCKS).open_array()
        return LedgerDocument.from_attributes(found.attrs.asdict())
    except FileNotFoundError:
        return None
    except OSError:
        raise
    except Exception:  # half written, in a store that does not write keys atomically; or whatever JSON there is
        return LedgerDocument()


@contextmanager
def naming_unfinished(place: Place) -> Iterator[None]:
    """Turn the error of a place that cannot be opened into one that says that an image is incomplete, if one is.

    Raises
    ------
    UnfinishedImageError
        A write of the image, or of one that it belongs to, has not finished.
    """
    try:
        yield
    except (FileNotFoundError, ValueError):
        for above in (*place.parents(), place)[::-1]:
            found = _find_ledger(above)
            if found is not None:
                raise UnfinishedImageError(
                    f"{above.named} holds an incomplete {found.what}: its write was interrupted, or is still running; "
                    f"resume it with {found.resuming}, or start over with mode='w'"
                ) from None
            if _holds_note(above):
                raise UnfinishedImageError(
                    f"{above.named} holds an incomplete copy: its upgrade was interrupted, or is still running; run it "
                    f"again, msi_lazy.upgrade(store, target)"
                ) from None
        raise


def _holds_note(place: Place) -> bool:
    """Tell whether an upgrade to a place has not finished."""
    try:
        return key_exists(place.store, place.below(UPGRADE_NOTE))
    except Exception:  # the caller has the better error
        return False


def _find_ledger(place: Place) -> LedgerDocument | None:
    try:
        return stored_ledger(place)
    except Exception:  # the caller has the better error
        return None
