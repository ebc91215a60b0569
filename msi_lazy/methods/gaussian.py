"""Gaussian means: the one that the library recommends, and the two that multiscale-spatial-image users know."""

from __future__ import annotations

from typing import Any

import numpy as np

from msi_lazy.methods.lending import Lend, fresh
from msi_lazy.methods.separable import filter_windows
from msi_lazy.methods.weights import bessel_weights, centred_gaussian_weights, gaussian_weights

__all__ = ["window_bessel_gaussian", "window_centred_gaussian", "window_gaussian"]

Array = np.ndarray[Any, Any]


def window_gaussian(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Compute the Gaussian-weighted mean around each window's centre, with :func:`gaussian_weights`."""
    return filter_windows(array, factors, out_shape, nodata, gaussian_weights, lend)


def window_centred_gaussian(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Evaluate SciPy's Gaussian filter at the centre of each window.

    The parameters are those of :func:`filter_windows`, the weights :func:`centred_gaussian_weights`: for an odd factor
    the filtered sample in the centre, for an even one the mean of the two central ones along each axis, before the
    only rounding.
    """
    return filter_windows(array, factors, out_shape, nodata, centred_gaussian_weights, lend)


def window_bessel_gaussian(
    array: Array, factors: tuple[int, ...], out_shape: tuple[int, ...], nodata: Any = None, lend: Lend = fresh
) -> Array:
    """Evaluate ITK's discrete Gaussian filter at the centre of each window.

    The parameters are those of :func:`filter_windows`, the weights :func:`bessel_weights`: for an odd factor
    the filtered sample in the centre, for an even one the mean of the two central ones along each axis, before the
    only rounding.
    """
    return filter_windows(array, factors, out_shape, nodata, bessel_weights, lend)
