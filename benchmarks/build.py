"""The main job at size: a pyramid of a synthetic volume, its wall time, peak memory, and every pixel checked.

Run as ``python -m benchmarks.build --gib 2``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import dask
import dask.array as da
import numpy as np
import zarr

import msi_lazy as msi
from benchmarks.volume import make_volume

LEVELS = 4
BLOCK = 128


def build(source: Path, target: Path, threads: int) -> None:
    """Write the pyramid; print seconds, and MiB of memory at its peak and before the work."""
    before = peak_memory()
    image = msi.to_spatial_image(da.from_zarr(str(source)), dims=("z", "y", "x"))
    tree = msi.to_multiscale(image, [2] * LEVELS)
    start = time.perf_counter()
    with dask.config.set(scheduler="threads", num_workers=threads):
        tree.pyramid.to_zarr(target)
    seconds = time.perf_counter() - start
    peak = peak_memory()
    plan = tree.pyramid.explain()
    click.echo(f"{seconds:.2f} {peak:.0f} {before:.0f} {plan.memory_per_thread * threads / 2**20:.0f} {plan.tasks}")


def peak_memory() -> float:
    """MiB of resident memory at this process's peak (``getrusage`` would carry over the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def check(source: Path, target: Path) -> None:
    """Compare every sample of every level with means that NumPy makes, slab by slab."""
    tree = msi.open_multiscale(target)
    stored = zarr.open_array(source, mode="r")
    for z in range(0, stored.shape[0], BLOCK):
        slab = stored[z : z + BLOCK]
        for level in range(LEVELS + 1):
            found = tree[f"scale{level}"].image[z >> level : (z + BLOCK) >> level].values
            np.testing.assert_array_equal(found, slab, err_msg=f"level {level}, z {z}")
            slab = numpy_means(slab)


def numpy_means(array: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 x 2 samples, half to even, in plain NumPy."""
    total = sum(
        array[i::2, j::2, k::2].astype(np.int64)[tuple(slice(n // 2) for n in array.shape)]
        for i in (0, 1)
        for j in (0, 1)
        for k in (0, 1)
    )
    return np.rint(total / 8).astype(array.dtype)


@click.command()
@click.option("--gib", default=2.0, show_default=True, help="Uncompressed size in GiB.")
@click.option("--threads", default=2, show_default=True)
@click.option("--child", nargs=2, type=click.Path(path_type=Path), hidden=True)
def main(gib: float, threads: int, child: tuple[Path, Path] | None) -> None:
    """Build a pyramid in a process of its own, and check it."""
    if child:
        build(*child, threads)
        return
    with TemporaryDirectory() as directory:
        source, target = make_volume(Path(directory, "volume.zarr"), gib), Path(directory, "pyramid.ome.zarr")
        arguments = ["--threads", str(threads), "--child", str(source), str(target)]
        command = [sys.executable, "-m", "benchmarks.build", *arguments]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        seconds, peak, before, projected, tasks = map(float, output)
        check(source, target)
    click.echo(f"{gib:g} GiB, {LEVELS + 1} scales, {threads} threads: {seconds:.2f} s, {tasks:.0f} tasks")
    click.echo(f"peak memory {peak:.0f} MiB, of which {before:.0f} MiB before; blocks projected at {projected:.0f} MiB")
    click.echo("every sample of every level equals NumPy's")


if __name__ == "__main__":
    main()
