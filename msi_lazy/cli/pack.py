"""The command ``msi-lazy pack``."""

from __future__ import annotations

from pathlib import Path

import click

import msi_lazy as msi
from msi_lazy.cli.one_line_errors import one_line_errors
from msi_lazy.cli.terminal import echo

__all__ = ["pack"]


@click.command(short_help="Pack a stored image into one file.")
@click.argument("folder")
@click.argument("archive")
@click.option("--overwrite", is_flag=True, help="Replace ARCHIVE if it exists, once the new one is whole.")
def pack(folder: str, archive: str, overwrite: bool) -> None:
    """Pack the OME-Zarr hierarchy in FOLDER into a zip file, ARCHIVE, as it is: .ozx, or .zip."""
    with one_line_errors(folder):
        msi.pack(folder, Path(archive).absolute(), mode="w" if overwrite else "w-")
    echo(f"wrote {archive}")
