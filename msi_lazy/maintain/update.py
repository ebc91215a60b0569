"""Recomputing the blocks of all levels that a change of level 0 reaches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from msi_lazy.graph.gather import SmallGraph, TaskRef
from msi_lazy.maintain.stored_check import stored_in
from msi_lazy.maintain.stored_pyramid import DownsamplingStep, LevelArray, StoredPyramid, cut_blocks, unreduced
from msi_lazy.plan.grid import Grid, Index
from msi_lazy.plan.windows import intersect
from msi_lazy.storage.checked_read import read_window
from msi_lazy.storage.links import refuse_links_out
from msi_lazy.storage.manifest import refresh_manifest
from msi_lazy.storage.recorded_store import digest_content
from msi_lazy.storage.stored_units import StoredUnits, unit_number
from msi_lazy.storage.target import sync_target
from msi_lazy.storage.update_notes import UpdateNote
from msi_lazy.storage.write_units import replace_window, unit_directories

if TYPE_CHECKING:
    import zarr
    from dask.delayed import Delayed

    from msi_lazy.plan.windows import Window
    from msi_lazy.storage.target import Target

__all__ = ["update_levels"]


def update_levels(target: Target, pyramid: StoredPyramid, region: Window) -> Delayed:
    """Build the graph that recomputes what a change in ``region`` of level 0 reaches; see :func:`msi_lazy.update`.

    ::

        level 0    . . . [ changed ] . . . . . .
        level 1    . . [=|changed|==] . . .         written: all write units that touch it
        level 2    [=|changed|=] .                  waits for the blocks of level 1 that it reads

    The first task stores a note of the update in the image's group ``target``, and the last one removes it.
    """
    graph = SmallGraph("update")
    arrays = [graph.hold(f"level{level.number}", level.array) for level in pyramid.levels]
    shape, itemsize = pyramid.levels[0].array.shape, pyramid.levels[0].array.dtype.itemsize
    changed, finer_blocks = region, Grid(shape, shape)
    before: dict[Index, TaskRef] = {}  # tasks that write blocks of the finer level; none for level 0
    ends: list[TaskRef] = []
    note = UpdateNote(target, uuid4().hex, region, shape)
    begun = graph.add("begin", note.store)
    for step in pyramid.steps:
        changed, blocks = step.changed(changed), cut_blocks(step, itemsize)
        level = pyramid.levels[step.level].array
        refuse_links_out(level.store, unit_directories(level, changed))
        held, written = graph.hold(f"step{step.level}", step), {}
        for index in blocks.touching(changed):
            window = intersect(blocks.window(index), step.units.rounded(changed))
            if window is None:  # impossible: a block that touches the change holds whole units of it
                continue
            needed = finer_blocks.touching(step.needed(window))
            waits = [before[other] for other in needed if other in before] or [begun]
            finer, stored = arrays[step.level - 1 : step.level + 1]
            label = f"block{step.level}"
            path = pyramid.levels[step.level].path
            written[index] = graph.add(label, _recompute_block, finer, stored, path, window, held, waits, index=index)
        ends.extend(written.values())
        before, finer_blocks = written, blocks
    first = pyramid.levels[0]
    if first.manifest is not None:  # its units in the region are right as they are now
        held = graph.hold("stored", replace(first, manifest=None))
        blocks = cut_blocks(unreduced(first), itemsize)
        for index in blocks.touching(region):
            window = intersect(blocks.window(index), region)
            ends.append(graph.add("level0", _as_stored, held, window, index=index))
    entries = graph.gather("units", ends, lists=True)
    return graph.delayed(graph.add("end", _finish, note, target, entries) if ends else entries)


def _finish(note: UpdateNote, target: Target, stored: list[StoredUnits]) -> None:
    """Enter what is stored now into the manifests, and remove the note once all is on disk."""
    refresh_manifest(target, stored)
    sync_target(target)
    note.remove()


def _recompute_block(
    finer: zarr.Array[Any],
    stored: zarr.Array[Any],
    path: str,
    window: Window,
    step: DownsamplingStep,
    _done: list[Any],
) -> list[StoredUnits]:
    """Recompute whole write units of the level at ``path``, once the finer blocks that they need are stored."""
    needed = step.needed(window)
    written = replace_window(stored, window, step.compute(read_window(finer, needed), needed, window))
    counts = step.units.counts
    entries = ((unit_number(unit, counts), *digest_content(content)) for unit, content in written.items())
    return [StoredUnits(path, tuple(entries))]


def _as_stored(level: LevelArray, window: Window) -> list[StoredUnits]:
    """List the write units of level 0 in a window as they are stored now."""
    return [stored_in(level, [window])]
