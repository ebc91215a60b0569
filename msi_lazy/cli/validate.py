"""The command ``msi-lazy validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import msi_lazy as msi
from msi_lazy.cli.one_line_errors import UNREAD_EXIT_CODE, name_options, one_line_errors
from msi_lazy.cli.terminal import echo

if TYPE_CHECKING:
    from msi_lazy.validation.check_chunks import Decode

__all__ = ["validate"]


@click.command(short_help="Check a stored image against the specification.")
@click.argument("store")
@click.option(
    "--decode",
    type=click.Choice(["sample", "all", "none"]),
    default="sample",
    show_default=True,
    help="Chunks to decode: a few of each level, all of them, or none.",
)
@click.option("--group", default="", help="Path of the image in the store, if it is one of several.")
def validate(store: str, decode: Decode, group: str) -> None:
    """Check the OME-Zarr image at STORE and its labels; or every image of a collection, a plate or a well.

    Exits with code 1 if a MUST of the specification is broken.  Broken SHOULDs are listed, and are no failure.  Exits
    with code 3 if no MUST is known to be broken, but a part could not be read, as the disk or the network failed.
    """
    with one_line_errors(store, reads=True):
        report = msi.validate(store, decode=decode, group=group)
    echo(name_options(str(report)))
    if not report.ok:
        raise click.exceptions.Exit(1 if report.errors else UNREAD_EXIT_CODE)
