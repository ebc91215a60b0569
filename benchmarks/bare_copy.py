"""Ourselves against TensorStore's bare copy of level 0 with the same codec, under several settings of the allocator.

Run as ``python -m benchmarks.bare_copy --gib 0.5 --where /dev/shm`` (extra ``bench``), with ``--case`` and
``--allocator`` for some of the rows.  Each run is a process of its own, the two sides alternate, and the first run of
each, on something tiny, is not counted.  CPU seconds, user and system, are what a shared machine cannot spoil.
"""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from statistics import median
from tempfile import TemporaryDirectory

import click

from benchmarks.compare import SIZES, make_source, measure
from benchmarks.contenders import FLOORS, Work

CASES = {
    "mean 3D": ("volume", "mean", "msi_lazy"),
    "mean 3D, sharded": ("volume", "mean", "msi_lazy, sharded"),
    "mean 2D": ("plane", "mean", "msi_lazy"),
    "gaussian 3D": ("volume", "gaussian", "msi_lazy"),
    "mode on labels": ("labels", "mode", "msi_lazy"),
}
"""Source, method, and contender of each case."""
ALLOCATORS = {
    "default": {},
    "nanny": {"MALLOC_TRIM_THRESHOLD_": "65536"},
    "generous": {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**30)},
}
"""Settings of glibc's allocator: its own, those of the workers that Dask's nanny starts, and generous ones."""


@click.command()
@click.option("--gib", default=0.5, show_default=True, help="Uncompressed size of the image in GiB.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--case", "cases", multiple=True, type=click.Choice(list(CASES)), help="Some of the cases.")
@click.option("--allocator", "allocators", multiple=True, type=click.Choice(list(ALLOCATORS)), help="Some of them.")
@click.option("--where", type=click.Path(path_type=Path), help="Directory to work in, in place of the temporary one.")
def main(gib: float, rounds: int, cases: tuple[str, ...], allocators: tuple[str, ...], where: Path | None) -> None:
    """Print wall and CPU seconds of both sides, and the medians of their ratios in each round."""
    heads = ["case", "allocator", "wall s", "CPU s", "copy's wall s", "copy's CPU s", "wall / copy", "CPU / copy"]
    click.echo(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    with TemporaryDirectory(dir=where) as directory:
        sources: dict[str, Path] = {}
        for case in cases or CASES:
            kind, method, contender = CASES[case]
            if kind not in sources:
                sources[kind] = make_source(kind, Path(directory), gib)
            work = Work(*SIZES[kind], method)
            for allocator in allocators or ALLOCATORS:
                runs = []
                for _ in range(rounds):
                    target = Path(directory, "target")
                    pair = []
                    for name in (FLOORS[0], contender):
                        pair.append(measure(name, sources[kind], target, work, ALLOCATORS[allocator]))
                        rmtree(target, ignore_errors=True)
                    runs.append(pair)
                click.echo(table_row(case, allocator, runs))


def table_row(case: str, allocator: str, runs: list[list[tuple[float, ...] | None]]) -> str:
    """Row of the table: the medians of all rounds in which both sides ran."""
    both = [(floor, ours) for floor, ours in runs if floor and ours]
    if not both:
        return f"| {case} | {allocator} | failed |"
    cells = [median(ours[0] for _, ours in both), median(ours[1] for _, ours in both)]
    cells += [median(floor[0] for floor, _ in both), median(floor[1] for floor, _ in both)]
    cells += [median(ours[number] / floor[number] for floor, ours in both) for number in (0, 1)]
    return f"| {case} | {allocator} | {' | '.join(f'{cell:.2f}' for cell in cells)} |"


if __name__ == "__main__":
    main()
