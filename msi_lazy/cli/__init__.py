"""The command line: a file for each command of ``msi-lazy``."""

from __future__ import annotations

import click

from msi_lazy.cli.convert import convert
from msi_lazy.cli.demo import demo
from msi_lazy.cli.info import info
from msi_lazy.cli.pack import pack
from msi_lazy.cli.terminal import printable_warnings
from msi_lazy.cli.upgrade import upgrade
from msi_lazy.cli.validate import validate
from msi_lazy.cli.verify import verify
from msi_lazy.cli.view import view

__all__ = ["main"]


@click.group()
@click.version_option(package_name="msi-lazy")
@click.option("--traceback", is_flag=True, help="Show where in the code an error arose: msi-lazy --traceback info ...")
@click.pass_context
def main(context: click.Context, traceback: bool) -> None:
    """Multiscale image pyramids, written as OME-Zarr in one computation."""
    context.with_resource(printable_warnings())


for command in (convert, info, validate, verify, upgrade, view, pack, demo):
    main.add_command(command)
