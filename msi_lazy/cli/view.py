"""The command ``msi-lazy view``."""

from __future__ import annotations

import threading

import click

import msi_lazy as msi
from msi_lazy.cli.one_line_errors import one_line_errors

__all__ = ["view"]


@click.command(short_help="Look at a stored image in Neuroglancer.")
@click.argument("store")
@click.option("--port", default=0, show_default=True, help="Port to serve on; 0 takes one that is free.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Whether to open the page.")
@click.option("--group", default="", help="Path of the image in the store, where it is one of several.")
def view(store: str, port: int, browser: bool, group: str) -> None:
    """Look at the OME-Zarr image at STORE in Neuroglancer, which is served on this machine alone, until Ctrl-C.

    The page's URL is printed.
    """
    with one_line_errors():
        viewer = msi.view(store, group=group, port=port, open_browser=browser)
    with viewer:
        click.echo(viewer.url)
        click.echo("serving until Ctrl-C", err=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("", err=True)
