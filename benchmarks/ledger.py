"""What it costs that a write can be killed, lose its power and be resumed: it with and without that, alternated.

Run as ``python -m benchmarks.ledger --gib 1``.  The image is a Zarr array, known by its place, or an array in memory,
known by the hash of its content.  ``bare`` marks, digests, hashes and syncs nothing; ``unsynced`` leaves what is
written to the operating system, which may take its time, as plain copies do; ``whole`` is what users get.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

import click
import zarr

import msi_lazy as msi
from benchmarks.volume import make_volume
from msi_lazy.compat.file_sync import sync_file_system
from msi_lazy.graph import write_graph
from msi_lazy.source import identity
from msi_lazy.storage import target
from msi_lazy.storage.marker import Marker
from msi_lazy.storage.stored_units import StoredUnits
from msi_lazy.write import conclude

if TYPE_CHECKING:
    import xarray as xr

KINDS = ("bare", "unsynced", "whole")


def leaving_out(what: str) -> ExitStack:
    """Leave out parts of a write in this context: none of ``whole``."""
    stack = ExitStack()
    if what != "whole":
        stack.enter_context(patch.object(target, "sync_file_system", lambda _directory: None))
    if what == "bare":
        stack.enter_context(
            patch.object(write_graph, "stored_units", lambda array, _window: StoredUnits(array.path, ()))
        )
        stack.enter_context(patch.object(Marker, "__call__", lambda *_: None))
        stack.enter_context(patch.object(conclude._AwaitMarks, "__call__", lambda _: None))
        stack.enter_context(patch.object(conclude._StoreManifest, "__call__", lambda _: None))
        stack.enter_context(patch.object(identity, "content_hash", lambda _: ""))
    return stack


def measure(image: xr.DataArray, path: Path, method: str, what: str) -> tuple[float, float]:
    """Wall time and CPU time of one write, in seconds; what earlier ones left to the system is on disk before."""
    tree = msi.to_multiscale(image, [2, 2, 2, 2], method=method)
    sync_file_system(path.parent)
    with leaving_out(what):
        wall, cpu = time.perf_counter(), time.process_time()
        tree.pyramid.to_zarr(path)
        took = time.perf_counter() - wall, time.process_time() - cpu
    shutil.rmtree(path)
    return took


@click.command()
@click.option("--gib", default=1.0, show_default=True, help="Size of the volume.")
@click.option("--rounds", default=5, show_default=True, help="Writes of each kind.")
@click.option("--method", default="mean", show_default=True, help="Downsampling method.")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False), help="Where to write.")
def main(gib: float, rounds: int, method: str, directory: Path | None) -> None:
    """Print what the ledger, the digests and the syncs add to the time of a write."""
    print("| image | write | wall s | CPU s | wall / bare | CPU / bare |")
    print("|---|---|---|---|---|---|")
    with TemporaryDirectory(dir=directory) as temporary:
        stored = zarr.open_array(make_volume(Path(temporary, "volume.zarr"), gib), mode="r")
        for name, array in (("Zarr array", stored), ("in memory", stored[:])):
            image = msi.to_spatial_image(array, dims="zyx")
            measure(image, Path(temporary, "out.zarr"), method, "whole")  # compiled, and in the page cache
            took: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
            for number in range(rounds):
                for kind in KINDS[:: -1 if number % 2 else 1]:
                    took[kind].append(measure(image, Path(temporary, "out.zarr"), method, kind))
            for kind in KINDS:
                columns = [median(column) for column in zip(*took[kind], strict=True)]
                pairs = zip(took[kind], took["bare"], strict=True)
                ratios = [median(column) for column in zip(*((w / v, c / b) for (w, c), (v, b) in pairs), strict=True)]
                print(f"| {name} | {kind} | {' | '.join(f'{value:.2f}' for value in (*columns, *ratios))} |")


if __name__ == "__main__":
    main()
