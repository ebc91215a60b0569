"""What the ledger of a write costs: the same write with and without it, alternated.

Run as ``python -m benchmarks.ledger --gib 1``.  The image is a Zarr array, known by its place, or an array in memory,
known by the hash of its content.  Without means that nothing is marked, hashed or removed.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

import click
import zarr

import msi_lazy as msi
from benchmarks.volume import make_volume
from msi_lazy.source import identity
from msi_lazy.storage.stored_ledger import StoredLedger

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def without_ledger() -> AbstractContextManager[ExitStack]:
    """Write without a ledger in this context."""
    stack = ExitStack()
    for name in ("begin", "mark", "remove"):
        stack.enter_context(patch.object(StoredLedger, name, lambda *_: None))
    stack.enter_context(patch.object(identity, "content_hash", lambda _: ""))
    return stack


def seconds(image, target: Path, method: str, kept: bool) -> float:
    """Wall time of one write."""
    tree = msi.to_multiscale(image, [2, 2, 2, 2], method=method)
    with nullcontext() if kept else without_ledger():
        start = time.perf_counter()
        tree.pyramid.to_zarr(target)
        took = time.perf_counter() - start
    shutil.rmtree(target)
    return took


@click.command()
@click.option("--gib", default=1.0, show_default=True, help="Size of the volume.")
@click.option("--rounds", default=5, show_default=True, help="Writes with and without the ledger.")
@click.option("--method", default="mean", show_default=True, help="Downsampling method.")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False), help="Where to write.")
def main(gib: float, rounds: int, method: str, directory: Path | None) -> None:
    """Print what the ledger adds to the time of a write."""
    print("| image | seconds without | seconds with | with / without, median of the rounds |")
    print("|---|---|---|---|")
    with TemporaryDirectory(dir=directory) as temporary:
        stored = zarr.open_array(make_volume(Path(temporary, "volume.zarr"), gib), mode="r")
        for name, array in (("Zarr array", stored), ("in memory", stored[:])):
            image = msi.to_spatial_image(array, dims="zyx")
            seconds(image, Path(temporary, "out.zarr"), method, kept=True)  # compiled, and in the page cache
            pairs = []
            for number in range(rounds):
                order = (False, True) if number % 2 else (True, False)
                took = {kept: seconds(image, Path(temporary, "out.zarr"), method, kept) for kept in order}
                pairs.append((took[False], took[True]))
            ratio = median(kept / bare for bare, kept in pairs)
            bare, kept = (median(column) for column in zip(*pairs, strict=True))
            print(f"| {name} | {bare:.2f} | {kept:.2f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
