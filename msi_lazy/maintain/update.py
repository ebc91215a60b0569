"""Making again the parts of all levels that a change of level 0 reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dask.task_spec import DataNode, GraphNode, List, Task, TaskRef

from msi_lazy.graph.gather import as_delayed, gather, wait
from msi_lazy.maintain import remake
from msi_lazy.maintain.remake import Making, StoredPyramid, remake_window
from msi_lazy.plan.steps import plan_blocks
from msi_lazy.plan.windows import intersect
from msi_lazy.storage.checked_read import read_window
from msi_lazy.storage.write_units import write_window

if TYPE_CHECKING:
    import zarr
    from dask.delayed import Delayed
    from dask.typing import Key

    from msi_lazy.plan.grid import Grid
    from msi_lazy.plan.windows import Window

__all__ = ["update_levels"]


def update_levels(pyramid: StoredPyramid, region: Window) -> Delayed:
    """Build the graph that makes again what a change in ``region`` of level 0 reaches; see :func:`msi_lazy.update`.

    ::

        level 0    . . . [ changed ] . . . . . .
        level 1    . . [=|changed|==] . . .         written: all units that touch it
        level 2    [=|changed|=] .                  waits for the blocks of level 1 that it reads
    """
    token = uuid4().hex
    tasks: dict[Key, GraphNode] = {}
    written: dict[tuple[int, ...], Key] = {}  # of the finer level, by block
    finer_blocks: Grid | None = None
    ends: list[Key] = []

    def hold(label: str, value: Any) -> TaskRef:
        key = f"update-{label}-{token}"
        tasks[key] = DataNode(key, value)
        return TaskRef(key)

    arrays = [hold(f"level{level}", array) for level, array in enumerate(pyramid.arrays)]
    changed = region
    for making in pyramid.makings:
        step, before = making.step, written
        changed, written = step.changed(changed), {}
        blocks = plan_blocks(step, pyramid.arrays[0].dtype.itemsize, remake.BLOCK_BYTES)
        how = hold(f"making{step.level}", making)
        for index in blocks.touching(changed):
            window = intersect(blocks.window(index), step.units.rounded(changed))
            if window is None:  # which cannot be: a block that touches the change holds whole units of it
                continue
            needed = finer_blocks.touching(step.needed(window)) if finer_blocks is not None else ()
            waits = [TaskRef(before[other]) for other in needed if other in before]
            key: Key = (f"update-block{step.level}-{token}", index)
            tasks[key] = Task(key, _remake_block, *arrays[step.level - 1 : step.level + 1], window, how, List(*waits))
            written[index] = key
        ends.extend(written.values())
        finer_blocks = blocks
    end = f"update-{token}"
    tasks |= gather(end, ends, wait, wait)
    return as_delayed(tasks, end)


def _remake_block(
    finer: zarr.Array[Any], stored: zarr.Array[Any], window: Window, making: Making, _done: list[Any]
) -> None:
    """Make whole units of a level again, once the blocks of the finer level are stored that they are made from."""
    needed = making.step.needed(window)
    write_window(stored, window, remake_window(read_window(finer, needed), needed, window, making))
