"""Images that are computed plane by plane: memory over that of the bare process, and time.

Run as ``python -m benchmarks.planes``; each measurement is a process of its own, that first writes something tiny.
"Bricks" is the same image computed in chunks that fit the blocks: what the planes themselves cost.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import click
import dask
import dask.array as da
import numpy as np
import xarray as xr

import msi_lazy as msi
from benchmarks.build import peak_memory

MIB = 2**20
BRICK = (64, 512, 512)


def compute_part(block_info: Any = None) -> np.ndarray:
    """Compute a chunk whose planes all differ: a ramp, with a few bits of noise."""
    (first, last), (top, bottom), (left, right) = block_info[None]["array-location"]
    y, x = np.arange(top, bottom, dtype="u2")[:, None], np.arange(left, right, dtype="u2")
    z = np.arange(first, last, dtype="u2")[:, None, None]
    part = np.empty((last - first, bottom - top, right - left), "u2")
    np.multiply(y ^ x, 40503, out=part)
    part >>= 11
    part += (y + x) * 8 + z * 3
    return part


def make_image(shape: tuple[int, ...], chunks: tuple[int, ...]) -> xr.DataArray:
    """Image of computed chunks."""
    whole = da.core.normalize_chunks(chunks, shape)
    pixels = da.map_blocks(compute_part, chunks=whole, dtype="u2", meta=np.empty((0, 0, 0), "u2"))
    return xr.DataArray(pixels, dims=("z", "y", "x"))


def measure(shape: tuple[int, ...], kind: str, threads: int, **settings: Any) -> tuple[float, ...]:
    """MiB over those before the write, MiB projected, seconds, and seconds of CPU time."""
    chunks = BRICK if kind == "bricks" else (1, -1, -1)
    with TemporaryDirectory() as directory, dask.config.set(scheduler="threads", num_workers=threads):
        tiny = make_image((8, 64, 64), (1, -1, -1))
        msi.to_multiscale(tiny, [2], method=settings["method"]).pyramid.to_zarr(Path(directory, "tiny"))
        limit = settings.pop("memory_limit", None)
        tree = msi.to_multiscale(make_image(shape, chunks), "auto", **settings)
        projected = msi.explain(tree).memory(threads).total / MIB
        before, began, cpu = peak_memory(), perf_counter(), process_time()
        tree.pyramid.to_zarr(Path(directory, "out"), memory_limit=limit)
        return peak_memory() - before, projected, perf_counter() - began, process_time() - cpu


def measure_apart(*words: object) -> list[float]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.planes", "--child", *map(str, words)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in output.split()[-4:]]


@click.command()
@click.option("--planes", default=512, show_default=True, help="Number of planes.")
@click.option("--edge", default=2048, show_default=True, help="Edge of a plane.")
@click.option("--threads", default=2, show_default=True, help="Threads.")
@click.option("--chunks", default=0, help="Edge of cubic chunks on disk; by default those of msi_lazy.")
@click.option("--limit", default="", help="Memory limit, as '4 GiB'; by default that of the machine.")
@click.option("--methods", default="mean,gaussian", show_default=True, help="Methods.")
@click.option("--kinds", default="planes,bricks", show_default=True, help="How the image is computed.")
@click.option("--child", nargs=7, hidden=True)
def main(
    planes: int,
    edge: int,
    threads: int,
    chunks: int,
    limit: str,
    methods: str,
    kinds: str,
    child: tuple[str, ...] | None,
) -> None:
    """Print the table."""
    if child:
        deep, wide, kind, number, chunk, most, method = child
        settings = {"method": method, "chunks": int(chunk) or None, "memory_limit": None if most == "-" else most}
        shape = (int(deep), int(wide), int(wide))
        click.echo(" ".join(f"{value:.2f}" for value in measure(shape, kind, int(number), **settings)))
        return
    click.echo(f"{planes} planes of {edge} x {edge}, uint16, {planes * edge**2 * 2 / 2**30:.3g} GiB; {threads} threads")
    click.echo("| method | computed in | MiB over bare | projected | seconds | CPU seconds |")
    click.echo("|---|---|---|---|---|---|")
    for method in methods.split(","):
        for kind in kinds.split(","):
            over, projected, wall, cpu = measure_apart(planes, edge, kind, threads, chunks, limit or "-", method)
            click.echo(f"| {method} | {kind} | {over:.0f} | {projected:.0f} | {wall:.1f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
