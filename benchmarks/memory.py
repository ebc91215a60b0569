"""Peak memory: the same for a small image and a large one, and never above what the plan projects.

Run as ``python -m benchmarks.memory``; each measurement is a process of its own, that first writes something tiny.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import dask
import dask.array as da
import numpy as np
import xarray as xr

import msi_lazy as msi
from benchmarks.build import peak_memory
from benchmarks.procedural import Procedural

THREADS = 2
MIB = 2**20
WORK = {
    "volume": (("z", "y", "x"), 1024, 64, 128),
    "plane": (("y", "x"), 32768, 512, 512),
    "stack": (("z", "y", "x"), 1024, {"z": 8, "y": 128, "x": 128}, 1),
}
"""Dimensions, width, chunk, and source chunk; a stack is of computed planes."""
METHODS = {"mean": "mean", "halo": "gaussian"}


def make_tree(work: str, method: str, gib: float, width: int = 0) -> xr.DataTree:
    """Pyramid of a procedural image of ``gib`` GiB of uint16: always as wide, more or less deep."""
    dims, usual, chunk, source_chunk = WORK[work]
    width = width or usual
    rows = max(round(gib * 2**29 / width ** (len(dims) - 1) / source_chunk), 1) * source_chunk
    source = Procedural((rows, *(width,) * (len(dims) - 1)))
    if work == "stack":
        pixels = da.from_array(source, chunks=(1, -1, -1)) + np.uint16(1)
    else:
        pixels = da.from_array(source, chunks=source_chunk)
    image, block_bytes = xr.DataArray(pixels, dims=dims), "1 MiB" if work == "stack" else "64 MiB"
    settings = {"method": METHODS[method], "chunks": chunk, "block_bytes": block_bytes}
    return msi.to_multiscale(image, [2] * (3 if work == "stack" else 4), **settings)


def measure(work: str, method: str, gib: float) -> tuple[float, float, float]:
    """MiB at the peak before the write, at its peak, and projected for it."""
    with TemporaryDirectory() as directory, dask.config.set(scheduler="threads", num_workers=THREADS):
        make_tree(work, method, 0, width=256).pyramid.to_zarr(Path(directory, "tiny"))
        tree = make_tree(work, method, gib)
        projected = tree.pyramid.explain().memory(THREADS).total / MIB
        before = peak_memory()
        tree.pyramid.to_zarr(Path(directory, "out"))
        return before, peak_memory(), projected


def measure_apart(work: str, method: str, gib: float) -> list[float]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--child", work, method, str(gib)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in output.split()[-3:]]


@click.command()
@click.option("--small", default=0.25, show_default=True, help="GiB of the small image.")
@click.option("--large", default=4.0, show_default=True, help="GiB of the large one.")
@click.option("--child", nargs=3, hidden=True)
def main(small: float, large: float, child: tuple[str, str, str] | None) -> None:
    """Print the table."""
    if child:
        click.echo(" ".join(f"{value:.1f}" for value in measure(child[0], child[1], float(child[2]))))
        return
    click.echo(f"uint16, 5 scales, {THREADS} threads; MiB of the process, and what is projected over the MiB before")
    click.echo(f"| image | method | before | peak at {small:g} GiB | peak at {large:g} GiB | ratio | projected |")
    click.echo("|---|---|---|---|---|---|---|")
    for work in WORK:
        for method in METHODS:
            _, little, _ = measure_apart(work, method, small)
            before, much, projected = measure_apart(work, method, large)
            cells = f"{before:.0f} | {little:.0f} | {much:.0f} | {much / little:.2f} | {before + projected:.0f}"
            click.echo(f"| {work} | {METHODS[method]} | {cells} |")


if __name__ == "__main__":
    main()
