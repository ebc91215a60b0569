"""Documents of a store that zarr, xarray or NumPy cannot read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from msi_lazy.storage.archive_index import ArchiveError
from msi_lazy.storage.store_errors import is_store_error

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["reading"]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever zarr, xarray and NumPy raise on a broken document into one error."""
    try:
        yield
    except Exception as error:
        # the file or the network is at fault, not the document
        if isinstance(error, (OSError, ArchiveError)) or is_store_error(error):
            raise
        raise ValueError(f"{what} cannot be read: {error!r}; repair it, or write the image again") from error
