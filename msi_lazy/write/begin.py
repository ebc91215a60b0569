"""Beginning or resuming a write: the ledger is stored, and a group that is overwritten is emptied."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from msi_lazy.errors import ResumeError
from msi_lazy.storage.lease import Lease
from msi_lazy.storage.ledger import (
    LEASE,
    LEDGER,
    LEDGER_FORMAT,
    child_names,
    empty_group,
    nested_groups,
)
from msi_lazy.storage.partial_files import remove_partial_files
from msi_lazy.storage.replacement import Replacement
from msi_lazy.storage.spill_folder import remove_noted
from msi_lazy.storage.stored_ledger import StoredLedger, Witness
from msi_lazy.storage.target import images_below, open_target
from msi_lazy.storage.unfinished import ledger_beside, ledger_within
from msi_lazy.write.fingerprint import describe_differences
from msi_lazy.write.overlap import refuse_overlap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from msi_lazy.source.origins import Source
    from msi_lazy.storage.ledger import LedgerDocument
    from msi_lazy.storage.place import Place
    from msi_lazy.write.job import WriteOptions

__all__ = ["acquired", "begin_write"]


def begin_write(
    place: Place,
    options: WriteOptions,
    fingerprint: Mapping[str, Any],
    blocks: int,
    doubtful: Sequence[Source] = (),
) -> StoredLedger | None:
    """Open the image's group for a write, and begin its ledger, or find the one to resume.

    An image of local files that is replaced stays as it is: the write is beside it, in a hidden folder; so is every
    write of a zip file.  Elsewhere, and where that is asked for, it is deleted first; the ledger, stored before, says
    so, and a write that is killed meanwhile resumes with the deletion.

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

    Returns
    -------
    StoredLedger or None
        ``None`` if the write to resume was whole, and only its remains were left.

    Raises
    ------
    ResumeError
        The interrupted write differs from this one.
    ValueError
        The target holds a source.
    """
    version = options.specification.zarr_format
    aside, within = ledger_beside(place), ledger_within(place)
    found = aside or within
    resumes = options.resume and found is not None and found.state == "storing"
    if options.resume and found is not None:
        _check_same(found, fingerprint, str(place))
    exists = found is not None or place.open_node() is not None
    if (options.resume or options.mode == "w") and not exists and place.directory is not None:
        remove_partial_files(place.directory)
    is_beside = aside is not None if resumes else exists and options.replace == "beside"
    is_beside |= place.in_archive
    replacement = Replacement.of(place, version) if is_beside else None
    if replacement is not None:
        return _begin_beside(replacement, options, fingerprint, blocks, doubtful, aside if resumes else None)
    target = open_target(place, version, exists=exists)
    if exists:
        refuse_overlap(target, doubtful)
    if aside is not None:
        _discard(place, options)
    with acquired(target.child(LEDGER), f"the image at {place}", options) as lease:
        if found is not None and resumes:
            return _resumed(StoredLedger(target, found.run, lease, resumed=True), blocks)
        ledger = StoredLedger(target, uuid4().hex, lease)
        if exists:
            nested = within.nested if within is not None and within.state == "clearing" else nested_groups(target)
            ledger.begin(fingerprint, blocks, "clearing", nested)
            empty_group(target, nested)
            lease.put_back()
        ledger.begin(fingerprint, blocks, "storing")
        return ledger


def _resumed(ledger: StoredLedger, blocks: int) -> StoredLedger:
    ledger.create_marks(blocks)
    return ledger


def _begin_beside(
    replacement: Replacement,
    options: WriteOptions,
    fingerprint: Mapping[str, Any],
    blocks: int,
    doubtful: Sequence[Source],
    resumed: LedgerDocument | None,
) -> StoredLedger | None:
    """Begin a write beside the image that it replaces, or find the one to resume."""
    final = replacement.final
    if resumed is None or not final.in_archive:
        replacement = replace(replacement, known=tuple(path for paths in images_below(final) for path in paths))
    what = f"the image at {final}"
    if not final.in_archive and final.open_node() is not None:  # a zip file stays until the new one is packed
        refuse_overlap(final, doubtful)
    if LEASE in child_names(final, LEDGER) or ledger_within(final) is not None:  # incomplete: its write must have ended
        with acquired(final.child(LEDGER), what, options) as lease:
            lease.release()
    with acquired(replacement.home, what, options) as lease:
        was_whole = _settle(replacement, lease)
        lease.release()
    if was_whole and options.resume:
        return None
    with acquired(replacement.home, what, options) as lease:
        if resumed is not None:
            target = open_target(replacement.new_image(resumed.run), final.zarr_format, exists=True)
            Witness(target, resumed.run).store()  # it may have been killed before
            replacement.remember()
            return _resumed(StoredLedger(target, resumed.run, lease, True, replacement), blocks)
        run = uuid4().hex
        target = open_target(replacement.new_image(run), final.zarr_format, exists=False)
        ledger = StoredLedger(target, run, lease, replacement=replacement)
        ledger.begin(fingerprint, blocks, "storing", replacement.known)
        Witness(target, run).store()
        replacement.remember()
        incomplete = ledger_within(final)
        if incomplete is not None:  # nothing of it is kept meanwhile
            for name in child_names(final, LEDGER):
                remove_noted(final.child(LEDGER), name)
            empty_group(final, nested_groups(final))
            if incomplete.run:
                final.delete(f"{LEDGER}/{incomplete.run}")
        return ledger


def _discard(place: Place, options: WriteOptions) -> None:
    """Remove what a write left beside an image that is now replaced in place."""
    replacement = Replacement.of(place, options.specification.zarr_format)
    aside = ledger_beside(place)
    if replacement is not None and aside is not None:
        with acquired(replacement.home, f"the image at {place}", options) as lease:
            StoredLedger(replacement.final, aside.run, lease, replacement=replacement).remove()


@contextmanager
def acquired(home: Place, what: str, options: WriteOptions) -> Iterator[Lease]:
    """Take the right to write, which is given back if what happens within fails."""
    lease = Lease.acquire(home, home.path, held=options.run.compute, what=what)
    try:
        yield lease
    except BaseException:
        lease.release()
        raise


def _settle(replacement: Replacement, lease: Lease) -> bool:
    """Clean up after a write that was killed when its image had taken its place; tell whether one was."""
    found = ledger_beside(replacement.final)
    if found is None or not found.run:
        return False
    ledger = StoredLedger(replacement.final, found.run, lease, replacement=replacement)
    if not replacement.is_swapped(ledger.witness.key):
        return False
    ledger.remove_swapped()
    return True


def _check_same(found: LedgerDocument, fingerprint: Mapping[str, Any], where: str) -> None:
    """Refuse to resume a different write, or one whose ledger has an unknown format."""
    refused = f"the incomplete {found.what} at {where} cannot be resumed:"
    advice = "start over with mode='w', without resume"
    if found.format != LEDGER_FORMAT:
        raise ResumeError(
            f"{refused} its ledger has format {found.format!r}, and this release of msi_lazy knows format "
            f"{LEDGER_FORMAT}; resume it with the newer release that began it, or {advice}"
        )
    differences = describe_differences(found.fingerprint, fingerprint)
    if differences:
        same = "image" if found.what == "image" else "fields"
        advice = f"give the same {same} and arguments as before, or {advice}"
        if "fingerprint_version" in differences:
            advice += "; a release of msi_lazy began it that stores other samples or another layout"
        if ".source." in differences:
            advice += "; the same image, where it cannot be identified, needs source_id='...' from the first write on"
        raise ResumeError(f"{refused} its source, method or layout differs: {differences}; {advice}")
