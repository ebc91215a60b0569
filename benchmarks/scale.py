"""What planning costs from a gigabyte to a petabyte, and what the engine itself costs per GiB.

Run as ``python -m benchmarks.scale``; ``--gib 64`` also runs the engine on a procedural source of that size into a
store that discards what it is given, uncompressed, so that nothing but the engine is measured.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

import click
import dask
import dask.array as da
import xarray as xr
import zarr
from dask.order import order
from zarr.storage import MemoryStore

import msi_lazy as msi
from benchmarks.build import peak_memory
from benchmarks.procedural import Discard, Procedural

if TYPE_CHECKING:
    from dask.delayed import Delayed

EDGES = {"1 GB": 768, "10 GB": 1664, "100 GB": 3712, "1 TB": 8192, "10 TB": 17664, "100 TB": 36864, "1 PB": 81920}
SLABS = 2
"""Slabs that are built of a write that has more."""
CHUNK = 128
THREADS = 2


def make_tree(edge: int, directory: str, method: str = "mean") -> xr.DataTree:
    """Pyramid of a Zarr array of ``edge`` samples a side, without a chunk in it, down to one chunk of 64."""
    path = Path(directory, f"{edge}.zarr")
    shape, chunks = (edge,) * 3, (CHUNK,) * 3
    zarr.create_array(path, shape=shape, chunks=chunks, dtype="uint16", overwrite=True)
    image = xr.DataArray(da.from_zarr(str(path)), dims=("z", "y", "x"))
    return msi.to_multiscale(image, "auto", method=method)


def measure_plan(edge: int, method: str) -> None:
    """Print the costs of one size, in a process of its own."""
    with TemporaryDirectory() as directory:
        make_tree(256, directory, method).pyramid.to_zarr(MemoryStore(), compute=False)  # imports
        before, start = peak_memory(), time.perf_counter()
        tree = make_tree(edge, directory, method)
        built = time.perf_counter() - start
        start = time.perf_counter()
        plan = tree.pyramid.explain()
        str(plan)
        row = [f"{plan.blocks:,}", f"{plan.tasks:,}", f"{built:.2f}", f"{time.perf_counter() - start:.2f}"]
        if plan.slabs > 1:
            row += measure_slabs(tree, Path(directory, "out.zarr"), plan.slabs, before)
        else:
            start = time.perf_counter()
            graph = dict(tree.pyramid.to_zarr(Path(directory, "out.zarr"), compute=False).dask)
            order(graph)
            row += [f"{time.perf_counter() - start:.1f}", f"{peak_memory() - before:.0f}"]
            row.append(f"{len(pickle.dumps(graph)) / 2**20:.1f}")
    click.echo("RESULT | " + " | ".join(row) + " |")


def measure_slabs(tree: xr.DataTree, target: Path, slabs: int, before: float) -> list[str]:
    """Build the first slabs of a write, computing none: seconds and MiB pickled of each, and MiB at the peak."""
    seconds, pickled = [], []

    def note(graph: Delayed, *_: object) -> None:
        tasks = dict(graph.dask)
        order(tasks)
        seconds.append(time.perf_counter() - start - sum(seconds))
        pickled.append(len(pickle.dumps(tasks)) / 2**20)
        if len(seconds) == SLABS:
            raise KeyboardInterrupt

    start = time.perf_counter()
    with patch("msi_lazy.run.compute.run", note), suppress(KeyboardInterrupt):
        tree.pyramid.to_zarr(target)
    each = f" in each of {slabs} slabs"
    return [f"{median(seconds):.1f}{each}", f"{peak_memory() - before:.0f}", f"{median(pickled):.1f}{each}"]


def measure_engine(gib: float, method: str) -> str:
    """Seconds per GiB of the engine alone."""
    edge = 1024
    depth = max(round(gib * 2**29 / edge**2 / 256), 1) * 256
    dims, chunks = ("z", "y", "x"), (CHUNK,) * 3
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        for shape in ((64,) * 3, (depth, edge, edge)):  # the first for imports and compilation
            pixels = da.from_array(Procedural(shape), chunks=chunks)
            tree = msi.to_multiscale(xr.DataArray(pixels, dims=dims), [2] * 4, method=method)
            start = time.perf_counter()
            tree.pyramid.to_zarr(Discard(MemoryStore()), compressors=None)
    seconds, size = time.perf_counter() - start, depth * edge**2 / 2**29
    return (
        f"{size:g} GiB into nothing, {method}, {THREADS} threads: {seconds:.1f} s, {seconds / size:.2f} s per GiB, "
        f"peak {peak_memory():.0f} MiB"
    )


@click.command()
@click.option("--gib", type=float, help="Run the engine on a procedural source of this size too.")
@click.option("--upto", type=click.Choice(list(EDGES)), default="1 PB", show_default=True)
@click.option("--method", default="mean", show_default=True, help="A method's name; gaussian is one with a halo.")
@click.option("--child", type=int, hidden=True)
def main(gib: float | None, upto: str, method: str, child: int | None) -> None:
    """Print the tables."""
    if child:
        measure_plan(child, method)
        return
    click.echo(f"{method}, uint16, opened with da.from_zarr in chunks of {CHUNK}, written in chunks of 64\n")
    click.echo("| uint16 | blocks | tasks | tree s | explain s | graph s | client MiB | pickled MiB |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for name in list(EDGES)[: list(EDGES).index(upto) + 1]:
        command = [sys.executable, "-m", "benchmarks.scale", "--child", str(EDGES[name]), "--method", method]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        (row,) = (line for line in output.splitlines() if line.startswith("RESULT"))
        click.echo(f"| {name} " + row.removeprefix("RESULT "))
    if gib is not None:
        click.echo(f"\n{measure_engine(gib, method)}")


if __name__ == "__main__":
    main()
