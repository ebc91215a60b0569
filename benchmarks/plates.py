"""Plates of a high-content screen against one image of as many bytes, in the same codec and chunks.

Run as ``python -m benchmarks.plates``; by default a tenth of a plate of 384 wells with 9 fields of 2 x 1080 x 1080.
Both are read from one array in memory, and written by turns; building the trees is measured apart, as they are the
user's.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click
import dask
import numpy as np

import msi_lazy as msi

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, COLUMNS = 16, 24


def make_fields(wells: int, fields: int, edge: int) -> dict[tuple[str, str, int], np.ndarray]:
    """Make the samples of each field, by its key: all are views of a few, with the noise of a camera."""
    random = np.random.default_rng(0)
    few = [random.poisson(200, (2, edge, edge)).astype("u2") for _ in range(4)]
    rows = [chr(ord("A") + n) for n in range(ROWS)]
    places = [(row, str(column + 1)) for row in rows for column in range(COLUMNS)][:wells]
    keys = [(*place, field) for place in places for field in range(fields)]
    return {key: few[number % len(few)] for number, key in enumerate(keys)}


def build(samples: Any, dims: str) -> Any:
    """Build a pyramid with the chunks that are the default."""
    return msi.to_multiscale(msi.to_spatial_image(samples, dims=dims, scale={"y": 0.65, "x": 0.65}), "auto")


def measure(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of CPU time, and seconds, that a call takes."""
    before, began = os.times(), perf_counter()
    call()
    after = os.times()
    return after.user + after.system - before.user - before.system, perf_counter() - began


@click.command()
@click.option("--wells", default=38, show_default=True, help="Wells, of up to 384.")
@click.option("--fields", default=9, show_default=True, help="Fields of each.")
@click.option("--edge", default=1080, show_default=True, help="Edge of a field.")
@click.option("--repeats", default=2, show_default=True, help="Times that each is written.")
@click.option("--threads", default=0, help="Threads; by default all cores.")
@click.option("--directory", help="Where to write; by default a temporary directory.")
def main(wells: int, fields: int, edge: int, repeats: int, threads: int, directory: str | None) -> None:
    """Print the table."""
    samples = make_fields(wells, fields, edge)
    settings: dict[str, Any] = {"num_workers": threads} if threads else {}
    with TemporaryDirectory(dir=directory) as folder, dask.config.set(settings):
        plate, image, tiny = (Path(folder, name) for name in ("plate.zarr", "image.zarr", "tiny.zarr"))
        build(np.ones((2, 64, 64), "u2"), "cyx").pyramid.to_zarr(tiny)  # loads kernels
        trees: dict[Any, Any] = {}
        print(f"{len(samples)} fields of 2 x {edge} x {edge}, {len(samples) * 4 * edge**2 / 2**20:.0f} MiB")
        print(f"{'':<28}  {'CPU s':>8}  {'s':>8}")
        report("build the trees of the plate", lambda: trees.update({k: build(s, "cyx") for k, s in samples.items()}))
        whole = build(np.stack(list(samples.values())), "tcyx")
        times: dict[str, list[tuple[float, float]]] = {"one image": [], "plate": []}
        for _ in range(repeats):
            shutil.rmtree(image, ignore_errors=True)
            times["one image"].append(report("one image", lambda: whole.pyramid.to_zarr(image)))
            shutil.rmtree(plate, ignore_errors=True)
            times["plate"].append(report("plate", lambda: msi.write_plate(plate, trees, rows=ROWS, columns=COLUMNS)))
        cpu, wall = (min(t[n] for t in times["plate"]) / min(t[n] for t in times["one image"]) for n in (0, 1))
        print(f"{'plate / one image':<28}  {cpu:8.2f}  {wall:8.2f}")
        report("open_plate", lambda: msi.open_plate(plate))
        report("open_plate, list all fields", lambda: len(msi.open_plate(plate)))


def report(what: str, call: Callable[[], object]) -> tuple[float, float]:
    """Measure a call, and print a row of the table."""
    cpu, wall = measure(call)
    print(f"{what:<28}  {cpu:8.2f}  {wall:8.2f}", flush=True)
    return cpu, wall


if __name__ == "__main__":
    main()
