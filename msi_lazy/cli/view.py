"""The command ``msi-lazy view``."""

from __future__ import annotations

import threading

import click

import msi_lazy as msi
from msi_lazy.cli.one_line_errors import one_line_errors
from msi_lazy.cli.terminal import echo

__all__ = ["view"]


@click.command(short_help="Show a stored image in Neuroglancer.")
@click.argument("store")
@click.option("--port", default=0, show_default=True, help="Port to serve on; 0 takes a free one.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page in a browser.")
@click.option("--group", default="", help="Path of the image in the store, if it is one of several.")
def view(store: str, port: int, browser: bool, group: str) -> None:
    """Show the OME-Zarr image at STORE in Neuroglancer, until Ctrl-C; both are served on this machine alone.

    Prints the URL of the page.
    """
    with one_line_errors(store):
        viewer = msi.view(store, group=group, port=port, open_browser=browser)
    with viewer:
        echo(viewer.url)
        echo("serving until Ctrl-C", err=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            echo("", err=True)
