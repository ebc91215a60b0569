"""Beginning or resuming a write: the ledger is stored, and a group that is overwritten is emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from msi_lazy.errors import ResumeError
from msi_lazy.storage.ledger import (
    LEDGER_FORMAT,
    StoredLedger,
    empty_group,
    nested_groups,
    remove_partial_files,
)
from msi_lazy.storage.target import open_target
from msi_lazy.storage.unfinished import stored_ledger
from msi_lazy.write.fingerprint import describe_differences
from msi_lazy.write.overlap import refuse_overlap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msi_lazy.source.origins import Source
    from msi_lazy.storage.ledger import LedgerDocument
    from msi_lazy.storage.place import Place
    from msi_lazy.storage.target import Target
    from msi_lazy.write.job import WriteOptions

__all__ = ["begin_write", "clear_target"]


def begin_write(
    place: Place,
    options: WriteOptions,
    fingerprint: Mapping[str, Any],
    blocks: int,
    doubtful: Sequence[Source] = (),
) -> StoredLedger:
    """Open the image's group for a write, and begin its ledger, or find the one to resume.

    The ledger is stored before an old image is deleted, and says so: a write that is killed meanwhile resumes with
    the deletion.

    Parameters
    ----------
    place
        Group of the image.
    options
        Options of the write.
    fingerprint
        Fingerprint of the write.
    blocks
        Number of its blocks.
    doubtful
        Sources that may overlap the target: see :func:`msi_lazy.write.overlap.refuse_overlap`.

    Raises
    ------
    ResumeError
        The interrupted write differs from this one.
    ValueError
        The target holds a source.
    """
    found = stored_ledger(place)
    if options.resume and found is not None:
        _check_same(found, fingerprint, str(place))
    exists = found is not None or place.open_node() is not None
    if options.resume and not exists and place.directory is not None:
        remove_partial_files(place.directory)
    target = open_target(place, options.specification.zarr_format, exists=exists)
    if options.resume and found is not None and found.state == "storing":
        ledger = StoredLedger(target, found.run, resumed=True)
        refuse_overlap(target, doubtful)
        ledger.create_marks(blocks)
        return ledger
    ledger = StoredLedger(target, uuid4().hex)
    if exists:
        refuse_overlap(target, doubtful)
        nested = found.nested if found is not None and found.state == "clearing" else nested_groups(target)
        ledger.begin(fingerprint, blocks, "clearing", nested)
        empty_group(target, nested)
    ledger.begin(fingerprint, blocks, "storing")
    return ledger


def clear_target(target: Target, doubtful: Sequence[Source]) -> None:
    """Empty a group for a write without a ledger, once no ``doubtful`` source overlaps it."""
    refuse_overlap(target, doubtful)
    empty_group(target)


def _check_same(found: LedgerDocument, fingerprint: Mapping[str, Any], where: str) -> None:
    """Refuse to resume a different write, or one whose ledger has an unknown format."""
    refused, advice = f"the incomplete image at {where} cannot be resumed:", "start over with mode='w', without resume"
    if found.format != LEDGER_FORMAT:
        raise ResumeError(
            f"{refused} its ledger has format {found.format!r}, and this release of msi_lazy knows format "
            f"{LEDGER_FORMAT}; resume it with the newer release that began it, or {advice}"
        )
    differences = describe_differences(found.fingerprint, fingerprint)
    if differences:
        advice = f"give the same image and arguments as before, or {advice}"
        if "fingerprint_version" in differences:
            advice += "; a release of msi_lazy began it that stores other samples or another layout"
        if ".source." in differences:
            advice += "; the same image, where it cannot be identified, needs source_id='...' from the first write on"
        raise ResumeError(f"{refused} its source, method or layout differs: {differences}; {advice}")
