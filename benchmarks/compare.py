"""Ourselves and the peers that are installed, on the same work, alternating, each run in a process of its own.

Run as ``python -m benchmarks.compare --gib 1`` (extra ``bench``), with ``--plane`` for the 2D work.  Prints, per
contender, the medians of wall time, CPU time and peak memory, and the ratio of its wall time to the floor:
TensorStore copying level 0, in the same round.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import dask
import numpy as np
import zarr

from benchmarks.build import peak_memory
from benchmarks.contenders import CONTENDERS
from benchmarks.volume import CODEC, make_volume, sample_block

THREADS = 2
PACKAGES = ("msi-lazy", "dask", "zarr", "zarrs", "tensorstore", "xarray-multiscale", "ngff-zarr", "ome-zarr")


def make_plane(path: Path, edge: int, chunk: int) -> Path:
    """Write one plane of the synthetic volume, ``edge`` samples square."""
    array = zarr.create_array(path, shape=(edge, edge), chunks=(chunk, chunk), dtype="uint16", compressors=CODEC)
    for y in range(0, edge, chunk):
        array[y : y + chunk] = sample_block((64, y, 0), (1, min(chunk, edge - y), edge))[0]
    return path


def run_child(name: str, source: Path, target: Path, levels: int, chunk: int) -> None:
    """Run one contender; print seconds, CPU seconds and MiB at the peak.

    It runs on something tiny first, so that imports and compilation are not in its time.
    """
    ndim = zarr.open_array(source, mode="r").ndim
    with TemporaryDirectory() as directory, dask.config.set(scheduler="threads", num_workers=THREADS):
        tiny = Path(directory, "tiny.zarr")
        zarr.create_array(tiny, data=np.ones((64,) * ndim, "uint16"), chunks=(32,) * ndim, compressors=CODEC)
        CONTENDERS[name](tiny, Path(directory, "target"), 1, 16)
        before, start = os.times(), time.perf_counter()
        CONTENDERS[name](source, target, levels, chunk)
        seconds, after = time.perf_counter() - start, os.times()
    cpu = after.user + after.system - before.user - before.system
    click.echo(f"RESULT {seconds} {cpu} {peak_memory()}")


def measure(name: str, source: Path, target: Path, levels: int, chunk: int) -> tuple[float, ...] | None:
    """Seconds, CPU seconds and MiB of one contender; ``None`` if it is not installed or fails."""
    shutil.rmtree(target, ignore_errors=True)
    job = [name, str(source), str(target), str(levels), str(chunk)]
    command = [sys.executable, "-m", "benchmarks.compare", "--child", *job]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT"):
            return tuple(map(float, line.split()[1:]))
    click.echo(f"{name}: {(done.stderr.strip().splitlines() or ['no result'])[-1][:120]}", err=True)
    return None


def table(results: dict[str, list[tuple[float, ...]]]) -> str:
    """Medians per contender; the ratio is the median of the ratios within a round."""
    floor = results.get(next(iter(CONTENDERS)), [])
    lines = ["| | wall s | CPU s | peak MiB | wall / floor |", "|---|---|---|---|---|"]
    for name, runs in results.items():
        wall, cpu, peak = (median(run[i] for run in runs) for i in range(3))
        ratios = [run[0] / base[0] for run, base in zip(runs, floor, strict=False)]
        ratio = f"{median(ratios):.2f}" if ratios else "floor not measured"
        lines.append(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {ratio} |")
    return "\n".join(lines)


def versions() -> str:
    """Versions of what was compared."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


@click.command()
@click.option("--gib", default=1.0, show_default=True, help="Uncompressed size of the image in GiB.")
@click.option("--plane", is_flag=True, help="A 2D image in chunks of 512, in place of a volume in chunks of 64.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", multiple=True, help="Contenders to run beside the floor.")
@click.option("--child", nargs=5, hidden=True)
def main(gib: float, plane: bool, rounds: int, only: tuple[str, ...], child: tuple[str, ...] | None) -> None:
    """Compare."""
    if child:
        name, source_name, target_name, levels_text, chunk_text = child
        run_child(name, Path(source_name), Path(target_name), int(levels_text), int(chunk_text))
        return
    with TemporaryDirectory() as directory:
        if plane:
            edge = max(int(np.sqrt(gib * 2**29) // 512), 1) * 512
            source, levels, chunk = make_plane(Path(directory, "plane.zarr"), edge, 512), 5, 512
        else:
            source, levels, chunk = make_volume(Path(directory, "volume.zarr"), gib), 4, 64
        names = [name for name in CONTENDERS if name == next(iter(CONTENDERS)) or not only or name in only]
        results: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in list(results):
                found = measure(name, source, Path(directory, "target"), levels, chunk)
                if found is None:
                    del results[name]
                else:
                    results[name].append(found)
        shape = zarr.open_array(source, mode="r").shape
    click.echo(f"{shape} uint16, {levels + 1} scales in chunks of {chunk}, {THREADS} threads, {rounds} rounds")
    click.echo(f"{versions()}\n\n{table(results)}")


if __name__ == "__main__":
    main()
