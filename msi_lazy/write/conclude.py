"""End of a write: everything is on disk before the image is whole, and the image is whole before it is seen."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING

from msi_lazy.storage.manifest import store_manifest
from msi_lazy.storage.mark_files import ask_for_marks, mark_numbers
from msi_lazy.storage.target import sync_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from msi_lazy.storage.marker import Marker
    from msi_lazy.storage.stored_ledger import StoredLedger

__all__ = ["conclusion"]

_LONGEST_WAIT = 300.0
"""Seconds to wait for the next mark of other processes, which come soon after the blocks; a slow disk syncs long."""
_PAUSE = 0.02


def conclusion(
    marker: Marker, blocks: int, levels: Mapping[str, int], completions: Sequence[Callable[[], None]]
) -> list[Callable[[], None]]:
    """List the calls that end a write, around its ``completions``, which write the attributes.

    Parameters
    ----------
    marker
        Marker of the write's blocks.
    blocks
        Number of the blocks.
    levels
        Write units of the levels that are written, by their paths below the group of the write.
    completions
        Calls that write attributes and lists.
    """
    ledger = marker.ledger
    stored = (_AwaitMarks(marker, blocks), _StoreManifest(ledger, levels), _Sync(ledger))
    return [*stored, *completions, _Finish(ledger)]


@dataclass(frozen=True)
class _AwaitMarks:
    """Task that waits until every block is on disk, whatever process stored it."""

    marker: Marker
    blocks: int

    def __call__(self) -> None:
        """Wait for the marks."""
        self.marker.flush()
        ask_for_marks(self.marker.ledger.marks)
        until, before = monotonic() + _LONGEST_WAIT, 0
        while (found := len(mark_numbers(self.marker.ledger.marks))) < self.blocks:
            if found > before:
                until, before = monotonic() + _LONGEST_WAIT, found
            if monotonic() > until:
                raise RuntimeError(
                    f"{self.blocks - found} of {self.blocks} blocks were not marked as stored: the processes that "
                    f"stored them have ended before that was on disk; resume=True stores them again"
                )
            sleep(_PAUSE)


@dataclass(frozen=True)
class _StoreManifest:
    """Task that stores the manifests of the levels."""

    ledger: StoredLedger
    levels: Mapping[str, int]

    def __call__(self) -> None:
        """Store them."""
        store_manifest(self.ledger.target, self.levels, self.ledger.marks)


@dataclass(frozen=True)
class _Sync:
    """Task that returns once all is on disk."""

    ledger: StoredLedger

    def __call__(self) -> None:
        """Sync the file system of the target, if it has one; the image that follows must be still this write's."""
        _sync(self.ledger)
        self.ledger.lease.check(again=True)


@dataclass(frozen=True)
class _Finish:
    """Last task: the image takes its place, and the ledger goes."""

    ledger: StoredLedger

    def __call__(self) -> None:
        """Finish."""
        ledger = self.ledger
        ledger.remove_partial_files()
        _sync(ledger)
        ledger.lease.check(again=True)
        if ledger.replacement is not None:
            ledger.replacement.check_known()
            ledger.replacement.swap(ledger.run)
            ledger.remove_swapped()
        else:
            ledger.remove()
        _sync(ledger)


def _sync(ledger: StoredLedger) -> None:
    if ledger.durable:
        sync_target(ledger.image)
