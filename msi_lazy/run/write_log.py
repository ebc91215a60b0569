"""Log of a write: its levels, its target, and its end."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from math import prod
from os.path import commonpath
from time import monotonic
from typing import TYPE_CHECKING

from dask.utils import format_bytes
from zarr.storage import StorePath

from msi_lazy.graph.direct import block_geometry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.graph.write_graph import LevelArrays

__all__ = ["describe_write", "logged"]

_LOGGER = logging.getLogger(__name__)


def describe_write(images: Sequence[LevelArrays], done: frozenset[int]) -> str:
    """Describe a write: its levels, bytes and blocks, and their group."""
    targets = [target for image in images for target in image.targets[image.kept :]]
    grids = [(grid, image.kept) for image in images for grid in block_geometry(image.levels)]
    blocks = sum(prod(grid.counts) for grid, kept in grids if max(grid.levels, default=kept) >= kept)
    nbytes = sum(int(array.nbytes) for image in images for array in image.levels.arrays[image.kept :])
    where = StorePath(targets[0].store, commonpath([target.path for target in targets]))
    resumed = f", {len(done)} of them stored before" if done else ""
    return f"{len(targets)} levels ({format_bytes(nbytes)} in {blocks} blocks{resumed}) of {where}"


@contextmanager
def logged(write: str) -> Iterator[None]:
    """Log the beginning and the end of a write, and the time between."""
    _LOGGER.info("writing %s", write)
    began = monotonic()
    try:
        yield
    except BaseException as error:
        _LOGGER.info("stopped after %.1f s writing %s: %r", monotonic() - began, write, error)
        raise
    _LOGGER.info("wrote in %.1f s %s", monotonic() - began, write)
