"""Maintenance of a stored image: verify its levels, and bring them up to date."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.choices import check_switches
from msi_lazy.arguments.numbers import parse_fraction, parse_integer
from msi_lazy.arguments.regions import parse_region
from msi_lazy.maintain.stored_pyramid import find_image, open_labels, open_pyramid
from msi_lazy.maintain.update import update_levels
from msi_lazy.maintain.verify import Sampling, verify_pyramids
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.run.compute import run
from msi_lazy.run.scheduler import check_waiting
from msi_lazy.storage.open_image import open_image
from msi_lazy.storage.place import Place
from msi_lazy.storage.stored_plate import field_paths
from msi_lazy.storage.target import label_paths
from msi_lazy.storage.update_notes import describe_unfinished, remove_notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dask.delayed import Delayed

    from msi_lazy.maintain.findings import VerifyReport

__all__ = ["update", "verify"]


def verify(
    store: Any,
    *,
    sample: float = 1.0,
    method: Any = None,
    repair: bool = False,
    labels: bool = True,
    seed: int = 0,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    group: str = "",
) -> VerifyReport:
    """Recompute every level of a stored image from the finer one, and compare bit for bit.

    Level 0 is taken as the truth: a sample that changed there without breaking its chunk shows as a fault of level 1.
    Of an image of a single level, it is only checked that its chunks can be decoded.

    Parameters
    ----------
    store
        Path, URL, or zarr store of the image, or of a plate: then each of its fields is verified.
    sample
        Fraction of each level's blocks to check, above 0 and at most 1: a spot check all over the level.
    method
        Method of the levels, where the image's attributes do not name one of this library: a name, a ``Method``, or a
        function.
    repair
        Recompute faulty blocks, and write nothing else.  Level by level: each from the finer level, once that is
        repaired.  Where the finer level lacks a chunk or cannot be read, nothing is written.
    labels
        Whether label images below the image are verified too, by their own methods.
    seed
        Seed of the choice of blocks in a spot check: the same seed gives the same blocks.
    progress
        Show a progress bar.
    storage_options, group
        As for :func:`msi_lazy.open_multiscale`.

    Returns
    -------
    VerifyReport
        ``report.ok`` says whether no block is faulty, ``report.findings`` has every faulty block: a shard, or a chunk
        where there are none.

    Raises
    ------
    FileNotFoundError
        There is no image.
    TypeError, ValueError
        An unusable argument, levels of an unknown method, or shapes that no factors explain.

    Notes
    -----
    Computed on the active scheduler, one task per block of at most 64 MiB.  A block that differs because the finer
    level is faulty there is marked so (``finding.follows``); it may be sound.

    Two kinds of levels differ without being damaged, and should not be repaired: those of a tree that was edited
    after it was built (``2 * tree``), which are written as edited; and those in a lossy codec, which were computed from
    samples before encoding.
    """
    sampling = Sampling(parse_fraction(sample, "sample", "all blocks"), parse_integer(seed, "seed must be"))
    place = Place.parse(store, group, storage_options)
    check_switches(repair=repair, labels=labels, progress=progress)
    check_waiting()
    images = field_paths(place)
    for path in images:
        open_image(place.child(path), maintained=True)  # raises for any fault of the image as such
    target = find_image(place, writable=repair)
    pyramids = [open_pyramid(target, path, method, writable=repair) for path in images]
    labelled = [(path, label) for path in images for label in label_paths(target.child(path))] if labels else []
    below = ["/".join(filter(None, names)) for names in labelled]
    pyramids += [open_labels(target, path, writable=repair) for path in below]
    report = verify_pyramids(place.given, pyramids, sampling, repair, progress)
    if repair and report.ok and sampling.fraction == 1:  # then all levels agree
        for path in (*images, *below):
            remove_notes(target.child(path))
    notes = (_describe_updates(place.child(path)) for path in (*images, *below))
    return replace(report, notes=tuple(filter(None, notes)))


def _describe_updates(place: Place) -> str:
    """Say which updates of an image have not finished; empty if there are none."""
    return describe_unfinished(place, parse_image(dict(place.open_group().attrs)).dims)


def update(
    store: Any,
    region: Mapping[str, slice | int] | Sequence[slice | int],
    *,
    method: Any = None,
    compute: bool = True,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    group: str = "",
) -> Delayed | None:
    """Bring the levels of a stored image up to date after a region of level 0 was edited in place.

    Only the chunks (or shards) that the region reaches are recomputed, on every level: the result equals a new
    pyramid, bit for bit.  Level 0 and label images are not touched.

    Parameters
    ----------
    store
        Path, URL, or zarr store of the image.
    region
        Samples of level 0 that were edited, as ``{dim: slice or index}`` or as one slice or index per dimension.
        Dimensions that a dict leaves out are whole.  Negative indices count from the end.
    method
        As for :func:`verify`.
    compute
        Whether to update at once, or to return a ``Delayed`` that does.
    progress, storage_options, group
        As for :func:`verify`.

    Returns
    -------
    None or dask.delayed.Delayed

    Raises
    ------
    FileNotFoundError
        There is no image.
    TypeError, ValueError, IndexError
        A region that is empty, or not in the image; other arguments as for :func:`verify`.

    Notes
    -----
    An interrupted update leaves some chunks as they were, and a note of its region in the image: ``open_multiscale``
    warns of it, ``validate`` and ``verify`` report it, until an update of that region, or of one around it, has
    finished.  Each chunk or shard is the old or the new one at any moment.  Do not edit the region meanwhile.
    """
    place = Place.parse(store, group, storage_options)
    check_switches(compute=compute, progress=progress)
    check_waiting(compute)
    image = open_image(place, maintained=True).images[0]
    window = parse_region(region, [str(dim) for dim in image.dims], image.shape)
    target = find_image(place, writable=True)
    delayed = update_levels(target, open_pyramid(target, "", method, writable=True), window)
    if not compute:
        return delayed
    run(delayed, progress)
    return None
