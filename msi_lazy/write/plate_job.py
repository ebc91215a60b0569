"""Plates to write: fields that differ in nothing but their samples are described, checked and composed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.compat.xarray_backends import is_in_memory
from msi_lazy.graph.level_graph import LevelGraph
from msi_lazy.ngff.plate_attributes import plate_attributes, well_attributes
from msi_lazy.source.sources import lazy_array
from msi_lazy.tree.read_plan import level_images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import xarray as xr

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.write.job import ImageJob

__all__ = ["FieldForms", "PlateJob", "PlateLayout"]

WellName = tuple[str, str]
_MOST_COMPARED = 8
"""Most forms that a tree is compared with."""


@dataclass(frozen=True)
class PlateLayout:
    """A plate without its images: names, and what is listed where."""

    name: str | None
    """Name of the plate, if it has one."""
    rows: tuple[str, ...]
    """Names of all rows, in order."""
    columns: tuple[str, ...]
    """Names of all columns, in order."""
    wells: Mapping[WellName, Mapping[str, int | None]]
    """Fields of each well, in order, and the acquisition of each."""
    acquisitions: Mapping[int, Mapping[str, Any]]
    """What is stated of each acquisition, by its id."""

    def plate(self, specification: Specification) -> dict[str, Any]:
        """Attributes of the plate."""
        return plate_attributes(self.name, self.rows, self.columns, self.wells, self.acquisitions, specification)

    def groups(self, specification: Specification) -> dict[str, dict[str, Any]]:
        """Attributes of the groups between the plate and its fields, by path: rows have none."""
        rows: dict[str, dict[str, Any]] = {row: {} for row, _ in self.wells}
        wells = {f"{row}/{col}": well_attributes(fields, specification) for (row, col), fields in self.wells.items()}
        return rows | wells


@dataclass(frozen=True)
class PlateJob:
    """A plate to write."""

    layout: PlateLayout
    """The plate without its images."""
    forms: Sequence[ImageJob]
    """An image of each form that fields have."""
    fields: Sequence[tuple[str, int, LevelGraph]]
    """Path of each field, number of its form, and its samples, in the order in which they are written."""

    @property
    def jobs(self) -> list[ImageJob]:
        """Image of every field."""
        return [replace(self.forms[form], levels=levels, path=path) for path, form, levels in self.fields]


class FieldForms:
    """Forms of the fields of a plate, each found once.

    Parameters
    ----------
    describe
        Describes the image of a tree that has a new form.
    """

    def __init__(self, describe: Callable[[xr.DataTree], ImageJob]) -> None:
        self._describe = describe
        self._trees: list[xr.DataTree] = []
        self.jobs: list[ImageJob] = []

    def find(self, tree: xr.DataTree) -> tuple[int, LevelGraph]:
        """Return the number of the form of a tree, and its samples as they are to be written."""
        levels = LevelGraph.of([lazy_array(image) for image in level_images(tree)])
        for number in range(len(self.jobs) - 1, max(-1, len(self.jobs) - 1 - _MOST_COMPARED), -1):
            job = self.jobs[number]
            if job.origin is None and _same_samples(levels, job.levels) and _same_tree(tree, self._trees[number]):
                return number, levels
        job = self._describe(tree)
        self._trees.append(tree)
        self.jobs.append(job)
        return len(self.jobs) - 1, job.levels


def _same_samples(levels: LevelGraph, others: LevelGraph) -> bool:
    """Tell whether unedited pyramids are computed alike, whatever they are computed from."""
    if not (levels.is_whole and others.is_whole) or len(levels.stages) != len(others.stages):
        return False
    alike = all(
        one.dtype == other.dtype and one.chunks == other.chunks
        for one, other in zip(levels.arrays, others.arrays, strict=True)
    )
    return alike and all(
        one.function is other.function
        and replace(one.recipe, source=other.recipe.source) == other.recipe
        and one.chunks == other.chunks
        for one, other in zip(levels.stages, others.stages, strict=True)
    )


def _same_tree(tree: xr.DataTree, other: xr.DataTree) -> bool:
    """Tell whether trees have the same nodes, names, attributes and coordinates, all in memory but the levels."""
    if tuple(tree.children) != tuple(other.children) or any(child.children for child in tree.children.values()):
        return False
    return _same_node(tree, other) and all(
        _same_node(tree.children[name], other.children[name]) for name in tree.children
    )


def _same_node(node: xr.DataTree, other: xr.DataTree) -> bool:
    one, two = node.to_dataset(inherit=False), other.to_dataset(inherit=False)
    names = list(one.variables)
    if names != list(two.variables) or set(one.coords) != set(two.coords) or not _equal(one.attrs, two.attrs):
        return False
    images = set(one.data_vars)
    return all(_same_variable(one.variables[name], two.variables[name], name in images) for name in names)


def _same_variable(one: xr.Variable, other: xr.Variable, is_image: bool) -> bool:
    if one is other:
        return True
    same = one.dims == other.dims and one.dtype == other.dtype and one.shape == other.shape
    same = same and _equal(one.attrs, other.attrs) and _equal(one.encoding, other.encoding)
    if not same or is_image:
        return same
    in_memory = is_in_memory(one) and is_in_memory(other)
    return in_memory and one.dtype.kind != "O" and np.array_equal(one.values, other.values)


def _equal(one: Any, other: Any) -> bool:
    """Compare attributes as JSON tells them apart, 1 from 1.0 and from true; what has no plain answer differs."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    try:
        return bool(one == other)
    except ValueError:
        return False
