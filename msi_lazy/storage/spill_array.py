"""Temporary array beside the ledger of a write: a source that is computed once, and read by windows from then on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import MemoryStore

from msi_lazy.compat.zarr_stores import store_buffers
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.mark_files import ask_for_marks
from msi_lazy.storage.marker import Marker
from msi_lazy.storage.recorded_store import recorded
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from msi_lazy.plan.spill import SpillLayout
    from msi_lazy.storage.stored_ledger import StoredLedger
    from msi_lazy.storage.stored_units import StoredUnits

__all__ = ["SpillArray"]


@dataclass(frozen=True)
class SpillArray:
    """Tiles of a computed source, in the folder of the ledger or one that it notes, with which they go."""

    array: zarr.Array[Any]
    """Samples of the image."""
    marker: Marker
    """Marks the chunks of the source that are stored, so that a resumed write does not compute them again."""
    layout: SpillLayout
    """Layout of the array."""
    listeners: tuple[Callable[[int, Sequence[StoredUnits]], object], ...] = ()
    """Told besides of each chunk that is stored: they show progress."""

    @property
    def lengths(self) -> tuple[tuple[int, ...], ...]:
        """Lengths of the chunks of the source."""
        return self.layout.chunks.lengths

    @property
    def counts(self) -> tuple[int, ...]:
        """Chunks of the source along each dimension."""
        return tuple(map(len, self.lengths))

    @property
    def count(self) -> int:
        """Chunks of the source."""
        return prod(self.counts)

    @property
    def nbytes(self) -> int:
        """Bytes of the source, uncompressed."""
        return prod(map(sum, self.lengths)) * int(self.array.dtype.itemsize)

    @classmethod
    def create(
        cls,
        ledger: StoredLedger,
        name: str,
        layout: SpillLayout,
        dtype: np.dtype[Any],
        directory: Path | None = None,
    ) -> SpillArray:
        """Create the array in ``layout``, or open the one of the run that is resumed.

        It is in the folder of the ledger, or in ``directory``.
        """
        own = ledger.below_ledger(f"{name}-marks", directory)
        place = own.target.child(f"{ledger.run}-{name}")
        documents: dict[str, Any] = {}
        zarr.create_array(
            MemoryStore(documents),
            shape=layout.turned(layout.shape),
            chunks=layout.turned(layout.tile),
            shards=layout.turned(layout.shard),
            dtype=dtype,
            compressors=store_format(3).named_codecs["fast"].of_images,
            fill_value=0,
        )
        own.create_marks(prod(map(len, layout.chunks.lengths)))
        store_buffers(place.store, {f"{place.path}/zarr.json": documents["zarr.json"]}, len)
        return cls(recorded(open_array(place.store, place.path)), Marker(own), layout)

    def end(self) -> None:
        """Let all processes mark what they have stored, as nothing more will be, and end their threads."""
        self.marker.flush()
        ask_for_marks(self.marker.ledger.marks)

    def stored_chunks(self) -> frozenset[int]:
        """Return the numbers of the chunks that are stored: by the run that is resumed, or for a slab before."""
        self.marker.flush()
        return replace(self.marker.ledger, resumed=True).marked()
