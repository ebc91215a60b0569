"""Coordinates that are not stored where a level is an array alone, without a group of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msi_lazy.axes import axis_kind
from msi_lazy.ngff.specifications import ome_block

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    import xarray as xr

    from msi_lazy.axes import Axis
    from msi_lazy.write.job import ImageJob

__all__ = ["describe_lost"]

_STATED = ("units", "long_name", "spacing")
"""Attributes of coordinates that OME-Zarr states, or that repeat a name."""


def describe_lost(job: ImageJob) -> str:
    """Name what the groups of an image's levels hold and OME-Zarr's attributes do not; empty if there is nothing."""
    lost = dict.fromkeys(
        phrase
        for level in job.plan.levels
        for phrase in _lost_of_level(job, job.tree.children[level.name].to_dataset(inherit=False))
    )
    return ", ".join(lost)


def _lost_of_level(job: ImageJob, dataset: xr.Dataset) -> Iterator[str]:
    axes = {axis.name: axis for axis in job.plan.axes}
    for name, coordinate in dataset.coords.items():
        if name not in axes or not _is_stated(job, axes[str(name)], coordinate):
            yield f"the coordinate {name!r}"
            continue
        others = [key for key in coordinate.attrs if key not in _STATED]
        yield from (f"the attribute {key!r} of the coordinate {name!r}" for key in others)
    image: Hashable = job.plan.name
    yield from (f"the variable {name!r}" for name in dataset.data_vars if name != image)


def _is_stated(job: ImageJob, axis: Axis, coordinate: xr.DataArray) -> bool:
    """Tell whether the attributes of the image give the values of a coordinate."""
    if axis_kind(axis.name) != "channel":
        return axis.regular
    values = coordinate.values.tolist()
    if values == list(range(len(values))):
        return True
    channels = ome_block(job.attributes).get("omero", {}).get("channels", ())
    return [channel.get("label") for channel in channels] == [str(value) for value in values]
