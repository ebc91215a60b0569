"""Ourselves and the peers that are installed, on the same work, alternating, each run in a process of its own.

Run as ``python -m benchmarks.compare --gib 1`` (extra ``bench``).  ``--work`` is a ``volume`` of uint16, a ``plane``
of uint16, or ``labels``, a volume of uint32; ``--method`` and ``--codec`` choose what is done with it.  Prints, per
contender, the medians of wall time, CPU time and peak memory, the number of Dask tasks, and the ratio of its wall time
to the floor in the same round: TensorStore copying level 0.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
import dask
import numpy as np
import zarr
from dask.callbacks import Callback

from benchmarks.build import peak_memory
from benchmarks.contenders import CONTENDERS, FLOORS, THREADS, Work
from benchmarks.volume import CODEC, make_labels, make_plane, make_volume

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = ("msi-lazy", "dask", "zarr", "zarrs", "tensorstore", "xarray-multiscale", "ngff-zarr", "ome-zarr")
SIZES = {"volume": (4, 64), "plane": (5, 512), "labels": (4, 64)}
"""Halvings and chunk edge of each work."""


def make_source(work: str, directory: Path, gib: float) -> Path:
    """Write the image."""
    maker = {"volume": make_volume, "plane": make_plane, "labels": make_labels}[work]
    return maker(directory / f"{work}.zarr", gib)


class CountTasks(Callback):
    """Counts what Dask's local schedulers run."""

    def __init__(self) -> None:
        self.tasks = 0
        super().__init__(posttask=self._count)

    def _count(self, *_state: object) -> None:
        self.tasks += 1


def run_child(name: str, source: Path, target: Path, work: Work) -> None:
    """Run one contender; print seconds, CPU seconds, MiB at the peak and tasks.

    It runs on something tiny first, so that imports and compilation are not in its time.
    """
    contender, _ = CONTENDERS[name]
    opened = zarr.open_array(source, mode="r")
    with TemporaryDirectory() as directory, dask.config.set(scheduler="threads", num_workers=THREADS):
        tiny = Path(directory, "tiny.zarr")
        ones = np.ones((64,) * opened.ndim, opened.dtype)
        zarr.create_array(tiny, data=ones, chunks=(32,) * opened.ndim, compressors=CODEC)
        contender(tiny, Path(directory, "target"), Work(1, 16, work.method, work.codec))
        with CountTasks() as counter:
            before, start = os.times(), time.perf_counter()
            contender(source, target, work)
            seconds, after = time.perf_counter() - start, os.times()
    cpu = after.user + after.system - before.user - before.system
    click.echo(f"RESULT {seconds} {cpu} {peak_memory()} {counter.tasks}")


def measure(
    name: str, source: Path, target: Path, work: Work, environment: Mapping[str, str] | None = None
) -> tuple[float, ...] | None:
    """Seconds, CPU seconds, MiB, tasks and files of one contender; ``None`` if it is not installed or fails.

    ``environment`` has variables of its process, besides those of this one.
    """
    job = [name, str(source), str(target), str(work.levels), str(work.chunk), work.method, work.codec]
    command = [sys.executable, "-m", "benchmarks.compare", "--child", *job]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT"):
            return (*map(float, line.split()[1:]), sum(path.is_file() for path in target.rglob("*")))
    click.echo(f"{name}: {(done.stderr.strip().splitlines() or ['no result'])[-1][:120]}", err=True)
    return None


def table(results: dict[str, list[tuple[float, ...]]]) -> str:
    """Medians per contender; the ratios are the medians of those within a round."""
    floors = [name for name in FLOORS if results.get(name)]
    heads = [f"wall / {'floor' if name == FLOORS[0] else 'haloed floor'}" for name in floors]
    lines = ["| " + " | ".join(["", "wall s", "CPU s", "peak MiB", "tasks", "files", *heads]) + " |"]
    lines.append("|---" * (6 + len(heads)) + "|")
    for name, runs in results.items():
        wall, cpu, peak, tasks, files = (median(run[i] for run in runs) for i in range(5))
        cells = [f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.0f}", f"{tasks:,.0f}" if tasks else "-", f"{files:,.0f}"]
        for floor in floors:
            ratios = [run[0] / base[0] for run, base in zip(runs, results[floor], strict=False)]
            cells.append(f"{median(ratios):.2f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
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
@click.option("--work", "kind", type=click.Choice(list(SIZES)), default="volume", show_default=True)
@click.option("--method", type=click.Choice(["mean", "mode", "gaussian"]), default="mean", show_default=True)
@click.option("--codec", type=click.Choice(["zstd", "lz4", "none"]), default="zstd", show_default=True)
@click.option("--gib", default=1.0, show_default=True, help="Uncompressed size of the image in GiB.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", multiple=True, help="Contenders to run beside the floors.")
@click.option("--where", type=click.Path(path_type=Path), help="Directory to work in, in place of the temporary one.")
@click.option("--child", nargs=7, hidden=True)
def main(
    kind: str,
    method: str,
    codec: str,
    gib: float,
    rounds: int,
    only: tuple[str, ...],
    where: Path | None,
    child: tuple[str, ...] | None,
) -> None:
    """Compare."""
    if child:
        name, source_name, target_name, levels, chunk, *rest = child
        run_child(name, Path(source_name), Path(target_name), Work(int(levels), int(chunk), *rest))
        return
    work = Work(*SIZES[kind], method, codec)
    able = [name for name, (_, methods) in CONTENDERS.items() if method in methods]
    with TemporaryDirectory(dir=where) as directory:
        source = make_source(kind, Path(directory), gib)
        results: dict[str, list[tuple[float, ...]]] = {
            name: [] for name in able if name in FLOORS or not only or name in only
        }
        for number in range(rounds):
            for name in list(results):
                # nothing is deleted in between: ext4 would look for the inodes of fresh deletions in the next run
                found = measure(name, source, Path(directory, f"{number}-{able.index(name)}"), work)
                if found is None:
                    del results[name]
                else:
                    results[name].append(found)
        opened = zarr.open_array(source, mode="r")
    click.echo(
        f"{opened.shape} {opened.dtype}, {method}, {work.levels + 1} scales in chunks of {work.chunk}, codec {codec}, "
        f"{THREADS} threads, {rounds} rounds\n{versions()}\n\n{table(results)}"
    )


if __name__ == "__main__":
    main()
