"""The command ``msi-lazy info``."""

from __future__ import annotations

import click

import msi_lazy as msi
from msi_lazy.axes import axis_kind
from msi_lazy.cli.one_line_errors import one_line_errors
from msi_lazy.cli.terminal import echo
from msi_lazy.ngff.kept_members import describe_kept
from msi_lazy.show.plan_table import levels_text
from msi_lazy.storage.place import Place
from msi_lazy.storage.stored_plate import first_field, is_plate

__all__ = ["info"]


@click.command(short_help="Print the levels of a stored image.")
@click.argument("store")
@click.option("--group", default="", help="Path of the image, or the plate, in the store, if it is one of several.")
def info(store: str, group: str) -> None:
    """Print the levels of the OME-Zarr image at STORE; of a plate its wells, and the levels of the first field."""
    with one_line_errors(store):
        place = Place.parse(store, group)
        if is_plate(place):
            echo(f"{str(msi.open_plate(store, group=group)).strip('<>')}\n")
            group = first_field(place).group
            echo(f"its first field, {group!r}:\n")
        tree = msi.open_multiscale(store, group=group)
        echo(levels_text(msi.explain(tree)))
        (image,) = tree["scale0"].data_vars.values()
        channel = next((dim for dim in map(str, image.dims) if axis_kind(dim) == "channel"), "c")
        lines = describe_kept(tree.attrs)
        if channel in image.coords:
            lines.insert(0, f"channels: {', '.join(map(str, image[channel].values.ravel()))}")
        if lines:
            echo("\n" + "\n".join(lines))
