"""Samples of a picture: two dimensions of space, the level that suits its pixels, and one plane of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import compute

from msi_lazy.api.build import to_multiscale
from msi_lazy.axes import rename_advice, unit_sizes
from msi_lazy.tree.read_plan import level_images
from msi_lazy.tree.select import fitting_level

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan
    from msi_lazy.show.pictures.display_settings import DisplaySettings

__all__ = ["Frame", "Plane", "compute_planes", "fit_axis"]

_ROUNDING = 1e-6
"""Fraction of a pixel by which a spacing may be larger, and still count as the same."""

_FEW = 2**22
"""Most samples of a plane, for each channel, that are not reduced, whatever the size of the picture."""

Pair = tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """Samples ``(c, y, x)`` of one level, not computed yet, and how many of them cover the level."""

    samples: xr.DataArray
    """``y`` and ``x`` may be reduced by ``steps``."""
    steps: tuple[int, int]
    """Samples of the level, along ``y`` and ``x``, that are reduced to one of these."""
    lengths: Pair
    """Lengths of the level in these samples, not whole where the last one lies partly beyond its end."""


@dataclass(frozen=True)
class Frame:
    """Rectangle that pictures of a pyramid show."""

    plan: PyramidPlan
    """Plan of the pyramid."""

    @cached_property
    def sides(self) -> tuple[int, int]:
        """Numbers of the dimensions that run down and across: those that mean y and x, else the last two of space.

        Raises
        ------
        ValueError
            There is only one dimension of space.
        """
        axes, dims = self.plan.axes, self.plan.dims
        space = [number for number, axis in enumerate(axes) if axis.is_spatial]
        if len(space) < 2:
            unknown = any(axis.kind is None for axis in axes)
            advice = f"; rename them, as in {rename_advice(axes)}, and build its pyramid again" if unknown else ""
            raise ValueError(
                f"a picture needs two dimensions of space, and the image has the dimensions {dims}{advice}"
            )
        meanings = [axis.meaning for axis in axes]
        if "y" in meanings and "x" in meanings:
            return meanings.index("y"), meanings.index("x")
        return space[-2], space[-1]

    @cached_property
    def units(self) -> Pair:
        """Sizes of the units down and across, in one unit."""
        sizes = unit_sizes([self.plan.axes[dim] for dim in self.sides])
        return sizes[0], sizes[1]

    def spacing(self, level: LevelPlan) -> Pair:
        """Spacing of the samples of ``level`` down and across, in one unit."""
        (down, across), units = self.sides, self.units
        return level.scale[down] * units[0], level.scale[across] * units[1]

    def extent(self, level: LevelPlan) -> tuple[Pair, Pair]:
        """Start and end of ``level``, each in its own unit: half a sample beyond the outermost centres."""
        down, across = self.sides
        return level.extent(down), level.extent(across)

    def size(self, level: LevelPlan) -> Pair:
        """Physical lengths of ``level``, down and across, in one unit."""
        (down, across), units = self.extent(level), self.units
        return (down[1] - down[0]) * units[0], (across[1] - across[0]) * units[1]

    def choose_level(self, pixel: float, finest: int = 0) -> int:
        """Coarsest level with at least one sample for each pixel of length ``pixel``, or ``finest``.

        Along a dimension where ``finest`` itself has fewer, its spacing counts.
        """
        own = self.spacing(self.plan.levels[finest])
        sides = zip(self.sides, own, self.units, strict=True)
        wanted = {dim: max(pixel, spacing) / unit for dim, spacing, unit in sides}
        return fitting_level(self.plan, wanted, finest)

    def middles(self, level: LevelPlan) -> dict[str, int]:
        """Choose indices along dimensions other than down, across, channels: the middle in space, else the first."""
        return {
            axis.name: level.shape[number] // 2 if axis.is_spatial else 0
            for number, axis in enumerate(self.plan.axes)
            if number not in (*self.sides, self.plan.channel_dim)
        }

    def plane(self, image: xr.DataArray, level: LevelPlan, display: DisplaySettings, pixel: float) -> Plane:
        """Plane of ``image``, the pixels of ``level``; nothing is computed.

        Where pixels of length ``pixel`` cover two samples or more of a large plane, these windows are reduced by the
        library's own kernels, block by block: a level without a coarser one needs little memory.
        """
        down, across = (self.plan.dims[dim] for dim in self.sides)
        channel = None if self.plan.channel_dim is None else self.plan.dims[self.plan.channel_dim]
        plane = image.drop_vars(list(image.coords)).isel(self.middles(level))
        if channel is None:
            plane = plane.expand_dims("c")
        elif display.channels != tuple(range(image.sizes[channel])):
            first, last = min(display.channels), max(display.channels)
            plane = plane.isel(
                {channel: slice(first, last + 1)}
            )  # with a slice, other channels are not read from a store
            plane = plane.isel({channel: [number - first for number in display.channels]})
        plane = plane.transpose(channel or "c", down, across)
        plane = plane.rename({old: new for old, new in zip(plane.dims, "cyx", strict=True) if old != new})
        steps = self._steps(level, pixel)
        if max(steps) > 1:
            plane = plane.astype("float32") if plane.dtype.kind == "b" and display.labels is None else plane
            factors = dict(zip("yx", steps, strict=True))
            reduced = to_multiscale(plane.rename("image"), [factors], method=display.method, boundary="pad")
            plane = level_images(reduced)[1]
        lengths = [level.shape[dim] / step for dim, step in zip(self.sides, steps, strict=True)]
        return Plane(plane, steps, (lengths[0], lengths[1]))

    def _steps(self, level: LevelPlan, pixel: float) -> tuple[int, int]:
        """Whole samples in a pixel, down and across; at most all of the level, and one in a small plane."""
        if prod(level.shape[dim] for dim in self.sides) <= _FEW:
            return 1, 1
        steps = [
            min(max(int(pixel * (1 + _ROUNDING) / spacing), 1), level.shape[dim])
            for dim, spacing in zip(self.sides, self.spacing(level), strict=True)
        ]
        return steps[0], steps[1]


def compute_planes(planes: Sequence[Plane]) -> list[np.ndarray[Any, Any]]:
    """Compute ``planes`` together: work that levels of a lazy pyramid have in common is done once."""
    computed = compute(*(plane.samples for plane in planes))
    return [np.asarray(samples.values) for samples in computed]


def fit_axis(
    samples: np.ndarray[Any, Any], axis: int, length: float, pixels: int, nearest: bool
) -> np.ndarray[Any, Any]:
    """Resample to ``pixels`` entries along ``axis``, which together cover the first ``length`` samples.

    Parameters
    ----------
    samples, axis
        Samples, and the axis to resample; not the first one, except for the nearest.
    length
        Number of samples that are covered; the last one may be covered partly.
    pixels
        Entries of the result along ``axis``.
    nearest
        Take the sample at the centre of each entry, else the mean of the samples that it covers, without NaN.

    Examples
    --------
    >>> fit_axis(np.array([[0.0, 3.0, 6.0]]), 1, 3.0, 2, nearest=False)
    array([[1., 5.]])
    >>> fit_axis(np.array([1, 2, 3]), 0, 3.0, 6, nearest=True)
    array([1, 1, 2, 2, 3, 3])
    """
    edges = _snap(np.linspace(0, length, pixels + 1))
    last = samples.shape[axis] - 1
    if nearest:
        centres: np.ndarray[Any, Any] = np.floor(_snap((edges[:-1] + edges[1:]) / 2)).astype(int).clip(0, last)
        return np.take(samples, centres, axis)
    if pixels == length == last + 1:
        return samples
    # cut where a sample or an entry begins: each piece is of one sample, and counts in one entry
    cuts = np.union1d(edges[:-1], np.arange(np.ceil(length)))
    sizes = np.diff(cuts, append=length) * (
        pixels / length
    )  # fractions of an entry: their sum is at most 1, no overflow
    entries = np.searchsorted(cuts, edges[:-1])
    means = [
        _mean_of_pieces(plane, cuts.astype(int).clip(0, last), sizes, entries)
        for plane in np.moveaxis(samples, axis, -1)
    ]
    return np.moveaxis(np.stack(means), -1, axis)


def _snap(positions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Move positions in samples that miss the border of a sample by rounding alone onto it."""
    borders: np.ndarray[Any, Any] = np.rint(positions)
    return np.where(np.isclose(positions, borders, rtol=1e-13, atol=1e-9), borders, positions)


def _mean_of_pieces(
    rows: np.ndarray[Any, Any], pieces: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any], entries: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Means along the last axis of ``rows``: of its samples ``pieces``, weighted by ``sizes``, per entry."""
    values = rows[..., pieces].astype(np.float64)
    valid = ~np.isnan(values)
    weights = np.add.reduceat(sizes * valid, entries, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # infinities of both signs; nothing but NaN
        total = np.add.reduceat(np.where(valid, values * sizes, 0), entries, axis=-1)
        mean: np.ndarray[Any, Any] = total / weights
    return mean
