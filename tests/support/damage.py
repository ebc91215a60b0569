"""Pyramids on disk, damage done to them, and what verifying them found."""

import numpy as np

import msi_lazy as msi


def samples(shape=(70, 90), dtype="u2"):
    return np.random.default_rng(0).integers(1, 60000, shape).astype(dtype)


def write(store, array=None, factors=(2, 2), method="mean", chunks=16, boundary="trim", nodata=None, **options):
    """Write a pyramid, uncompressed so that each byte counts, and return the store."""
    options = {"compressors": None, **options}
    image = msi.to_spatial_image(samples() if array is None else array)
    msi.to_multiscale(
        image, list(factors), method=method, chunks=chunks, boundary=boundary, nodata=nodata
    ).pyramid.to_zarr(store, **options)
    return store


def flip(file, position=10):
    """Flip a bit."""
    damaged = bytearray(file.read_bytes())
    damaged[position] ^= 1
    file.write_bytes(damaged)


def truncate(file):
    """Cut the last bytes off."""
    file.write_bytes(file.read_bytes()[:-5])


def found(report):
    """What was found, but for what hangs on it."""
    return [(finding.path, finding.unit, finding.kind) for finding in report.roots]


def largest(array, factors):
    """A method given as a function."""
    shape = [part for n, factor in zip(array.shape, factors, strict=True) for part in (n // factor, factor)]
    return array.reshape(shape).max((1, 3))
