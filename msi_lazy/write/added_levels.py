"""Storing more levels of an image that exists, without touching those it has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import zarr
from zarr.storage import MemoryStore

from msi_lazy.errors import StoreExistsError
from msi_lazy.ngff.append_levels import appended_attributes
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.run.scheduler import check_processes
from msi_lazy.storage.arrays import open_array
from msi_lazy.storage.ledger import LEVELS_LEDGER
from msi_lazy.storage.open_image import XARRAYS_OWN
from msi_lazy.storage.recorded_store import recorded
from msi_lazy.storage.stored_ledger import StoredLedger
from msi_lazy.storage.target import Target, find_target, label_paths, write_attributes
from msi_lazy.storage.unfinished import read_ledger
from msi_lazy.storage.zarr_formats import store_format
from msi_lazy.tree.read_plan import level_images
from msi_lazy.write.begin import acquired
from msi_lazy.write.hierarchy import write_coordinates
from msi_lazy.write.layout import resolve_layouts
from msi_lazy.write.storable import make_storable
from msi_lazy.write.target_checks import check_links, check_others_kept
from msi_lazy.write.tasks import count_blocks, prepare_levels, store_levels, writing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from dask.delayed import Delayed

    from msi_lazy.plan.pyramid import PyramidPlan
    from msi_lazy.storage.place import Place
    from msi_lazy.write.job import ImageJob, WriteOptions
    from msi_lazy.write.layout import LevelLayout

__all__ = ["write_levels"]

_ADVICE = "the image is as it was; call add_levels again, which starts over"


@dataclass(frozen=True)
class _ListLevels:
    """Task that lists the new levels in the image's attributes, last of all."""

    target: Target
    plan: PyramidPlan
    paths: tuple[str, ...]

    def __call__(self) -> None:
        """Append the levels to the image's attributes."""
        group = self.target.open_group()
        write_attributes(self.target, appended_attributes(dict(group.attrs), self.plan, self.paths))


def write_levels(
    job: ImageJob, place: Place, options: WriteOptions, *, shards: Any, compressors: Any
) -> Delayed | None:
    """Store the new levels of an image, and then list them; see :func:`msi_lazy.add_levels`.

    The steps are those of :func:`msi_lazy.write.write_image.write_image`; an interrupted write is not resumed, but
    started over.

    Parameters
    ----------
    job
        The image from its last level on, which is kept, with its new attributes.
    place, options
        Place of the image, and options of the write.
    shards, compressors
        As for :func:`msi_lazy.add_levels`.
    """
    # 1. Check
    if options.mode not in ("w-", "w"):
        raise ValueError(f"mode must be 'w-' (refuse what exists) or 'w' (overwrite it), not {options.mode!r}")
    target = find_target(place)
    check_processes(place)
    stored = parse_image(job.attributes)
    paths = [level.path for level in stored.levels]
    count = len(job.plan.levels) - job.kept
    listed, added = paths[: len(paths) - count], paths[len(paths) - count :]
    check_links(target, written={path.partition("/")[0] for path in added})
    _check_labels(target, len(paths))
    # 2. Prepare
    (job,) = make_storable([job])
    existing = open_array(target.store, target.below(listed[-1]), mode="r")
    job = replace(job, layouts=_resolve_layouts(job, existing, added, stored.dims, shards, compressors))
    (levels,) = prepare_levels([job], options)
    dead = _of_dead_run(target, listed)
    for path in added:
        if not any(f"{path}/".startswith(f"{left}/") for left in dead):
            _check_free(target, path, listed, options.mode)
            check_others_kept(target.child(path), options)
    _create(Target(MemoryStore(), zarr_format=target.zarr_format), job, existing.dtype)  # in memory first: it may fail
    # 3. Begin: a ledger names the new levels; what a dead run left of its own goes.
    own = tuple(dict.fromkeys(_own(target, path, dead) for path in added))
    with acquired(target.child(LEVELS_LEDGER), f"the levels of {place}", options) as lease:
        ledger = StoredLedger(target, uuid4().hex, lease, folder=LEVELS_LEDGER)
        for left in dead:
            target.delete(left)
        ledger.begin({}, count_blocks([levels]), "storing", own)
    with writing(ledger, options):
        # 4. Create: the image does not change until the levels are listed.
        created = list(map(recorded, _create(target, job, existing.dtype)))
        levels = replace(levels, targets=[existing, *created], first=len(listed) - job.kept)
        # 5. to 7.
        return store_levels([levels], [_ListLevels(target, job.plan, tuple(added))], options, ledger, _ADVICE)


def _of_dead_run(target: Target, listed: Sequence[str]) -> list[str]:
    """Paths of what a run left behind that did not finish: none that the image lists."""
    found = read_ledger(target.child(LEVELS_LEDGER))
    left = [] if found is None else found.nested
    return [path for path in left if not any(f"{other}/".startswith(f"{path}/") for other in listed)]


def _own(target: Target, path: str, dead: Sequence[str]) -> str:
    """Path of what a new level brings: its group, or its array alone where the group is there already."""
    parent = path.rpartition("/")[0]
    return parent if parent and (parent in dead or target.child(parent).open_node() is None) else path


def _resolve_layouts(
    job: ImageJob, existing: zarr.Array[Any], paths: Sequence[str], dims: tuple[str, ...], shards: Any, compressors: Any
) -> list[LevelLayout]:
    """Resolve the layouts of the new levels; defaults are those of the image's last level."""
    if isinstance(compressors, str) and compressors == "auto":
        compressors = existing.compressors
    zarr_format = existing.metadata.zarr_format
    settings = store_format(zarr_format).like(existing, dims)
    settings["fill_value"] = existing.fill_value
    resolved = resolve_layouts(job.plan, zarr_format, shards=shards, compressors=compressors, kept=job.kept)
    layouts = []
    for path, layout, image in zip(paths, resolved, level_images(job.tree)[job.kept :], strict=True):
        own = {key: value for key, value in existing.attrs.items() if key in XARRAYS_OWN}
        attributes = {**image.attrs, **own}  # of the level, as those of the last one need not be true of it
        layouts.append(replace(layout, path=path, settings={**layout.settings, **settings, "attributes": attributes}))
    return layouts


def _check_labels(target: Target, levels: int) -> None:
    """Refuse label images that would have fewer levels than the image."""
    for path in label_paths(target):
        has = _count_levels(dict(target.child(path).open_group().attrs))
        if has < levels:
            raise ValueError(
                f"the label image {path.removeprefix('labels/')!r} has {has} levels, and must have as many as the "
                f"image, which would have {levels}; add them to it first: add_levels(store, ..., "
                f"group={target.below(path)!r})"
            )


def _count_levels(attributes: Mapping[str, Any]) -> int:
    try:
        return len(parse_image(attributes).levels)
    except ValueError:  # none that can be read
        return 0


def _check_free(target: Target, path: str, listed: Sequence[str], mode: str) -> None:
    """Refuse a path at a level of the image, or at a group or array that may not be overwritten."""
    one = PurePosixPath(path)
    for other in map(PurePosixPath, listed):
        if one == other or one in other.parents or other in one.parents:
            raise StoreExistsError(f"the new level {path!r} would lie where the image's level {str(other)!r} is")
    parent = path.rpartition("/")[0]
    for place in filter(None, (path, parent)):
        found = target.child(place).open_node(target.zarr_format)
        if isinstance(found, zarr.Array) and mode == "w" and place == path:
            continue
        left_over = place == parent and isinstance(found, zarr.Group) and mode == "w"
        if found is not None and not left_over:
            advice = "pass mode='w' to overwrite it" if mode == "w-" else "remove it yourself: it is no array"
            raise StoreExistsError(f"the store holds {place!r} already, which the image does not list; {advice}")


def _create(target: Target, job: ImageJob, dtype: np.dtype[Any]) -> list[zarr.Array[Any]]:
    """Create the arrays of the new levels, and coordinates where a level has a group."""
    settings: dict[str, Any] = {"zarr_format": target.zarr_format, "overwrite": True, "dtype": dtype}
    for level, layout in zip(job.plan.levels[job.kept :], job.layouts, strict=True):
        path = layout.path
        try:
            target.create_array(path, shape=level.shape, **settings, **layout.encoding)
            if "/" in path:
                write_coordinates(target, path.rpartition("/")[0], job.tree.children[level.name])
        except Exception as error:  # whatever a codec, or a setting, may raise
            raise ValueError(f"the level {path!r} cannot be stored: {error!r}") from error
    return [open_array(target.store, target.below(layout.path)) for layout in job.layouts]
