"""Random pyramids, written and compared bit for bit with what whole-array oracles make: for as long as it is given.

Run as ``python -m tests.stress --pyramids 10000`` or ``python -m tests.stress --seconds 600`` in the repository's root.
Prints its seed; for each fault the case in full, the first wrong sample, and the command that tries that case alone.
"""

from __future__ import annotations

import gc
import secrets
import sys
import time
import traceback
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import click
import dask
import numpy as np
import zarr
from zarr.storage import LocalStore, MemoryStore

import msi_lazy as msi
from msi_lazy.plan import memory, runs
from tests.support.oracles import make_levels
from tests.support.stress_cases import draw_case

SPEC_ORDER = "tczyx"
REOPENED_EVERY = 4
"""One of so many cases is opened with the library too; to open each would take a quarter of the time."""
FORCINGS = {"read back": (memory, "_READ_BACK_ABOVE", -1), "runs": (runs, "LEAST_TASKS", 1)}
"""Constants of the library that keep large images' ways of working from small ones, and values that do not."""


class Fault(Exception):
    """Something is not what the oracle says."""


@dataclass
class Tally:
    """What has been compared."""

    pyramids: int = 0
    levels: int = 0
    samples: int = 0
    faults: int = 0

    def __str__(self):
        return f"{self.pyramids:,} pyramids, {self.levels:,} levels, {self.samples:,} samples, {self.faults} faults"


def try_case(case):
    """Write the pyramid of ``case``, compare it, and return its levels as they should be.

    Raises
    ------
    Fault
        A level differs; what the library raises is not caught.
    """
    order = sorted(range(len(case.dims)), key=lambda axis: SPEC_ORDER.index(case.dims[axis]))
    expected = make_levels(case.array, case.steps, case.method, case.boundary, case.nodata)
    expected = [level.transpose(order) for level in expected]
    with ExitStack() as stack:
        source, target = MemoryStore(), MemoryStore()
        if case.on_disk:
            directory = Path(stack.enter_context(TemporaryDirectory()))
            source, target = LocalStore(directory / "source.zarr"), LocalStore(directory / "target.zarr")
        stack.enter_context(dask.config.set(scheduler=case.scheduler))
        if case.forced:
            stack.enter_context(patch.object(*FORCINGS[case.forced]))
        tree = msi.to_multiscale(
            case.open_source(source),
            case.factors,
            method=case.method,
            chunks=case.chunks,
            boundary=case.boundary,
            nodata=case.nodata,
            block_bytes=case.block_bytes,
        )
        msi.to_zarr(tree, target, version=case.version, shards=case.shards)
        group = zarr.open_group(target, mode="r")
        for number, level in enumerate(expected):
            compare(f"level {number}", group[f"scale{number}/image"][:], level)
        if case.number % REOPENED_EVERY == 0:
            compare_reopened(msi.open_multiscale(target), expected, case.number // REOPENED_EVERY % len(expected))
    return expected


def compare_reopened(tree, expected, number):
    """Compare the shapes of all levels, and the samples of one, as the library reads them."""
    shapes = [node["image"].shape for node in tree.children.values()]
    if shapes != [level.shape for level in expected]:
        raise Fault(f"reopened, the levels have the shapes {shapes}, not {[level.shape for level in expected]}")
    compare(f"reopened, level {number}", tree[f"scale{number}"]["image"].values, expected[number])


def compare(what, found, expected):
    """Compare every sample; one NaN is as good as another, but 0.0 is not -0.0."""
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise Fault(f"{what} is {found.dtype} of shape {found.shape}, not {expected.dtype} of {expected.shape}")
    same = found == expected
    if expected.dtype.kind == "f":
        same &= np.signbit(found) == np.signbit(expected)
        same |= np.isnan(found) & np.isnan(expected)
    if not same.all():
        index = tuple(map(int, np.argwhere(~same)[0]))
        raise Fault(
            f"{what}: {np.count_nonzero(~same)} of {same.size} samples differ, "
            f"the first at {index}: {found[index]!r}, not {expected[index]!r}"
        )


def report(case, seed, number, error):
    """Print what it takes to see the fault again."""
    click.echo(f"\nFAULT in case {number} of seed {seed}")
    click.echo(f"  {case!r}" if case else "  (not drawn)")
    if isinstance(error, Fault):
        click.echo(f"  {error}")
    else:
        click.echo("".join(traceback.format_exception(error)))
    click.echo(f"  again: python -m tests.stress --seed {seed} --only {number}\n")


def case_numbers(pyramids, seconds, first, only):
    """Numbers of the cases to try, as long as there is time."""
    start = time.monotonic()
    numbers = count(first) if pyramids is None else range(first, first + pyramids)
    for number in numbers if only is None else [only]:
        if seconds is not None and time.monotonic() - start >= seconds:
            return
        yield number


@click.command()
@click.option("--pyramids", type=click.IntRange(1), help="How many to try; 1000 if no time is given.")
@click.option("--seconds", type=float, help="How long to try.")
@click.option("--seed", type=click.IntRange(0), help="Seed of the run; default random.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="Number of the first case.")
@click.option("--only", type=click.IntRange(0), help="Try this case alone.")
@click.option("--most-faults", default=10, show_default=True, help="Stop after so many faults.")
def main(pyramids, seconds, seed, first, only, most_faults):
    """Try random pyramids against whole-array oracles; exit with 1 if there is any fault."""
    seed = secrets.randbits(32) if seed is None else seed
    pyramids = 1000 if pyramids is None and seconds is None else pyramids
    click.echo(f"seed {seed}")
    tally, start = Tally(), time.monotonic()
    shown = start
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # infinities are meant to meet, and half floats to overflow
        for number in case_numbers(pyramids, seconds, first, only):
            case = None
            try:
                case = draw_case(seed, number)
                levels = try_case(case)
                tally.levels += len(levels)
                tally.samples += sum(level.size for level in levels)
            except Exception as error:
                tally.faults += 1
                report(case, seed, number, error)
            tally.pyramids += 1
            if tally.faults >= most_faults:
                break
            if time.monotonic() - shown >= 10:
                shown = time.monotonic()
                click.echo(f"{shown - start:6.0f} s: {tally}")
    click.echo(f"seed {seed}: {tally}, {time.monotonic() - start:.0f} s")
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    gc.freeze()  # or else a seventh of the time is spent on looking through the libraries again and again
    gc.set_threshold(20_000, 20, 20)
    main()
