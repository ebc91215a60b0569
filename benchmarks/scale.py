"""What planning costs from a gigabyte to a petabyte, and what the engine itself costs per GiB.

Run as ``python -m benchmarks.scale``; ``--gib 64`` also runs the engine on a procedural source of that size into a
store that discards what it is given, uncompressed, so that nothing but the engine is measured.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import dask
import dask.array as da
import numpy as np
import xarray as xr
from zarr.storage import MemoryStore, WrapperStore

import msi_lazy as msi
from benchmarks.build import peak_memory

EDGES = {"1 GB": 768, "10 GB": 1664, "100 GB": 3712, "1 TB": 8192, "10 TB": 17664, "100 TB": 36864, "1 PB": 81920}
MOST_TASKS = 500_000
CHUNK = 128
THREADS = 2


class Procedural:
    """A volume of any size that costs next to nothing to read."""

    ndim, dtype = 3, np.dtype("uint16")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        z, y, x = (np.arange(part.start, part.stop, dtype=np.uint16) for part in key)
        return (z[:, None, None] + y[:, None]) + x


class Discard(WrapperStore):
    """A store that keeps metadata only."""

    async def set(self, key: str, value: object) -> None:
        """Keep what is metadata or a coordinate."""
        if "/image/c/" not in key:
            await super().set(key, value)


def make_tree(edge: int, depth: int | None = None) -> xr.DataTree:
    """Pyramid of a procedural volume of ``edge`` samples a side, down to one chunk of 64."""
    pixels = da.from_array(Procedural((depth or edge, edge, edge)), chunks=(CHUNK,) * 3)
    return msi.to_multiscale(xr.DataArray(pixels, dims=("z", "y", "x")), "auto")


def measure_plan(edge: int) -> None:
    """Print the costs of one size, in a process of its own."""
    make_tree(256).pyramid.to_zarr(MemoryStore(), compute=False)  # imports
    before, start = peak_memory(), time.perf_counter()
    tree = make_tree(edge)
    built = time.perf_counter() - start
    start = time.perf_counter()
    plan = tree.pyramid.explain()
    str(plan)
    row = [f"{plan.blocks:,}", f"{plan.tasks:,}", f"{built:.2f}", f"{time.perf_counter() - start:.2f}"]
    if plan.tasks > MOST_TASKS:
        row += ["not built"] * 3
    else:
        with TemporaryDirectory() as directory:
            start = time.perf_counter()
            graph = dict(tree.pyramid.to_zarr(Path(directory, "out.zarr"), compute=False).dask)
            row += [f"{time.perf_counter() - start:.1f}", f"{peak_memory() - before:.0f}"]
            row.append(f"{len(pickle.dumps(graph)) / 2**20:.1f}")
    click.echo("RESULT | " + " | ".join(row) + " |")


def measure_engine(gib: float) -> str:
    """Seconds per GiB of the engine alone."""
    edge = 1024
    depth = max(round(gib * 2**29 / edge**2 / 256), 1) * 256
    with dask.config.set(scheduler="threads", num_workers=THREADS):
        make_tree(256).pyramid.to_zarr(MemoryStore())  # imports and compilation
        start = time.perf_counter()
        make_tree(edge, depth).pyramid.to_zarr(Discard(MemoryStore()), compressors=None)
    seconds, size = time.perf_counter() - start, depth * edge**2 / 2**29
    return f"{size:g} GiB into nothing, {THREADS} threads: {seconds:.1f} s, {seconds / size:.2f} s per GiB"


@click.command()
@click.option("--gib", type=float, help="Run the engine on a procedural source of this size too.")
@click.option("--upto", type=click.Choice(list(EDGES)), default="1 PB", show_default=True)
@click.option("--child", type=int, hidden=True)
def main(gib: float | None, upto: str, child: int | None) -> None:
    """Print the tables."""
    if child:
        measure_plan(child)
        return
    click.echo("| uint16 | blocks | tasks | tree s | explain s | graph s | client MiB | pickled MiB |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for name in list(EDGES)[: list(EDGES).index(upto) + 1]:
        command = [sys.executable, "-m", "benchmarks.scale", "--child", str(EDGES[name])]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        (row,) = (line for line in output.splitlines() if line.startswith("RESULT"))
        click.echo(f"| {name} " + row.removeprefix("RESULT "))
    if gib is not None:
        click.echo(f"\n{measure_engine(gib)}")


if __name__ == "__main__":
    main()
