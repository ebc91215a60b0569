"""Last steps of a write, when all samples are stored: measured windows, attributes, lists of labels and images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.ngff.omero import fill_windows, with_measured_windows
from msi_lazy.ngff.specifications import ome_block, specification_of
from msi_lazy.ngff.write_attributes import collection_attributes, labels_attributes
from msi_lazy.plan.grid import Grid
from msi_lazy.plan.windows import slices
from msi_lazy.storage.shared_groups import change_attributes
from msi_lazy.storage.target import consolidate, consolidate_above, write_attributes
from msi_lazy.write.fields import find_field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import zarr

    from msi_lazy.ngff.specification import Specification
    from msi_lazy.storage.target import Target
    from msi_lazy.write.job import ImageJob

__all__ = ["complete_image", "completions_of", "label_completions", "measure_windows"]

_MEASURED_CHUNKS = 64
"""Most chunks of the coarsest level that are read for each channel."""
_MEASURED_SAMPLES = 2**22
"""Most samples in these, unless a single chunk has more."""


def completions_of(
    jobs: Sequence[ImageJob], target: Target, specification: Specification, image: Target
) -> list[Callable[[], None]]:
    """List the calls that finish a write, in order: label images, their list, and then the image.

    Parameters
    ----------
    jobs
        The images, labels in the order in which they are listed.
    target
        Group of the write.
    specification
        OME-Zarr version of the image.
    image
        Group that the image has in the end.
    """
    images, labels = [job for job in jobs if not job.path], [job for job in jobs if job.path]
    completions: list[Callable[[], None]] = [complete_image(job, target) for job in labels]
    if labels:
        completions.append(_ListLabels(target, tuple(job.path.rpartition("/")[2] for job in labels), specification))
    completions += [complete_image(job, target) for job in images]
    if images and image.group:
        of_plate = find_field(image, specification)
        completions.append(of_plate or _ListImage(replace(image, path=image.base), image.group, specification))
    return completions


def label_completions(
    job: ImageJob, target: Target, image: Target, name: str, specification: Specification
) -> list[Callable[[], None]]:
    """List the calls that finish the write of a label image to ``target``, listed as ``name`` below ``image``."""
    return [complete_image(job, target), _ListLabels(image, (name,), specification)]


def complete_image(job: ImageJob, target: Target) -> Callable[[], None]:
    """Return the call that finishes one image below ``target``, the group of a write."""
    below = target.child(job.path)
    if job.measured is None:
        return _Completion(below, job.attributes)
    return _Completion(below, job.attributes, job.layouts[-1].path, job.measured)


@dataclass(frozen=True)
class _Completion:
    """Task that writes the attributes of an image's group."""

    target: Target
    """Group of the image."""
    attributes: Mapping[str, Any]
    """Attributes of an OME-Zarr image."""
    coarsest: str = ""
    """Path of the array whose quantiles become the channels' windows; empty if those are given."""
    channel_dim: int = 0
    """Its dimension of channels."""

    def __call__(self) -> None:
        """Write the attributes."""
        attributes = dict(self.attributes)
        if self.coarsest:
            stored = self.target.child(self.coarsest).open_array()
            omero = ome_block(attributes)["omero"]
            colors = [channel["color"] for channel in omero["channels"]]
            measured = with_measured_windows(omero, measure_windows(stored, self.channel_dim, colors))
            attributes |= specification_of(attributes).extend(attributes, {"omero": measured})
        write_attributes(self.target, attributes)


@dataclass(frozen=True)
class _ListLabels:
    """Task that lists label images in an image's ``labels`` group."""

    image: Target
    """Group of the image."""
    names: tuple[str, ...]
    """Names of the label images."""
    specification: Specification
    """OME-Zarr version of the image."""

    def __call__(self) -> None:
        """Add the names to the list, which is created if missing."""
        change_attributes(self.image.child("labels"), self.image.zarr_format, self._change)
        consolidate(self.image)
        consolidate_above(self.image)

    def _change(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return labels_attributes(attributes, self.names, self.specification)


@dataclass(frozen=True)
class _ListImage:
    """Task that lists an image in a store of several."""

    root: Target
    """Root of the store."""
    path: str
    """Path of the image in it."""
    specification: Specification
    """OME-Zarr version of the image."""

    def __call__(self) -> None:
        """Mark the root as a collection, in the layout of bioformats2raw, and add the image to its series."""
        change_attributes(self.root.child("OME"), self.root.zarr_format, self._change_series)
        change_attributes(self.root, self.root.zarr_format, self._change_root)
        consolidate_above(self.root.child(self.path))

    def _change_root(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return collection_attributes(attributes, {}, self.path, self.specification)[0]

    def _change_series(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return collection_attributes({}, attributes, self.path, self.specification)[1]


def measure_windows(array: zarr.Array[Any], channel_dim: int, colors: Sequence[str]) -> tuple[tuple[float, float], ...]:
    """Display range of each channel: quantiles of up to 64 chunks, evenly spread over it."""
    extents = (*array.shape[:channel_dim], 1, *array.shape[channel_dim + 1 :])
    chunks = Grid(extents, array.chunks)  # of one channel
    most = min(chunks.count, _MEASURED_CHUNKS, max(1, _MEASURED_SAMPLES // prod(array.chunks)))
    picked = np.unique(np.linspace(0, chunks.count - 1, most).astype(int)).tolist()
    places = [slices(chunks.window(chunks.index(number))) for number in picked]
    channels = []
    for channel in range(array.shape[channel_dim]):
        one = [(*place[:channel_dim], slice(channel, channel + 1), *place[channel_dim + 1 :]) for place in places]
        channels.append(np.concatenate([np.asarray(array[place]).ravel() for place in one]))
    return fill_windows(np.stack(channels), colors, [None] * len(channels))
