"""Where a write begins, or goes on: the group is opened, emptied if it is overwritten, and the ledger laid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from msi_lazy.errors import ResumeError
from msi_lazy.storage.ledger import StoredLedger, empty_group, nested_groups, remove_partial_files
from msi_lazy.storage.target import Target, open_target
from msi_lazy.storage.unfinished import stored_ledger
from msi_lazy.write.fingerprint import describe_differences
from msi_lazy.write.overlap import refuse_overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from msi_lazy.source.origins import Source
    from msi_lazy.storage.place import Place, ZarrFormat
    from msi_lazy.write.job import WriteOptions

__all__ = ["Beginning", "begin_write"]


@dataclass(frozen=True)
class Beginning:
    """What a write starts from."""

    target: Target
    """Group of the image."""
    ledger: StoredLedger
    """Its ledger."""
    done: frozenset[int] = frozenset()
    """Numbers of the blocks that are stored already."""
    completions: tuple[Callable[[], None], ...] = ()
    """What is to be done once all is stored."""


def begin_write(
    place: Place,
    options: WriteOptions,
    zarr_format: ZarrFormat,
    fingerprint: Mapping[str, Any],
    blocks: int,
    doubtful: Sequence[Source] = (),
) -> Beginning:
    """Open the image's group for a write that is bound to ``fingerprint``, and find what is left to be done.

    The ledger is laid before anything that was there is deleted, and says so: a write that is killed while it
    empties the group goes on emptying it.

    Parameters
    ----------
    place
        Group of the image.
    options
        How it is written.
    zarr_format
        Zarr version.
    fingerprint
        What the write is bound to.
    blocks
        How many there are to mark.
    doubtful
        Sources that the target may hold: they are asked whether they see its ledger.

    Raises
    ------
    ResumeError
        The write that died was another one.
    ValueError
        The target holds a source.
    """
    found = stored_ledger(place)
    if options.resume and found is not None:
        _check_same(found, fingerprint, str(place))
    exists = found is not None or place.open_node() is not None
    if options.resume and not exists and place.directory is not None:
        remove_partial_files(place.directory)
    target = open_target(place, zarr_format, exists=exists)
    if options.resume and found is not None and found.get("state") == "storing":
        ledger = StoredLedger(target, str(found["run"]))
        ledger.hold_marks(blocks)
        refuse_overlap(ledger, doubtful)
        # not before all is stored: another process may still be writing, against all advice
        cleaning = () if place.directory is None else (partial(remove_partial_files, place.directory),)
        return Beginning(target, ledger, ledger.marked(), cleaning)
    ledger = StoredLedger(target, uuid4().hex)
    if exists:
        nested = found.get("nested", ()) if found and found.get("state") == "clearing" else nested_groups(target)
        ledger.begin(fingerprint, blocks, "clearing", nested)
        try:
            refuse_overlap(ledger, doubtful)
        except BaseException:
            if found is None:
                ledger.remove()
            raise
        empty_group(target, nested)
    ledger.begin(fingerprint, blocks, "storing")
    return Beginning(target, ledger)


def _check_same(found: Mapping[str, Any], fingerprint: Mapping[str, Any], where: str) -> None:
    """Refuse to go on with a write of something else."""
    differences = describe_differences(found.get("fingerprint"), fingerprint)
    if differences:
        advice = "give the same image and arguments as before, or start over with mode='w', without resume"
        if ".source." in differences:
            advice += "; an image that is the same, but cannot be told, needs source_id='...' from the first write on"
        raise ResumeError(f"the unfinished image at {where} is another one: {differences}; {advice}")
