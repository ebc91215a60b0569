"""Workers of a cluster against threads of one process: the same pyramid, cold and warm, and where the time goes.

Run as ``python -m benchmarks.cluster``; ``--cores 16 --gib 2`` on a larger machine.  For each way to divide the cores
among workers it prints the first write of fresh workers, then medians of warm ones, alternating with threads; CPU time
of all processes; the share of the time in which threads of workers computed nothing; what they sent to one another;
and the least and the most that any worker computed, all by the scheduler's own record.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import dask
import dask.array as da
import xarray as xr
from distributed import Client, LocalCluster, get_task_stream

import msi_lazy as msi
from benchmarks.volume import make_volume

LEVELS = 4
MIB = 2**20
ALLOCATORS = {
    "dask": None,
    "default": {},
    "generous": {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**30)},
}
"""Environment of glibc's allocator in workers: as Dask's nanny sets it, unset, or with generous thresholds."""


@dataclass(frozen=True)
class Run:
    """One write as it was measured."""

    seconds: float
    """Wall time."""
    cpu: float
    """CPU time of all processes, user and system."""
    busy: tuple[float, ...] = ()
    """Seconds of tasks that each worker computed."""
    moved: float = 0
    """MiB that workers took in from one another."""


def write(source: Path, target: Path, method: str) -> None:
    """Write the pyramid."""
    image = xr.DataArray(da.from_zarr(str(source)), dims=("z", "y", "x"))
    tree = msi.to_multiscale(image, [2] * LEVELS, method=method)
    tree.pyramid.to_zarr(target)


def cpu_seconds() -> float:
    """CPU time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def on_threads(source: Path, target: Path, method: str, threads: int) -> Run:
    """Write on threads of this process."""
    with dask.config.set(scheduler="threads", num_workers=threads):
        cpu, start = cpu_seconds(), time.perf_counter()
        write(source, target, method)
        return Run(time.perf_counter() - start, cpu_seconds() - cpu)


def on_workers(source: Path, target: Path, method: str, client: Client) -> Run:
    """Write on the workers of a cluster."""
    before = sum(client.run(cpu_seconds).values()) + cpu_seconds()
    moved = sum(client.run(taken_in).values())
    start = time.perf_counter()
    with get_task_stream(client) as stream:
        write(source, target, method)
        seconds = time.perf_counter() - start
    busy: Counter[str] = Counter(dict.fromkeys(client.scheduler_info(n_workers=-1)["workers"], 0.0))
    for task in stream.data:
        for part in task["startstops"]:
            if part["action"] == "compute":
                busy[task["worker"]] += part["stop"] - part["start"]
    cpu = sum(client.run(cpu_seconds).values()) + cpu_seconds() - before
    return Run(seconds, cpu, tuple(busy.values()), (sum(client.run(taken_in).values()) - moved) / MIB)


def taken_in(dask_worker: Any) -> int:
    """Bytes that a worker has taken in from others."""
    return sum(entry["total"] for entry in dask_worker.transfer_incoming_log)


def report(label: str, cold: float | None, runs: list[Run], threads: list[Run], cores: int) -> None:
    """Print a row of the table."""
    wall, base = median(run.seconds for run in runs), median(run.seconds for run in threads)
    row = [label, "" if cold is None else f"{cold:.2f}", f"{wall:.2f}", f"{base / wall:.2f}"]
    row.append(f"{median(run.cpu for run in runs):.1f}")
    if runs[0].busy:
        idle = median(1 - sum(run.busy) / (run.seconds * cores) for run in runs)
        least, most = (median(pick(run.busy) for run in runs) for pick in (min, max))
        row += [f"{idle:.0%}", f"{median(run.moved for run in runs):.1f}", f"{least:.2f} to {most:.2f}"]
    else:
        row += [""] * 3
    click.echo("| " + " | ".join(row) + " |")


def divisions(cores: int) -> list[tuple[int, int]]:
    """Workers and threads of each, in all ways that use ``cores`` cores by powers of two."""
    workers = [2**power for power in range(cores.bit_length()) if cores % 2**power == 0]
    return [(count, cores // count) for count in workers]


@click.command()
@click.option("--gib", default=0.5, show_default=True, help="Size of level 0.")
@click.option("--cores", default=os.cpu_count(), show_default=True, help="Cores to divide among workers.")
@click.option("--rounds", default=3, show_default=True, help="Warm writes of each kind.")
@click.option("--method", default="mean", show_default=True)
@click.option("--allocator", type=click.Choice(list(ALLOCATORS)), default="dask", show_default=True)
@click.option("--preload", multiple=True, help="Module that workers load first.")
@click.option("--only", type=int, multiple=True, help="Numbers of workers to try; all that divide the cores if none.")
@click.option("--adaptive", is_flag=True, help="Try a cluster of workers of one thread that adapts, too.")
@click.option("--folder", type=click.Path(path_type=Path), help="Folder for the images, such as one in memory.")
def main(
    gib: float,
    cores: int,
    rounds: int,
    method: str,
    allocator: str,
    preload: tuple[str, ...],
    only: tuple[int, ...],
    adaptive: bool,
    folder: Path | None,
) -> None:
    """Print the table."""
    if ALLOCATORS[allocator] is not None:
        dask.config.set({"distributed.nanny.pre-spawn-environ": ALLOCATORS[allocator]})
    with TemporaryDirectory(dir=folder) as directory:
        source, target = make_volume(Path(directory, "source.zarr"), gib), Path(directory, "out.ome.zarr")
        click.echo(f"{gib:g} GiB uint16, {method}, {cores} cores, allocator of the workers: {allocator} {preload}\n")
        click.echo("| workers x threads | cold s | warm s | of threads' speed | CPU s | idle | moved MiB | busy s |")
        click.echo("|---|---|---|---|---|---|---|---|")
        on_threads(source, target, method, cores)  # imports
        every: list[Run] = []
        for workers, threads in divisions(cores):
            if only and workers not in only:
                continue
            with ExitStack() as stack:
                options = {"n_workers": workers, "threads_per_worker": threads, "dashboard_address": ":0"}
                cluster = stack.enter_context(LocalCluster(**options, preload=list(preload)))
                client = stack.enter_context(Client(cluster))
                runs = [on_workers(source, emptied(target), method, client)]
                for _ in range(rounds):
                    with client.as_current():
                        runs.append(on_workers(source, emptied(target), method, client))
                    every.append(on_threads(source, emptied(target), method, cores))
            report(f"{workers} x {threads}", runs[0].seconds, runs[1:], every, cores)
        if adaptive:
            adapted(source, target, method, cores, every)
        report(f"threads, {cores}", None, every, every, cores)


def adapted(source: Path, target: Path, method: str, cores: int, every: list[Run]) -> None:
    """Report a write on a cluster that begins with one worker and adapts."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        cluster.adapt(minimum=1, maximum=cores, interval="200 ms")
        runs = [on_workers(source, emptied(target), method, client) for _ in range(2)]
    report(f"adaptive, to {cores} x 1", runs[0].seconds, runs[1:], every, cores)


def emptied(target: Path) -> Path:
    """Remove what the write before left, which no run is to spend time on."""
    shutil.rmtree(target, ignore_errors=True)
    return target


if __name__ == "__main__":
    main()
