"""Printable plan of a tree."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from msi_lazy.arguments.choices import check_switches
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.plan.pyramid import PyramidPlan
from msi_lazy.run.scheduler import process_memory, worker_threads
from msi_lazy.show.plan_table import plan_html, plan_text
from msi_lazy.source.sources import lazy_array
from msi_lazy.tree.read_plan import level_images, read_plan
from msi_lazy.write.measure import measure_block
from msi_lazy.write.projected_image import ProjectedImage, spill_where_needed
from msi_lazy.write.projection import describe_excess, describe_spill

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array as da
    import xarray as xr

__all__ = ["ExplainedPlan", "explain"]

_NEVER_EXCEEDED = 2**29
"""Bytes that any process may take: to find out how much that is takes a quarter of a second, once."""


@dataclass(frozen=True, repr=False)
class ExplainedPlan(PyramidPlan):
    """A plan that prints as a table, and shows a picture and a table in a notebook."""

    @classmethod
    def of(cls, plan: PyramidPlan) -> ExplainedPlan:
        """Wrap ``plan``, field by field."""
        return cls(**{field.name: getattr(plan, field.name) for field in fields(plan)})

    def __repr__(self) -> str:
        return plan_text(self)

    def _repr_html_(self) -> str:
        return plan_html(self)


def explain(tree: xr.DataTree, *, measure: bool = False) -> ExplainedPlan:
    """Plan of a pyramid: levels, blocks, tasks, bytes, memory.  No pixel is read, unless you ask for a measurement.

    Parameters
    ----------
    tree
        A pyramid, also an edited or a reopened one.
    measure
        Read one block of level 0, in the middle; compute its levels, and store them in a temporary directory, which is
        removed again.  The plan then has ``measured``, with the projected time and size of the whole write, to local
        files with the default codec.

    Returns
    -------
    ExplainedPlan
        Printed, it is a table; in a notebook a picture and a table.

    Raises
    ------
    TypeError
        It is no tree, or ``measure`` is neither ``True`` nor ``False``.
    ValueError
        The tree is no pyramid, or its levels no longer have the same extent.

    Notes
    -----
    A projection is as good as the block is typical, and holds for a machine with nothing else to do.  Of writes of a
    quarter of a GiB on two busy cores, most took between 0.9 and 1.5 times the projection, some up to 2.5 times.
    """
    check_switches(measure=measure)
    plan = ExplainedPlan.of(read_plan(tree))
    arrays = [lazy_array(image) for image in level_images(tree)]
    if measure:
        plan = replace(plan, measured=measure_block(arrays, plan))
    return _with_memory(arrays, plan)


def _with_memory(arrays: Sequence[da.Array], plan: ExplainedPlan) -> ExplainedPlan:
    """Add what a write does to fit the memory of a process, the tasks of that, and by how much it exceeds that."""
    threads, image = worker_threads(), ProjectedImage.of_plan(plan, LevelGraph.of(arrays))
    if image.memory(threads, None).total < _NEVER_EXCEEDED:
        return plan
    limit, reading = process_memory(), plan.reading
    (image,) = spill_where_needed([image], threads, limit)
    notes = [describe_spill(image, threads, limit)] if image.spills else []
    if image.spills and reading.source_chunks is not None:  # each is stored by a task of its own
        reading = replace(reading, extra_tasks=reading.extra_tasks + reading.source_chunks)
    notes += filter(None, [describe_excess([image], threads, limit)])
    return replace(plan, reading=reading, notes=(*plan.notes, *notes))
