"""The command ``msi-lazy verify``."""

from __future__ import annotations

import sys

import click

import msi_lazy as msi
from msi_lazy.cli.one_line_errors import UNREAD_EXIT_CODE, one_line_errors
from msi_lazy.cli.terminal import echo

__all__ = ["verify"]


@click.command(short_help="Check the stored levels against level 0; repair them.")
@click.argument("store")
@click.option("--sample", default=1.0, show_default=True, help="Fraction of each level to check, as in 0.01.")
@click.option("--seed", default=0, show_default=True, help="Seed of the choice of blocks in a spot check.")
@click.option("--method", help="Downsampling method, if the image names none: mean, max, mode, ...")
@click.option("--repair", is_flag=True, help="Recompute and write faulty blocks, nothing else.")
@click.option("--labels/--no-labels", default=True, show_default=True, help="Verify the labels of the image, too.")
@click.option("--group", default="", help="Path of the image in the store, if it is one of several.")
def verify(store: str, sample: float, seed: int, method: str | None, repair: bool, labels: bool, group: str) -> None:
    """Recompute each level of the OME-Zarr image at STORE from the finer one, and compare bit for bit.

    Lists every block that differs, is missing or cannot be decoded.  Exits with code 1 if any remains, and with code 3
    if none is known to be faulty, but some could not be read, as the disk or the network failed.
    """
    progress = sys.stdout.isatty()
    with one_line_errors(store, reads=True):
        report = msi.verify(
            store,
            sample=sample,
            method=method,
            repair=repair,
            labels=labels,
            seed=seed,
            progress=progress,
            group=group,
        )
    echo(str(report))
    if not report.ok:
        raise click.exceptions.Exit(1 if report.faulty else UNREAD_EXIT_CODE)
