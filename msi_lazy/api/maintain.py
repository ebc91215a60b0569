"""Looking after an image that is stored: are its levels what they should be, and making them so."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from msi_lazy.arguments.checks import check_switches
from msi_lazy.maintain.remake import StoredPyramid, find_image, label_paths, open_pyramid
from msi_lazy.maintain.update import update_levels
from msi_lazy.maintain.verify import Sampling, verify_pyramids
from msi_lazy.plan.windows import Interval, Window
from msi_lazy.run.compute import run
from msi_lazy.storage.open_image import open_image
from msi_lazy.storage.place import Place

if TYPE_CHECKING:
    from dask.delayed import Delayed

    from msi_lazy.maintain.findings import VerifyReport
    from msi_lazy.storage.target import Target

__all__ = ["update", "verify"]


def verify(
    store: Any,
    sample: float = 1.0,
    method: Any = None,
    repair: bool = False,
    labels: bool = True,
    seed: int = 0,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    group: str = "",
) -> VerifyReport:
    """Make every level of a stored image again from the level below it, and compare bit for bit.

    Level 0 is taken as the truth: a sample that changed there without breaking its chunk shows as a fault of level 1.
    Of an image of a single level, it is only checked that its chunks can be decoded.

    Parameters
    ----------
    store
        Path, URL, or zarr store of the image.
    sample
        Fraction of each level to check, above 0 and at most 1, for a spot check: so many of its blocks, all over it.
    method
        What made the levels, where the image's attributes do not name a method of this library: a name, a ``Method``,
        or a function.
    repair
        Write faulty blocks again, and nothing else.  Level by level: each from the level below, once that is
        repaired.  Where the level below cannot be trusted, as level 0 lacks a chunk or cannot be read, nothing is
        written.
    labels
        Whether label images below the image are verified too, by their own methods.
    seed
        What chooses the blocks of a spot check: the same ones each time.
    progress
        Show a progress bar.
    storage_options
        Options of the file system behind a URL.
    group
        Path of the image in the store: one of several, or a label image, ``"labels/cells"``.

    Returns
    -------
    VerifyReport
        ``report.ok`` says whether all is well, ``report.findings`` has every faulty block: a shard, or a chunk
        where there are none.

    Raises
    ------
    FileNotFoundError
        There is no image.
    TypeError, ValueError
        An argument that cannot be used, levels that no known method made, or whose shapes no factors explain.

    Notes
    -----
    It computes on the active scheduler, one task per block of at most 64 MiB.  A block that differs because the level
    below it is faulty there is marked so (``finding.follows``); it may be sound.

    Two kinds of levels differ though nothing befell them, and should not be repaired: those of a tree that was edited
    after it was built (``2 * tree``), which are written as edited; and those in a lossy codec, which were computed from
    what had not been encoded yet.
    """
    sampling = Sampling(_parse_sample(sample), _parse_seed(seed))
    place = Place.parse(store, group, storage_options)
    check_switches(repair=repair, labels=labels, progress=progress)
    open_image(place)  # what is wrong with the image as such is said here
    target = find_image(place, writable=repair)
    pyramids = [open_pyramid(target, "", method, writable=repair)]
    if labels:
        pyramids += [_open_labels(target, path, writable=repair) for path in label_paths(target)]
    return verify_pyramids(place.given, pyramids, sampling, repair, progress)


def update(
    store: Any,
    region: Mapping[str, slice | int] | Sequence[slice | int],
    method: Any = None,
    compute: bool = True,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    group: str = "",
) -> Delayed | None:
    """Bring the levels of a stored image up to date after a region of level 0 was edited in place.

    Only the chunks (or shards) are made again that the region reaches, on every level: what is stored then is what
    building all levels anew would give, bit for bit.  Level 0 and label images are not touched.

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
    A run that died leaves some chunks as they were: run it again, with the same region.  Do not edit the region
    meanwhile.
    """
    place = Place.parse(store, group, storage_options)
    check_switches(compute=compute, progress=progress)
    images, _ = open_image(place)
    window = parse_region(region, [str(dim) for dim in images[0].dims], images[0].shape)
    target = find_image(place, writable=True)
    delayed = update_levels(open_pyramid(target, "", method, writable=True), window)
    if not compute:
        return delayed
    run(delayed, progress)
    return None


def parse_region(region: Any, dims: Sequence[str], shape: Sequence[int]) -> Window:
    """Window of an array with the dimensions ``dims``, of ``shape``, from slices and indices.

    Raises
    ------
    TypeError
        Neither a mapping nor a sequence of slices and integers.
    ValueError
        An unknown dimension, another number of them, a step, or no samples.
    IndexError
        Samples that the array does not have.

    Examples
    --------
    >>> parse_region({"x": slice(-10, None)}, ["y", "x"], (50, 60))
    (Interval(start=0, stop=50), Interval(start=50, stop=60))
    >>> parse_region((3, slice(5, 7)), ["y", "x"], (50, 60))
    (Interval(start=3, stop=4), Interval(start=5, stop=7))
    """
    form = "region is a dict {dim: slice or integer}, or one slice or integer per dimension"
    if isinstance(region, Mapping):
        unknown = [dim for dim in region if dim not in dims]
        if unknown:
            raise ValueError(f"region names the dimension {unknown[0]!r}, but the image has {tuple(dims)}")
        parts = [region.get(dim, slice(None)) for dim in dims]
    elif isinstance(region, Sequence) and not isinstance(region, (str, bytes)):
        if len(region) != len(dims):
            raise ValueError(f"region has {len(region)} entries, but the image has the dimensions {tuple(dims)}")
        parts = list(region)
    else:
        raise TypeError(f"{form}, not {region!r}")
    return tuple(_parse_side(part, dim, n, form) for part, dim, n in zip(parts, dims, shape, strict=True))


def _parse_side(part: Any, dim: str, n: int, form: str) -> Interval:
    if not isinstance(part, slice):
        start = _parse_bound(part, dim, n, form)
        if start == n:
            raise IndexError(f"region: dimension {dim!r} has no sample {part}; it has {n}")
        return Interval(start, start + 1)
    if part.step not in (None, 1):
        raise ValueError(f"region: dimension {dim!r} has a step of {part.step!r}; give a slice without one")
    start = 0 if part.start is None else _parse_bound(part.start, dim, n, form)
    stop = n if part.stop is None else _parse_bound(part.stop, dim, n, form)
    if start >= stop:
        raise ValueError(f"region: {part} of dimension {dim!r}, which has {n} samples, holds none of them")
    return Interval(start, stop)


def _parse_bound(value: Any, dim: str, n: int, form: str) -> int:
    """Place of a sample, or the end: negative ones count from there."""
    try:
        index = operator.index(value)
    except TypeError:
        index = None
    if index is None or isinstance(value, bool):
        raise TypeError(f"{form}; dimension {dim!r} has {value!r}")
    if not -n <= index <= n:
        raise IndexError(f"region: dimension {dim!r} has {n} samples, and {index} is not among them")
    return index + n if index < 0 else index


def _parse_sample(sample: Any) -> float:
    if isinstance(sample, bool) or not isinstance(sample, Real):
        raise TypeError(f"sample is a fraction of the blocks, such as 0.01, not {sample!r}")
    fraction = float(sample)
    if not 0 < fraction <= 1:
        raise ValueError(f"sample must be above 0 and at most 1 (all blocks), not {sample}")
    return fraction


def _parse_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise TypeError(f"seed must be an integer, not {seed!r}")
    return int(seed)


def _open_labels(target: Target, path: str, writable: bool) -> StoredPyramid:
    """Open a label image.

    Raises
    ------
    ValueError
        It cannot be verified: says which one it is, and what to do.
    """
    try:
        return open_pyramid(target, path, None, writable)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(
            f"label image {path!r}: {error}; or verify it by itself, with group={target.below(path)!r}, and the image "
            f"with labels=False"
        ) from error
