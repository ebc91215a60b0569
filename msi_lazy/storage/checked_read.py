"""Reading samples so that every fault of the store shows; the error is returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.methods.lending import fresh
from msi_lazy.methods.samples import as_native
from msi_lazy.storage.arrays import runs_in_rust
from msi_lazy.storage.place import Place
from msi_lazy.storage.store_errors import retried_read
from msi_lazy.storage.thread_codecs import read_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    import zarr

    from msi_lazy.methods.lending import Lend
    from msi_lazy.plan.grid import Grid, Index
    from msi_lazy.plan.windows import Window

__all__ = ["find_unreadable", "read_window", "try_read"]

Array = np.ndarray[Any, Any]


def read_window(array: zarr.Array[Any], window: Window, lend: Lend = fresh) -> Array:
    """Read ``window``, in native byte order; a few times where the store fails."""
    return as_native(retried_read(lambda: read_samples(array, window, lend)))


def try_read(array: zarr.Array[Any], window: Window, units: Grid) -> Array | Exception:
    """Read a window, whose ``units`` (chunks or shards) are decoded as a whole; return the error if that fails.

    Of a chunk that the array's end cuts, the Rust codecs decode only the samples asked for, and ignore the rest,
    checksums included; zarr's own codecs decode it whole, so such chunks are read by those too.
    """
    try:
        samples = read_window(array, window)
        cut = units.cut(window) if runs_in_rust(array) else []
        if cut:
            plain = Place.of(array).open_array("r", array.metadata.zarr_format)
            for unit in cut:
                read_window(plain, units.window(unit))
    except Exception as error:  # whatever a codec, or a store, may raise
        return error
    return samples


def find_unreadable(array: zarr.Array[Any], window: Window, units: Grid) -> Iterator[tuple[Index, Exception]]:
    """Units in ``window`` that cannot be read, each with its error; arguments as for :func:`try_read`."""
    for unit in units.touching(window):
        error = try_read(array, units.window(unit), units)
        if isinstance(error, Exception):
            yield unit, error
