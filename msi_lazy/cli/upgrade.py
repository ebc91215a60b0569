"""The command ``msi-lazy upgrade``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import msi_lazy as msi
from msi_lazy.cli.one_line_errors import one_line_errors
from msi_lazy.cli.terminal import echo
from msi_lazy.ngff.specifications import DEFAULT_VERSION

__all__ = ["upgrade"]


@click.command(short_help="Bring a stored image to another version of OME-Zarr.")
@click.argument("store")
@click.argument("target", required=False)
@click.option("--to", default=DEFAULT_VERSION, show_default=True, help="OME-Zarr version: 0.5 or 0.6.")
@click.option("--in-place", is_flag=True, help="Change STORE itself: its metadata, and no chunk that can stay.")
@click.option("--group", default="", help="Path of the image in STORE, if only one of several is copied.")
@click.option("--durable/--no-durable", default=True, show_default=True, help="Wait until all is on disk.")
def upgrade(store: str, target: str | None, to: Any, in_place: bool, group: str, durable: bool) -> None:
    """Copy the OME-Zarr image, collection or plate at STORE to TARGET, in another version; or change it in place.

    Chunks are copied as bytes, where the other version has their codecs.  A run that was killed is repeated by the same
    command.
    """
    if target is not None and "://" not in target:
        target = str(Path(target).absolute())
    with one_line_errors(store):
        report = msi.upgrade(store, target, to=to, in_place=in_place, group=group, durable=durable)
    echo(str(report))
